"""A row or a column of a report."""

from __future__ import annotations

from dataclasses import dataclass

Facts = tuple[tuple[str, str], ...]
"""(key, value) pairs, sorted."""


@dataclass(frozen=True)
class Line:
    """A row or a column.

    Args:
        label: what is printed: what tells it from the others shown.
        name: of the network or of the dataset.
        facts: chosen options and values other than the default that its runs share.
        of: of a column of evaluations, that of the internal tests; None of that itself, and of a row.
        given_name: what the network or the dataset is printed as; empty where no name was given for it.
    """

    label: str
    name: str
    facts: Facts
    of: Line | None = None
    given_name: str = ""

    @property
    def printed_name(self) -> str:
        """The name of the network or of the dataset as it is printed."""
        return self.given_name or self.name

    @property
    def external(self) -> bool:
        """Whether it is a column of tests on other data than those of the training."""
        return self.of is not None and self.of.name != self.name
