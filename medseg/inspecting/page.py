"""The page: the facts in words, tables, charts and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from medseg.errors import count
from medseg.inspecting import pictures
from medseg.inspecting.facts import Facts
from medseg.inspecting.image_sections import augmented, chosen_samples
from medseg.inspecting.samples import Draw
from medseg.inspecting.sections import at_a_glance, fingerprint, foreground, intensities, problems, sizes, splits
from medseg.pages import make_page, read_asset


def write_page(
    facts: Facts,
    split: str,
    samples: Sequence[int],
    extremes: Mapping[str, Sequence[int]],
    draws: Mapping[int, Sequence[Draw]],
    recipe: Sequence[str],
) -> str:
    """Write the page.

    Args:
        facts: of the dataset.
        split: name of the split that is inspected.
        samples: positions of the images to show.
        extremes: positions of the most extreme images of each kind.
        draws: position -> the image as it is, then what the first epochs see of it.
        recipe: what augmentation does, step by step.
    """
    content = {
        "samples": ("Samples", chosen_samples(facts, samples, extremes)),
        "problems": ("Problems found", problems(facts)),
        "augmented": ("As training sees them", augmented(facts, draws, recipe)),
        "sizes": ("Sizes of the originals", sizes(facts)),
        "foreground": ("Foreground", foreground(facts)),
        "splits": ("Balance of the splits", splits(facts, split)),
        "intensities": ("Intensities and colours", intensities(facts)),
        "fingerprint": ("Fingerprint", fingerprint(facts)),
    }
    links = "".join(f'<a href="#{id_}">{title}</a>' for id_, (title, _) in content.items())
    sections = "".join(
        f'<section id="{id_}"><h2>{title}</h2>{html}</section>' for id_, (title, html) in content.items()
    )
    title = facts.title
    body = (
        f"<h1>{escape(title)}</h1>{at_a_glance(facts, split)}"
        f'<nav class="contents" aria-label="contents">{links}</nav>'
        f"{pictures.legend(facts.prepared.class_names)}{sections}"
    )
    size = facts.prepared.image_size or (pictures.LARGE, pictures.LARGE)
    outlines = pictures.styles(facts.prepared.num_classes, size)
    styles = [outlines, read_asset("medseg.inspecting", "inspect.css")]
    scripts = [read_asset("medseg.pages", "tables.js"), read_asset("medseg.inspecting", "inspect.js")]
    found = f"{count(len(facts.problems) + len(facts.duplicates), 'problem')} found"
    about = f"{title}: {count(len(facts.rows), 'image')}, {found}; samples, sizes, foreground, splits and intensities."
    return make_page(f"Inspection of {title}", body, description=about, styles=styles, scripts=scripts)
