from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from medseg import models
from medseg.cards.citing import as_bibtex, read_citation
from medseg.cards.collect import Subject, collect
from medseg.cards.document import write_card
from medseg.cards.network import find_network
from medseg.cards.recipe import in_words
from medseg.config import yaml_files
from medseg.errors import UserError
from medseg.runs.folder import RunFolder, run_folder
from medseg.runs.reading import read_runs
from medseg.system.files import read_csv, write_csv, write_json
from tests.helpers import train
from tests.reporting.fabricate import fabricate


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("card"), "trainer.max_epochs=1", "data.dataset.count=30")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sweep") / "runs" / "sweep"
    classes = ("background", "liver", "tumour")
    return fabricate(
        place, {"unet": 0.0, "convunext": 0.05}, seeds=(0, 1, 2), seed_noise=0.02, classes=classes,
        states={("convunext", "kvasir", 2): "failed"},
    )  # fmt: skip


def subject_of(*folders: Path) -> Subject:
    return collect(read_runs(folders).runs)


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_card_has_subgroups(tmp_path: Path) -> None:
    runs = fabricate(tmp_path / "runs" / "types", {"unet": 0.0}, data=("dsb",), seeds=(0, 1), images=24)
    for one in read_runs(runs):
        rows = read_csv(one.folder / "images.csv")
        write_csv(
            one.folder / "images.csv", [{**row, "type": "dark" if k < 22 else "stained"} for k, row in enumerate(rows)]
        )
    scores = section(write_card(subject_of(runs), None), "Scores")
    subgroups = scores.partition("### Subgroups")[2].partition("### ")[0]
    assert "By size of the target:" in subgroups
    assert "By type:" in subgroups
    lines = [line.split("|")[1:3] for line in subgroups.splitlines() if line.startswith(("| dark", "| stained"))]
    assert [[cell.strip() for cell in line] for line in lines] == [["dark", "22"], ["stained", "2"]]
    assert subgroups.count("Gap in points:") == 1, "two images are too few for a gap"
    assert "Fewer than 4 images, so not part of the gap: stained." in subgroups


def test_the_card_of_a_run(run: RunFolder) -> None:
    # As the command does it, in a process of its own, which must not need torch.
    code = (
        "import sys; from medseg.commands.card import main; main(); assert 'torch' not in sys.modules, 'slow imports'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.path), "licence=cc-by-4.0"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file = run.path / "card.md"
    assert done.stdout == f"written: {file}\n"
    text = file.read_text(encoding="utf-8")
    summary = json.loads(run.summary.read_text())

    # As a hub reads it.
    card = ModelCard(text)
    assert card.data.license == "cc-by-4.0"
    assert card.data.pipeline_tag == "image-segmentation"
    results = {result.metric_type: result for result in card.data.eval_results}
    assert results["dice"].metric_value == round(summary["headline"]["dice"]["mean"], 4)
    assert results["pooled_dice"].metric_value == round(summary["conventions"]["pooled_dice"], 4)
    assert (results["dice"].dataset_name, results["dice"].dataset_split) == ("synthetic images", "test")

    assert f"parameters: {summary['parameters']:,}" in section(text, "Network")
    assert "arXiv:1505.04597" in section(text, "Citation")
    assert "base_channels 4" in section(text, "Network")
    assert "U-Net in the form that ConvUNeXt and AMSUnet compare with." in section(text, "Network")
    assert summary["network"]["publications"] == ["U-Net", "U-Net base 32 bilinear"]
    assert "64 x 64 pixels" in section(text, "Network")
    assert "licence: CC0-1.0" in section(text, "Data")
    assert "images: 24 train, 3 val, 3 test" in section(text, "Data")
    assert "AdamW (lr 0.001, weight_decay 0.01)" in section(text, "Training")
    assert "FlipsAndTurns; Affine (scale [0.8, 1.25]" in section(text, "Training")
    assert f"{summary['headline']['dice']['mean']:.3f} [" in section(text, "Scores")
    limits = section(text, "Limits")
    for said in ("Not a medical device", "drawn images alone", "No external validation", "3 test images", "One train"):
        assert said in limits
    environment = json.loads(run.environment.read_text())
    assert f"torch {environment['packages']['torch']}" in section(text, "Environment")
    assert str(environment["git_commit"]) in section(text, "Environment")
    assert "The weights: cc-by-4.0. The data: CC0-1.0." in section(text, "Licence")
    assert str(run.path.parent) not in text, "nobody else has this folder"


@pytest.mark.parametrize("place", ["absolute", "here"])
def test_what_it_says_of_its_use_is_so(run: RunFolder, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.path)
    given = run.path if place == "absolute" else Path()
    text = section(write_card(subject_of(given), None), "How to use it")
    for name in ("predict", "evaluate"):
        words = re.search(rf"medseg {name} (.*)", text)[1].split()  # type: ignore[index]
        keys = {word.partition("=")[0].partition(".")[0] for word in words if "=" in word}
        assert keys <= yaml_files.top_level_keys(name)
        assert run.path.name in words


def test_the_data_are_known_from_the_run_folder_alone(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = section(write_card(subject_of(run.path), None), "Data")
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    summary = json.loads((copy / "test" / "summary.json").read_text())
    (copy / "test" / "summary.json").write_text(json.dumps({**summary, "prepared": str(tmp_path / "gone")}))
    settings = yaml.safe_load((copy / "config.yaml").read_text())
    settings["data"]["dataset"]["_target_"] = "somebody.elses.Dataset"  # nothing of it is imported
    (copy / "config.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr("hydra.utils.instantiate", lambda *_, **__: pytest.fail("the dataset is made anew"))
    assert section(write_card(subject_of(copy), None), "Data") == whole
    assert "images: 24 train, 3 val, 3 test" in whole


def test_of_a_run_of_an_older_version_less_is_known(run: RunFolder, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    (copy / "data.json").unlink()
    data = subject_of(copy).data
    assert (data.title, data.licence, data.counts, data.fingerprint) == ("synthetic", "", {}, {})
    text = write_card(subject_of(copy), None)
    assert "not described in the folder of this run" in section(text, "Data")
    assert "nobody has chosen a licence" in section(text, "Licence")
    assert "license" not in yaml.safe_load(text.split("---\n")[1])


def test_other_evaluations_are_named_by_their_data_with_intervals(run: RunFolder, tmp_path: Path) -> None:
    copy = shutil.copytree(run.path, tmp_path / run.path.name)
    summary = json.loads((copy / "test" / "summary.json").read_text())
    other = {"data_identity": "other", "data": "folder", "data_name": "hospital", "known_images": 0}
    chosen = {"data.dataset.style": "lesion", "data.dataset.count": 30}
    lesions = {"data_identity": "lesions", "known_images": 0, "options": chosen, "evaluation_size": [80, 80]}
    for label, changed in (
        ("synthetic-val", {"split": "val"}),
        ("synthetic-tta", {"tta": True}),
        ("folder-96x96-1a2b3c", other),
        ("lesions", lesions),
        ("copy", {"source_identity": "elsewhere", "data": "folder", "data_name": "copy", "split_name": "all"}),
    ):
        folder = shutil.copytree(copy / "test", copy / "evaluations" / label)
        shutil.copyfile(copy / "images.csv", folder / "images.csv")
        (folder / "summary.json").write_text(json.dumps({**summary, **changed}))
        if "split" in changed:  # other images
            per_image = (folder / "per_image.csv").read_text().splitlines(keepends=True)
            (folder / "per_image.csv").write_text("".join(per_image[:-1]))
    subject = subject_of(copy)
    text = section(write_card(subject, None), "Scores")
    score = subject.cell.scores["dice"]
    rows = {cells[1]: cells[2:7] for line in text.splitlines() if len(cells := re.split(r" *\| *", line)) == 8}
    dice = [summary["headline"][name]["mean"] for name in ("dice", "iou")]
    assert score.low is not None
    expected = ["3", f"{dice[0]:.3f}", f"[{score.low:.3f}, {score.high:.3f}]", f"{dice[1]:.3f}"]
    assert rows["hospital, test"] == ["other data", *expected]
    assert rows["synthetic, val"][0] == "the same data"
    assert rows["copy, test, data.split=all"][0] == "the same test images"
    assert rows["synthetic, test, averaged over flips"] == ["the same test images", *expected]
    assert rows["synthetic, test, style=lesion, 80 x 80"] == ["other data", *expected]
    assert "No external validation" not in section(write_card(subject, None), "Limits")
    shutil.rmtree(copy / "evaluations" / "lesions")
    shutil.rmtree(copy / "evaluations" / "folder-96x96-1a2b3c")
    assert "No external validation" in section(write_card(subject_of(copy), None), "Limits")


def test_the_protocol_names_the_size_that_is_scored_at(run: RunFolder) -> None:
    protocol = section(write_card(subject_of(run.path), None), "Protocol")
    assert "brought to the native size of each test image and scored there" in protocol
    assert "one that no test image has is in no mean but where it is predicted" in protocol


def test_seeds_are_averaged(sweep: Path) -> None:
    folders = sorted(sweep.glob("unet-*"))
    subject = subject_of(*folders)
    means = [json.loads(RunFolder(f).summary.read_text())["headline"]["dice"]["mean"] for f in folders]
    score = subject.cell.scores["dice"]
    assert score.mean == pytest.approx(np.mean(means))
    assert score.sd == pytest.approx(np.std(means, ddof=1))
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.mean < score.high
    text = write_card(subject, None)
    assert f"{score.mean:.3f} ± {score.sd:.3f} [{score.low:.3f}, {score.high:.3f}]" in section(text, "Scores")
    for folder, mean in zip(folders, means, strict=True):
        assert re.search(rf"\| {folder.name} \| +[\d.]+ \| +{mean:.3f} \|", section(text, "Scores"))
    assert "3 trainings show little" in section(text, "Limits")
    # The network to use is chosen by validation.
    validation = {f.name: max(float(row["val/dice"]) for row in read_csv(f / "metrics.csv")) for f in folders}
    assert subject.best.name == max(validation, key=lambda name: validation[name])
    assert f"medseg predict {subject.best.name} " in section(text, "How to use it")


def test_every_class_is_scored_by_itself(sweep: Path) -> None:
    folders = sorted(sweep.glob("unet-*"))
    subject = subject_of(*folders)
    assert list(subject.classes) == ["liver", "tumour"]
    for name, scores in subject.classes.items():
        rows = [row for folder in folders for row in read_csv(RunFolder(folder).per_image) if row["class"] == name]
        for score in ("dice", "hd95"):
            assert scores[score].mean == pytest.approx(np.mean([float(row[score]) for row in rows]))
        assert scores["dice"].low < scores["dice"].mean < scores["dice"].high  # type: ignore[operator]
        assert "mean_iou_with_background" not in scores, "not a matter of one class"
    both = [subject.classes[name]["dice"].mean for name in ("liver", "tumour")]
    assert subject.cell.scores["dice"].mean == pytest.approx(np.mean(both))
    assert "liver is in 60, tumour is in 60" in section(write_card(subject, None), "Scores")


def test_unfinished_seeds_are_told(sweep: Path) -> None:
    text = write_card(subject_of(*sweep.glob("convunext-*")), None)
    assert "Not finished, and not in these scores: seed 2 failed (OutOfMemoryError" in section(text, "Scores")
    assert "seeds: 0, 1\n" in section(text, "Training")


def test_folds_are_scored_together(tmp_path: Path) -> None:
    place = fabricate(tmp_path / "runs" / "folds", {"unet": 0.0}, folds=(0, 1, 2, 3, 4), images=10)
    text = write_card(subject_of(place), None)
    assert "5 folds of 5 (0, 1, 2, 3, 4), scored together" in section(text, "Protocol")
    assert "On 50 test images." in section(text, "Scores")


def test_finished_folds_that_are_not_in_the_scores_are_told(tmp_path: Path) -> None:
    place = fabricate(tmp_path / "runs" / "folds", {"unet": 0.0}, seeds=(0, 1), folds=(0, 1, 2), images=6)
    (last,) = (run for run in read_runs(place) if (run.seed, run.fold) == (1, 2))
    write_json(last.folder / "status.json", {"state": "failed", "error": "OutOfMemoryError: 12 GiB"})
    text = section(write_card(subject_of(place), None), "Scores")
    assert "Not finished, and not in these scores: seed 1 fold 2 failed (OutOfMemoryError: 12 GiB)." in text
    unused = "seed 1 fold 0, seed 1 fold 1 (another fold of the seed is missing)."
    assert f"Finished, but not in these scores: {unused}" in text


def test_the_user_says_what_medseg_cannot_know(sweep: Path) -> None:
    runs = read_runs(list(sweep.glob("unet-*"))).runs
    subject = collect(runs, data_name="Our <clinic> | 2024", data_licence="not public, research")
    text = write_card(subject, None)
    assert "# UNet on" not in text
    assert r" on Our &lt;clinic> \| 2024" in text
    assert "licence: not public, research" in section(text, "Data")
    assert "The licence of the data (not public, research) may bind" in section(text, "Limits")


@pytest.mark.parametrize(
    ("licence", "narrow"),
    [
        ("CC-BY-NC-4.0", True),
        ("cc-by-nc-4.0", True),
        ("cc by nc sa 4.0", True),
        ("Research use only", True),
        ("NonCommercial use", True),
        ("Non-Commercial use", True),
        ("Educational use", True),
        ("CC-BY-4.0", False),
        ("NCSA", False),
    ],
)
def test_a_licence_that_narrows_the_use_is_named(licence: str, narrow: bool, sweep: Path) -> None:
    subject = collect(read_runs(list(sweep.glob("unet-*"))).runs, data_licence=licence)
    assert (f"The licence of the data ({licence}) may bind" in section(write_card(subject, None), "Limits")) is narrow


@pytest.mark.parametrize(
    ("option", "shown", "limit"),
    [
        ("gradient_clip_val=1.0", "gradient clip val: 1.0", None),
        ("gradient_clip_val=1", "gradient clip val: 1", None),
        ("gradient_clip_val=0", None, None),
        ("accumulate_grad_batches=1", None, None),
        ("accumulate_grad_batches=2", "accumulate grad batches: 2", None),
        ("limit_train_batches=1.0", None, None),
        ("limit_train_batches=1", "limit train batches: 1", "saw 1 batch only"),
        ("limit_train_batches=20", "limit train batches: 20", "saw 20 batches only"),
        ("limit_train_batches=0.5", "limit train batches: 0.5", "saw 50 % of the batches only"),
        ("limit_train_batches=0.999", "limit train batches: 0.999", "saw >99 % of the batches only"),
    ],
)
def test_options_of_the_trainer_that_change_something_are_told(
    option: str, shown: str | None, limit: str | None, tmp_path: Path
) -> None:
    runs = fabricate(tmp_path / "runs" / "trainer", {f"unet trainer.{option}": 0.0}, images=6)
    text = write_card(subject_of(runs), None)
    options = r"^- (?:gradient clip val|accumulate grad batches|limit train batches): .*$"
    lines = re.findall(options, section(text, "Training"), re.MULTILINE)
    assert lines == ([] if shown is None else [f"- {shown}"])
    assert re.findall(r"saw .* only", section(text, "Limits")) == ([] if limit is None else [limit])


def test_commands_of_a_card_are_quoted(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = next(sweep.glob("unet-*seed0"))
    project = Path("runs") / 'ok sp [1], $x "y"'
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(run, project / run.name)
    text = section(write_card(subject_of(folder), None), "How to use it")
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("medseg ")]
    assert [words[2] for words in commands] == [str(folder)] * 2
    assert commands[0][3:] == ["my_images", "my_masks"]
    (loaded,) = re.findall(r"medseg\.load\((.*)\)", text)
    assert ast.literal_eval(loaded) == str(folder)


def test_what_makes_no_card(sweep: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"of one network on one dataset; these runs are of 2 \(unet on kvasir; conv"):
        subject_of(sweep)
    with pytest.raises(UserError, match=r"no run is finished yet .*seed2 is failed"):
        subject_of(*sweep.glob("convunext-*seed2"))
    imported = tmp_path / "imported.ckpt"
    imported.touch()
    with pytest.raises(UserError, match="not in the folder of a run"):
        run_folder(str(imported))
    checkpoint = next(sweep.glob("unet-*seed0")) / "checkpoints" / "best.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    assert run_folder(str(checkpoint)) == checkpoint.parent.parent


def run_with(target: str, **summary: Any) -> Any:
    """A run, as far as the card looks at it for its network."""
    return SimpleNamespace(config={"model": {"_target_": target}}, model="custom", summary=summary)


@pytest.mark.parametrize("name", [name for name in models.__all__ if name[0].isupper()])
def test_every_network_says_what_it_is_and_whose(name: str) -> None:
    network = find_network(run_with(f"medseg.models.{name}"))
    assert network.name == name
    assert network.about.endswith(".")
    recorded = run_with("somewhere.else.Net", network={"about": network.about, "paper": network.citation})
    assert find_network(recorded) == replace(network, name="Net"), "of a run whose folder has it, nothing is imported"
    if name == "ComposedUShape":
        assert network.citation is None
        return
    assert network.citation is not None
    assert len(network.citation) < 250
    assert network.citation.count("(") == network.citation.count(")")
    assert name == "SMPNetwork" or re.search(r"\b(19|20)\d\d\b", network.citation)


def test_a_network_of_your_own_is_not_run() -> None:
    network = find_network(run_with("no_such_package.MyNet", network=None))
    assert (network.name, network.about, network.citation) == ("MyNet", "", None)


def test_a_configuration_in_words() -> None:
    node: dict[str, Any] = {
        "_target_": "a.OneOf", "_partial_": True, "p": 0.2, "none": None, "nodes": [{"_target_": "b.C"}], "on": False,
        "range": [1, 2.50],
    }  # fmt: skip
    assert in_words(node) == "OneOf (p 0.2, nodes [C], on no, range [1, 2.5])"


def test_the_citation_of_the_software() -> None:
    citation = read_citation()
    bibtex = as_bibtex(citation)
    assert citation["version"] in bibtex
    assert bibtex.startswith("@software{medseg,\n  title = {{medseg: ")
    person = {"family-names": "Curie", "given-names": "Marie"}
    assert "author = {Curie, Marie}," in as_bibtex({**citation, "authors": [person], "date-released": "2026-01-02"})
    assert "year = {2026}," in as_bibtex({**citation, "date-released": "2026-01-02"})


def without_foreground(
    dice: np.ndarray, effect: float, random: object, noise: object, classes: Sequence[str], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return what `fabricate.scores` does for images without any class, of which none is predicted."""
    counts = np.zeros((len(dice), len(classes), 4), dtype=np.int64)
    counts[:, 0, 0] = counts[:, 1:, 3] = size * size
    return counts, np.full((len(dice), len(classes) - 1, 2), np.nan)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
@pytest.mark.parametrize("classes", [("background", "polyp"), ("background", "liver", "tumour")])
def test_the_card_where_no_test_image_has_a_class(
    classes: tuple[str, ...], seeds: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.reporting.fabricate.scores", without_foreground)
    runs = fabricate(tmp_path / "runs" / "empty", {"unet": 0.0}, seeds=seeds, images=12, classes=classes)
    text = write_card(subject_of(runs), None)
    assert "It has no Dice: no foreground class is in any of 12 test images" in text
    assert "Not all images are segmented alike" not in text
    assert "12 test images" in section(text, "Limits")
    results = ModelCard(text).data.eval_results
    assert "mean_dice_with_background" in {result.metric_type for result in results}
    assert not re.search(r"\bnan\b", text, re.IGNORECASE)
    assert not re.search(r"^\| *score *\|$", text, re.MULTILINE), "a table without a row"


def test_the_intervals_of_a_card_are_over_groups(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "s", {"unet": 0.0}, seeds=(0, 1), images=20, groups=5)
    text = write_card(subject_of(folder), None)
    assert "In brackets the 95 % t interval over 5 groups of images and seeds" in section(text, "Scores")
    assert "The intervals are over 20 test images in 5 groups, such as patients" in section(text, "Limits")
