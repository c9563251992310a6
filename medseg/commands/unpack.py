"""`medseg unpack`: put the runs of a packed file back into their folders."""

from __future__ import annotations

from collections.abc import Iterable

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import UserError, printable

SUMMARY = """
medseg unpack makes run folders of a file of medseg pack. The command of the sweep that they are of then skips them, and
goes on with its other jobs. A run that is there already stays as it is; evaluations that it lacks are added.
"""

EXAMPLES = (
    "medseg unpack results/main.zip",
    "medseg unpack main.zip /data/runs",
)


def unpack(cfg: DictConfig) -> None:
    """Unpack the file that `cfg` names."""
    from medseg.runs.folder import expand_home
    from medseg.runs.packed import unpacking
    from medseg.runs.packed.archive import runs_in_words
    from medseg.system.locks import BusyError

    file, target = expand_home(cfg.file), expand_home(cfg.runs_dir)
    done = unpacking.unpack(file, target)
    total = sum(map(len, vars(done).values()))
    known = {"unpacked": done.added, "completed": done.completed, "there already": done.same}
    counts = ", ".join(f"{len(runs)} {what}" for what, runs in known.items() if runs) or "none unpacked"
    print(printable(f"{runs_in_words(total)} in {file}: {counts}"))
    left = []
    if done.running:
        left.append(
            f"{runs_in_words(len(done.running))} of {total} in {file}: not unpacked, because it is running there: "
            f"{several(map(str, done.running))}; unpack again when it has ended"
        )
    if done.differing:
        there = several(f"{folder} ({state})" for folder, state in done.differing.items())
        left.append(
            f"{runs_in_words(len(done.differing))} of {total} in {file}: not unpacked, because its folder holds "
            f"something else: {there}; move what is there elsewhere, and unpack again"
        )
    if left:
        raise (UserError if done.differing else BusyError)("; ".join(left))


def several(names: Iterable[str]) -> str:
    """Return the first three names."""
    every = list(names)
    return ", ".join(every[:3]) + (", ..." if len(every) > 3 else "")


COMMAND = Command("unpack", unpack, SUMMARY, EXAMPLES, positional=("file", "runs_dir"))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
