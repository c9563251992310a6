"""The columns of evaluations: external tests, `kvasir -> cvc`, and internal tests with flips, `kvasir, tta=true`.

Runs of a dataset share such a column where they were evaluated on the same images of the same data in the same way.
Evaluations of another split of the data of the training are in no column: they are no tests.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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


class Key(NamedTuple):
    """What the evaluations of a column share.

    Args:
        base: the column of the internal tests of their runs.
        tta: whether they are averaged over flips.
        checkpoint: `best` or `last`.
        tested: the data, the split and the images of an external test; None of an internal one.
    """

    base: Line
    tta: bool
    checkpoint: str
    tested: tuple[Any, ...] | None

    @property
    def external(self) -> bool:
        """Whether they are tests on other data than those of the training."""
        return self.tested is not None


def evaluation_columns(evaluated: Evaluated, columns: Mapping[int, Line], names: Names) -> list[tuple[Line, Run, View]]:
    """Return each evaluation that has a column, with this and its run, in the order of the report.

    Args:
        evaluated: the runs and their evaluations.
        columns: of the internal tests, by the id of the run.
        names: what datasets are printed as.
    """
    examples: dict[Key, tuple[Run, View]] = {}
    by_column: dict[tuple[int, Key], tuple[Run, View]] = {}
    for run, view in evaluated:
        if has_column(run, view):
            key = key_of(run, view, columns[id(run)])
            examples.setdefault(key, (run, view))
            by_column.setdefault((id(run), key), (run, view))
    lines = label(examples, names)
    sorted_keys = sorted(examples, key=lambda key: (lines[key].external, lines[key].label))
    order = {key: number for number, key in enumerate(sorted_keys)}
    in_order = sorted(by_column.items(), key=lambda item: order[item[0][1]])
    return [(lines[key], run, view) for (_, key), (run, view) in in_order]


def has_column(run: Run, view: View) -> bool:
    """Whether an evaluation is an external test, or repeats that of the run with flips."""
    return is_external(run, view.summary) or bool(view.summary.get("tta") and tests_as_trained(run, view))


def key_of(run: Run, view: View, base: Line) -> Key:
    """Return the key of the column of an evaluation; `base`: the column of the internal test of the run."""
    summary, tested = view.summary, None
    if is_external(run, summary):
        data = (summary.get(key) for key in ("data", "data_identity", "split", "split_name", "fold"))
        tested = (*data, frozenset(view.per_image.ids))
    return Key(base, bool(summary.get("tta")), checkpoint_of(summary), tested)


def checkpoint_of(summary: Mapping[str, Any]) -> str:
    """Name the checkpoint of an evaluation: `best`, `last`."""
    return Path(str(summary.get("checkpoint") or "best.ckpt")).stem


def target_of(view: View) -> str:
    """Name the data of an evaluation; a folder of the user's images has its name."""
    return str(view.summary.get("data_name") or view.summary.get("data"))


def facts_of(key: Key, view: View) -> Facts:
    """Return what can tell columns of the same data apart."""
    summary = view.summary
    facts = {"checkpoint": key.checkpoint}
    if key.external:
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


def label(examples: Mapping[Key, tuple[Run, View]], names: Names) -> dict[Key, Line]:
    """Return the column of each key, named by the data, and by what differs where several are of the same data.

    Where that is the dataset of the training, with other options, it is named by what differs from these.

    Args:
        examples: the first evaluation of each column, with its run.
        names: what datasets are printed as.
    """
    names_of = {key: data_of(key, view, names) for key, (_, view) in examples.items()}
    facts_of_key = {key: facts_of(key, view) for key, (_, view) in examples.items()}
    lines: dict[Key, Line] = {}
    taken: dict[str, int] = {}
    for key, (run, view) in examples.items():
        (name, printed), facts = names_of[key], facts_of_key[key]
        of_same_data = [
            dict(facts_of_key[other]) for other in examples if other.base == key.base and names_of[other][1] == printed
        ]
        if key.external and target_of(view) == run.data and run.settings:
            trained = {fact: str(run.settings.get(fact)) for fact, _ in facts if fact.startswith(DATASET)}
            of_same_data.append(dict(facts) | trained)
        folders = short_paths({of[FOLDER] for of in of_same_data if FOLDER in of})
        parts = [
            f"{fact.removeprefix(DATASET)}={folders[value] if fact == FOLDER else value}"
            for fact, value in facts
            if len({of.get(fact) for of in of_same_data}) > 1
        ]
        tta = (("tta", "true"),) if key.tta else ()
        whole = ", ".join([printed, *parts, *(f"{fact}={value}" for fact, value in tta)])
        taken[whole] = taken.get(whole, 0) + 1
        whole += f" ({taken[whole]})" if taken[whole] > 1 else ""
        lines[key] = Line(whole, name, tuple(sorted((*facts, *tta))), of=key.base)
    return lines


def data_of(key: Key, view: View, names: Names) -> tuple[str, str]:
    """Return the name of what a column tests on, and what that is printed as."""
    if not key.external:
        return key.base.name, key.base.label
    target = target_of(view)
    name = f"{key.base.name}{ARROW}{target}"
    printed = f"{with_name(key.base, names)}{ARROW}{names.datasets.get(target, target)}"
    return name, names.datasets.get(name, printed)


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
