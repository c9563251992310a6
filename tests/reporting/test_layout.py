"""Rows and columns follow from the settings of the runs, not from what was typed or from today's options."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from medseg.errors import ConfigError, UserError
from medseg.reporting.labels import as_text
from medseg.reporting.layout import Layout, lay_out
from medseg.reporting.names import Names, read_names
from medseg.reporting.report import compare
from medseg.runs.reading import read_runs
from tests.reporting.fabricate import fabricate
from tests.reporting.fabricate_evaluations import fabricate_evaluations

RECORDED = Path(__file__).parents[1] / "recorded" / "first_sweep"


def laid_out(folder: Path, names: Names | None = None) -> Layout:
    return lay_out(read_runs([folder]).runs, names)


def rows(layout: Layout) -> list[str]:
    return [row.label for row in layout.rows]


def columns(layout: Layout) -> list[str]:
    return [column.label for column in layout.columns]


def counts(layout: Layout) -> dict[str, int]:
    return {row.label: sum(len(runs) for (r, _), runs in layout.cells.items() if r == row) for row in layout.rows}


def change(folder: Path, edit: Callable[[dict[str, Any]], object], pattern: str = "*") -> None:
    """Edit the configuration of runs."""
    files = list(folder.glob(f"{pattern}/config.yaml"))
    assert files
    for file in files:
        config = yaml.safe_load(file.read_text())
        edit(config)
        file.write_text(yaml.safe_dump(config, sort_keys=False))


def as_older(folder: Path, pattern: str = "*") -> None:
    """Make runs those of a version that did not record defaults."""
    for file in folder.glob(f"{pattern}/run.json"):
        record = json.loads(file.read_text())
        file.write_text(json.dumps({k: v for k, v in record.items() if k not in ("defaults", "default_choices", "id")}))


@pytest.mark.parametrize(
    ("networks", "expected"),
    [
        (("unet", "convunext optimizer=sgd"), ["unet, optimizer=adamw", "convunext, optimizer=sgd"]),
        (("convunext", "convunext model.kernel_size=9"), ["kernel_size=7", "kernel_size=9"]),
        (("unet optimizer.lr=0.1", "convunext optimizer.lr=0.1"), ["unet", "convunext"]),
        (("unet", "unet data.batch_size=2"), ["batch_size=8", "batch_size=2"]),
        (("unet runs_dir=a logger=wandb", "unet loss.gamma=3"), ["loss.gamma=null", "loss.gamma=3"]),
        (("unet", "convunext model.kernel_size=9"), ["unet", "convunext, kernel_size=9"]),
        (("unet", "unet optimizer=sgd", "unet optimizer=sgd optimizer.lr=0.3"),
         ["optimizer=adamw", "optimizer=sgd, optimizer.lr=0.01", "optimizer=sgd, optimizer.lr=0.3"]),
    ],
)  # fmt: skip
def test_a_label_says_what_differs_and_no_more(tmp_path: Path, networks: tuple[str, ...], expected: list[str]) -> None:
    layout = laid_out(fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), images=4))
    assert rows(layout) == expected


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "typed", ["model.base_channels=32", "optimizer=adamw", "optimizer.lr=0.001", "data.image_size=96", "loss=ce_dice"]
)
def test_a_default_that_was_typed_changes_nothing(tmp_path: Path, typed: str, older: bool) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.0}, seeds=(0, 1), images=4, data=("kvasir", "dsb"))
    fabricate(folder, {f"unet {typed}": 0.0}, seeds=(2,), images=4)
    if older:
        as_older(folder)
    layout = laid_out(folder)
    assert rows(layout) == ["unet", "convunext"]
    assert columns(layout) == ["kvasir", "dsb"]
    assert counts(layout) == {"unet": 5, "convunext": 4}


@pytest.mark.parametrize("older", [False, True])
def test_an_absent_key_is_its_default(tmp_path: Path, older: bool) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.0}, seeds=(0, 1), images=4)
    change(folder, lambda config: config["optimizer"].update(fused=True), "*-seed1")
    change(folder, lambda config: config["model"].update(retired=0), "unet*-seed0")
    change(folder, lambda config: config["data"].update(labels=None), "*-seed0")
    if older:
        as_older(folder, "*-seed0")
    layout = laid_out(folder)
    assert (rows(layout), columns(layout)) == (["unet", "convunext"], ["kvasir"])


def test_an_absent_key_is_no_value_other_than_its_default(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=4)
    fabricate(folder, {"unet optimizer.amsgrad=true": 0.0}, images=4)
    change(folder, lambda config: config["optimizer"].pop("amsgrad", None), "*-seed0")
    newer = next(file for file in folder.glob("*/run.json") if "amsgrad" in file.read_text())
    change(folder, lambda config: config["optimizer"].update(amsgrad=True), newer.parent.name)
    assert rows(laid_out(folder)) == ["optimizer.amsgrad=null", "optimizer.amsgrad=true"]


def test_a_default_that_changed_between_versions_is_printed(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1), images=4)
    change(folder, lambda config: config["optimizer"].update(lr=0.003), "*-seed1")
    assert rows(laid_out(folder)) == ["optimizer.lr=0.001", "optimizer.lr=0.003"]


def test_the_default_split_by_its_name_is_the_same_column(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0,), images=4, extra=["data.split=null"])
    fabricate(folder, {"unet data.split=official": 0.0}, seeds=(1,), images=4)
    assert columns(laid_out(folder)) == ["kvasir"]
    other = fabricate(folder, {"unet data.split=random": 0.0}, seeds=(2,), images=4)
    images = next(file for file in other.glob("*/images.csv") if "random" in (file.parent / "config.yaml").read_text())
    images.write_text(images.read_text().replace("kvasir_0000,test", "kvasir_0000,train"))
    assert columns(laid_out(folder)) == ["split=null", "split=random"]


def test_the_same_images_in_another_folder_are_the_same_column(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet data.root=/a/images": 0.0}, data=("folder",), seeds=(0,), images=4)
    fabricate(folder, {"unet data.root=/b/images": 0.0}, data=("folder",), seeds=(1,), images=4)
    for file in folder.glob("*/test/summary.json"):
        file.write_text(json.dumps({**json.loads(file.read_text()), "source_identity": "abc"}))
    assert len(columns(laid_out(folder))) == 1
    file.write_text(json.dumps({**json.loads(file.read_text()), "source_identity": "other"}))
    assert len(columns(laid_out(folder))) == 2


def test_weights_that_an_older_version_wrote_by_a_relative_path_are_in_the_row_of_their_file(tmp_path: Path) -> None:
    def with_weights(*paths: str) -> int:
        for seed, path in enumerate(paths):
            change(folder, partial(dict.update, initial_weights=path), f"*seed{seed}")
        return len(rows(laid_out(folder)))

    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=range(3), images=4)
    assert with_weights("w.pth", "/a/w.pth", "../a/w.pth") == 1
    assert with_weights("w.pth", "w.pth", "/a/own_w.pth") == 2
    assert with_weights("w.pth", "b/w.pth", "/a/w.pth") == 2
    assert with_weights("w.pth", "/a/w.pth", "/b/w.pth") == 3, "which of them is not known"


def test_a_failed_run_of_the_same_images_is_in_their_column(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet data.root=mine": 0.0}, data=("folder",), seeds=(0,), images=4)
    (test,) = folder.glob("*/test/summary.json")
    test.write_text(json.dumps({**json.loads(test.read_text()), "source_identity": "abc"}))
    model = "unet data.root=/a/mine"
    failed = {(model, "folder", 1): "failed"}
    fabricate(folder, {model: 0.0}, data=("folder",), seeds=(1,), images=4, states=failed)
    assert len(columns(laid_out(folder))) == 2
    (other,) = folder.glob("*seed1")
    (other / "data.json").write_text(json.dumps({"title": "own images", "source_identity": "abc"}))
    assert len(columns(laid_out(folder))) == 1


def test_settings_that_follow_from_the_dataset_are_part_of_the_column(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.0}
    folder = fabricate(tmp_path / "s", networks, data=("kvasir",), images=4, extra=["trainer.max_epochs=20"])
    fabricate(folder, networks, data=("dsb",), images=4, extra=["trainer.max_epochs=50"])
    layout = laid_out(folder)
    assert rows(layout) == ["unet", "convunext"]
    assert columns(layout) == ["kvasir, trainer.max_epochs=20", "dsb, trainer.max_epochs=50"]


def test_runs_on_other_devices_share_a_row(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0,), images=4)
    fabricate(folder, {"unet trainer=gpu trainer.accelerator=gpu": 0.0}, seeds=(1,), images=4)
    assert counts(laid_out(folder)) == {"unet": 2}


def test_jobs_that_have_not_begun_are_in_the_row_of_their_setting(tmp_path: Path) -> None:
    states = {("unet optimizer=sgd", "kvasir", 1): "waiting", ("convunext", "kvasir", 0): "waiting"}
    states |= {("convunext", "kvasir", 1): "waiting"}
    networks = {"unet": 0.0, "unet optimizer=sgd": 0.0, "convunext": 0.0}
    layout = laid_out(fabricate(tmp_path / "s", networks, seeds=(0, 1), images=4, states=states))
    assert counts(layout) == {
        "unet, optimizer=adamw": 2, "unet, optimizer=sgd": 2, "convunext, optimizer=adamw": 2,
    }  # fmt: skip


def test_the_same_seed_of_two_experiments_makes_two_rows(tmp_path: Path) -> None:
    fabricate(tmp_path / "a", {"unet": 0.0}, images=4)
    fabricate(tmp_path / "b", {"unet": 0.0}, images=4, random=1)
    layout = lay_out(read_runs([tmp_path / "a", tmp_path / "b"]).runs)
    assert rows(layout) == ["experiment=a", "experiment=b"]


def test_a_size_of_one_number_and_of_two_are_one_column(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet data.image_size=96": 0.0}, seeds=(0,), images=4)
    fabricate(folder, {"unet data.image_size=[96,96]": 0.0}, seeds=(1,), images=4)
    fabricate(folder, {"unet data.image_size=[96,64]": 0.0}, seeds=(2,), images=4)
    layout = laid_out(folder)
    assert [column.label for column in layout.columns] == ["image_size=96", "image_size=[96, 64]"]


def test_a_run_trained_again_beside_the_earlier_one_is_a_row_by_itself(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.0}, data=("kvasir", "dsb"), seeds=(0, 1), images=4)
    again = folder / "old"
    shutil.copytree(next(iter(folder.glob("unet-kvasir-*-seed0"))), again)
    table = again / "test" / "per_image.csv"
    table.write_text(table.read_text().replace("kvasir_0000,polyp,", "kvasir_0000,polyp,1"))
    assert counts(laid_out(folder)) == {"unet": 4, f"unet, folder={again}": 1, "convunext": 4}


def test_the_same_seeds_on_two_devices_make_two_rows(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, data=("kvasir", "dsb"), seeds=(0, 1), images=4)
    fabricate(folder, {"unet trainer.accelerator=cpu": 0.0}, data=("kvasir", "dsb"), seeds=(0, 1), images=4)
    assert counts(laid_out(folder)) == {"trainer.accelerator=auto": 4, "trainer.accelerator=cpu": 4}


def test_other_seeds_of_another_experiment_join_the_row(tmp_path: Path) -> None:
    fabricate(tmp_path / "a", {"unet": 0.0}, seeds=(0, 1), images=4)
    fabricate(tmp_path / "b", {"unet": 0.0}, seeds=(2,), images=4)
    assert counts(lay_out(read_runs([tmp_path / "a", tmp_path / "b"]).runs)) == {"unet": 3}


def test_runs_of_the_version_before_are_sorted_by_their_settings() -> None:
    layout = laid_out(RECORDED)
    assert counts(layout) == {"unet, optimizer=adamw, optimizer.lr=0.003": 3, "convunext, optimizer=adamw, optimizer.lr=0.003": 2, "unet, optimizer=sgd, optimizer.lr=0.01": 1}  # fmt: skip  # noqa: E501
    assert columns(layout) == ["synthetic"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), (True, "true"), (None, "null"), (1e-4, "0.0001"), ([1, 3.0], "[1, 3]"), ("a", "a")],
)
def test_equal_values_read_the_same(value: object, text: str) -> None:
    assert as_text(value) == text


# Names.


def test_names_give_labels_and_order(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.0, "convunext model.kernel_size=9": 0.0}
    folder = fabricate(tmp_path / "s", networks, data=("kvasir", "dsb"), images=4)
    (folder / "names.yaml").write_text(
        "networks:\n  convunext, kernel_size=9: Ours (9 x 9)\n  convunext: ConvUNeXt\ndatasets: {dsb: DSB 2018}\n"
    )
    layout = laid_out(folder, read_names(None, [folder]))
    assert rows(layout) == ["Ours (9 x 9)", "ConvUNeXt, kernel_size=7", "unet"]
    assert columns(layout) == ["DSB 2018", "kvasir"]
    plain = laid_out(folder, read_names({"unet": "U-Net", "kvasir": "Kvasir-SEG"}, []))
    assert rows(plain)[0] == "U-Net"
    assert columns(plain) == ["Kvasir-SEG", "dsb"]


def test_the_name_of_a_network_in_several_settings_is_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    networks = {f"unet model.base_channels={c} data.image_size={s}": 0.0 for c in (16, 32) for s in (48, 64)}
    folder = fabricate(tmp_path / "s", networks, seeds=(0,), images=4)
    fabricate_evaluations(folder, "cvc", images=4)
    with caplog.at_level("WARNING", logger="medseg"):
        report = compare(read_runs([folder]), names={"unet": "U-Net", "kvasir": "Kvasir-SEG"})
    assert not any(message.startswith("names") for message in caplog.messages)
    assert [row.label for row in report.comparison.rows] == ["base_channels=16", "base_channels=32"]
    assert report.title.startswith("Comparison of 2 settings of U-Net on ")
    assert report.sentences[0].startswith("On Kvasir-SEG, image_size=48, ")
    assert report.sentences[1].startswith("On the external test Kvasir-SEG, image_size=48 -> cvc")
    assert [block.label for one in report.ablations for block in one.blocks] == ["U-Net"]


def test_ablations_have_the_printed_names(tmp_path: Path) -> None:
    networks = ("unet", "unet model.base_channels=16", "convunext", "convunext model.base_channels=16")
    folder = fabricate(tmp_path / "s", dict.fromkeys(networks, 0.0), seeds=(0, 1), images=4)
    (ablation,) = compare(read_runs([folder]), names={"unet": "U-Net"}).ablations
    assert [block.label for block in ablation.blocks] == ["U-Net", "convunext"]


def test_a_name_that_nothing_has_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, images=4)
    with caplog.at_level("WARNING", logger="medseg"):
        laid_out(folder, read_names({"unett": "U-Net"}, []))
    assert any("unett" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"networks": ["unet"]}, "each a mapping of names"),
        ({"networks": {"unet": {"a": 1}}}, "must be a text"),
        ({"networks": {"unet": ""}}, "must be a text"),
        ([1], "must be a YAML file, or a mapping"),
        ({"networks": {"unet": "A", "convunext": "A"}}, "printed as 'A'"),
    ],
)
def test_names_that_cannot_be_are_one_line(tmp_path: Path, given: object, message: str) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0, "convunext": 0.0}, images=4)
    with pytest.raises(ConfigError, match=message):
        laid_out(folder, read_names(given, []))


@pytest.mark.parametrize("content", ["networks: {", "- 1", "networks: 3"])
def test_a_damaged_file_of_names_is_one_line(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "names.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=r"names\.yaml: "):
        read_names(str(file), [])
    with pytest.raises(UserError, match="missing"):
        read_names(str(tmp_path / "other.yaml"), [])
    with caplog.at_level("WARNING", logger="medseg"):
        assert read_names(None, [tmp_path]) == Names()
    (line,) = caplog.messages
    assert line.startswith(f"{file}: ")


def test_names_beside_the_runs_are_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "names.yaml")
    assert read_names(None, [tmp_path]) == Names()


def test_a_part_of_a_list_that_is_taken_away_is_no_default(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1), images=4)
    steps = [{"_target_": "a.Flip"}, {"_target_": "a.Turn"}]
    change(folder, lambda config: config.update(augmentation={"transforms": steps}), "*-seed0")
    change(folder, lambda config: config.update(augmentation={"transforms": steps[:1]}), "*-seed1")
    assert rows(laid_out(folder)) == ["augmentation.transforms=2 entries", "augmentation.transforms=1 entries"]


# Jobs of settings of which none has begun.


def waiting(networks: dict[str, float], data: tuple[str, ...], *begun: tuple[str, str]) -> dict[Any, str]:
    pairs = [(network, name) for network in networks for name in data]
    return {(*pair, seed): "waiting" for pair in pairs if pair not in begun for seed in (0, 1)}


@pytest.mark.parametrize("extra", [[], ["data.image_size=32", "optimizer.lr=0.003", "trainer.max_epochs=2"]])
def test_jobs_of_a_sweep_that_has_just_begun_are_in_its_rows_and_columns(tmp_path: Path, extra: list[str]) -> None:
    networks = {"unet": 0.0, "convunext": 0.0, "amsunet": 0.0}
    states = waiting(networks, ("kvasir", "dsb"), ("unet", "kvasir"))
    folder = fabricate(
        tmp_path / "s", networks, data=("kvasir", "dsb"), seeds=(0, 1), images=4, states=states, extra=extra
    )
    layout = laid_out(folder)
    assert (rows(layout), columns(layout)) == (["unet", "convunext", "amsunet"], ["kvasir", "dsb"])
    assert counts(layout) == {"unet": 4, "convunext": 4, "amsunet": 4}
    assert len(layout.cells) == 6


def test_settings_of_an_experiment_are_in_no_label_while_jobs_have_not_begun(tmp_path: Path) -> None:
    networks = {"unet": 0.0, "convunext": 0.0, "amsunet model.base_channels=8": 0.0}
    states = waiting(networks, ("kvasir",), ("unet", "kvasir"))
    folder = fabricate(tmp_path / "s", networks, seeds=(0, 1), images=4, states=states)
    for file in folder.glob("unet*/config.yaml"):
        config = yaml.safe_load(file.read_text())
        config["trainer"]["max_epochs"] = 20  # as a file of `experiments` sets it, on no command line
        file.write_text(yaml.safe_dump(config))
        record = file.with_name("run.json")
        record.write_text(json.dumps({**json.loads(record.read_text()), "defaults": {"trainer.max_epochs": 200}}))
    assert rows(laid_out(folder)) == ["unet", "convunext", "amsunet, base_channels=8"]


@pytest.mark.parametrize("word", ["model.kernel_size=9", "optimizer.lr=0.3", "optimizer=sgd", "data.batch_size=2"])
def test_a_job_that_was_given_other_settings_is_in_no_begun_row(tmp_path: Path, word: str) -> None:
    networks = {"unet": 0.0, f"unet {word}": 0.0}
    for begun in networks:
        states = waiting(networks, ("kvasir", "dsb"), (begun, "kvasir"))
        folder = tmp_path / ("s" if begun == "unet" else "t")
        layout = laid_out(fabricate(folder, networks, data=("kvasir", "dsb"), seeds=(0, 1), images=4, states=states))
        assert list(counts(layout).values()) == [4, 4]
        assert columns(layout) == ["kvasir", "dsb"]


def test_a_job_of_another_size_is_in_no_begun_column(tmp_path: Path) -> None:
    networks = {"unet data.image_size=32": 0.0, "unet data.image_size=64": 0.0}
    states = waiting(networks, ("kvasir",), ("unet data.image_size=32", "kvasir"))
    layout = laid_out(fabricate(tmp_path / "s", networks, seeds=(0, 1), images=4, states=states))
    assert columns(layout) == ["image_size=32", "image_size=64"]
