"""What the encoder of a run began with, and how its images are normalised."""

from __future__ import annotations

from typing import Any

from medseg.runs.folder import RunFolder
from medseg.runs.run import Run
from medseg.system.files import read_json


def read_record(run: Run) -> dict[str, Any]:
    """Read what a run has of its pretrained encoder; empty where it began with random weights."""
    return read_json(RunFolder(run.folder).pretrained, optional=True)


def describe_pretrained(run: Run) -> dict[str, str]:
    """Tell which weights the encoder began with, as one entry of a list; empty where they were random."""
    record = read_record(run)
    if not record:
        return {}
    text = f"{record['source']}, SHA-256 {record['sha256']}, {record['tensors']} tensors matched {record['matched']}"
    return {"pretrained encoder": text}


def describe_normalisation(run: Run) -> str:
    """Tell how images are normalised."""
    record = read_record(run)
    if not record.get("mean"):
        return "Images are normalised with the mean and the deviation of each channel over the training split."
    mean, std = (", ".join(f"{value:.4g}" for value in record[key]) for key in ("mean", "std"))
    return (
        f"Images are normalised with the mean ({mean}) and the deviation ({std}) of {record['normalisation_of']}, as "
        "the encoder was trained."
    )
