from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig

from medseg.config.instantiate import instantiate
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.errors import ConfigError, UserError
from medseg.inspecting.facts import UNUSED, Facts, collect
from medseg.inspecting.inspection import default_file, inspect_data
from medseg.inspecting.samples import draw_augmented, extremes
from tests.browsing import PHONE, open_page
from tests.helpers import command, compose_config
from tests.inspecting.phantoms import draw_phantoms

SMALL = ("data=folder", "data.skip_bad=true", "data.image_size=64", "samples=6", "extremes=4", "augmented=2", "draws=3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    draw_phantoms(folder / "phantoms")
    return folder


@pytest.fixture(scope="module")
def page(place: Path) -> Path:
    """The page of the phantoms, made as a user makes it."""
    done = command("inspect", *SMALL, "data.root=phantoms", cwd=place)
    assert done.returncode == 0, done.stderr
    said = re.search(r"^open in a browser: (data/inspection/folder-64x64-\w{12}\.html)$", done.stdout, re.MULTILINE)
    assert said, done.stdout
    return place / said[1]


def composed(place: Path, *overrides: str) -> DictConfig:
    return compose_config(
        "inspect", *SMALL, f"data.root={place / 'phantoms'}", f"data_dir={place / 'data'}", *overrides
    )


def module_of(cfg: DictConfig) -> SegmentationDataModule:
    return build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=cfg.seed)


@pytest.fixture(scope="module")
def facts(place: Path, page: Path) -> Facts:
    return collect(module_of(composed(place)))


def test_what_is_found(facts: Facts) -> None:
    ids = facts.prepared.ids
    assert len(ids) == 21
    assert [ids[position] for position in facts.empty] == ["case_08"]
    assert [(ids[pair.first], ids[pair.second], pair.same) for pair in facts.duplicates] == [
        ("case_22", "case_23", True)
    ]
    kinds = {problem.kind: problem.sample for problem in facts.problems}
    assert kinds == {
        "missing mask": "case_05", "size mismatch": "case_06", "unreadable": "case_07", "empty mask": "case_08",
    }  # fmt: skip
    masks = np.asarray(facts.prepared.masks)
    for number in range(4):
        assert facts.shares[:, number] == pytest.approx((masks == number).mean(axis=(1, 2)))
    assert facts.levels.sum(axis=1).tolist() == [masks.size] * 3
    images = np.asarray(facts.prepared.images)
    assert facts.levels[1, 40] == (images[..., 1] == 40).sum()
    assert facts.brightness == pytest.approx(images.mean(axis=(1, 2, 3)) / 255)


def test_extremes(facts: Facts) -> None:
    chosen = extremes(facts, 4)
    share = [row.foreground for row in facts.rows]
    filled = sorted(value for value in share if value > 0)
    assert [share[position] for position in chosen["smallest foreground"]] == filled[:4]
    assert [share[position] for position in chosen["largest foreground"]] == filled[::-1][:4]
    assert chosen["empty masks"] == facts.empty.tolist()
    assert chosen["darkest"][0] == np.argmin(facts.brightness)
    assert chosen["brightest"][0] == np.argmax(facts.brightness)
    assert chosen["most class 3"][0] == np.argmax(facts.shares[:, 3])


def test_augmented_images_are_the_very_ones_that_training_loads(place: Path, page: Path) -> None:
    cfg = composed(place, "seed=3", "augmentation=convunext", "data.num_workers=0")
    datamodule = module_of(cfg)
    drawn = draw_augmented(datamodule, collect(datamodule), images=2, draws=2)
    loader = datamodule.train_dataloader()
    mean, std = (np.array(values)[:, None, None] for values in datamodule.normalisation)
    for epoch in (1, 2):
        loader.sampler.set_epoch(epoch - 1)  # type: ignore[union-attr]
        loaded = {}
        for batch in loader:
            ready = datamodule.on_after_batch_transfer(batch, 0)
            shown = np.rint((ready["image"].numpy() * std + mean) * 255).transpose(0, 2, 3, 1)
            loaded |= dict(zip(ready["index"].tolist(), zip(shown, ready["mask"].numpy(), strict=True), strict=True))
        for position, draws in drawn.items():
            if position in loaded:  # the last images of an epoch fill no batch and are left out
                image, mask = loaded[position]
                assert np.array_equal(draws[epoch].image, image)
                assert np.array_equal(draws[epoch].mask, mask)
        assert set(drawn) & set(loaded)
    for position, draws in drawn.items():
        assert np.array_equal(draws[0].image, datamodule.prepared.images[position])
        assert not np.array_equal(draws[1].image, draws[2].image)


def test_the_same_page_again(place: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)  # places are named on the page as they are given
    cfg = compose_config("inspect", *SMALL, "data.root=phantoms", "data_dir=data", "output=again.html")
    assert inspect_data(cfg).read_bytes() == page.read_bytes()


def test_a_test_set_alone_has_a_page(place: Path) -> None:
    output = f"output={place / 'all.html'}"
    text = inspect_data(composed(place, "data.split=all", "data.groups='case_(.).*'", output)).read_text("utf-8")
    assert "<dd>0 / 0 / 21</dd>" in text
    assert "<dt>groups of images that belong together</dt><dd>3</dd>" in text
    assert "The training split has no images." in text


def test_the_page_says_what_was_found(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for said in (
        "missing mask",
        "size mismatch",
        "damaged, truncated or not an image",
        "the same as images/case_22.png",
    ):
        assert said in text
    assert "1 x empty mask (kept), 1 x duplicate image (kept)" in text
    assert "FlipsAndTurns" in text
    assert "6 of 21 images" in text


def test_the_page_in_a_browser(page: Path) -> None:
    with open_page(page) as shown:
        assert shown.locator("h1").inner_text() == "phantoms"
        first = shown.locator(".shots img").first.bounding_box()
        assert first is not None
        assert first["y"] + first["height"] < 700, "an image is there before anybody scrolls"
        assert shown.locator("section").count() == 8
        # Every picture is really one.
        assert shown.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
        # The outline of a class is switched off with the keyboard, the others stay.
        assert shown.locator("path.class-1").first.is_visible()
        shown.locator("#show-1").focus()
        shown.keyboard.press("Space")
        assert not shown.locator("path.class-1").first.is_visible()
        assert shown.locator("path.class-2").first.is_visible()
        # Images become wider.
        before = shown.locator(".shots figure").first.bounding_box()
        shown.locator("#card-size").fill("300")
        after = shown.locator(".shots figure").first.bounding_box()
        assert before is not None
        assert after is not None
        assert (round(before["width"]), round(after["width"])) == (145, 300)
        # The problems are folded, and sorted.
        table = shown.locator("#problem-table")
        assert not table.is_visible()
        shown.locator("#problems summary").click()
        assert table.is_visible()
        shown.locator("#problem-table th button").first.click()
        kinds = shown.locator("#problem-table tbody tr th").all_inner_texts()
        assert kinds == sorted(kinds)


def test_the_page_on_a_dark_phone(page: Path) -> None:
    with open_page(page, size=PHONE, dark=True) as shown:
        assert shown.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        text, bar, back = shown.evaluate(
            "[['.chart text', 'fill'], ['.chart .bar', 'fill'], ['body', 'backgroundColor']]"
            ".map(([what, key]) => getComputedStyle(document.querySelector(what))[key])"
        )
        light = [np.mean([int(value) for value in re.findall(r"\d+", colour)[:3]]) for colour in (text, bar, back)]
        assert light[0] - light[2] > 80
        assert light[1] - light[2] > 80


def test_grey_images_and_types(tmp_path: Path) -> None:
    cfg = compose_config(
        "inspect", "data.in_channels=1", "data.image_size=[32,48]", "data.dataset.count=15",
        "data.dataset.style=mixed", "+data.dataset.empty_fraction=0.3", "data.fold=1", "augmentation=light",
        f"data_dir={tmp_path}",
    )  # fmt: skip
    file = inspect_data(cfg)
    assert re.fullmatch(r"synthetic-32x48-grey-\w{12}-fold1-light\.html", file.name)
    text = file.read_text(encoding="utf-8")
    assert '<polyline class="curve grey"' in text
    assert "<h3>Types of images</h3>" in text
    assert "nuclei" in text
    assert "Empty masks (" in text


def test_images_that_the_split_leaves_out(place: Path, page: Path) -> None:
    datamodule = module_of(composed(place))
    whole = datamodule.indices
    first, second = (position for position, id_ in enumerate(datamodule.prepared.ids) if id_ in ("case_22", "case_23"))
    datamodule.indices = {part: positions[positions != second] for part, positions in whole.items()}
    facts = collect(datamodule)
    assert facts.parts[second] == UNUSED
    assert facts.parts[first] != UNUSED
    assert facts.duplicates == (), "nothing is learnt from an image that is not used"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("samples=0", "samples is 0; it must be a whole number from 1"),
        ("draws=many", "draws is 'many'"),
        ("seed=-1", "seed is -1"),
    ],
)
def test_a_wrong_number(place: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        inspect_data(composed(place, override))


def test_an_output_that_cannot_be(place: Path, page: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        inspect_data(composed(place, f"output={place}"))
    with pytest.raises(UserError, match=r"cannot be written .*; choose another file with output=FILE"):
        inspect_data(composed(place, f"output={page / 'below.html'}"))


def test_each_choice_has_its_own_page(place: Path, page: Path) -> None:
    names = [
        default_file(module_of(composed(place, *words)), augmentation).name
        for words, augmentation in (
            ((), "default"), (("data.split=random",), "default"), (("data.fold=0",), "default"), ((), "none"),
        )
    ]  # fmt: skip
    assert len(set(names)) == 4
    assert names[0] == page.name
