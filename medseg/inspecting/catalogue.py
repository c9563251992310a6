"""The table of the datasets: what each holds, under which licence, and where it is published."""

from __future__ import annotations

from dataclasses import dataclass

from omegaconf import OmegaConf

from medseg.config import yaml_files
from medseg.data import datasets
from medseg.data.datasets.base import Dataset
from medseg.data.datasets.medsegbench import MedSegBench, table
from medseg.reporting.render.csv import as_csv
from medseg.reporting.render.markdown import as_markdown
from medseg.reporting.render.table import Column, Table
from medseg.reporting.render.text import as_text


@dataclass(frozen=True)
class Entry:
    """A dataset that can be chosen; `choice` is what follows `data=`. What is not known is None."""

    choice: str
    title: str
    images: str | None
    classes: str | None
    native_size: str | None
    licence: str | None
    published: str | None
    archives: str | None


def catalogue() -> list[Entry]:
    """List the datasets in the order of their names, those of MedSegBench last; no file of theirs is looked at."""
    entries, bench = [], []
    for option in yaml_files.options("data"):
        target = OmegaConf.load(yaml_files.config_dir() / "data" / f"{option}.yaml").dataset._target_
        dataset: type[Dataset] = getattr(datasets, target.rpartition(".")[2])
        if dataset is MedSegBench:
            bench += [entry_of(f"{option} data.dataset.name={name}", MedSegBench(name)) for name in table()]
        else:
            entries.append(entry_of(option, dataset))
    return entries + bench


def entry_of(choice: str, dataset: Dataset | type[Dataset]) -> Entry:
    """Take a dataset's facts from its class."""
    files = [archive.file for archive in dataset.archives if archive.required]
    addresses = [archive.url for archive in dataset.archives if archive.url]
    size = "128, 256 or 512" if isinstance(dataset, MedSegBench) else dataset.native_size
    return Entry(
        choice=choice,
        title=dataset.title,
        images=dataset.images or None,
        classes=", ".join(dataset.classes) or None,
        native_size=size or None,
        licence=dataset.licence or None,
        published=dataset.home or next(iter(addresses), None),
        archives=", ".join(files) or None,
    )


def write_catalogue(form: str) -> str:
    """Write the datasets as `table` for a terminal, `markdown` or `csv`."""
    columns: tuple[Column[Entry], ...] = (
        Column("choice", "data="),
        Column("title", "dataset"),
        Column("images", "images"),
        Column("classes", "classes", show=shortened),
        Column("native_size", "width x height"),
        Column("licence", "licence"),
        Column("published", "published at"),
        Column("archives"),
    )
    written = Table("datasets", "", columns, catalogue())
    if form == "csv":
        return as_csv(written).rstrip("\n")
    return as_markdown(written).rstrip("\n") if form == "markdown" else as_text(written)


def shortened(classes: str) -> str:
    """Names of up to four classes, else their number."""
    names = classes.split(", ")
    return classes if len(names) <= 4 else f"{len(names)} classes"
