"""What is known of the data of runs: from the prepared data where they still lie, else from the dataset's class."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from medseg import config
from medseg.data import datasets
from medseg.data.prepared import PreparedDataset
from medseg.errors import UserError
from medseg.runs.run import Run


@dataclass(frozen=True)
class Data:
    """A dataset as it was used.

    Args:
        name: short.
        title: the name people use.
        about: one sentence on what the images are; empty where medseg does not know them.
        licence, citation: empty where not known.
        counts: images of each split; empty where the prepared data are no longer there.
        fingerprint: of the prepared data; empty where they are no longer there.
    """

    name: str
    title: str
    about: str = ""
    licence: str = ""
    citation: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


def find_data(run: Run) -> Data:
    """Tell what data a finished run was trained on."""
    settings = run.config.get("data", {})
    node = settings.get("dataset") or {}
    package, _, name = str(node.get("_target_", "")).rpartition(".")
    kind = getattr(datasets, name, None) if package == datasets.__name__ else None
    own = kind is None or kind is datasets.Folder
    about = "" if own else (inspect.getdoc(inspect.getmodule(kind)) or "").partition("\n")[0]
    prepared = find_prepared(run)
    if prepared is None:
        if kind is None or own:
            return Data(run.data, "own images" if kind else run.data)
        return Data(run.data, kind.title, about, kind.licence, kind.citation)
    said = prepared.fingerprint
    title = f"own images ({Path(said['source']).stem})" if kind is datasets.Folder else said["title"]
    counts: dict[str, int] = {}
    if kind is not None:  # of a class that is not medseg's own nothing is run
        dataset = config.instantiate(OmegaConf.create(node))
        indices = prepared.split_indices(dataset, settings.get("split"), settings.get("fold"))
        counts = {part: len(positions) for part, positions in indices.items()}
    elif settings.get("split") is None and settings.get("fold") is None:
        counts = said["default_split"]
    return Data(run.data, title, about, said["licence"], said["citation"], counts, said)


def find_prepared(run: Run) -> PreparedDataset | None:
    """Open the prepared data of a run, if they still lie where they were and are still the same."""
    folder = run.summary.get("prepared")
    if folder is None:
        return None
    try:
        prepared = PreparedDataset.open(Path(folder))
    except UserError:
        return None
    return prepared if prepared.identity == run.summary.get("data_identity") else None
