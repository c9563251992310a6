"""The command: from a checkpoint to a checked file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from medseg.errors import ConfigError, UserError
from medseg.runs.files import replacing
from medseg.runs.folder import find_run
from medseg.trained.exporting.check import (
    TOLERANCE,
    Agreement,
    check_smallest,
    compare,
    draw_images,
    normalise,
    sizes_to_compare,
)
from medseg.trained.exporting.formats import OPEN, SUFFIXES, WRITE, Run
from medseg.trained.exporting.program import make_program, smallest_size
from medseg.trained.exporting.subject import Exported, Subject, read_subject


def export_checkpoint(cfg: DictConfig) -> Path:
    """Export the checkpoint that `cfg.checkpoint` names, and return the file that was written.

    Raises `UserError` for what the user can put right, and where the file does not agree with the network: it is then
    not kept.
    """
    run, file = find_run(cfg.checkpoint)
    usual = run.path / "exports" / f"{file.stem}{SUFFIXES[cfg.format]}"
    output = Path(cfg.output).expanduser() if cfg.output else usual
    if output.suffix not in ("", SUFFIXES[cfg.format]):  # such as a checkpoint's
        raise ConfigError(f"output={output}: the name of a file of format={cfg.format} ends in {SUFFIXES[cfg.format]}")
    subject = read_subject(file, trust=cfg.trust)
    told, agreement = export_subject(subject, output, cfg.format, with_preprocessing=cfg.with_preprocessing)
    show(told, agreement)
    print(f"written:    {output} ({output.stat().st_size / 1e6:.1f} MB)")
    return output


def export_subject(
    subject: Subject, output: Path, form: str, *, with_preprocessing: bool = False
) -> tuple[dict[str, Any], Agreement]:
    """Export a network and compare the file with it; return what travels in the file, and how far the two agree.

    Raises `UserError` where the network cannot be exported, or the file does not agree with it. Then nothing is
    written, and an earlier file of that name stays.
    """
    reason = getattr(subject.network, "no_onnx", "")
    if form == "onnx" and reason:
        raise UserError(f"{subject.name} cannot be exported to ONNX: {reason}; give format=torch")
    module = subject.module(with_preprocessing=with_preprocessing)
    program = make_program(module, example(subject), subject.name)
    min_size = subject.min_size
    if form == "torch":
        min_size = max(min_size or 1, smallest_size(program))  # what the program itself refuses
    metadata = subject.describe(with_preprocessing=with_preprocessing, min_size=min_size)
    with replacing(output) as partial:
        told = WRITE[form](program, metadata, partial)
        run = OPEN[form](partial)
        agreement = check(subject, module, run, min_size)
        if not agreement.holds:
            raise UserError(
                f"{subject.name}: the exported file is {agreement.difference:.1e} off the network's outputs of up to "
                f"{agreement.largest:.3g}, more than {TOLERANCE:g} of them, so it was not kept; its forward may decide "
                "by the values of H and W"
            )
    return told, agreement


def check(subject: Subject, module: Exported, run: Run, min_size: int | None) -> Agreement:
    """Compare what was exported with the module it was made of, at several sizes; raises `UserError` if it fails.

    A network that does not say from which size on it takes images may refuse some of the sizes, odd ones for example.
    """
    least = min_size or 1
    sizes = [(1, least, least), *sizes_to_compare(least, subject.image_size)]
    smallest, *images = (draw_images(size, subject.in_channels) for size in sizes)
    if not module.with_preprocessing:
        smallest, *images = (normalise(batch, subject.mean, subject.std) for batch in (smallest, *images))
    if subject.min_size is None:
        return compare(module, run, images, optional=True)
    check_smallest(run, smallest)
    return compare(module, run, images)


def example(subject: Subject) -> torch.Tensor:
    """Return an image to trace the network with: of two odd sides where it takes those, else as in its training."""
    if subject.min_size is None:
        height, width = subject.image_size
        size = (height, width if height != width else 2 * width)
    else:
        # At the smallest size some feature has one pixel, and torch.export would take it for one that always has.
        least = max(subject.min_size, 16)
        size = (2 * least + 1, 2 * least + 35)
    return torch.zeros(2, subject.in_channels, *size)


def show(told: dict[str, Any], agreement: Agreement) -> None:
    """Print what the user of the file must know, and how it was checked."""
    print(f"network:    {told['network']}, classes {', '.join(told['class_names'])}")
    least = "" if told["min_size"] is None else f"; H and W at least {told['min_size']}"
    print(f"input:      {told['input']}{least}")
    if told["mean"] is None:
        print("            mean and std are not known: the checkpoint was imported without them")
    elif not told["normalisation_is_built_in"]:
        mean, std = (", ".join(f"{value:.4f}" for value in told[key]) for key in ("mean", "std"))
        print(f"            {told['channel_order']}, mean {mean}, std {std}")
    print(f"output:     {told['output']}")
    made_for = f"ONNX opset {told['opset']}" if "opset" in told else f"PyTorch {told['torch_version']}"
    print(f"made for:   {made_for}")
    sizes = ", ".join(" x ".join(map(str, size)) for size in agreement.sizes)
    print(f"checked at: {sizes} (batch x height x width)")
    print(
        f"difference: {agreement.difference:.1e} at most, of outputs up to {agreement.largest:.3g}; another class in "
        f"{agreement.other_class} of {agreement.pixels:,} pixels"
    )
