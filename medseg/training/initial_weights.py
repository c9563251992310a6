"""`initial_weights`: the weights that a training begins with, of a run, a checkpoint or a file of the authors."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from medseg.config.instantiate import instantiate_network
from medseg.config.targets import find
from medseg.data.module import SegmentationDataModule
from medseg.errors import UserError
from medseg.models.reference import RELEASED, find_network, import_reference
from medseg.runs.folder import find_run
from medseg.trained.checkpoint import Checkpoint, Metadata
from medseg.trained.files import KEY
from medseg.trained.importing import unusual, with_background
from medseg.trained.matching import Match, match
from medseg.trained.state_dicts import BESIDE, Found, bare, found_in, log_left_out, shortened
from medseg.trained.weight_files import State, read_content
from medseg.trained.weights import check_weights

log = logging.getLogger(__name__)

COUNTERS = "num_batches_tracked"
"""End of the names of what batch norms count, which is no weight."""

DEEP_SUPERVISION = "deep_supervision"
"""Argument of networks that have further heads in training."""

FEW = 0.5
"""Part of a network below which it is worth a warning that so little was loaded."""

LARGE = 0.5
"""Part of a network's names that a file has where it is of this network under our names."""


@dataclass(frozen=True)
class InitialWeights:
    """The weights in a file, before it is known which network they are for.

    Attributes:
        file: it.
        found: the state dict in it.
        metadata: of a checkpoint of medseg's; None for any other file.
    """

    file: Path
    found: Found
    metadata: Metadata | None

    @classmethod
    def read(cls, given: str) -> InitialWeights:
        """Read a run folder, a checkpoint, or a file with a state dict. Nothing in it is built or called.

        Raises `UserError` for what is missing, damaged, holds code, or has no weights.
        """
        file = find_run(given)[1]
        content = read_content(file)
        if isinstance(content, Mapping) and KEY in content:
            checkpoint = Checkpoint.read(file)
            return cls(file, Found(dict(checkpoint.state), {}, "", ()), checkpoint.metadata)
        return cls(file, found_in(content, file), None)

    def normalisation(self, in_channels: int) -> tuple[Sequence[float], Sequence[float]] | None:
        """Return mean and deviation of the images that the weights were trained on.

        None where they are not known, or are of another number of channels.
        """
        known = None if self.metadata is None else self.metadata.normalisation
        if known is None or len(known[0]) != in_channels:
            return None
        mean, std = ([round(value, 3) for value in values] for values in known)
        log.info("images are normalised as those of %s: mean %s, deviation %s", self.file, mean, std)
        return known

    def load_into(self, network: nn.Module, cfg: DictConfig, datamodule: SegmentationDataModule, choice: str) -> None:
        """Load the weights into the network of a training, and log in one line what begins anew and why.

        Args:
            network: which `cfg.model` describes.
            cfg: the configuration of the training, with the number of classes. With `strict`, only what depends on the
                numbers of classes and channels may differ; else what fits by name and shape is loaded.
            datamodule: of the training.
            choice: the option of the group `model`.

        Raises `UserError` naming the first name or shape that differs, and where nothing fits.
        """
        ours = network.state_dict()
        theirs, advice = self.under_our_names(ours, cfg, choice)
        check_weights(theirs, self.file)
        numbers = self.numbers(datamodule)
        changed = [number for number, (there, here) in numbers.items() if there is not None and there != here]
        missing, further = auxiliary_heads(cfg, ours, theirs)
        ours_shared = {name: value for name, value in ours.items() if name not in missing}
        theirs_shared = {name: value for name, value in theirs.items() if name not in further}
        result = match(ours_shared, theirs_shared, partial(state_of_other, cfg), changed)
        result.anew |= dict.fromkeys(missing, DEEP_SUPERVISION)
        result.unused += further
        if cfg.strict and result.difference:
            raise UserError(f"{self.file}: the checkpoint of another network: {result.difference}; {advice}")
        if all(name.endswith(COUNTERS) for name in result.loaded):
            raise UserError(f"{self.file}: none of its {len(theirs)} weights fits {type(network).__name__}")
        network.load_state_dict({**ours, **result.loaded})
        few = len(result.loaded) < FEW * len(ours)
        log.log(logging.WARNING if few else logging.INFO, "%s", description(self.file, result, ours, numbers))
        self.warn(datamodule)

    def under_our_names(
        self, ours: Mapping[str, Tensor], cfg: DictConfig, choice: str
    ) -> tuple[dict[str, Tensor], str]:
        """Return the weights under the names of our network, and advice for a network that they do not fit.

        Raises `UserError` for a file that is not the authors' of the network that is chosen by its name.
        """
        advice = "strict=false loads what fits"
        if self.metadata is not None:
            return tensors(self.found.weights), advice
        best = max(variants_of(self.found.weights, ours), key=lambda state: len(state.keys() & ours.keys()))
        if len(best.keys() & ours.keys()) < LARGE * len(ours):
            released = self.released(cfg, choice)
            if released is not None:
                make, network = released
                words = unusual(make, cfg.model)
                return dict(network.state_dict()), f"give {' '.join(words)}" if words else advice
        beside = [name for name in best if name not in ours and BESIDE.match(name)]
        log_left_out(self.file, self.found, beside)
        return tensors({name: value for name, value in best.items() if name not in beside}), advice

    def released(self, cfg: DictConfig, choice: str) -> tuple[partial[nn.Module], nn.Module] | None:
        """Return the network of a file of the authors, and how to make it; None where it is of none like ours.

        Raises `UserError` as `under_our_names`.
        """
        state = bare(self.found.weights)
        kept = {name: value for name, value in state.items() if not BESIDE.match(name)}
        for name in [choice] if choice in RELEASED else RELEASED:
            try:
                make, network = find_network(name, kept), import_reference(name, kept)
            except UserError as error:
                if cfg.strict and name == choice:
                    raise UserError(f"{self.file}: {error}") from None
                continue
            if make.func is find("model", cfg.model._target_):
                log_left_out(self.file, self.found, [key for key in state if key not in kept])
                return with_background(make, network) if make.keywords["num_classes"] == 1 else (make, network)
        return None

    def numbers(self, datamodule: SegmentationDataModule) -> dict[str, tuple[int | None, int]]:
        """Return the numbers of classes and channels, there and here; None where they are not known."""
        there = self.metadata
        return {
            "num_classes": (None if there is None else len(there.class_names), datamodule.prepared.num_classes),
            "in_channels": (None if there is None else there.in_channels, datamodule.prepared.in_channels),
        }

    def warn(self, datamodule: SegmentationDataModule) -> None:
        """Warn where the weights are of other classes or of pixels on another scale."""
        if self.metadata is None:
            return
        prepared = datamodule.prepared
        theirs, ours = self.metadata.class_names, list(prepared.class_names)
        if len(theirs) == len(ours) and theirs != ours:
            log.warning(
                "%s: its classes are %s, here they are %s; its head is loaded",
                self.file,
                ", ".join(theirs),
                ", ".join(ours),
            )
        scales = [f"{pixels.low:g} to {pixels.high:g}" for pixels in (self.metadata.pixels, prepared.pixels)]
        if scales[0] != scales[1]:
            log.warning("%s: its images had stored values from %s, here they have %s", self.file, *scales)


def variants_of(state: State, ours: Mapping[str, Tensor]) -> Iterator[State]:
    """Yield a state dict under the names that it has, under those without wrappers, and within the part of ours.

    Where all names of our network begin alike, as those of a network in a wrapper do, a file may have what comes after.
    """
    parts = {name.partition(".")[0] for name in ours}
    for variant in (state, bare(state)):
        yield variant
        if len(parts) == 1:
            yield {f"{min(parts)}.{name}": value for name, value in variant.items()}


def tensors(state: State) -> dict[str, Tensor]:
    """Return a state dict of tensors."""
    values = {name: torch.as_tensor(value).detach() for name, value in state.items()}
    # In a file of half precision, counters may be floats.
    return {name: value.long() if name.endswith(COUNTERS) else value for name, value in values.items()}


def state_of_other(cfg: DictConfig, number: str) -> Mapping[str, Tensor]:
    """Return the state of the network with one more class or channel; nothing where there is no such network.

    Args:
        cfg: the configuration of a training.
        number: `num_classes` or `in_channels`.
    """
    other = cfg.copy()
    more = int(OmegaConf.select(cfg, f"data.{number}")) + 1
    OmegaConf.update(other, f"data.{number}", more)
    if number in other.model and not OmegaConf.is_interpolation(other.model, number):
        other.model[number] = more
    try:
        with torch.random.fork_rng(devices=[]):  # the training draws what it would draw without this network
            return instantiate_network(other.model).state_dict()
    except UserError:
        return {}


def auxiliary_heads(
    cfg: DictConfig, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]
) -> tuple[list[str], list[str]]:
    """Return the weights of further heads, for deep supervision, that the file lacks, and those that only it has.

    They are told by the names of the same network with `deep_supervision` the other way round.
    """
    if ours.keys() == theirs.keys() or DEEP_SUPERVISION not in cfg.model:
        return [], []
    other = cfg.copy()
    other.model[DEEP_SUPERVISION] = not other.model[DEEP_SUPERVISION]
    try:
        with torch.random.fork_rng(devices=[]):
            switched = instantiate_network(other.model).state_dict()
    except UserError:
        return [], []
    missing = [name for name in ours if name not in theirs and name not in switched]
    return missing, [name for name in theirs if name not in ours and name in switched]


def description(
    file: Path, result: Match, ours: Mapping[str, Tensor], numbers: Mapping[str, tuple[int | None, int]]
) -> str:
    """Describe in one line what was loaded, what begins anew and why, and what was not used.

    Args:
        file: that was loaded.
        result: of the match.
        ours: the state of the network.
        numbers: of classes and channels, there and here.
    """
    loaded, total = (sum(not name.endswith(COUNTERS) for name in state) for state in (result.loaded, ours))
    parts = [f"initial weights: {loaded} of {total} tensors from {file}"]
    reasons = {"": "not in it in this shape", DEEP_SUPERVISION: "of deep supervision, not in it"}
    for number, (there, here) in numbers.items():
        before = "" if there is None else f"{there} -> "
        reasons[number] = f"{before}{here} {'classes' if number == 'num_classes' else 'channels'}"
    for kind, reason in reasons.items():
        anew = [name for name, why in result.anew.items() if why == kind and not name.endswith(COUNTERS)]
        if anew:
            parts.append(f"{shortened(anew)} {'begins' if len(anew) == 1 else 'begin'} anew ({reason})")
    if result.adapted:
        how = "summed over the channels" if numbers["in_channels"][1] == 1 else "repeated over the channels"
        parts.append(f"{shortened(result.adapted)} {how} ({min(result.adapted.values())})")
    if result.unused:
        parts.append(f"{len(result.unused)} of the file not used: {shortened(result.unused)}")
    return "; ".join(parts)
