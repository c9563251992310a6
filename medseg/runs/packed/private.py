"""What names a machine and its user is taken out of the files of a run: absolute paths, host, accounts of loggers.

A path below `data_dir`, `runs_dir` or `data.root` keeps their last part and what follows it (`data/prepared/...`); of
any other its last part is left. Two runs that had different folders of images stay different.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import UserError
from medseg.runs.folder import UNPACKED
from medseg.system.files import damaged, parse_yaml

PATH = re.compile(r"(?<![\w.~/}-])(?:file://)?(?:~[\w.-]*)?/(?!/)[^\s'\",;:()\[\]{}<>|]*")
"""An absolute path in a text; the address of a page is none."""

WORD = re.compile(r"([+~]*[\w./@-]+=)((?:file://)?(?:~[\w.-]*)?/(?!/).*)", re.DOTALL)
"""A word of a command line whose value is an absolute path, blanks and all."""

WHOLE = re.compile(r"(?:file://)?(?:~[\w.-]*)?/(?!/).*", re.DOTALL)
"""A text that is an absolute path."""

OF_A_LOGGER = re.compile(r"[+~]*(logger\.|hydra[./])")
"""Start of a word that may name an account, a server or a cluster."""

RUN = re.compile(r".-seed\d+$")
"""End of the name of a run folder, which tells what a run began with."""

OF_THE_PROCESS = ("host", "pid")
"""Entries of `status.json`."""


@dataclass(frozen=True)
class Paths:
    """Shortens paths.

    Args:
        roots: folder -> what it is called instead; the longest that a path lies below counts.
    """

    roots: Mapping[str, str]

    @classmethod
    def of(cls, configurations: Iterable[Mapping[str, Any]]) -> Paths:
        """Return what shortens the paths of some runs, alike for all: two of the user's own folders stay two."""
        own: set[str] = set()
        common: set[str] = set()
        for config in configurations:
            data = config.get("data") or {}
            own |= {path for path in (data.get("root"),) if isinstance(path, str)}
            common |= {path for path in map(config.get, ("data_dir", "runs_dir")) if isinstance(path, str)}
        roots = {path: last_part(path) for path in common}
        taken: list[str] = []
        for path in sorted(own):
            taken.append(last_part(path))
            count = taken.count(taken[-1])
            roots[path] = taken[-1] if count == 1 else f"{taken[-1]}-{count}"
        return cls({path.rstrip("/"): name for path, name in roots.items() if name})

    def shorten(self, path: str) -> str:
        """Return what is left of an absolute path."""
        path = path.removeprefix("file://")
        for root in sorted(self.roots, key=len, reverse=True):
            if path == root or path.startswith(f"{root}/"):
                return self.roots[root] + path[len(root) :]
            _, within, rest = path.rpartition(f"/{root.removeprefix('~/')}/")
            if within and not root.startswith("/"):
                return f"{self.roots[root]}/{rest}"
        parts = [part for part in path.split("/") if part and not part.startswith("~")]
        first = next((n for n, part in enumerate(parts) if RUN.search(part)), len(parts) - 1)
        return "/".join(parts[first:]) or "/"

    def in_text(self, text: str) -> str:
        """Return a text with its absolute paths shortened."""
        if "/" not in text:
            return text
        if WHOLE.fullmatch(text):
            return self.shorten(text)
        word = WORD.fullmatch(text)
        if word:
            return word[1] + self.shorten(word[2])
        return PATH.sub(lambda match: self.shorten(match[0]), text)

    def in_value(self, value: Any) -> Any:
        """Return a value of a JSON or YAML file with the paths in its texts shortened, without words of loggers."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, list):
            return [self.in_value(entry) for entry in value if not is_of_a_logger(entry)]
        return {key: self.in_value(of) for key, of in value.items()} if isinstance(value, dict) else value


def last_part(path: str) -> str:
    """Return the last part of a path; empty for the root and a home folder."""
    return next((part for part in reversed(path.split("/")) if part and part not in ("~", ".", "..")), "")


def is_of_a_logger(value: Any) -> bool:
    """Tell whether an entry of a list is a word that sets an option of a logger or of Hydra."""
    return isinstance(value, str) and "=" in value and OF_A_LOGGER.match(value) is not None


def without_private(file: Path, content: bytes, paths: Paths) -> bytes:
    """Return the content of a file of a run without what names the machine or its user.

    Raises `UserError` where it is damaged.
    """
    if file.suffix not in (".json", ".yaml"):
        return content
    try:
        text = content.decode()
        value = json.loads(text) if file.suffix == ".json" else parse_yaml(text)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise damaged(file, error) from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: damaged ({type(value).__name__} instead of keys with values)")
    public = paths.in_value(value)
    if file.name == "status.json":
        public = {key: of for key, of in public.items() if key not in OF_THE_PROCESS} | {UNPACKED: True}
    if file.name == "config.yaml" and public.get("logger"):
        public["logger"] = {}
    if public == value:
        return content
    if file.suffix == ".json":
        return (json.dumps(public, indent=2) + "\n").encode()
    return yaml.safe_dump(public, sort_keys=False, allow_unicode=True).encode()
