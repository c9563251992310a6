"""What was measured of networks, written for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from medseg.errors import count
from medseg.measure.cost import Cost, Stage
from medseg.models.facts import NetworkFacts, Size
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.markdown import as_markdown
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text

MACS = "multiply-accumulates of convolutions and matrix products for one image; FLOPs are twice as many"
TENTHS = "{:.1f}"
ACTIVATIONS = "kept for the backward pass of one image in float32, parameters left out"


@dataclass(frozen=True)
class Description:
    """What is known of one network.

    Args:
        title: its class, and how it was asked for.
        in_channels, num_classes, size: what it was measured with; (height, width) in pixels.
        cost: see `measure_cost`.
        min_size: smallest height and width that it takes, in pixels; None if it is not known.
        field: what `receptive_field` returned; None if it could not be measured.
        facts: of its class; None where it has none.
    """

    title: str
    in_channels: int
    num_classes: int
    size: tuple[int, int]
    cost: Cost
    min_size: int | None
    field: tuple[int | None, int | None] | None
    facts: NetworkFacts | None = None


@dataclass(frozen=True)
class Measured:
    """A row of the size table: a network of a paper, and its cost with so many channels and classes.

    `claims`: those of `NetworkFacts`; of the first size of a network only.
    """

    size: Size
    claims: Mapping[str, str | None]
    in_channels: int
    num_classes: int
    cost: Cost


def write_description(described: Description, form: str) -> str:
    """Write one network as `table` for a terminal, `markdown` or `csv`.

    In CSV the last row, `total`, is the network; the rows that are not inside another one add up to it. A receptive
    field of the whole image is `all` there.
    """
    cost = described.cost
    field = [side or "all" for side in described.field] if described.field else [None, None]
    total = Stage("total", "", None, cost.parameters, cost.macs, cost.activation_bytes)
    columns: Sequence[Column[Stage]] = (
        Column("stage", "stage", lambda s: s.name),
        Column("inside", value=lambda s: s.inside),
        Column("output", "output", lambda s: s.output and by(*s.output)),
        Column("parameters", "parameters", lambda s: s.parameters, "{:,}".format, number=True),
        Column("parameters_percent", "%", lambda s: percent(s.parameters, cost.parameters), TENTHS.format, number=True),
        Column("macs", "MACs (G)", lambda s: s.macs, giga, number=True),
        Column("macs_percent", "%", lambda s: percent(s.macs, cost.macs), TENTHS.format, number=True),
        Column("activation_bytes", "activations (MiB)", lambda s: s.activation_bytes, mebi, number=True),
        Column("min_size", value=lambda s: described.min_size if s is total else None),
        Column("field_height", value=lambda s: field[0] if s is total else None),
        Column("field_width", value=lambda s: field[1] if s is total else None),
        *constants(in_channels=described.in_channels, num_classes=described.num_classes),
        *constants(height=described.size[0], width=described.size[1]),
    )
    table = Table("stages", "", columns, [*cost.stages, total])
    if form == "csv":
        return as_csv(table).rstrip("\n")
    heading = (
        f"{described.title}: {count(described.in_channels, 'channel')}, {described.num_classes} classes, "
        f"images of {by(*described.size)} pixels (height x width)"
    )
    facts = {
        "parameters": f"{cost.parameters:,}",
        "MACs": f"{giga(cost.macs)} G ({MACS})",
        "activation memory": f"{mebi(cost.activation_bytes)} MiB ({ACTIVATIONS})",
        "smallest image": f"{by(described.min_size, described.min_size)} pixels" if described.min_size else "-",
        "receptive field": field_of(described.field),
    }
    if described.facts:
        known = {"paper": described.facts.paper, "released code": described.facts.code}
        facts |= {name: text for name, text in known.items() if text}
    line, written = ("- {}: {}", as_markdown) if form == "markdown" else ("{:<19}{}", as_text)
    return "\n".join([heading, "", *(line.format(name, fact) for name, fact in facts.items()), "", written(table)])


def constants(**values: Any) -> list[Column[Any]]:
    """Return columns that CSV alone has, of one value each."""
    return [Column(key, value=partial(lambda value, _: value, value)) for key, value in values.items()]


def write_sizes(measured: Sequence[Measured], size: tuple[int, int], form: str) -> str:
    """Write the size table of the papers."""
    parameters = {row.size.name: row.cost.parameters for row in measured}

    def counted(row: Measured) -> tuple[str, ...]:
        return tuple(
            count_claim(text, row.cost.parameters, parameters.get(of or "")) for text, of in row.claims.items()
        )

    columns: Sequence[Column[Measured]] = (
        Column("network", "network", lambda m: m.size.name),
        Column("model", "model=", lambda m: m.size.model),
        Column("in_channels", "channels", lambda m: m.in_channels, number=True),
        Column("num_classes", "classes", lambda m: m.num_classes, number=True),
        Column("parameters", "parameters", lambda m: m.cost.parameters, "{:,}".format, number=True),
        Column("macs", "MACs (G)", lambda m: m.cost.macs, giga, number=True),
        Column("activation_bytes", "activations (MiB)", lambda m: m.cost.activation_bytes, mebi, number=True),
        Column("claimed", "parameters, as claimed", lambda m: tuple(m.claims)),
        Column("counted", "counted", counted),
        *constants(height=size[0], width=size[1]),
    )
    table = Table("sizes", "", columns, measured)
    if form == "csv":
        return as_csv(table).rstrip("\n")
    heading = [f"images of {by(*size)} pixels (height x width)", f"MACs: {MACS}", f"activations: {ACTIVATIONS}"]
    return "\n".join(
        ["; ".join(heading), "", as_markdown(table)] if form == "markdown" else [*heading, "", as_text(table)]
    )


def count_claim(text: str, parameters: int, others: int | None) -> str:
    """Count what a paper claims of a network's parameters: `60 % of U-Net`, `20 % fewer than it`, `3 times fewer`.

    `others`: the parameters of the network that it is compared with; None where that is not public or not here.
    """
    if others is None:
        return "unknown: the other network is not public"
    if "times fewer" in text:
        return f"{others / parameters:.1f} times fewer"
    share = 100 * parameters / others
    return f"{100 - share:.1f} % fewer" if "fewer" in text else f"{share:.1f} %"


def field_of(field: tuple[int | None, int | None] | None) -> str:
    """Write a receptive field; a dash if it is not known."""
    if field is None:
        return "-"
    return "whole image" if field == (None, None) else f"{by(*(side or 'all' for side in field))} pixels"


def by(*sides: object) -> str:
    """Write sizes as 32 x 256 x 256."""
    return " x ".join(map(str, sides))


def percent(part: int, whole: int) -> float:
    """Return what share of the whole a part is, in percent."""
    return round(100 * part / whole, 2) if whole else 0.0


def giga(number: int) -> str:
    """Write a number in units of 10^9."""
    return f"{number / 1e9:,.3f}"


def mebi(number: int) -> str:
    """Write bytes in units of 2^20."""
    return f"{number / 2**20:,.1f}"
