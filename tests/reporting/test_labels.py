"""What rows and columns are called: what differs among them, each fact once and as short as it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from medseg.config.yaml_files import config_dir
from medseg.reporting.labels import FOLLOWS, label_lines, short_paths
from medseg.reporting.layout import DERIVED, lay_out
from medseg.runs.naming import flatten, is_ignored
from medseg.runs.reading import read_runs
from tests.reporting.fabricate import fabricate
from tests.reporting.test_layout import change, columns


def resize(config: dict[str, Any], size: int) -> None:
    """Give a configuration an augmentation of this size."""
    config["augmentation"] = {**(config.get("augmentation") or {}), "image_size": size}


def test_what_only_follows_another_setting_is_not_in_a_label(tmp_path: Path) -> None:
    for size in (32, 64):
        folder = fabricate(tmp_path / f"{size}", {f"unet data.image_size={size}": 0.0}, seeds=(0,), images=4)
        change(folder, lambda config, size=size: resize(config, size))  # type: ignore[misc]
    assert columns(lay_out(read_runs([tmp_path]).runs)) == ["image_size=32", "image_size=64"]
    change(tmp_path / "64", lambda config: resize(config, 32))
    assert columns(lay_out(read_runs([tmp_path]).runs)) == ["image_size=32", "image_size=64"], "it is the same in both"
    change(tmp_path / "64", lambda config: resize(config, 48))
    assert all("augmentation.image_size=" in label for label in columns(lay_out(read_runs([tmp_path]).runs)))


def test_every_setting_that_follows_another_is_known() -> None:
    found = {}
    for file in config_dir().glob("*/*.yaml"):
        group = file.parent.name
        for key, value in flatten(yaml.safe_load(file.read_text()) or {}).items():
            if isinstance(value, str) and value.startswith("${"):
                found[f"{group}.{key}"] = value[2:-1]
    kept = {key: of for key, of in found.items() if key not in DERIVED and not is_ignored(key)}
    assert kept == {key: of for key, of in FOLLOWS.items() if key not in DERIVED}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/home/me/x/segs", "/home/me/x/gtdir/"], ["segs", "gtdir"]),
        (["/a/site/mine", "/b/site/mine", "/a/other"], ["a/site/mine", "b/site/mine", "other"]),
        (["mine", "/a/mine", "/"], ["mine", "a/mine", "/"]),
        (["/one/mine.zip"], ["mine.zip"]),
    ],
)
def test_a_folder_is_called_by_as_few_last_parts_as_tell_it_apart(paths: list[str], expected: list[str]) -> None:
    assert short_paths(paths) == dict(zip(paths, expected, strict=True))
    if len(paths) > 1:
        lines = [("folder", (("data.root", path),)) for path in paths]
        assert label_lines(lines) == [f"root={text}" for text in expected]
