"""`medseg card RUN`: a model card, from what the run has left in its folder."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from medseg.commands.command import Command
from medseg.commands.start import run_command
from medseg.errors import ConfigError, UserError, printable

SUMMARY = """
medseg card writes a model card in Markdown, with the metadata that model hubs read: the network, the data and their
licence, protocol and training, scores with intervals, limits, how to use it, environment, citation. Of several runs
that differ in their seeds it tells the mean.
"""

EXAMPLES = (
    "medseg card runs/main/convunext-kvasir-1a2b3c4d-seed0",
    "medseg card runs/main/convunext-kvasir-1a2b3c4d-seed*      all seeds",
    "medseg card RUN licence=cc-by-nc-4.0 output=README.md",
    "medseg card RUN data_name='Our clinic 2024' data_licence='not public'",
)


def card(cfg: DictConfig) -> None:
    """Write the card of the runs that `cfg` names."""
    # Imported here, not above: numpy and OpenCV take a while, and --help and what is misspelt need none of them.
    from medseg.cards.collect import collect
    from medseg.cards.document import default_file, write_card
    from medseg.runs.folder import run_folder
    from medseg.runs.reading import read_runs
    from medseg.system.files import replacing_text

    if not cfg.runs:
        raise ConfigError("which run? Give its folder: medseg card runs/main/RUN")
    tree = read_runs([run_folder(given) for given in cfg.runs]).checked()
    tree.warn()
    subject = collect(tree.runs, data_name=cfg.data_name, data_licence=cfg.data_licence)
    file = Path(cfg.output).expanduser() if cfg.output else default_file(subject.cell.runs)
    if file.is_dir():
        raise ConfigError(f"output={file} is a folder; name a file in it, such as {file / 'card.md'}")
    text = write_card(subject, cfg.licence)
    try:
        with replacing_text(file) as stream:
            stream.write(printable(text))
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); choose another file with output=FILE") from None
    print(printable(f"written: {file}"))


COMMAND = Command("card", card, SUMMARY, EXAMPLES, positional=("runs*",))


def main() -> None:
    """Start from the command line."""
    run_command(COMMAND)
