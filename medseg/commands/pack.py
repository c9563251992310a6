"""`medseg pack`: the finished runs of an experiment in one file, without their checkpoints."""

from __future__ import annotations

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, printable
from medseg.sweeps.outcome import count

SUMMARY = """
medseg pack writes the runs of an experiment that have ended, and the trials of its tunings, into one file: all that
medseg report, medseg status and the sweep itself read, without checkpoints, logs and pictures. Absolute paths, host and
accounts are taken out, so that the file can be published. The same runs give the same bytes.
"""

EXAMPLES = (
    "medseg pack runs/main",
    "medseg pack runs/main output=results/main.zip",
    "medseg pack runs/main predictions=true        for pictures in the report and for medseg score",
)


def pack(cfg: DictConfig) -> None:
    """Pack the runs in the folders that `cfg` names."""
    # Imported here, not above: --help and what is misspelt need none of it.
    from medseg.runs.folder import expand_home
    from medseg.runs.packed.archive import runs_in_words
    from medseg.runs.packed.packing import default_file, select, write_packed

    if not cfg.runs:
        raise ConfigError("which runs? Give their folder: medseg pack runs/main")
    folders = [expand_home(folder) for folder in cfg.runs]
    if len(folders) > 1 and cfg.output is None:
        raise ConfigError("several folders: name the file that they are packed to, output=FILE.zip")
    selection = select(folders, predictions=cfg.predictions, images=cfg.images)
    file = expand_home(cfg.output) if cfg.output else default_file(folders[0])
    size = write_packed(selection, file)
    for line in selection.left_out:
        print(printable(f"left out: {line}"))
    trials = sum(run.trial is not None for run in selection.runs)
    states = count(sorted(run.state for run in selection.runs if run.trial is None)) or "none"
    tried = f", {trials} {'trial' if trials == 1 else 'trials'} of tunings" if trials else ""
    print(printable(f"{runs_in_words(len(selection.runs) - trials)} ({states}){tried}, without checkpoints"))
    print(printable(f"written: {file} ({size / 1e6:.2f} MB)"))


COMMAND = Command("pack", pack, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
