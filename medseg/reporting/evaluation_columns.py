"""The columns of evaluations: external tests, `kvasir -> cvc`, and internal tests with flips, `kvasir, tta=true`.

Runs of a dataset share such a column where they were evaluated on the same images of the same data in the same way.
Evaluations of another split of the data of the training are in no column: they are no tests.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg.reporting.labels import FOLDER, short_paths
from medseg.reporting.line import Facts, Line
from medseg.reporting.names import Names
from medseg.runs.evaluations import View, is_external, tests_as_trained
from medseg.runs.packed.archive import shown
from medseg.runs.run import Run

Evaluated = Sequence[tuple[Run, View]]
"""Runs of a report, each with one of its evaluations."""

ARROW = " -> "

DATASET = "data.dataset."
"""Prefix of the options of a dataset."""


def evaluation_columns(evaluated: Evaluated, columns: Mapping[int, Line], names: Names) -> list[tuple[Line, Run, View]]:
    """Return each evaluation that has a column, with this and its run, in the order of the report.

    Args:
        evaluated: the runs and their evaluations.
        columns: of the internal tests, by the id of the run.
        names: what datasets are printed as.
    """
    keys: dict[tuple[Any, ...], tuple[Line, Run, View]] = {}
    found: dict[tuple[int, tuple[Any, ...]], tuple[Run, View]] = {}
    for run, view in evaluated:
        key = key_of(run, view)
        if key is not None:
            keys.setdefault((columns[id(run)], *key), (columns[id(run)], run, view))
            found.setdefault((id(run), (columns[id(run)], *key)), (run, view))
    lines = label(keys, names)
    sorted_keys = sorted(keys, key=lambda key: (lines[key].external, lines[key].label))
    order = {key: number for number, key in enumerate(sorted_keys)}
    in_order = sorted(found.items(), key=lambda item: order[item[0][1]])
    return [(lines[key], run, view) for (_, key), (run, view) in in_order]


def key_of(run: Run, view: View) -> tuple[Any, ...] | None:
    """Return what the evaluations of a column share beside the data of the training; None of one without a column."""
    summary = view.summary
    way = bool(summary.get("tta")), checkpoint_of(summary)
    if is_external(run, summary):
        data = tuple(summary.get(key) for key in ("data", "data_identity", "split", "split_name", "fold"))
        return (*way, *data, frozenset(view.per_image.ids))
    return way if summary.get("tta") and tests_as_trained(run, view) else None


def checkpoint_of(summary: Mapping[str, Any]) -> str:
    """Name the checkpoint of an evaluation: `best`, `last`."""
    return Path(str(summary.get("checkpoint") or "best.ckpt")).stem


def target_of(view: View) -> str:
    """Name the data of an evaluation; a folder of the user's images has its name."""
    return str(view.summary.get("data_name") or view.summary.get("data"))


def facts_of(key: tuple[Any, ...], view: View) -> Facts:
    """Return what can tell columns of the same data apart."""
    summary = view.summary
    facts = {"checkpoint": checkpoint_of(summary)}
    if len(key) > 3:  # an external test
        height, width = summary.get("evaluation_size") or (0, 0)
        facts |= {"split": str(summary.get("split")), "image_size": f"{height} x {width}"}
        facts |= {f"data.{name}": str(summary.get(of)) for name, of in (("split", "split_name"), ("fold", "fold"))}
        root = (summary.get("options") or {}).get(FOLDER)
        facts |= dataset_options(view) | ({} if root is None else {FOLDER: str(root)})
    return tuple(sorted(facts.items()))


def dataset_options(view: View) -> dict[str, str]:
    """Return the options of the dataset that an evaluation chose, by their keys with dots."""
    options = view.summary.get("options") or {}
    return {k: str(v) for k, v in options.items() if k.startswith(DATASET) and not k.endswith("_target_")}


def label(keys: Mapping[tuple[Any, ...], tuple[Line, Run, View]], names: Names) -> dict[tuple[Any, ...], Line]:
    """Return the column of each key, named by the data, and by what differs where several are of the same data.

    Where that is the dataset of the training, with other options, it is named by what differs from these.
    """
    unnamed: dict[tuple[Any, ...], tuple[str, str, Facts]] = {}
    for key, (base, _, view) in keys.items():
        target = target_of(view)
        name = f"{base.name}{ARROW}{target}" if len(key) > 3 else base.name
        text = names.datasets.get(name) if len(key) > 3 else base.label
        printed = f"{with_name(base, names)}{ARROW}{names.datasets.get(target, target)}"
        unnamed[key] = text or printed, name, facts_of(key, view)
    lines: dict[tuple[Any, ...], Line] = {}
    taken: dict[str, int] = {}
    for key, (text, name, facts) in unnamed.items():
        _, run, view = keys[key]
        alike = [dict(of) for other, (one, _, of) in unnamed.items() if one == text and other[0] == key[0]]
        if len(key) > 3 and target_of(view) == run.data and run.settings:
            trained = {fact: str(run.settings.get(fact)) for fact, _ in facts if fact.startswith(DATASET)}
            alike.append(dict(facts) | trained)
        folders = short_paths({of[FOLDER] for of in alike if FOLDER in of})
        parts = [
            f"{fact.removeprefix(DATASET)}={folders[value] if fact == FOLDER else value}"
            for fact, value in facts
            if len({of.get(fact) for of in alike}) > 1
        ]
        tta = (("tta", "true"),) if key[1] else ()
        whole = ", ".join([text, *parts, *(f"{fact}={value}" for fact, value in tta)])
        taken[whole] = taken.get(whole, 0) + 1
        whole += f" ({taken[whole]})" if taken[whole] > 1 else ""
        lines[key] = Line(whole, name, tuple(sorted((*facts, *tta))), of=keys[key][0])
    return lines


def with_name(base: Line, names: Names) -> str:
    """Return the label of a column of internal tests with the name of its dataset in front."""
    printed = (base.name, *names.datasets.values())
    if any(base.label == name or base.label.startswith(f"{name}, ") for name in printed):
        return base.label
    return f"{base.printed_name}, {base.label}"


def command_of(runs: Sequence[Run], view: View) -> str:
    """Return the command that makes the evaluations of a column that are missing, as a shell takes it."""
    folders = sorted({str(shown(run.folder.parent)) for run in runs})
    words = view.summary.get("words")
    if len(folders) == 1 and "=" not in folders[0]:
        where = folders[0]
    else:  # named: the last of several words without a key would be the data
        quoted = ["'" + folder.replace("\\", "\\\\").replace("'", "\\'") + "'" for folder in folders]
        where = f"checkpoint=[{','.join(quoted)}]"
    given = ["data=..."] if words is None else words
    return command_line("medseg evaluate", where, *given)


def command_line(program: str, *words: str) -> str:
    """Write a command as a shell takes it."""
    return " ".join([program, *map(in_shell, words)])


def in_shell(word: str) -> str:
    """Quote a word for a shell, in double quotes where it contains single ones."""
    return f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word)
