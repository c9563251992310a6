"""Settings of the data: datasets, how they are prepared and loaded, how training images are changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Gt, Le, MinLen

from medseg.config.checks.kinds import (
    BATCH_SIZE,
    CHANNELS,
    CLASSES,
    INTENSITY_RANGE,
    PART,
    PATH,
    POSITIVE,
    SEED,
    SIZE,
    SWITCH,
    TEXT,
    Settings,
    Words,
    matches,
    number,
    pair,
    several,
    whole,
)

FOLDS = 5

FOLD: Any = Annotated[whole(0, FOLDS - 1), Words(f"one of the {FOLDS} folds, 0 to {FOLDS - 1}")]
WORKERS: Any = whole(0, 1024) | Literal["auto"]
FRACTION: Any = Annotated[float, Gt(0), Le(1)]
NAMES: Any = several(TEXT, "a list of names, the background first", 2, 255)

VALUE: Any = whole(-(2**31), 2**32 - 1) | Annotated[str, matches(r"#[0-9a-fA-F]{6}|\d{1,10} *- *\d{1,10}|-?\d{1,10}")]
VALUES: Any = Annotated[
    VALUE | several(VALUE, "", 1),
    Words('a value of masks, a range such as "1-50", a colour such as "#ff0000", or a list of these'),
]
LABELS: Any = Annotated[
    dict[str, VALUES],
    MinLen(1),
    Words(
        'a mapping of classes to mask values, such as {background: 0, disc: [1, 128], cup: "200-255"}, or to '
        'colours of six digits, such as {lesion: "#ff0000"}'
    ),
]
PATTERN: Any = Annotated[
    str, matches(r"[^*/]*\*[^*/]*"), Words("a name with * for the name of the image, such as '*_seg'")
]
SIDE: Any = Annotated[float, Gt(0), Le(1000)]
SPACING: Any = Annotated[
    SIDE | several(SIDE, "", 2, 2),
    Words("the side of a native pixel in mm, or [height, width], each above 0, at most 1000"),
]
PATCHES: Any = whole(1, 10_000)
FOREGROUND: Any = Literal["above_zero"]

DATA: Settings = {
    "data_dir": PATH,
    "source": PATH | None,
    "root": PATH | None,
    "labels": LABELS | None,
    "ignore": VALUES | None,
    "foreground": FOREGROUND | None,
    "mask_pattern": PATTERN | None,
    "download": SWITCH,
    "image_size": SIZE,
    "patches": PATCHES | None,
    "patch_foreground": PART,
    "in_channels": CHANNELS,
    "intensity_range": INTENSITY_RANGE | None,
    "num_classes": CLASSES | None,
    "split": TEXT | None,
    "fold": FOLD | None,
    "groups": TEXT | None,
    "metadata": PATH | None,
    "fraction": FRACTION,
    "spacing": SPACING | None,
    "batch_size": BATCH_SIZE,
    "num_workers": WORKERS,
    "skip_bad": SWITCH,
    "border_weights": SWITCH,
    "border_w0": POSITIVE,
    "border_sigma": POSITIVE,
}

DATASET: Settings = {
    "class_names": NAMES | None,
    "intensity_range": INTENSITY_RANGE | None,
    "num_classes": CLASSES | None,
    "labels": LABELS | None,
    "ignore": VALUES | None,
    "foreground": FOREGROUND | None,
    "mask_pattern": PATTERN | None,
    "style": TEXT,
    "count": whole(1, 1_000_000),
    "size": whole(64, 1024),
    "seed": SEED,
    "empty_fraction": PART,
}

TRANSFORM: Settings = {"p": PART}
TRANSFORMS: Any = several(dict, "a list of transforms, each with its _target_", 0)
FACTORS: Any = pair(0, 100)

OF_DATA: dict[str, Settings] = {
    "medseg.data.module.SegmentationDataModule": DATA,
    "medseg.data.datasets.MedSegBench": {"name": TEXT, "size": whole(128, 512)},
    "medseg.data.datasets.": DATASET,
    "medseg.data.augmentation.Augmentation": {"image_size": SIZE, "transforms": TRANSFORMS},
    "medseg.data.augmentation.CoarseElastic": TRANSFORM | {"std": number(0, 10_000), "grid": whole(1, 1000)},
    "medseg.data.augmentation.": TRANSFORM,
    "medseg.data.on_device.OnDeviceAugmentation": {"scale": pair(0.01, 100), "brightness": FACTORS},
    "albumentations.RandomScale": TRANSFORM | {"scale_limit": pair(-0.99, 100) | number(0, 0.99)},
    "albumentations.Affine": TRANSFORM
    | {
        "scale": pair(0.01, 100) | number(0.01, 100) | dict | None,
        "rotate": pair(-360, 360) | number(-360, 360) | None,
        "translate_percent": pair(-1, 1) | number(-1, 1) | dict | None,
        "border_mode": whole(0, 4),
        "fill_mask": whole(0, 255),
    },
    "albumentations.ColorJitter": TRANSFORM
    | {
        "brightness": FACTORS | number(0, 100),
        "contrast": FACTORS | number(0, 100),
        "saturation": FACTORS | number(0, 100),
        "hue": pair(-0.5, 0.5) | number(0, 0.5),
    },
    "albumentations.GaussianBlur": TRANSFORM | {"sigma_limit": pair(0, 1000) | number(0, 1000)},
    "albumentations.GaussNoise": TRANSFORM | {"std_range": pair(0, 1), "mean_range": pair(-1, 1)},
    "albumentations.": TRANSFORM,
}
"""Settings by class, or by module where the name ends in a dot; the first that fits is taken."""


def groups_table(groups: str) -> tuple[str, str] | None:
    """Return file and column of `data.groups=FILE.csv[:COLUMN]`, whose column is `group` without; None for others."""
    match = re.fullmatch(r"(.+\.csv)(?::(.+))?", groups, re.IGNORECASE)
    return (match[1], match[2] or "group") if match and ("(" not in groups or Path(match[1]).exists()) else None


def is_url(source: str | Path) -> bool:
    """Tell an address from a path."""
    return str(source).lower().startswith(("http://", "https://"))
