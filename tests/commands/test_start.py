"""The command line: help, misspelt words, bad values. Each error is one line that names what was meant."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from medseg.__main__ import command_names
from medseg.config import yaml_files
from tests.helpers import command

COMMANDS = command_names()


SLOW = {"torch", "lightning", "cv2", "albumentations", "scipy", "matplotlib"}
"""What takes a while to import."""


@pytest.mark.parametrize("module", COMMANDS)
def test_help_is_quick_and_needs_no_torch(module: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['x', '--help']\n"
        f"from medseg.commands.{module} import main; main()\n"
        f"assert not {SLOW} & set(sys.modules), 'slow imports'"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time, since other tests share the cores.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    assert f"usage: medseg {module.replace('_', '-')} " in done.stdout
    assert "Examples:" in done.stdout
    for group in yaml_files.primary(module)[0]:
        for option, description in yaml_files.options(group).items():
            assert f" {option} " in done.stdout
            assert description in done.stdout


@pytest.mark.parametrize(
    ("module", "word", "message"),
    [
        *((module, "modle=unet", "unknown option 'modle'") for module in COMMANDS),
        ("train", "model=convunex", "unknown model 'convunex'"),
        ("train", "data.image_size=3", "data.image_size is 3; it must be"),
        ("train", "data.in_channels=0", "data.in_channels is 0; it must be"),
        ("train", "data.border_weights=no", "data.border_weights is 'no'"),
    ],
)
def test_a_word_that_cannot_be_needs_no_torch(module: str, word: str, message: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.argv = ['x', {word!r}, {f'runs_dir={tmp_path}'!r}]\n"
        f"from medseg.commands.{module} import main\n"
        "try: main()\n"
        "except SystemExit as error: assert error.code == 2\n"
        f"assert not {SLOW} & set(sys.modules), 'slow imports'"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert message in done.stderr
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_help_explains_every_group_and_option() -> None:
    from medseg.commands.command import help_text
    from medseg.commands.train import COMMAND

    text = help_text(COMMAND)
    for group in yaml_files.groups():
        assert f"\n  {group}\n" in text
        for option, description in yaml_files.options(group).items():
            assert description, f"conf/{group}/{option}.yaml must begin with a comment line for --help"
            assert description in text


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("model=convunex", "unknown model 'convunex'; did you mean 'convunext'"),
        ("data=kvasr", "unknown data 'kvasr'; did you mean 'kvasir'?"),
        ("modle=unet", "unknown option 'modle'; did you mean 'model'?"),
        ("+modle=unet", "unknown option 'modle'; did you mean 'model'?"),
        ("optimizer.lrr=1", "unknown option 'optimizer.lrr'; did you mean 'optimizer.lr'"),
        ("weight_decay=3", "did you mean 'optimizer.weight_decay'?"),
        ("foo", "unknown model 'foo'"),
        ("data=folder", "'data.root' has no value; give data.root=..."),
        ("seed=-1", "seed is -1; it must be a whole number"),
        ("trainer.max_epochs=0", "trainer.max_epochs is 0; it must be a whole number from 1"),
        ("trainer.max_epochs=many", "trainer.max_epochs is 'many'"),
        ("force=maybe", "force is 'maybe'; it must be true or false"),
        ("experiment=../elsewhere", "it must be the name of a folder below runs_dir"),
        ("+experiments=dem", "unknown experiments 'dem'; did you mean 'demo'?"),
        ("data.split=offical", "synthetic"),
    ],
)
def test_a_wrong_word_gets_one_line(argument: str, message: str, tmp_path: Path) -> None:
    done = command("train", argument, "logger=csv", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
