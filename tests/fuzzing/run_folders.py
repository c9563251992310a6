"""Run folders from a stranger: what each command that reads one makes of a damaged or hostile file in it.

    python -m tests.fuzzing.run_folders CASES [SEED [COMMAND ...]]

prints what came of so many cases, drawn from a seed: tried; one line (an error of one line); traceback; accepted (it
ended well); executed (a command of the file was run); hung (not within half a minute); raw (a control character of the
file was printed).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

LIMIT = 30.0
"""Seconds that a command has."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "status": ("{run}",),
    "report": ("{run}", "output={out}", "figures=false"),
    "card": ("{run}", "output={out}/card.md"),
    "wandb_sync": ("{run}", "dry_run=true"),
    "evaluate": ("checkpoint={quoted}", "data_dir={data}", "output={out}", "trainer.accelerator=cpu"),
    "predict": ("checkpoint={quoted}", "input={images}", "output={out}", "device=cpu"),
    "export": ("checkpoint={quoted}", "format=torch", "output={out}/net.pt2"),
}
"""Those that read a run folder, with their arguments."""

BAD: tuple[Any, ...] = (
    None, True, -1, 0, 10**30, 1e308, float("nan"), "", "x", "x" * 10**6, "a\rb", "a\nb", "\x1b[31mred", "\x00",
    "\ud800", "${evil}", "${oc.env:HOME}", "../../x", "/dev/zero", [], [1, [2]], {}, {"a": {}},
    {"_target_": "builtins.open", "file": "MARK", "mode": "w"}, {"_target_": "os.system", "command": "touch MARK"},
    {"_target_": "subprocess.run", "args": ["touch", "MARK"]}, "!!python/object/apply:os.system ['touch MARK']",
)  # fmt: skip
"""What a value is replaced by; MARK is a file that must not appear."""

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(f'*{before}' for _ in range(9))}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
TAG = "evil: !!python/object/apply:os.system ['touch MARK']\n"


def write(content: bytes) -> Callable[[Path, random.Random], None]:
    def change(file: Path, source: random.Random) -> None:
        file.write_bytes(content.replace(b"MARK", str(mark_of(file)).encode()))

    return change


def mark_of(file: Path) -> Path:
    """Return the file that a command of a file would make."""
    return next(folder for folder in file.parents if folder.name == "case") / "mark"


def truncate(file: Path, source: random.Random) -> None:
    os.truncate(file, source.randrange(file.stat().st_size or 1))


def flip(file: Path, source: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(min(64, len(content))):
        content[source.randrange(len(content))] ^= source.randrange(1, 256)
    file.write_bytes(content)


def insert(file: Path, source: random.Random) -> None:
    """Put in what no text should have."""
    content = file.read_bytes()
    place = source.randrange(len(content) or 1)
    odd = source.choice([b"\xff\xfe", b"\r", b"\x00", b"\x1b[2J", b"\xed\xa0\x80", b",,,", b'"', b"\n\n"])
    file.write_bytes(content[:place] + odd + content[place:])


def huge(file: Path, source: random.Random) -> None:
    file.write_bytes(b"{")
    os.truncate(file, 2**36)


def fifo(file: Path, source: random.Random) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path, source: random.Random) -> None:
    file.unlink()
    file.mkdir()


def linked(target: str) -> Callable[[Path, random.Random], None]:
    def change(file: Path, source: random.Random) -> None:
        file.unlink()
        file.symlink_to(target.format(name=file.name))

    return change


def other(file: Path, source: random.Random) -> None:
    run = next(parent for parent in file.parents if (parent / "run.json").exists())
    shutil.copy(source.choice([each for each in sorted(run.rglob("*")) if each.is_file() and each != file]), file)


def change_value(file: Path, source: random.Random) -> None:
    """Replace a value in JSON or YAML, or a cell of a table; flip bytes of others."""
    if file.suffix not in (".json", ".yaml"):
        flip(file, source)
        return
    import yaml

    text = file.read_text()
    content = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    nodes: list[Any] = [content]
    for node in nodes:
        inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        nodes += [each for each in inside if isinstance(each, dict | list) and each]
    node = source.choice(nodes)
    value = source.choice(BAD)
    if isinstance(value, dict | str):
        value = json.loads(json.dumps(value).replace("MARK", str(mark_of(file))))
    node[source.choice(list(node)) if isinstance(node, dict) else source.randrange(len(node))] = value
    file.write_bytes(json.dumps(content, ensure_ascii=source.random() < 0.5).encode(errors="surrogatepass") + b"\n")


CHANGES: dict[str, Callable[[Path, random.Random], None]] = {
    "truncate": truncate, "flip": flip, "insert": insert, "value": change_value, "value again": change_value,
    "empty": write(b""), "number": write(b"3\n"), "list": write(b"[1, 2]\n"), "null": write(b"null\n"),
    "deep": write(b"[" * 100_000 + b"\n"), "deep mappings": write(b'{"a":' * 100_000 + b"\n"), "huge": huge,
    "fifo": fifo, "folder": folder, "loop": linked("{name}"), "zero": linked("/dev/zero"), "nowhere": linked("nowhere"),
    "bomb": write(BOMB.encode()), "tag": write(TAG.encode()), "utf-16": write("name: x\n".encode("utf-16")),
    "missing": lambda file, source: file.unlink(), "other": other,
}  # fmt: skip
"""What is done to a file."""

READ = (".json", ".yaml", ".csv", ".npz", ".ckpt", ".log")
"""Endings of the files that are read."""

NAMES = ("a\rb", "a\nb", "a\x1b[31mb", "a\udcffb", "a'b", "a=b,c", "a b [c] {d}", "-m", "${x}")
"""What a run folder is called, once in ten times."""


def make_case(run: Path, case: Path, source: random.Random) -> tuple[Path, str]:
    """Copy a run folder, change a file in it, and return it with what was done."""
    name = source.choice(NAMES) if source.random() < 0.1 else run.name
    copy = case / "runs" / name
    shutil.copytree(run, copy)
    file = source.choice([each for each in sorted(copy.rglob("*")) if each.is_file() and each.suffix in READ])
    change = source.choice(list(CHANGES))
    CHANGES[change](file, source)
    return copy, f"{change} {file.relative_to(copy)} in {name!r}"


def ended(command: str, arguments: Sequence[str], said: Path) -> int | None:
    """Run a command in a process of its own; return its exit code, None where it hung."""
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        for number, opened in (
            (0, os.open(os.devnull, os.O_RDONLY)),
            *((n, os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)) for n in (1, 2)),
        ):
            os.dup2(opened, number)
        sys.stdout, sys.stderr = (open(n, "w", buffering=1, closefd=False) for n in (1, 2))  # noqa: SIM115
        sys.argv = [command, *arguments]
        code: Any = 0
        try:
            import_module(f"medseg.commands.{command}").main()
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
            code = 1
        with suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1 if code else 0)
    return wait_for(pid)


def wait_for(pid: int) -> int | None:
    """Wait for a process and return its exit code; kill one that hangs, with its group, and return None."""
    limit = time.monotonic() + LIMIT
    while time.monotonic() < limit:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def judge(code: int | None, said: str, mark: Path) -> str:
    """Say in a word what came of a case."""
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    if mark.exists():
        return "executed"
    if code is None:
        return "hung"
    if "Traceback" in said:
        return "traceback"
    if any(odd in said for odd in ("\r", "\x1b", "\x00")):
        return "raw"
    if code == 0:
        return "accepted"
    return "one line" if code in (1, 2) and len(lines) == 1 else "other"


def fuzz(run: Path, images: Path, cases: int, seed: int, commands: Sequence[str]) -> tuple[Counter[str], list[str]]:
    """Try so many cases; return how many ended how, and a line for each that did not end well."""
    source = random.Random(seed)
    counts: Counter[str] = Counter(dict.fromkeys(("tried", "one line", "traceback", "accepted", "executed"), 0))
    bad: list[str] = []
    for number in range(cases):
        with tempfile.TemporaryDirectory() as place:
            case = Path(place, "case")
            copy, done = make_case(run, case, source)
            for each in ("out", "data"):
                (case / each).mkdir()
            quoted = "'" + str(copy).replace("'", "\\'") + "'"
            words = {"run": copy, "quoted": quoted, "images": images, "out": case / "out", "data": case / "data"}
            command = commands[number % len(commands)]
            code = ended(command, [word.format(**words) for word in COMMANDS[command]], case / "said")
            said = (case / "said").read_bytes().decode(errors="replace") if (case / "said").exists() else ""
            word = judge(code, said, case / "mark")
        counts["tried"] += 1
        counts[word] += 1
        if word not in ("one line", "accepted"):
            bad.append(f"{number}: {word}: {command}, {done}: exit {code}: {said[-600:]!r}")
    return counts, bad


def trained(folder: Path) -> tuple[Path, Path]:
    """Train a run to attack, and make an image to predict."""
    import cv2
    import numpy as np

    from tests.helpers import train

    run = train(folder, "data.image_size=32", "trainer.max_epochs=1")
    images = folder / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.zeros((20, 30, 3), np.uint8))
    return run.path, images


if __name__ == "__main__":
    cases, *rest = sys.argv[1:]
    for module in ("torch", "scipy.stats", "medseg.training.evaluation", "medseg.trained.predicting.folder"):
        import_module(module)
    with tempfile.TemporaryDirectory() as made:
        run, images = trained(Path(made))
        counts, bad = fuzz(run, images, int(cases), int(rest[0] if rest else 0), rest[1:] or list(COMMANDS))
    print(*bad, sep="\n", file=sys.stderr)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
