"""The sections of the page that show images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from medseg.data.datasets.layout import percent
from medseg.inspecting.facts import Facts
from medseg.inspecting.pictures import figure
from medseg.inspecting.samples import Draw

LONGEST_ID = 26


def chosen_samples(facts: Facts, samples: Sequence[int], extremes: Mapping[str, Sequence[int]]) -> str:
    """Show images spread over the data, then the most extreme ones."""
    spread = "The only image" if len(samples) == 1 else f"All {len(samples)} images"
    if len(samples) < len(facts.rows):
        spread = f"{len(samples)} of {len(facts.rows)} images, at equal distances in the order of their ids"
    size = facts.prepared.image_size
    prepared = (
        f"as prepared: {size[0]} x {size[1]} pixels, whatever their shape was" if size else "at their native size"
    )
    intro = f"{spread}, {prepared}. Under each its split and part of foreground."
    if facts.prepared.in_channels not in (1, 3):
        shown = "first three are" if facts.prepared.in_channels > 3 else "first is"
        intro += f" Of the {facts.prepared.in_channels} channels the {shown} shown."
    groups = []
    for kind, positions in extremes.items():
        many = f" ({len(positions)} of {len(facts.empty)})" if kind == "empty masks" else ""
        title = escape(kind[:1].upper() + kind[1:])
        groups.append(f'<div><h3>{title}{many}</h3><div class="shots">{images(facts, positions)}</div></div>')
    return (
        f'<p class="notes">{intro}</p><div class="shots">{images(facts, samples)}</div>'
        f'<div class="extremes">{"".join(groups)}</div>'
    )


def images(facts: Facts, positions: Sequence[int]) -> str:
    """Show some images with their ids, splits and parts of foreground."""
    shown = []
    for position in positions:
        row = facts.rows[position]
        share = percent(row.foreground)
        caption = f"{id_in_short(row.id)}<br>{escape(facts.parts[position])}, {share}"
        pixels = facts.prepared.images[position], facts.prepared.masks[position]
        shown.append(figure(*pixels, caption, f"{row.id}, {share} foreground"))
    return "".join(shown)


def augmented(facts: Facts, draws: Mapping[int, Sequence[Draw]], recipe: Sequence[str]) -> str:
    """Show images as they are and as the first epochs of training see them."""
    if not draws:
        return "<p>The training split has no images.</p>"
    steps = "".join(f"<li>{escape(step)}</li>" for step in recipe)
    does = f"<ol class='recipe'>{steps}</ol>" if steps else "<p>Nothing is changed: images are seen as they are.</p>"
    parts = [
        '<p class="notes">Beside each image what training sees of it in its first epochs, drawn with its seeds; '
        "shown before the normalisation, which the section on intensities gives. Hatched: outside of the image, or "
        f"ignored in the data; left out of the loss.</p>{does}"
    ]
    for position, seen in draws.items():
        shown = []
        for draw in seen:
            when = f"epoch {draw.epoch}" if draw.epoch else "as it is"
            shown.append(figure(draw.image, draw.mask, when, f"{facts.rows[position].id}, {when}"))
        id_ = id_in_short(facts.rows[position].id)
        parts.append(f'<h3 class="image">{id_}</h3><div class="shots">{"".join(shown)}</div>')
    return "".join(parts)


def id_in_short(id_: str) -> str:
    """Write an id, shortened; all of it appears under the mouse."""
    if len(id_) <= LONGEST_ID:
        return f"<code>{escape(id_)}</code>"
    return f'<code title="{escape(id_)}">{escape(id_[: LONGEST_ID - 1])}…</code>'
