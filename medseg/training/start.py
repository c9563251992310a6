"""The start of a planned run: trained, resumed, or left as it is when it is finished."""

from __future__ import annotations

import logging
from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig

from medseg.config.encoders import kind_of
from medseg.runs.folder import RunFolder
from medseg.runs.plan import RunPlan
from medseg.system.files import read_json
from medseg.system.memory import keep_freed_memory
from medseg.system.process import is_first_process
from medseg.training.continuing import find_shorter

log = logging.getLogger(__name__)


def train(cfg: DictConfig, plan: RunPlan) -> RunFolder:
    """Run the job that `cfg` describes, or resume it; a finished run is not repeated, but by `force=true`.

    Returns the folder of the run. Raises `UserError` for what the user can put right.
    """
    # The further processes of a distributed run work under the lock of the first.
    with plan.folder.locked() if is_first_process() else nullcontext():
        if plan.finished and not cfg.force:
            log.info("finished already, so not repeated (force=true repeats it)")
            warn_of_other_data(cfg, plan.folder)
            warn_of_other_weights(cfg, plan.folder)
            warn_of_other_scores(cfg, plan.folder)
        else:
            if not plan.folder.record.exists() and cfg.continue_from is None and is_first_process():
                offer_to_continue(plan)
            # Imported here, not above: torch and lightning take seconds, and nothing so far needs them.
            from medseg.training.job import run_job

            keep_freed_memory()
            run_job(cfg, plan)
    return plan.folder


def offer_to_continue(plan: RunPlan) -> None:
    """Tell of a finished run with fewer epochs and otherwise the same settings."""
    shorter = find_shorter(plan)
    if shorter is not None:
        log.info("there is a run of fewer epochs; to go on from it: continue_from=%s", shorter.path)


def warn_of_other_data(cfg: DictConfig, folder: RunFolder) -> None:
    """Warn when the user's files have changed since a finished run was trained on them."""
    if "root" in cfg.data:
        from medseg.data.datasets import Folder
        from medseg.data.sources.finding import open_source

        now = open_source(Folder(), cfg.data.root).identity
        if now != read_json(folder.data).get("source_identity"):
            log.warning("the files in %s have changed since; force=true trains on them anew", cfg.data.root)


def warn_of_other_weights(cfg: DictConfig, folder: RunFolder) -> None:
    """Warn when the file that a finished run's encoder began with holds something else now."""
    source = cfg.model.get("encoder_weights")
    if isinstance(source, str) and kind_of(source) == "file" and Path(source).expanduser().is_file():
        from medseg.data.prepared.fingerprint import sha256_file

        before = read_json(folder.pretrained, optional=True).get("sha256")
        if before not in (None, sha256_file(Path(source).expanduser())):
            log.warning("%s has changed since; force=true begins with its weights anew", source)


def warn_of_other_scores(cfg: DictConfig, folder: RunFolder) -> None:
    """Warn when a finished run lacks scores that are asked for, with the command that computes them."""
    test = read_json(folder.summary, optional=True)
    measured, tolerance = test.get("headline") or {}, cfg.nsd_tolerance
    wanted = [name for name in cfg.scores or () if name not in measured]
    words = []
    if tolerance is not None and "nsd" in {*measured, *wanted} and tolerance != test.get("nsd_tolerance"):
        words.append(f"nsd_tolerance={tolerance:g}")
        wanted = list(dict.fromkeys([*wanted, "nsd"]))
    if wanted:
        words.insert(0, f"scores=[{','.join(wanted)}]")
    if cfg.data.spacing is not None and test.get("spacing") is None:
        words.append(f"spacing={cfg.data.spacing}".replace(" ", ""))
    if test and words:
        command = f"medseg score {folder.path} {' '.join(words)}"
        log.warning("its test was scored otherwise; without training anew: %s", command)
