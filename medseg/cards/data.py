"""What is known of the data of a run: what its folder tells, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medseg.runs.run import Run


@dataclass(frozen=True)
class Data:
    """A dataset as it was used.

    Args:
        name: short.
        title: the name people use.
        about: one sentence on what the images are; empty where it is not known.
        licence, citation: empty where not known.
        counts: images of each split; empty where not known.
        fingerprint: of the prepared data; empty where not known.
    """

    name: str
    title: str
    about: str = ""
    licence: str = ""
    citation: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


def find_data(run: Run) -> Data:
    """Tell what data a run was trained on; of a run of an older version, which has no `data.json`, just the name."""
    facts = run.dataset
    if not facts:
        return Data(run.data, "own images" if run.data == "folder" else run.data)
    names = ("title", "about", "licence", "citation", "counts", "fingerprint")
    return Data(run.data, **{name: facts[name] for name in names if facts.get(name) is not None})
