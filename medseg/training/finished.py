"""Finished runs that a command is repeated for: what it asks of them, and they do not have."""

from __future__ import annotations

import logging
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from medseg.config.encoders import kind_of
from medseg.errors import UserError
from medseg.runs.folder import RunFolder
from medseg.runs.naming import flatten
from medseg.runs.plan import RunPlan, absolute, are_other_weights, weights_it_began_with
from medseg.runs.schema import SUMMARY, read_checked
from medseg.sweeps.space import as_words
from medseg.system.files import read_json, read_table, read_yaml

if TYPE_CHECKING:
    from medseg.data.sources.source import Source

log = logging.getLogger(__name__)

Remark = tuple[str, str, tuple[str, ...]]
"""What of a test is other than asked for, the command that changes it, and its options as words."""

TEST_DATA = ("data_identity", "split_name", "fold")
"""Entries of the summary of an evaluation that it shares with the test of its run where it repeats that."""


class OtherFilesError(UserError):
    """`data.source` names other files than those that a finished run was trained on."""


def check_finished(plans: Sequence[RunPlan]) -> None:
    """Warn where finished runs are not quite what is asked for, in one line for all that lack the same.

    A run with a damaged file is one warning. Raises `OtherFilesError`.
    """
    # A sweep has many runs of few files.
    opened, checksum, columns = cache(open_files), cache(sha256_of), cache(columns_of)
    warnings: list[str] = []
    lacking: dict[tuple[Path, str, str, tuple[str, ...]], list[RunPlan]] = defaultdict(list)
    for plan in plans:
        texts: tuple[str | None, ...]
        remarks: tuple[Remark, ...]
        try:
            texts = changed_data(plan, opened), changed_weights(plan, checksum), other_weights(plan)
            remarks = (*other_scores(plan), *no_probabilities(plan), *no_columns(plan, columns))
        except OtherFilesError:
            raise
        except (UserError, OSError) as error:
            texts, remarks = (str(error),), ()
        warnings += filter(None, texts)
        for remark in remarks:
            lacking[plan.folder.path.parent, *remark].append(plan)
    for text in dict.fromkeys(warnings):
        log.warning("%s", text)
    for (experiment, what, command, options), several in lacking.items():
        where = several[0].folder.path if len(several) == 1 else experiment
        whose = "its test" if len(plans) == 1 else f"the test of {len(several)} of the finished runs"
        words = shlex.join([*command.split(), str(where), *options])
        log.warning("%s %s; without training anew: %s", whose, what, words)


def changed_data(plan: RunPlan, opened: Callable[[DictConfig, str], Source | None]) -> str | None:
    """Tell of the user's files that have changed since the run was trained on them; `opened`: `open_files`.

    A folder is known by the times of change as well, which a copy has others of. Raises `OtherFilesError` where the
    names or sizes are others than those of the files that the run was trained on, as far as these are still there.
    """
    data, folder = plan.cfg.data, plan.folder
    if data.get("source") is None:
        return None
    began = flatten(read_yaml(folder.config, optional=True)).get("data.source")
    moved = began is not None and absolute(str(began), Path.cwd()) != absolute(data.source, Path.cwd())
    if not moved and not Path(data.source).expanduser().exists():
        return None  # which a finished run does not need
    now, known = opened(data, data.source), read_json(folder.data).get("source_identity")
    if now is None or now.identity == known:
        return None
    if not moved:
        return f"the files in {data.source} have changed since; force=true trains on them anew"
    try:
        before = opened(data, str(began))
    except UserError:  # gone
        before = None
    if before is not None and before.identity == known and (before.sizes is None or before.sizes != now.sizes):
        raise OtherFilesError(
            f"data.source={data.source}: {folder.path} was trained on other files, those in {began}; another "
            "experiment=... trains on these, and force=true trains that run on them anew"
        )
    return f"the files in {data.source} may be other files than those in {began}; force=true trains on them anew"


def open_files(data: DictConfig, source: str) -> Source | None:
    """Open the files of a dataset in a folder or an archive.

    None for a published dataset, whose archives are the same in any folder.
    """
    from medseg.config.instantiate import instantiate  # not above: most finished runs need no data
    from medseg.data.sources.finding import open_source

    dataset = instantiate(data.dataset)
    return None if dataset.archives else open_source(dataset, source)


def other_weights(plan: RunPlan) -> str | None:
    """Tell of the `initial_weights` that the run began with where others are given now."""
    given = plan.cfg.initial_weights
    began = None if given is None else weights_it_began_with(plan.folder)
    if not are_other_weights(given, began):
        return None
    name = plan.folder.path.name
    return f"{name} began with initial_weights={began}; force=true begins with those that are given now"


def changed_weights(plan: RunPlan, checksum: Callable[[Path], str]) -> str | None:
    """Tell of the file that the run's encoder began with where it holds something else now."""
    source = plan.cfg.model.get("encoder_weights")
    if isinstance(source, str) and kind_of(source) == "file" and Path(source).expanduser().is_file():
        before = read_json(plan.folder.pretrained, optional=True).get("sha256")
        if before is not None and before != checksum(Path(source).expanduser()):
            return f"{source} has changed since; force=true begins with its weights anew"
    return None


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    from medseg.data.prepared.fingerprint import sha256_file

    return sha256_file(file)


def other_scores(plan: RunPlan) -> Iterator[Remark]:
    """Tell of scores that the test of a run lacks, those of custom metrics included."""
    cfg, test = plan.cfg, read_checked(plan.folder.summary, SUMMARY)
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
    known = test.get("own_metrics") or {}
    metrics = OmegaConf.to_container(cfg.metrics, resolve=True) if cfg.metrics else {}
    assert isinstance(metrics, dict)
    custom = flatten({"metrics": {name: metric for name, metric in metrics.items() if name not in known}})
    words += [f"+{word}" for word in as_words(custom)]
    if test and words:
        yield "was scored otherwise", "medseg score", tuple(words)


def no_probabilities(plan: RunPlan) -> Iterator[Remark]:
    """Tell of probabilities that neither the test of a run nor an evaluation that repeats it has kept."""
    folder = plan.folder
    if not (plan.cfg.save_probabilities and folder.summary.is_file()):
        return
    kept = [file.with_name("summary.json") for file in folder.evaluations.glob("*-test/probabilities.npz")]
    if not (folder.test / "probabilities.npz").is_file() and not any(repeats_test(folder, file) for file in kept):
        yield "kept no probabilities", "medseg evaluate", ("save_probabilities=true",)


def columns_of(file: str) -> frozenset[str]:
    """Return the columns that the table of `data.metadata` has for a report."""
    from medseg.data.datasets.splits_csv import read_columns  # not above: most finished runs need no data
    from medseg.data.metadata import without_fixed

    return frozenset(without_fixed(read_columns(f"data.metadata={file}", Path(file).expanduser())))


def no_columns(plan: RunPlan, columns: Callable[[str], frozenset[str]]) -> Iterator[Remark]:
    """Tell of columns of `data.metadata` that neither a run nor an evaluation that repeats its test has.

    `columns`: `columns_of`.
    """
    file, folder = plan.cfg.data.get("metadata"), plan.folder
    if file is None:
        return
    given = columns(file)
    evaluated = folder.evaluations.glob("*-test/images.csv")
    lists = [path for path in evaluated if repeats_test(folder, path.with_name("summary.json"))]
    known = {name for path in (folder.splits, *lists) for name in read_table(path)[0]}
    if given - known:
        yield f"has no columns of {file}", "medseg evaluate", (f"data.metadata={file}",)


def repeats_test(folder: RunFolder, evaluation: Path) -> bool:
    """Whether an evaluation of a run, of which this is the summary, is of the data, split and fold of its test."""
    test, other = (read_json(file, optional=True) for file in (folder.summary, evaluation))
    return bool(other) and all(test[key] == other.get(key) for key in TEST_DATA if key in test)  # not in older versions
