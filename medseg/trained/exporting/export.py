"""The command: from a checkpoint to a checked file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from medseg.data.pixel_format import PixelFormat
from medseg.errors import ConfigError, UserError, printable
from medseg.runs.folder import find_run
from medseg.system.files import replacing
from medseg.trained.exporting.check import TOLERANCE, Agreement, check
from medseg.trained.exporting.formats import OPEN, SUFFIXES, WRITE
from medseg.trained.exporting.module import Exported, file_metadata
from medseg.trained.exporting.program import make_program, smallest_size
from medseg.trained.network import TrainedNetwork


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
    trained = TrainedNetwork.load(file, trust=cfg.trust)
    metadata, agreement = export_network(trained, output, cfg.format, with_preprocessing=cfg.with_preprocessing)
    show(metadata, agreement)
    print(printable(f"written:    {output} ({output.stat().st_size / 1e6:.1f} MB)"))
    return output


def export_network(
    trained: TrainedNetwork, output: Path, form: str, *, with_preprocessing: bool = False
) -> tuple[dict[str, Any], Agreement]:
    """Export a network and compare the file with it; return the file's metadata, and how far the two agree.

    Raises `UserError` where the network cannot be exported, or the file does not agree with it. Then nothing is
    written, and an earlier file of that name stays.
    """
    reason = getattr(trained.network, "no_onnx", "")
    if form == "onnx" and reason:
        raise UserError(f"{trained.name} cannot be exported to ONNX: {reason}; give format=torch")
    module = Exported(trained, with_preprocessing=with_preprocessing)
    program = make_program(module, example(trained), trained.name)
    min_size = trained.min_size
    if form == "torch":
        min_size = max(min_size or 1, smallest_size(program))  # what the program itself refuses
    metadata = file_metadata(trained, with_preprocessing=with_preprocessing, min_size=min_size)
    with replacing(output) as partial:
        metadata = WRITE[form](program, metadata, partial)
        agreement = check(trained, module, OPEN[form](partial), min_size)
        if not agreement.holds:
            raise UserError(
                f"{trained.name}: the exported file is {agreement.difference:.1e} off the network's outputs of up to "
                f"{agreement.largest:.3g}, more than {TOLERANCE:g} of them, so it was not kept; {reason_of(agreement)}"
            )
    return metadata, agreement


def reason_of(agreement: Agreement) -> str:
    """Say why an exported file may not agree with its network."""
    if agreement.rounding > TOLERANCE * max(1.0, agreement.largest):
        return (
            f"rounding to float32 alone changes the network's outputs by {agreement.rounding:.1e}: the network is "
            "numerically unstable"
        )
    return "its forward may decide by the values of H and W"


def example(trained: TrainedNetwork) -> torch.Tensor:
    """Return an image to trace the network with: of two odd sides where it takes those, else as in its training."""
    if trained.min_size is None:
        height, width = trained.metadata.image_size
        size = (height, width if height != width else 2 * width)
    else:
        # At the smallest size some feature has one pixel, and torch.export would take it for one that always has.
        least = max(trained.min_size, 16)
        size = (2 * least + 1, 2 * least + 35)
    return torch.zeros(2, trained.metadata.in_channels, *size)


def trained_on(metadata: dict[str, Any]) -> str:
    """Say which stored values become 0..255, where these are not those of files of 8 bits."""
    pixels = PixelFormat.from_dict(metadata["pixels"])
    return "" if pixels.plain and pixels.channels in (1, 3) else f"from files: {pixels.describe()}"


def show(metadata: dict[str, Any], agreement: Agreement) -> None:
    """Print what the user of the file must know, and how it was checked."""
    print(f"network:    {metadata['network']}, classes {', '.join(metadata['class_names'])}")
    least = "" if metadata["min_size"] is None else f"; H and W at least {metadata['min_size']}"
    print(f"input:      {metadata['input']}{least}")
    pixels = trained_on(metadata)
    if pixels:
        print(f"            {pixels}")
    if metadata["mean"] is None:
        print("            mean and std are not known: the checkpoint was imported without them")
    elif not metadata["normalisation_is_built_in"]:
        mean, std = (", ".join(f"{value:.4f}" for value in metadata[key]) for key in ("mean", "std"))
        print(f"            {metadata['channel_order']}, mean {mean}, std {std}")
    print(f"output:     {metadata['output']}")
    made_for = f"ONNX opset {metadata['opset']}" if "opset" in metadata else f"PyTorch {metadata['torch_version']}"
    print(f"made for:   {made_for}")
    sizes = ", ".join(" x ".join(map(str, size)) for size in agreement.sizes)
    print(f"checked at: {sizes} (batch x height x width)")
    print(
        f"difference: {agreement.difference:.1e} at most, of outputs up to {agreement.largest:.3g}; another class in "
        f"{agreement.other_class} of {agreement.pixels:,} pixels"
    )
    if not agreement.within_tolerance:
        print(f"            that is rounding: float32 is {agreement.rounding:.1e} off float64 in the network itself")
