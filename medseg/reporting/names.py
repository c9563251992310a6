"""Names that a report prints instead of the usual ones, and the order of rows and columns.

    networks:
      unet: U-Net
      convunext, kernel_size=9: ConvUNeXt, 9 x 9
    datasets:
      kvasir: Kvasir-SEG

A key is a label of the report, or the name of a network or dataset, which is then replaced wherever it is printed: in
every label that begins with it, in sentences, in tables of ablations. What is listed comes first, in this order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medseg.errors import ConfigError, UserError
from medseg.reporting.line import Line
from medseg.runs.packed.archive import with_files
from medseg.system.files import read_yaml

log = logging.getLogger("medseg")

FILE = "names.yaml"
"""Read from the folder of the runs where no names are given."""

KINDS = ("networks", "datasets")


@dataclass(frozen=True)
class Names:
    """Printed names: label or name -> text, in the order of the table.

    Args:
        networks: of rows.
        datasets: of columns.
    """

    networks: Mapping[str, str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)

    def applied(self, kind: str, lines: Mapping[int, Line]) -> tuple[tuple[Line, ...], dict[int, Line]]:
        """Return the lines in their order, and each line as it is printed.

        Args:
            kind: `networks` or `datasets`.
            lines: of each run.

        Raises `ConfigError` where two would be printed alike.
        """
        given: Mapping[str, str] = getattr(self, kind)
        keys = {line: key_of(line, given) for line in lines.values()}
        printed = {
            line: replace(line, label=given.get(key, key) + line.label[len(key) :], given_name=given.get(line.name, ""))
            for line, key in keys.items()
        }
        texts = [line.label for line in printed.values()]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise ConfigError(f"names: two {kind} would be printed as {twice!r}; give each a different name")
        position = {key: number for number, key in enumerate(given)}
        ordered = sorted(
            printed, key=lambda line: position.get(keys[line], len(position))
        )  # others stay in their order
        return tuple(printed[line] for line in ordered), {run: printed[line] for run, line in lines.items()}

    def warn_of_unused(self, networks: Iterable[Line], datasets: Iterable[Line], others: Iterable[str] = ()) -> None:
        """Warn of names that nothing in the report has; arguments as they are without names.

        `others`: further names that datasets have.
        """
        used = {*others}
        for given, lines in ((self.networks, networks), (self.datasets, datasets)):
            used |= {name for line in lines for name in (key_of(line, given), line.name)}
        for key in sorted({*self.networks, *self.datasets} - used):
            log.warning("names: no network and no dataset of the report is called %r", key)


def key_of(line: Line, given: Mapping[str, str]) -> str:
    """Return the beginning of a label that names may replace: all of it, or the name of the network or dataset."""
    begins = line.label == line.name or line.label.startswith(f"{line.name}, ")
    return line.label if line.label in given or not begins else line.name


def read_names(given: Any, folders: Sequence[Path]) -> Names:
    """Read names as the option `names` gives them: a file, a mapping, or None for `names.yaml` beside the runs.

    Args:
        given: of the option. A mapping without `networks` and `datasets` is of both.
        folders: where `names.yaml` is looked for. A damaged one is left out with a warning.

    Raises `ConfigError` for what is neither, `UserError` for a damaged file that is given.
    """
    if isinstance(given, str):
        return names_of(read_yaml(Path(given).expanduser()), given)
    if given is not None:
        return names_of(given, "names")
    file = next((folder / FILE for folder in folders if (folder / FILE).exists()), None)
    try:
        return names_of(read_yaml(file), str(file)) if file else Names()
    except UserError as error:
        log.warning("%s; its names are left out", with_files(str(error)))
        return Names()


def names_of(given: Any, where: str) -> Names:
    """Check names, and return them as texts. Raises `ConfigError`, with `where` they are from."""
    if not isinstance(given, Mapping):
        raise ConfigError("names must be a YAML file, or a mapping such as names={unet: U-Net, kvasir: Kvasir-SEG}")
    content = given if set(given) & set(KINDS) else dict.fromkeys(KINDS, given)
    for kind, names in content.items():
        if kind not in KINDS or not isinstance(names, Mapping):
            raise ConfigError(f"{where}: {kind!r} must be 'networks' or 'datasets', each a mapping of names")
        for key, text in names.items():
            if isinstance(text, Mapping | list) or text is None or not str(text).strip():
                raise ConfigError(f"{where}: the name of {key!r} must be a text")
    return Names(
        **{kind: {str(k): " ".join(str(v).split()) for k, v in names.items()} for kind, names in content.items()}
    )
