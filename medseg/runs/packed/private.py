"""What names a machine and its user is taken out of the files of a run: absolute paths, host, accounts.

A path below `data_dir`, `runs_dir` or `data.root` keeps their last part and what follows it (`data/prepared/...`); of
any other its last part is left. Two different paths stay different: the second `best.pt` of a file is `best-2.pt`.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import UserError
from medseg.runs.folder import UNPACKED
from medseg.system.files import damaged, parse_yaml

START = r"(?:(?:file://)?(?:~[\w.-]*)?/(?!/)|(?:file:)?//(?=[\w.-]+/)|\\\\(?=[\w.$\\-]+\\)|[A-Za-z]:\\|[A-Z]:/)"
"""Of an absolute path: /home, ~/, file:///home, //server/share, \\\\server\\share, C:\\Users, C:/Users."""

PART = r"[^\s'\",;:()\[\]{}<>|`]*"
REST = rf"{PART}(?:(?<![/\\])(?: [\w.&+-]+){{1,3}}[/\\](?=\S){PART})*"

PATH = re.compile(
    rf"(?P<quote>['\"`])(?P<quoted>{START}(?:(?!(?P=quote)).)*)(?P=quote)"
    rf"|(?<![\w.~/}}\\:-]){START}{REST}"
    rf"|(?<=:)(?!//){START}{REST}"
)
"""An absolute path in a text; the address of a page is none. It ends at its quote, else at a blank that no further
folder follows within three words."""

WORD = re.compile(rf"([+~]*[\w./@-]+=)({START}.*)", re.DOTALL)
"""A word of a command line whose value is an absolute path, blanks and all."""

WHOLE = re.compile(rf"{START}.*", re.DOTALL)
"""A text that is an absolute path."""

ACCOUNT = re.compile(r"([A-Za-z][\w+.-]*://)[^/\s'\"]*@")
"""User and password in the address of a page."""

HOME = re.compile(r"(?:/mnt/\w|/export)?/(?:home|Users)/[^/]+")
"""A home folder, whose last part is a user."""

OF_A_LOGGER = re.compile(r"[+~]*(logger\.|hydra[./])")
"""Start of a word that may name an account, a server or a cluster."""

RUN = re.compile(r".-seed\d+$")
"""End of the name of a run folder, which tells what a run began with."""

OF_THE_PROCESS = ("host", "pid")
"""Entries of `status.json`."""

ANY_NUMBER = "\ue000"
"""Stands for the number of a path, or none, where it is not known which others were packed with it."""


@dataclass(frozen=True)
class Paths:
    """Shortens paths.

    Args:
        roots: folder -> what it is called instead; the longest that a path lies below counts.
        names: path below none of them -> what it is called instead of its last part.
        number: of paths that are in neither; `ANY_NUMBER` or nothing.
    """

    roots: Mapping[str, str]
    names: Mapping[str, str] = field(default_factory=dict)
    number: str = ""

    @classmethod
    def of(cls, configurations: Iterable[Mapping[str, Any]], values: Iterable[Any] = (), number: str = "") -> Paths:
        """Return what shortens the paths of some runs, alike for all: two different paths of the user stay different.

        Args:
            configurations: of the runs.
            values: contents of all files that are packed.
            number: as above, then also of the folders of `data.root`.
        """
        own: set[str] = set()
        common: set[str] = set()
        configurations = list(configurations)
        for config in configurations:
            data = config.get("data") or {}
            own |= {canonical(path) for path in (data.get("root"),) if isinstance(path, str)}
            common |= {canonical(path) for path in map(config.get, ("data_dir", "runs_dir")) if isinstance(path, str)}
        used = Used()
        for value in [*configurations, *values]:
            used.add(value)
        roots = {path: last_part(path) for path in common}
        taken: set[str] = set()
        for path in sorted(own):
            # What is relative stays as it is.
            named = last_part(path)
            roots[path] = numbered(named, number) if number or path[0:1] not in "/~" else used.free(path, named, taken)
        known = cls({path.rstrip("/"): name for path, name in roots.items() if name}, number=number)
        others = sorted(path for path in used.absolute if not number and known.below_root(path) is None)
        return cls(known.roots, {path: used.free(path, rest_of(path), taken) for path in others}, number)

    def below_root(self, path: str) -> str | None:
        """Return what is left of a path that lies below one of the roots; None for any other."""
        for root in sorted(self.roots, key=len, reverse=True):
            if path == root or path.startswith(f"{root}/"):
                return self.roots[root] + path[len(root) :]
            _, within, rest = path.rpartition(f"/{root.removeprefix('~/')}/")
            if within and not root.startswith("/"):
                return f"{self.roots[root]}/{rest}"
        return None

    def shorten(self, path: str) -> str:
        """Return what is left of an absolute path."""
        path = canonical(path)
        return self.below_root(path) or self.names.get(path) or numbered(rest_of(path), self.number)

    def in_text(self, text: str) -> str:
        """Return a text with its absolute paths shortened, and without the accounts of addresses."""
        return with_paths(text, self.shorten)

    def in_value(self, value: Any) -> Any:
        """Return a value of a JSON or YAML file with the paths in its texts shortened, without words of loggers."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, list):
            return [self.in_value(entry) for entry in value if not is_of_a_logger(entry)]
        if isinstance(value, dict):
            return {self.in_value(key): self.in_value(of) for key, of in value.items()}
        return value


@dataclass
class Used:
    """The paths in some files.

    Args:
        absolute: path -> the options, or keys, that it is a value of.
        relative: option or key -> its values that are no absolute paths.
    """

    absolute: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    relative: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, value: Any) -> None:
        """Add the paths in a value of a JSON or YAML file."""
        for key, text in texts_of(value, ""):

            def note(path: str, key: str = key) -> str:
                self.absolute[canonical(path)].add(key)
                return path

            if not WHOLE.match(text):
                self.relative[key].add(text)
            with_paths(text, note)

    def free(self, path: str, name: str, taken: set[str]) -> str:
        """Return the first of NAME, NAME-2, ... that no other path has, and add it to those that are taken."""
        relative = {text for key in self.absolute.get(path, ()) for text in self.relative.get(key, ())}
        made, count = name, 1
        while name and (made in taken or made in relative):
            count += 1
            made = numbered(name, f"-{count}")
        taken.add(made)
        return made


def texts_of(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield (option or key, text) of a value of a JSON or YAML file; words of a command line are parted."""
    if isinstance(value, str):
        option, equals, rest = value.partition("=")
        name = re.fullmatch(r"[+~]*[\w./@-]*?([\w-]+)", option) if equals else None
        yield (name[1], rest) if name else (key, value)
    elif isinstance(value, list):
        for entry in value:
            yield from texts_of(entry, key)
    elif isinstance(value, dict):
        for name, of in value.items():
            yield from texts_of(name, "")
            yield from texts_of(of, str(name))


def with_paths(text: str, shorten: Callable[[str], str]) -> str:
    """Return a text with each absolute path replaced by what `shorten` returns, without the accounts of addresses."""
    if "/" not in text and "\\" not in text:
        return text
    text = ACCOUNT.sub(r"\1", text)
    if WHOLE.fullmatch(text):
        return shorten(text)
    word = WORD.fullmatch(text)
    if word:
        return word[1] + shorten(word[2])

    def short(match: re.Match[str]) -> str:
        quote = match["quote"] or ""
        return quote + shorten(match["quoted"] if quote else match[0]) + quote

    return PATH.sub(short, text)


def canonical(path: str) -> str:
    """Return a path with slashes, without `file://` and drive; that of a server begins with two slashes."""
    path = path.removeprefix("file:") if path.startswith("file://") else path
    path = "/" + path.lstrip("/") if path.startswith("///") else path
    if re.match(r"[A-Za-z]:[\\/]", path):
        return "/" + re.sub(r"[\\/]+", "/", path[3:])
    return "//" + re.sub(r"[\\/]+", "/", path.lstrip("\\")) if path.startswith("\\\\") else path


def rest_of(path: str) -> str:
    """Return what is left of a path below no root: its last part, of a path into a run folder also the run's name."""
    parts = [part for part in path.split("/") if part and not part.startswith("~")]
    first = next((n for n, part in enumerate(parts) if RUN.search(part)), None)
    return "/".join(parts[first:]) if first is not None else last_part(path) or "/"


def last_part(path: str) -> str:
    """Return the last part of a path; empty for the root and `~`, no user's or server's name for other folders."""
    if HOME.fullmatch(path.rstrip("/")):
        return "home"
    parts = [part for part in path.split("/") if part and part not in (".", "..") and not part.startswith("~")]
    if path.startswith("//"):
        return parts[-1] if len(parts) > 2 else "share"
    return parts[-1] if parts else ""


def numbered(name: str, number: str) -> str:
    """Return a name with a number before its ending."""
    before, slash, last = name.rpartition("/")
    stem, dot, ending = last.rpartition(".")
    return f"{before}{slash}{stem}{number}{dot}{ending}" if stem else f"{name}{number}"


def is_of_a_logger(value: Any) -> bool:
    """Tell whether an entry of a list is a word that sets an option of a logger or of Hydra."""
    return isinstance(value, str) and "=" in value and OF_A_LOGGER.match(value) is not None


def parsed(file: Path, content: bytes) -> Any:
    """Return the content of a JSON or YAML file, None of any other. Raises `UserError` where it is damaged."""
    if file.suffix not in (".json", ".yaml"):
        return None
    try:
        text = content.decode()
        value = json.loads(text) if file.suffix == ".json" else parse_yaml(text)
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise damaged(file, error) from None
    if not isinstance(value, dict):
        raise UserError(f"{file}: damaged ({type(value).__name__} instead of keys with values)")
    return value


def public_value(file: Path, value: Mapping[str, Any], paths: Paths) -> dict[str, Any]:
    """Return the content of a JSON or YAML file of a run without what names the machine or its user."""
    public: dict[str, Any] = paths.in_value(value)
    if file.name == "status.json":
        public = {key: of for key, of in public.items() if key not in OF_THE_PROCESS} | {UNPACKED: True}
    if file.name == "config.yaml" and public.get("logger"):
        public["logger"] = {}
    return public


def without_private(file: Path, content: bytes, paths: Paths) -> bytes:
    """Return the content of a file of a run without what names the machine or its user.

    Raises `UserError` where it is damaged.
    """
    value = parsed(file, content)
    if value is None:
        return content
    public = public_value(file, value, paths)
    if public == value:
        return content
    if file.suffix == ".json":
        return (json.dumps(public, indent=2) + "\n").encode()
    return yaml.safe_dump(public, sort_keys=False, allow_unicode=True).encode()


def is_public_form(file: Path, packed: bytes, content: bytes, config: Mapping[str, Any]) -> bool:
    """Tell whether the packed content of a file is the given one, but for what names the machine.

    The numbers of paths may be any: they depend on the runs that were packed with this one.
    """
    value = parsed(file, content)
    if value is None:
        return packed == content
    public = public_value(file, value, Paths.of([config], number=ANY_NUMBER))
    expected, given = (json.dumps(of, ensure_ascii=False) for of in (public, parsed(file, packed)))
    return re.fullmatch(re.escape(expected).replace(ANY_NUMBER, r"(?:-\d+)?"), given) is not None
