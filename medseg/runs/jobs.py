"""The list of an experiment's jobs, `sweep.json`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.runs.run import is_run
from medseg.system.files import read_json, write_json
from medseg.system.locks import held

log = logging.getLogger(__name__)

LOCK_WAIT = 60.0
"""Seconds to wait for another process that writes the same list."""


def add_jobs(folder: Path, records: Sequence[Mapping[str, Any]], *, replace: bool = True) -> None:
    """Add jobs to the `sweep.json` of an experiment, where the earlier ones stay.

    A job that never began, and that the same words now give another name, is replaced: nothing would ever run it.

    Args:
        folder: of the experiment.
        records: of the jobs, as `run.json` has them.
        replace: whether they count instead of earlier ones of the same name.
    """
    file = folder / "sweep.json"
    with held(folder / ".sweep.lock", "is writing sweep.json", LOCK_WAIT):
        try:
            known = [entry for entry in read_json(file, optional=True).get("jobs", []) if "name" in entry]
        except (UserError, TypeError) as error:
            reason = str(error) if isinstance(error, UserError) else f"{file}: damaged ({error})"
            log.warning("%s; written anew, with the jobs of this command alone", reason)
            known = []
        renamed = {words(entry): entry for entry in records} if replace else {}
        known = [entry if is_run(folder / entry["name"]) else renamed.get(words(entry), entry) for entry in known]
        merged = {entry["name"]: entry for entry in known}
        for entry in records:
            merged[entry["name"]] = entry if replace else merged.get(entry["name"], entry)
        write_json(file, {"jobs": list(merged.values())})


def words(record: Mapping[str, Any]) -> str:
    """Return what a job was given on the command line, with the seed and the data that it came to."""
    return json.dumps([record.get(key) for key in ("model", "data", "fold", "seed", "overrides")])
