"""The report as a whole: what it is made of, its sections in their order, and how they become files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medseg.errors import UserError
from medseg.reporting.ablation import find_ablations
from medseg.reporting.claims.judging import judge_studies
from medseg.reporting.comparison import Comparison, measures_of, score_runs, with_verdicts
from medseg.reporting.contents import Contents, Section, sections
from medseg.reporting.convention import of_one_tolerance, tests_under
from medseg.reporting.costs import Size
from medseg.reporting.drops import check_drops
from medseg.reporting.figures import FIGURES, OVERVIEW, Drawing, draw
from medseg.reporting.file_names import file_names
from medseg.reporting.names import read_names
from medseg.reporting.published import find_published, published_files, read_published
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.html import as_html as table_html
from medseg.reporting.render.html import plain
from medseg.reporting.render.latex import as_latex
from medseg.reporting.render.markdown import as_markdown, escape_line, escape_markdown
from medseg.reporting.render.table import one_line
from medseg.reporting.render.text import as_text
from medseg.reporting.subgroups import find_subgroups
from medseg.reporting.tables.external import external_table
from medseg.reporting.tables.runs import unfinished_table
from medseg.reporting.tables.scores import comparison_table
from medseg.reporting.tuning import without_earlier_choices
from medseg.reporting.wanted import Wanted
from medseg.runs.reading import RunTree
from medseg.runs.run import Run
from medseg.system.files import replacing_text

IMAGES = 60
"""Most test images of a dataset in the HTML page."""


@dataclass(frozen=True)
class Report(Contents):
    """A report that is displayed in a terminal and in a notebook, and written in every format."""

    def __str__(self) -> str:
        """What was compared, the comparison, what is lost on other data, and the verdicts, for a terminal."""
        external = external_table(self.comparison)
        lines = [self.opening, *self.notes, "", as_text(comparison_table(self.comparison))]
        lines += ["", external.title, as_text(external)] if external.records else []
        return "\n".join([*lines, "", *map(one_line, self.sentences)])

    @property
    def sentences(self) -> list[str]:
        """The sentences on the datasets and on claims, as plain text."""
        return [*(one.text for one in self.conclusions), *self.on_claims]

    def _repr_html_(self) -> str:
        """The same for a notebook."""
        lines = [self.opening, *self.notes, *self.sentences]
        return "".join(f"<p>{plain(line)}</p>" for line in lines) + table_html(comparison_table(self.comparison))

    def write(
        self, folder: str | Path, form: str = "all", *, images: int = IMAGES, figures: bool | Drawing = True
    ) -> dict[str, Path]:
        """Write the report; return what was written where, each file whole or not at all.

        Args:
            folder: where; it is made when needed.
            form: markdown, latex, csv, html or all.
            images: most test images of a dataset in the HTML page; 0 leaves all pictures out.
            figures: whether figures are drawn; the page draws its figures itself. Or the process that draws the scores
                already.
        """
        folder, drawn = Path(folder), Section("Figures")
        start: tuple[str, ...] = ()
        parts = sections(self)
        tables = [table for section in parts for table in section.tables]
        written = {}
        if isinstance(figures, Drawing):
            figures.add_verdicts(self.comparison, folder / FIGURES)
        if form in ("markdown", "all"):
            written["Markdown"] = folder / "report.md"
        if form in ("latex", "all"):
            written["LaTeX"] = folder / "latex"
            for name, table in zip(file_names(table.name for table in tables), tables, strict=True):
                write(written["LaTeX"] / f"{name}.tex", f"{as_latex(table, name)}\n")
        if form in ("csv", "all"):
            written["CSV"] = folder / "csv"
            tables.append(unfinished_table(self.runs, self.comparison))  # also where all runs are finished
            for name, table in {table.csv or table.name: table for table in tables}.items():
                write(written["CSV"] / f"{name}.csv", as_csv(table))
        if form in ("html", "all"):
            from medseg.reporting.page.document import as_html  # not above: the other formats need none of it

            written["HTML"] = folder / "report.html"
            write(written["HTML"], as_html(self, parts, images))
        if figures and form != "html":  # last: the figures may take longest
            files = figures.files() if isinstance(figures, Drawing) else draw(self.comparison, folder / FIGURES)
            start = pictures([file for file in files if file.stem == OVERVIEW])
            drawn = Section("Figures", paragraphs=pictures([file for file in files if file.stem != OVERVIEW]))
            written |= {"figures": folder / FIGURES} if files else {}
        if "Markdown" in written:
            write(written["Markdown"], as_page(self, [*parts, *([drawn] if drawn.paragraphs else [])], start))
        return written


def compare(
    runs: Iterable[Run],
    score: str | None = None,
    convention: str = "per_image",
    names: str | Path | Mapping[str, Any] | None = None,
    size: Size | None = None,
    *,
    subgroups: str | Sequence[str] | None = None,
    sizes: Sequence[float] | None = None,
    scored: Callable[[Comparison], object] | None = None,
) -> Report:
    """Compare runs, as `medseg report` does.

    Args:
        runs: such as those of `medseg.runs.reading.read_runs`, in whatever state.
        score: dice, iou, precision, recall, specificity, hd95, assd, an optional one that was measured or a custom one;
            None for the first of the convention.
        convention: per_image, pooled, mean_iou_with_background, mean_dice_with_background or accuracy; prepared_size
            for the mean over images of scores at the size that the data were prepared at, as older papers have them.
        names: printed names: a YAML file, or a mapping such as `{"unet": "U-Net"}`; None for `names.yaml` beside the
            runs, if any.
        size: (height, width) of the benchmarks to show, pixels; None for that of the runs.
        subgroups: what to divide the test images by: `size` of the target, what the runs know of their images, such as
            `type`, `FILE.csv:COLUMN` of a table; or several of these. None for the size and what there is.
        sizes: bounds of the sizes, parts of the image between 0 and 1; None for thirds.
        scored: called with the scores before the verdicts are made, which take longer.

    Raises `ConfigError` for what cannot be chosen, `UserError` where no run is finished or has the score.
    """
    tree = (runs if isinstance(runs, RunTree) else RunTree(list(runs))).checked()
    kept, replaced = without_earlier_choices(tree.runs)
    tree.runs, tree.copies = kept, [*tree.copies, *replaced]
    wanted = Wanted.read(subgroups, sizes)
    folders = dict.fromkeys([*tree.folders, *(run.folder.parent for run in tree)])
    printed = read_names(names, list(folders))
    tests = of_one_tolerance(tests_under(tree, convention))
    tested = [run for run in (*tests.runs, *(view for _, view in tests.evaluated)) if run.finished]
    measure = measures_of(tested).choose(score, tests.convention)
    if not tested:
        states = [run.state for run in tree]
        counted = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
        untested = "; of a run without a test split: medseg evaluate RUN split=val" if "trained" in states else ""
        raise UserError(
            f"{', '.join(map(str, tree.folders or folders))}: nothing is finished yet ({counted}){untested}"
        )
    if measure.convention == "per_image" and not any(measure.score in run.per_image.scores for run in tested):
        raise UserError(f"no run has a score {measure.title}; choose another with score=...")
    comparison = score_runs(tests.runs, measure, size, printed, tests.evaluated, tests.at)
    if scored is not None:
        scored(comparison)
    notes = [*tests.notes, *check_drops(comparison)]
    return report_of(tests.runs, with_verdicts(comparison), notes, wanted)


def report_of(
    runs: Sequence[Run], comparison: Comparison, notes: Sequence[str] = (), wanted: Wanted | None = None
) -> Report:
    """Return all that follows from a comparison of runs; `wanted`: what the test images are divided by."""
    return Report(
        runs=runs,
        comparison=comparison,
        ablations=find_ablations(comparison),
        published=find_published(comparison, read_published(published_files())),
        judged=judge_studies(comparison),
        subgroups=find_subgroups(comparison, wanted),
        notes=notes,
    )


def pictures(files: Sequence[Path]) -> tuple[str, ...]:
    """Show each figure, with links to its files for print."""
    paragraphs = []
    for file in (file for file in files if file.suffix == ".png"):
        path = quote(f"{FIGURES}/{file.stem}")
        others = [other.suffix for other in files if other.stem == file.stem and other != file]
        links = ", ".join(f"[{suffix[1:].upper()}]({path}{suffix})" for suffix in others)
        title = escape_markdown(file.stem.replace("_", " "))
        paragraphs.append(f"![{title}]({path}.png)" + (f"\n\n{links}" if links else ""))
    return tuple(paragraphs)


def as_page(report: Report, parts: Sequence[Section], start: Sequence[str] = ()) -> str:
    """Write the Markdown page; `start`: the picture before the verdicts, in Markdown."""
    lines = [f"# {escape_line(report.title)}", "", escape_line(report.opening)]
    lines += ["", *(f"- {escape_line(note)}" for note in report.notes)] if report.notes else []
    for picture in start:
        lines += ["", picture]
    lines += ["", *(f"- {escape_line(sentence)}" for sentence in report.sentences)]
    for section in parts:
        lines += ["", f"## {section.title}"]
        for sentence in section.lead:
            lines += ["", escape_line(sentence)]
        for table in section.tables:
            if len(section.tables) > 1 or table.title != section.title:
                lines += ["", f"### {escape_line(table.title)}"]
            lines += ["", as_markdown(table)]
        for paragraph in section.paragraphs:
            lines += ["", paragraph]
    return "\n".join([*lines, ""])


def write(file: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    with replacing_text(file) as stream:
        stream.write(text)
