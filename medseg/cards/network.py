"""What is known of a network by its name: read from the file that defines it, without importing it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from importlib import resources

PACKAGE = "medseg.models"


@dataclass(frozen=True)
class Network:
    """A network.

    Args:
        name: of the class.
        about: one sentence; empty for a class that is not medseg's own.
        citation: of the paper or the library; None where there is none, or none is known.
    """

    name: str
    about: str = ""
    citation: str | None = None


def find_network(target: str) -> Network:
    """Tell what `_target_` of a model configuration names."""
    name = target.rpartition(".")[2]
    file = file_of(target)
    if file is None:
        return Network(name)
    docstring = ast.get_docstring(ast.parse(file)) or ""
    first, *paragraphs = [" ".join(paragraph.split()) for paragraph in docstring.split("\n\n")]
    about = first.partition(": ")[2] or first
    return Network(name, about[:1].upper() + about[1:], find_citation(paragraphs[0]) if paragraphs else None)


def file_of(target: str) -> str | None:
    """Return the text of the file that defines one of medseg's own networks; None for any other."""
    package, _, name = target.rpartition(".")
    if package != PACKAGE:
        return None
    folder = resources.files("medseg").joinpath("models")  # not of the package itself, which would import torch
    for node in ast.parse(folder.joinpath("__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]:
            file = (node.module or "").removeprefix(f"{PACKAGE}.")
            return folder.joinpath(f"{file}.py").read_text(encoding="utf-8")
    return None


def find_citation(paragraph: str) -> str | None:
    """Return what a paragraph cites at its beginning: up to the DOI or arXiv number, the year, or the first sentence.

    None where it says that there is no paper.
    """
    if paragraph.startswith("Not from a paper"):
        return None
    for end in (r"\((?:doi|arXiv)[^)]*\)", r"\b(?:19|20)\d\d\b", r"(?=\.\s[A-Z])"):
        found = re.match(rf".*?{end}", paragraph)
        if found:
            return found[0]
    return paragraph
