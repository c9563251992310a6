"""What a wrong word was meant to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import HydraException

from medseg.config import yaml_files
from medseg.config.explain import explain, known_keys, unknown_key, unknown_option
from medseg.errors import ConfigError, close_matches
from tests.helpers import command, compose_config


def test_keys_of_the_chosen_option_are_known() -> None:
    keys = known_keys("train", ["data=folder", "data.roott=x"])
    assert "data.root" in keys
    assert "data.root" not in known_keys("train", [])
    # What else is wrong does not matter here.
    assert "model.norm" in known_keys("train", ["model=convunext", "data=nothing", "trainer=cpu"])


@pytest.mark.parametrize("name", ["UNet", "U-Net", "unet ", "UNET", "u_net"])
def test_however_a_name_is_written(name: str) -> None:
    assert close_matches(name, yaml_files.options("model")) == "; did you mean 'unet'?"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("epochs", "trainer.max_epochs"),
        ("num_epochs", "trainer.max_epochs"),
        ("lr", "optimizer.lr"),
        ("learning_rate", "optimizer.lr"),
        ("batch_size", "data.batch_size"),
        ("img_size", "data.image_size"),
        ("dataset", "data"),
        ("arch", "model"),
        ("gpus", "trainer.devices"),
        ("weights", "initial_weights"),
        ("finetune", "initial_weights"),
        ("freeze", "model.freeze_encoder"),
        ("freeze_backbone", "model.freeze_encoder"),
        ("backbone_lr", "optimizer.encoder_lr_factor"),
        ("param_groups", "optimizer.lr_factors"),
        ("model.freeze", "model.freeze_encoder"),
        ("output_dir", "runs_dir"),
        ("workers", "data.num_workers"),
        ("weight_decay", "optimizer.weight_decay"),
        ("optimizer.learning_rate", "optimizer.lr"),
        ("modle", "model"),
    ],
)
def test_what_other_programs_call_it(key: str, meant: str) -> None:
    message = unknown_key(key, known_keys("train", []))
    assert message.startswith(f"unknown option '{key}'; did you mean '{meant}'"), message


@pytest.mark.parametrize("word", ["callbacks=[ema,early_stoping]", "logger=[csv,tensorbord]"])
def test_an_option_of_a_list_is_explained_as_one_alone(word: str) -> None:
    group, _, options = word.partition("=")
    last = options.strip("[]").split(",")[-1]
    alone = explain_words(f"{group}={last}")
    assert alone.startswith(f"unknown {group} '{last}'; did you mean")
    assert explain_words(word) == alone


def explain_words(*words: str) -> str:
    """What the user reads of words that cannot be composed."""
    with pytest.raises((ConfigError, HydraException)) as raised:
        compose_config("train", *words)
    return str(raised.value) if isinstance(raised.value, ConfigError) else explain(raised.value, "train", words) or ""


def test_resuming_needs_no_word() -> None:
    assert "the same command goes on with an interrupted run" in unknown_key("resume", known_keys("train", []))


def test_a_dataset_and_a_network_of_ones_own() -> None:
    assert "data=all lists their sizes and licences; for your images: data=folder data.root=" in unknown_option(
        "data", "busi", list(yaml_files.options("data"))
    )
    assert "+model._target_=" in unknown_option("model", "mine", list(yaml_files.options("model")))


def test_an_unknown_key_is_not_what_it_was_meant_to_be() -> None:
    for name in yaml_files.primary("train")[0]:
        assert f"did you mean '{name}'" not in unknown_key(name, [name, "other"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["+trainer.max_epochs=3"], "'trainer.max_epochs' is there already: write trainer.max_epochs=... without"),
        (
            ["model=custom", "model.base_channels=8"],
            "'model.base_channels': model=custom has in_channels, num_classes; an argument of your class: +model.base_",
        ),
        (["--config-dir", "conf", "-m", "model=unet,mine", "model.base_channels=8"], "model=mine has width"),
        (
            ["loss=dice", "loss.class_weights=balanced"],
            "unknown option 'loss.class_weights': loss=dice has include_background; 'class_weights' is taken by "
            "loss=ce_dice, loss=ce_dice_released, loss=focal",
        ),
        (["loss=lovasz", "loss.class_weights=balanced"], "loss=lovasz has no options; 'class_weights' is taken by"),
        (["~model.base_channels=5"], "'model.base_channels' is 32, not 5: write ~model.base_channels alone"),
        (["+model._target_=my.Net", "~model.num_classes"], "has no value that could be removed: leave out ~model"),
        (["model@x=unet"], "unknown option 'model@x'; write model=..."),
        (["data=folder", "data.root=/a,b"], "-m runs each in turn; a list is data.root=[/a,b], one text is"),
        (["-m", "model=glob(zzz*)"], "'model=glob(zzz*)' matches nothing; no job was started"),
        (["-m", "seed=range(3,3)"], "'seed=range(3,3)' matches nothing"),
        (["-m", "model=unet,unext", "seed=range(0,10000000)"], "makes more than 10,000 jobs; no job was started"),
        (["-m", "model=range(2)"], "'model=0' must name an option"),
    ],
)
def test_advice_does_not_contradict_itself(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "mine.yaml").write_text("_target_: my.Net\nwidth: 3\n")
    done = command("train", *words, "logger=csv", cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert message in line
    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_the_order_of_words_does_not_matter(tmp_path: Path) -> None:
    words = ["+model._target_=mynet.MyNet", "--cfg", "job", "seed=3"]
    outputs = {command("train", *order, cwd=tmp_path).stdout for order in (words, words[1:] + words[:1])}
    assert len(outputs) == 1
    assert "seed: 3" in outputs.pop()
