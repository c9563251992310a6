"""The labels of rows and columns: what tells them from each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from medseg.reporting.line import Facts, Line
from medseg.runs.run import Run

NAMED_BY_NETWORK = ("model._target_", "model.arch", "model.encoder_name")
"""Keys of `model` that the name of a network holds already."""


FOLDER = "data.root"
"""Key whose value is the path of a folder."""

FOLLOWS = {
    "augmentation.image_size": "data.image_size",
    "data.image_size": "data.dataset.size",
    **{
        f"data.dataset.{name}": f"data.{name}"
        for name in ("num_classes", "intensity_range", "labels", "ignore", "foreground", "mask_pattern")
    },
}
"""Keys that have the value of another one, in the shipped options, where they are not set themselves."""


def make_lines(
    runs: Sequence[Run],
    keys: Mapping[int, tuple[Any, ...]],
    facts_of: Callable[[Run], Facts],
    apart: Mapping[int, Facts],
) -> dict[int, Line]:
    """Make the row or the column of each run; `keys`: its name, and what it shares with the runs of its line."""
    shared: dict[tuple[Any, ...], set[tuple[str, str]]] = {}
    for run in runs:
        facts = {*facts_of(run), *apart.get(id(run), ())}
        shared[keys[id(run)]] = shared.get(keys[id(run)], facts) & facts
    lines = {key: (key[0], tuple(sorted(facts))) for key, facts in shared.items()}
    begun = {keys[id(run)] for run in runs if run.settings}
    labels = label_lines(list(lines.values()), [key in begun for key in lines])
    made = {key: Line(labels[k], *line) for k, (key, line) in enumerate(lines.items())}
    return {id(run): made[keys[id(run)]] for run in runs}


def label_lines(lines: Sequence[tuple[str, Facts]], begun: Sequence[bool] | None = None) -> list[str]:
    """Name rows or columns by what differs among them: the name where there are several, and the differing facts.

    Args:
        lines: the name and the facts of each.
        begun: whether a run of the line has; otherwise what it lacks is not known to differ. None: all have.
    """
    names = {name for name, _ in lines}
    mappings = [dict(facts) for _, facts in lines]
    known = list(zip(mappings, begun or [True] * len(lines), strict=True))
    keys = sorted({key for facts in mappings for key in facts}, key=lambda key: ("." in key, key))
    differing = [
        key for key in keys if len({facts.get(key) for facts, is_begun in known if is_begun or key in facts}) > 1
    ]
    differing = [key for key in differing if FOLLOWS.get(key) not in differing or not follows(key, mappings)]
    folders = short_paths({facts[FOLDER] for facts in mappings if FOLDER in facts})
    labels: list[str] = []
    for (name, _), facts in zip(lines, mappings, strict=True):
        shown = {key: facts[key] for key in differing if key in facts and not in_name(name, key)}
        parts = [f"{short(key)}={folders[text] if key == FOLDER else text}" for key, text in shown.items()]
        label = ", ".join([name, *parts] if len(names) > 1 or not parts else parts)
        twins = sum(other == label or other.startswith(f"{label} (") for other in labels)
        labels.append(f"{label} ({twins + 1})" if twins else label)
    return labels


def label_groups(groups: Mapping[tuple[str, Facts], Sequence[Line]]) -> list[str]:
    """Name groups of rows, by name and facts that they share: the printed name, and the facts that differ."""
    labels = []
    for label, ((name, _), rows) in zip(label_lines(list(groups)), groups.items(), strict=True):
        facts = label[len(name) :] if label.startswith(name) else f", {label}"
        labels.append(f"{rows[0].printed_name}{facts}")
    return labels


def follows(key: str, lines: Sequence[Mapping[str, str]]) -> bool:
    """Whether a key has the value of the one that it follows, in every line that has it."""
    return all(facts[key] == facts.get(FOLLOWS[key]) for facts in lines if key in facts)


def short_paths(paths: Collection[str]) -> dict[str, str]:
    """Map each path to its last part, with as many before it as tell it from the others."""
    parts = {path: PurePath(path).parts or (path,) for path in paths}

    def last(path: str) -> str:
        for count in range(1, len(parts[path])):
            end = parts[path][-count:]
            if sum(other[-count:] == end for other in parts.values()) == 1:
                return "/".join(end)
        return path

    return {path: last(path) for path in paths}


def short(key: str) -> str:
    """Shorten a key to what a reader of a table of networks needs."""
    return key.removeprefix("model.").removeprefix("data.")


def in_name(name: str, key: str) -> bool:
    """Whether the name of a network holds the value of a key."""
    return key == NAMED_BY_NETWORK[0] or (name.startswith("smp_") and key in NAMED_BY_NETWORK)


def as_text(value: Any) -> str:
    """Write a value so that equal ones read the same: 1 and 1.0, [1, 3] and (1, 3)."""
    if isinstance(value, bool) or value is None:
        return "null" if value is None else str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_text, value))}]"
    return str(value)
