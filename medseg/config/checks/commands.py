"""Settings of each command beside its groups."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from annotated_types import Gt, Le
from pydantic import BeforeValidator

from medseg.config.checks.data import DATA, SPACING
from medseg.config.checks.kinds import (
    BATCH_SIZE,
    DEVICE,
    MAX_SIDE,
    PART,
    PATH,
    PATHS,
    POSITIVE,
    SEED,
    SWITCH,
    TEXT,
    VALUES,
    Settings,
    Words,
    as_text,
    number,
    rule,
    several,
    size,
    whole,
)
from medseg.config.checks.training import PRECISION
from medseg.config.checks.tuning import TUNING


def is_below(name: str) -> bool:
    """Tell whether a name is that of a folder below another one."""
    path = Path(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


ONE_OR_MORE: Any = Annotated[PATH | several(PATH, ""), Words("a path, or a list of them, [A,B]")]
EXPERIMENT: Any = Annotated[str, BeforeValidator(as_text), rule(is_below), Words("the name of a folder below runs_dir")]
FEW: Any = whole(0, 10_000)
SOME: Any = whole(1, 10_000)
ANY_SIZE: Any = size(1)
ARGUMENT: Any = whole(1, MAX_SIDE)
TOLERANCE: Any = Annotated[float, Gt(0), Le(1000)]
DRY_RUN: Any = Annotated[
    SWITCH | Annotated[str, rule(lambda text: text.endswith(".csv") and "\0" not in text)],
    Words("true, false or the CSV file of a benchmark"),
]
Scores = Literal["nsd", "boundary_iou", "cldice", "ap", "pq", "aji", "mcc", "volumetric_similarity"]
"""The names in `medseg.metrics.CHOOSABLE`, which a command line should not wait for NumPy for."""
OPTIONAL_SCORES: Any = several(Scores, f"a list of optional scores, of {', '.join(get_args(Scores))}", least=0)

OPTION: Any = Annotated[dict, Words("the name of an option; --help lists them")]
GROUPS = (
    "model", "data", "augmentation", "loss", "metrics", "optimizer", "scheduler", "trainer", "logger", "callbacks",
)  # fmt: skip

PREDICTION: Settings = {
    "checkpoint": ONE_OR_MORE,
    "tta": SWITCH,
    "temperature": SWITCH,
    "scale": Annotated[number(0.01, 100), Words("a number from 0.01 to 100, 1 for the native resolution")] | None,
    "tile": whole(8, MAX_SIDE) | None,
    "overlap": number(0, 0.5),
    "intensity_range": VALUES | None,
    "device": DEVICE,
    "precision": PRECISION | None,
    "trust": SWITCH,
}
SCORING: Settings = {
    "scores": OPTIONAL_SCORES | None,
    "nsd_tolerance": TOLERANCE | None,
    "save_probabilities": SWITCH,
}
RUNS: Settings = {"runs": PATHS}
PLACES: Settings = {"experiment": EXPERIMENT, "runs_dir": PATH}

COMMANDS: dict[str, Settings] = {
    "train": PLACES
    | dict.fromkeys(GROUPS, OPTION)
    | {
        "seed": SEED,
        "force": SWITCH,
        "dry_run": DRY_RUN,
        "channels_last": SWITCH,
        "compile": SWITCH,
        "activation_checkpointing": SWITCH,
        "initial_weights": PATH | None,
        "strict": SWITCH,
        "continue_from": PATH | None,
        "data_dir": PATH,
    }
    | {"test": SWITCH, "tuning": TUNING}
    | SCORING,
    "prepare": {"data_dir": PATH, "data": OPTION},
    "inspect": {
        "samples": SOME,
        "extremes": FEW,
        "augmented": FEW,
        "draws": SOME,
        "seed": SEED,
        "output": PATH | None,
        "data_dir": PATH,
        "data": OPTION,
        "augmentation": OPTION,
    },
    "evaluate": {
        "checkpoint": ONE_OR_MORE,
        "split": Annotated[
            Literal["train", "val", "test"], Words("train, val or test (data.split names a way to split)")
        ],
        "output": PATH | None,
        "data_dir": PATH,
        "trust": SWITCH,
        "data": DATA,
        "metrics": OPTION,
        "trainer": OPTION,
        "tta": SWITCH,
        "force": SWITCH | None,
    }
    | SCORING,
    "predict": PREDICTION
    | {
        "input": ONE_OR_MORE,
        "output": PATH,
        "mask_values": Annotated[Literal["indices"] | whole(255, 255), Words("indices, or 255")] | None,
        "probabilities": SWITCH,
        "overlays": SWITCH,
        "num_workers": whole(1, 1024) | None,
        "force": SWITCH,
    },
    "demo": PREDICTION
    | {"examples": ONE_OR_MORE | None, "host": TEXT, "port": whole(1, 65_535) | None, "browser": SWITCH},
    "export": {
        "checkpoint": PATH,
        "format": Literal["onnx", "torch"],
        "output": PATH | None,
        "with_preprocessing": SWITCH,
        "trust": SWITCH,
    },
    "import_checkpoint": {
        "source": PATH,
        "output": PATH | None,
        "mean": several(number(0, 255), "a list of numbers from 0, one per channel") | None,
        "std": several(POSITIVE, "a list of numbers above 0, one per channel") | None,
        "bgr": SWITCH,
        "data_dir": PATH,
        "data": DATA,
    },
    "report": RUNS
    | {
        "format": Literal["markdown", "latex", "csv", "html", "all"],
        "output": PATH | None,
        "score": TEXT | None,
        "convention": TEXT,
        "names": PATH | dict | None,
        "subgroups": TEXT | several(TEXT, "a list of names, []: none", 0) | None,
        "sizes": several(PART, "a list of parts of the image, such as [0.05,0.2]") | None,
        "figures": SWITCH,
        "images": Annotated[FEW, Words("a number of test images, 0 for none")],
        "size": ANY_SIZE | None,
    },
    "score": RUNS
    | {
        "metrics": OPTION,
        "scores": OPTIONAL_SCORES | None,
        "nsd_tolerance": TOLERANCE | None,
        "spacing": SPACING | None,
    },
    "status": RUNS | {"format": Literal["text", "json"]},
    "pack": RUNS | {"output": PATH | None, "predictions": SWITCH, "images": SWITCH},
    "unpack": {"file": PATH, "runs_dir": PATH},
    "card": RUNS
    | {"output": PATH | None, "licence": TEXT | None, "data_name": TEXT | None, "data_licence": TEXT | None},
    "wandb_sync": RUNS | {"report": SWITCH, "project": TEXT | None, "entity": TEXT | None, "dry_run": SWITCH},
    "describe": {
        "in_channels": ARGUMENT | None,
        "num_classes": ARGUMENT | None,
        "image_size": ANY_SIZE,
        "format": Literal["table", "markdown", "csv"],
        "output": PATH | None,
        "all": SWITCH,
        "datasets": SWITCH,
        "model": OPTION,
    },
    "benchmark": PLACES
    | dict.fromkeys(("model", "loss", "optimizer", "trainer"), OPTION)
    | {
        "models": several(TEXT, "a list, models=[unet,convunext]") | None,
        "in_channels": ARGUMENT,
        "num_classes": ARGUMENT,
        "image_size": ANY_SIZE,
        "batch_size": BATCH_SIZE,
        "inference_batch_size": BATCH_SIZE | None,
        "channels_last": SWITCH,
        "compile": SWITCH,
        "activation_checkpointing": SWITCH,
        "repeats": SOME,
        "seconds": Annotated[float, Gt(0), Le(3600)],
        "output": PATH | None,
        "csv": PATH | None,
    },
}
"""Settings by command. A mapping among them is a group; where no class is chosen for it, null means `not given`."""
