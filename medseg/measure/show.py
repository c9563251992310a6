"""What was measured of networks, written for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medseg.measure.cost import Cost
from medseg.measure.papers import Row
from medseg.tables import Column, write_table

MACS = "multiply-accumulates of convolutions and matrix products for one image; FLOPs are twice as many"
ACTIVATIONS = "kept for the backward pass of one image in float32, parameters left out"


@dataclass(frozen=True)
class Description:
    """What is known of one network.

    Args:
        title: its class, and how it was asked for.
        in_channels, num_classes, size: what it was measured with; (height, width) in pixels.
        cost: see `measure_cost`.
        min_size: smallest height and width that it takes, in pixels; None if it does not say.
        field: what `receptive_field` returned; None if it could not be measured.
    """

    title: str
    in_channels: int
    num_classes: int
    size: tuple[int, int]
    cost: Cost
    min_size: int | None
    field: tuple[int | None, int | None] | None


def write_description(described: Description, form: str) -> str:
    """Write one network in one of `medseg.tables.FORMATS`.

    In CSV the last row, `total`, is the network; the rows that are not inside another one add up to it. A receptive
    field of the whole image is `all` there.
    """
    cost = described.cost
    columns = [
        Column("stage", "stage"),
        Column("inside"),
        Column("output", "output"),
        Column("parameters", "parameters", thousands, number=True),
        Column("parameters_percent", "%", tenths, number=True),
        Column("macs", "MACs (G)", giga, number=True),
        Column("macs_percent", "%", tenths, number=True),
        Column("activation_bytes", "activations (MiB)", mebi, number=True),
        *map(Column, ("min_size", "field_height", "field_width", "in_channels", "num_classes", "height", "width")),
    ]
    measured = [described.in_channels, described.num_classes, *described.size]
    rows = [
        [
            stage.name,
            stage.inside,
            stage.output and by(*stage.output),
            stage.parameters,
            percent(stage.parameters, cost.parameters),
            stage.macs,
            percent(stage.macs, cost.macs),
            stage.activation_bytes,
            None,
            None,
            None,
            *measured,
        ]
        for stage in cost.stages
    ]
    total = [cost.parameters, 100.0, cost.macs, 100.0, cost.activation_bytes]
    field = [side or "all" for side in described.field] if described.field else [None, None]
    rows.append(["total", "", None, *total, described.min_size, *field, *measured])
    table = write_table(columns, rows, form)
    if form == "csv":
        return table
    heading = (
        f"{described.title}: {described.in_channels} channels, {described.num_classes} classes, "
        f"images of {by(*described.size)} pixels (height x width)"
    )
    facts = {
        "parameters": thousands(cost.parameters),
        "MACs": f"{giga(cost.macs)} G ({MACS})",
        "activation memory": f"{mebi(cost.activation_bytes)} MiB ({ACTIVATIONS})",
        "smallest image": f"{by(described.min_size, described.min_size)} pixels" if described.min_size else "-",
        "receptive field": field_of(described.field),
    }
    if form == "markdown":
        return "\n".join([heading, "", *(f"- {name}: {fact}" for name, fact in facts.items()), "", table])
    return "\n".join([heading, "", *(f"{name:<19}{fact}" for name, fact in facts.items()), "", table])


def write_sizes(measured: Sequence[tuple[Row, int, int, Cost]], size: tuple[int, int], form: str) -> str:
    """Write the size table of the papers: its rows, each with its numbers of channels and classes, and its cost."""
    columns = [
        Column("network", "network"),
        Column("model", "model="),
        Column("in_channels", "channels", number=True),
        Column("num_classes", "classes", number=True),
        Column("parameters", "parameters", thousands, number=True),
        Column("macs", "MACs (G)", giga, number=True),
        Column("activation_bytes", "activations (MiB)", mebi, number=True),
        Column("claimed", "parameters, as claimed"),
        Column("counted", "counted"),
        *map(Column, ("height", "width")),
    ]
    parameters = {row.name: cost.parameters for row, _, _, cost in measured}
    rows = [
        [
            row.name,
            row.overrides,
            in_channels,
            num_classes,
            cost.parameters,
            cost.macs,
            cost.activation_bytes,
            tuple(claim.says for claim in row.claims),
            tuple(claim.count(cost.parameters, parameters) for claim in row.claims),
            *size,
        ]
        for row, in_channels, num_classes, cost in measured
    ]
    table = write_table(columns, rows, form)
    if form == "csv":
        return table
    heading = [f"images of {by(*size)} pixels (height x width)", f"MACs: {MACS}", f"activations: {ACTIVATIONS}"]
    return "\n".join([*(["; ".join(heading)] if form == "markdown" else heading), "", table])


def field_of(field: tuple[int | None, int | None] | None) -> str:
    """Write a receptive field; a dash if it is not known."""
    if field is None:
        return "-"
    return "whole image" if field == (None, None) else f"{by(*(side or 'all' for side in field))} pixels"


def by(*sides: object) -> str:
    """Write sizes as 32 x 256 x 256."""
    return " x ".join(map(str, sides))


def thousands(number: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{number:,}"


def percent(part: int, whole: int) -> float:
    """Return what share of the whole a part is, in percent."""
    return round(100 * part / whole, 2) if whole else 0.0


def tenths(number: float) -> str:
    """Write 12.34 as 12.3."""
    return f"{number:.1f}"


def giga(number: int) -> str:
    """Write a number in units of 10^9."""
    return f"{number / 1e9:,.3f}"


def mebi(number: int) -> str:
    """Write bytes in units of 2^20."""
    return f"{number / 2**20:,.1f}"
