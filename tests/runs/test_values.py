"""Plain values of a training that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from medseg.errors import ConfigError
from medseg.runs.values import check_values
from tests.helpers import command, compose_config


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("seed=-1", "seed is -1; it must be a whole number from 0 to 4294967295"),
        ("seed=true", "seed is True"),
        ("compile=3", "compile is 3; it must be true or false"),
        ("trainer.max_epochs=0", "trainer.max_epochs is 0; it must be a whole number from 1"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs is 1.5"),
        ("trainer.max_epochs=null", "trainer.max_epochs is None"),
        ("trainer.check_val_every_n_epoch=0", "trainer.check_val_every_n_epoch is 0; it must be a whole number from 1"),
        ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val is -1; it must be a number from 0"),
        ("trainer.precision=64-true", "trainer.precision is '64-true'; it must be one of auto, 32-true, 32, bf16"),
        ("trainer.precision=bf16-true", "trainer.precision is 'bf16-true'"),
        ("trainer.devices=0", "trainer.devices is 0; it must be a whole number from 1, or -1 for all GPUs"),
        ("data.batch_size=auto", "data.batch_size is 'auto'; it must be a whole number from 1"),
        ("data.num_workers=-1", "data.num_workers is -1; it must be a whole number from 0"),
        ("optimizer.lr=-1", "optimizer.lr is -1; it must be a number from 0"),
        ("optimizer.lr=nan", "optimizer.lr is nan; it must be a number from 0"),
        ("optimizer.lr=high", "optimizer.lr is 'high'"),
        ("optimizer.weight_decay=-1e-3", "optimizer.weight_decay is -0.001; it must be a number from 0"),
        ("scheduler.warmup_epochs=-1", "scheduler.warmup_epochs is -1; it must be a number from 0"),
        ("experiment=../elsewhere", "it must name a folder below runs_dir"),
    ],
)
def test_a_value_that_cannot_be(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_values(compose_config("train", word))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("trainer.precision=32", "trainer.gradient_clip_val=0.5", "data.num_workers=auto"),
        ("optimizer=sgd", "optimizer.momentum=0", "optimizer.lr=0", "scheduler=plateau"),
        ("scheduler=none", "trainer=ddp"),
    ],
)
def test_values_that_can_be(words: tuple[str, ...]) -> None:
    check_values(compose_config("train", *words))


@pytest.mark.parametrize("word", ["optimizer.lr=-1", "data.fold=9", "data.image_size=4"])
def test_a_wrong_value_prepares_nothing(word: str, tmp_path: Path) -> None:
    done = command("train", word, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {word.partition('=')[0]}")
    assert not list(tmp_path.iterdir())
