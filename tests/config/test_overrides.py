"""The words of a command line before anything is composed: their order, their quoting, what is refused."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medseg.config.checks.data import DATA
from medseg.config.checks.kinds import check_arguments
from medseg.config.override_checks import check_overrides, unreadable
from medseg.config.overrides import add_keys, normalize_overrides, split
from medseg.errors import ConfigError


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cfg", "job", "model=unet", "seed=1"],
        ["model=unet", "--cfg", "job", "seed=1"],
        ["model=unet", "seed=1", "--cfg=job"],
        ["model=unet", "-c", "job", "seed=1"],
    ],
)
def test_words_come_in_any_order(arguments: list[str]) -> None:
    words, flags = split(arguments)
    assert words == ["model=unet", "seed=1"]
    assert flags[1:] == ["job"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "3"], "unknown option '--epochs': write key=value, without dashes"),
        (["-x"], "unknown option '-x'"),
        (["--cfg"], "--cfg needs one of job, hydra, all after it"),
        (["--cfg", "jobs"], "--cfg needs one of job, hydra, all"),
        (["seed=1", "--config-dir"], "--config-dir needs a value after it"),
    ],
)
def test_a_wrong_flag(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(arguments)


def test_your_own_class_stands_alone() -> None:
    own = "+model._target_=my.Net"
    assert normalize_overrides([own]) == [own, "model=custom"]
    assert normalize_overrides([own, "model=unet"]) == [own, "model=unet"]
    assert normalize_overrides(["model.base_channels=3"]) == ["model.base_channels=3"]


def test_a_home_folder_is_filled_in() -> None:
    home = str(Path.home())
    assert normalize_overrides(["data.source=~/data", "data_dir=~", "~model.x"]) == [
        f"data.source={home}/data",
        f"data_dir={home}",
        "~model.x",
    ]
    with pytest.raises(ConfigError, match=r"~nobody_of_this_name/x: there is no such home folder"):
        normalize_overrides(["data.source=~nobody_of_this_name/x"])


@pytest.mark.parametrize(
    "pattern", [r"(?P<patient>\d+)_.*", r"p(\d{1,3}), .*", "(.*)", r"it's (\d)\\", r"([a-z]+)[=:]\d+"]
)
def test_a_pattern_needs_no_quotes_but_the_shells(pattern: str) -> None:
    for word in (f"data.groups={pattern}", f"+data.groups={pattern}"):
        (normal,) = normalize_overrides([word])
        assert OverridesParser.create().parse_override(normal).value() == pattern
        assert normalize_overrides([normal]) == [normal]
    assert normalize_overrides(["data.groups=patient", "data.groups='(a)'"]) == [
        "data.groups=patient",
        "data.groups='(a)'",
    ]


def test_folders_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b").mkdir()
    assert add_keys(["a=b", "format=csv"], ("runs*",), "report") == ["format=csv", "runs=['a=b']"]
    assert add_keys(["runs/c=d", "it's"], ("runs*",), "report") == ["runs=['runs/c=d','it\\'s']"]
    assert add_keys(["~runs", "hydra/launcher=ray"], ("runs*",), "report") == ["~runs", "hydra/launcher=ray"]


@pytest.mark.parametrize(
    "value", ["/a=b", "/my images/a=b", "/x[1]", "/x(1)", "/x{1}", "/Größe", "/a;b", "/a#b", "/a&b", "/a!b", "/it's"]
)
def test_a_path_that_needs_quotes_is_shown_with_them(value: str) -> None:
    message = unreadable(f"data.root={value}")
    shown = shlex.split(message.partition("as well: ")[2])
    assert shown == [f'data.root="{value}"']
    assert OverridesParser.create().parse_override(shown[0]).value() == value


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("train", "foo", "cannot read 'foo': write key=value"),
        ("train", "=3", "cannot read '=3'"),
        ("train", "data=[", "cannot read 'data=[': write key=value; brackets and quotes must be closed"),
        ("train", "data=0", "'data=0' must name an option; choose one with data=...: busi, chase"),
        ("train", "data=", "'data=' must name an option"),
        ("train", "data={a:1}", "must name an option"),
        ("train", "scheduler=null", "(scheduler=none for none)"),
        ("train", "logger=[]", "(logger=csv for none)"),
        ("train", "callbacks=[ema,ema]", "must name options, each once"),
        ("train", "loss=[dice,focal]", "there is one 'loss' at a time; -m loss=dice,focal runs each in turn"),
        ("train", "model=unet,null", "'model=unet,null' must name an option"),
        ("train", "+model=unet", "'model' is chosen already: write model=unet without the +"),
        ("train", "++model=unet", "'model' is chosen already: write model=unet without the +"),
        ("train", "~model", "'~model' removes what medseg train needs; choose one with model=..."),
        ("train", "~runs_dir", "'~runs_dir' removes what medseg train needs"),
        ("train", "hydra=3", "'hydra=3' must name an option"),
        ("train", "hydra/launcher=null", "choose one with hydra/launcher=...: ray, submitit_slurm"),
        ("evaluate", "trainer=cpu", "'trainer' is no group of medseg evaluate: give its keys, such as trainer."),
        ("evaluate", "model=unet", "medseg evaluate has no group 'model'; it has data, metrics ('model' is of "),
        ("report", "runs.x=1", "'runs' takes no keys; give runs=..."),
        ("train", "+seed.x=1", "'seed' takes no keys; give seed=..."),
        ("status", "data=kvasir", "medseg status has no group 'data' ('data' is of "),
    ],
)
def test_what_is_refused_before_anything_is_composed(command: str, word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_overrides([word], command)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "model=unet,convunext",
        "model=glob(u*)",
        "callbacks=[ema,early_stopping]",
        "+experiments=convunext/comparison",
        "experiments@_global_=convunext/comparison",
        "hydra/launcher=ray",
        "seed=range(3)",
        "~model.norm",
        "data.image_size=[32,48]",
    ],
)
def test_what_is_right_is_not_refused(word: str) -> None:
    check_overrides([word], "train")


def test_words_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my images", "kvasir", "seed=0", "~r", "a:b.c=d"):
        Path(name).mkdir()
    train, predict = ("model", "data"), ("checkpoint*", "input", "output")
    assert add_keys(["unet", "seed=1", "isic"], train, "train") == ["seed=1", "model=unet", "data=isic"]
    assert add_keys(["data=isic", "unet"], train, "train") == ["data=isic", "model=unet"]
    assert add_keys(["unet,amsunet"], train, "train") == ["model=unet,amsunet"]
    # An option goes before a folder of its name, a key before a file of its word.
    assert add_keys(["unet", "kvasir"], train, "train") == ["model=unet", "data=kvasir"]
    assert add_keys(["unet", "./kvasir"], train, "train") == ["model=unet", "data=folder", "data.root='kvasir'"]
    assert add_keys(["data=./kvasir"], train, "train") == ["data=folder", "data.root='kvasir'"]
    assert add_keys(["unet", "my images"], train, "train") == ["model=unet", "data=folder", "data.root='my images'"]
    assert add_keys(["seed=0"], train, "train") == ["seed=0"]
    assert add_keys(["./seed=0"], ("runs*",), "report") == ["runs=['seed=0']"]
    assert add_keys(["./~r"], ("runs*",), "report") == [f"runs=['{tmp_path / '~r'}']"]
    assert add_keys(["A", "i", "o"], predict, "predict") == ["checkpoint='A'", "input='i'", "output='o'"]
    assert add_keys(["A", "B", "i", "o"], predict, "predict")[0] == "checkpoint=['A','B']"
    assert add_keys(["[A,B]", "i"], predict, "predict") == ["checkpoint=[A,B]", "input='i'"]
    assert add_keys(["unet,unext"], ("models*",), "benchmark") == ["models=['unet','unext']"]


@pytest.mark.parametrize(
    ("words", "keys", "name", "message"),
    [
        (["unet", "isic", "adamw"], ("model", "data"), "train", "'adamw' has no key: write optimizer=adamw"),
        (["unet", "unext"], ("model",), "describe", "'unext': there is one model at a time: medseg describe MODEL"),
        (["unet", "isic", "x"], ("model", "data"), "train", "write key=value; without a key: medseg train MODEL DATA"),
        (["no/folder"], ("data",), "inspect", "no/folder: no such folder"),
        (
            ["a/b,c/d"],
            ("data",),
            "inspect",
            "a/b,c/d: no such folder or zip archive; of several: -m data=folder data.root=A,B",
        ),
    ],
)
def test_a_word_that_has_no_key_is_explained(words: list[str], keys: tuple[str, ...], name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        add_keys(words, keys, name)


@pytest.mark.parametrize(
    ("line", "word", "right"),
    [
        ("model=unet, convunext data=synthetic", "model=unet,", "model=unet,convunext"),
        ("seed=1 model=unet ,convunext", ",convunext", "model=unet,convunext"),
        ("model=unet , convunext data=isic", ",", "model=unet,convunext"),
        ("model=unet,unetpp,", "model=unet,unetpp,", "model=unet,unetpp"),
        ("model=unet,unetpp, data=kvasir,isic seed=1", "model=unet,unetpp,", "model=unet,unetpp"),
        ("unet, unext, isic", "unet,", "unet,unext,isic"),
        ("runs=[a, b]", "runs=[a,", "runs=[a,b]"),
        ("model=, data=isic", "model=,", "model="),
        (",", ",", "model=unet,convunext"),
        (f"models={'a' * 300}, b", f"models={'a' * 300},", f"models={'a' * 300},b"),
    ],
)
def test_a_space_beside_a_comma_and_a_comma_at_the_end_are_explained(line: str, word: str, right: str) -> None:
    message = f"'{word}': no space beside a comma, and none at the end: {right}"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        add_keys(line.split(), ("model", "data"), "train")


def test_a_comma_that_belongs_to_a_value_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a,").mkdir()
    words = [str(tmp_path / "a,"), "experiment=b\\,", "data.labels={a: 1, b: 2}", "model=unet,unetpp"]
    assert add_keys(words, ("data",), "train")[:2] == ["experiment=b\\,", "data.labels={a: 1, b: 2}"]


@pytest.mark.parametrize(
    ("word", "reason", "right"),
    [
        ("data.labels={lesion: #ff0000}", "a colour needs quotes", {"lesion": "#ff0000"}),
        ("data.labels={a: [#ff0000, 1], b: '#00ff00'}", "a colour", {"a": ["#ff0000", 1], "b": "#00ff00"}),
        ('data.labels={"optic disc": 128}', "a key in braces has no quotes", {"optic disc": 128}),
        ("data.labels={'a': #ff0000}", "a key in braces", {"a": "#ff0000"}),
    ],
)
def test_a_mapping_that_cannot_be_read_is_refused_with_its_right_form(word: str, reason: str, right: object) -> None:
    message = unreadable(word)
    assert f"cannot read '{word}': {reason}" in message
    better = shlex.split(message[message.rindex(": 'data") + 2 :])[0]
    assert OverridesParser.create().parse_override(better).value() == right


@pytest.mark.parametrize("colour", ["red", "#f00"])
def test_colours_have_six_digits(colour: str) -> None:
    with pytest.raises(ConfigError, match=r'colours of six digits, such as \{lesion: "#ff0000"\}'):
        check_arguments(DATA, "data.", labels={"lesion": colour})
