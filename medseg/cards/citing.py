"""How to cite medseg: from CITATION.cff."""

from __future__ import annotations

from typing import Any

import yaml

import medseg
from medseg.config import yaml_files


def read_citation() -> dict[str, Any]:
    """Read CITATION.cff, which lies beside `conf/`; without it, what the package itself knows."""
    file = yaml_files.config_root() / "CITATION.cff"
    if not file.exists():
        return {"title": "medseg", "version": medseg.__version__, "authors": []}
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def as_bibtex(citation: dict[str, Any]) -> str:
    """Write the citation of a piece of software for BibTeX."""
    authors = " and ".join(name_of(author) for author in citation["authors"])
    fields = {
        "title": f"{{{citation['title']}}}",
        "author": authors,
        "version": str(citation["version"]),
        "year": str(citation.get("date-released", ""))[:4],
        "doi": citation.get("doi", ""),
        "url": citation.get("repository-code", ""),
    }
    lines = [f"  {key} = {{{value}}}," for key, value in fields.items() if value]
    return "\n".join(["@software{medseg,", *lines, "}"])


def name_of(author: dict[str, str]) -> str:
    """Write an author: a person, or a group under its name."""
    if "name" in author:
        return f"{{{author['name']}}}"
    return f"{author['family-names']}, {author.get('given-names', '')}".rstrip(", ")
