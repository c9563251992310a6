"""Inspect a dataset: prepare it where that is not done, look at it, write its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from medseg.cards.recipe import in_words
from medseg.config import yaml_files
from medseg.config.instantiate import instantiate
from medseg.data.module import SegmentationDataModule, build_datamodule
from medseg.errors import ConfigError, UserError
from medseg.inspecting.facts import collect
from medseg.inspecting.page import write_page
from medseg.inspecting.samples import draw_augmented, extremes, spread
from medseg.system.files import replacing_text


def inspect_data(cfg: DictConfig) -> Path:
    """Inspect the data that `cfg` describes and return the file that the page was written to.

    Raises `UserError` for what the user can put right.
    """
    if cfg.output and Path(cfg.output).expanduser().is_dir():
        raise ConfigError(f"output={cfg.output} is a folder; name a file in it, such as {cfg.output}/page.html")
    datamodule = build_datamodule(cfg.data, augmentation=instantiate(cfg.augmentation), seed=cfg.seed)
    file = Path(cfg.output).expanduser() if cfg.output else default_file(datamodule, choice("augmentation"))
    facts = collect(datamodule)
    page = write_page(
        facts,
        split_in_words(datamodule),
        spread(range(len(facts.rows)), cfg.samples),
        extremes(facts, cfg.extremes),
        draw_augmented(datamodule, facts, cfg.augmented, cfg.draws),
        [*patches_in_words(datamodule), *augmentation_in_words(cfg.augmentation)],
    )
    try:
        with replacing_text(file) as stream:
            stream.write(page)
    except OSError as error:
        raise UserError(f"{file}: cannot be written ({error.strerror}); choose another file with output=FILE") from None
    return file


def split_in_words(datamodule: SegmentationDataModule) -> str:
    """Name the split that is inspected."""
    if datamodule.fold is not None:
        return f"fold {datamodule.fold} of 0 to 4"
    return f"split {datamodule.split}" if datamodule.split else "default split"


def patches_in_words(datamodule: SegmentationDataModule) -> list[str]:
    """Say which part of an image training takes, where that is not all of it."""
    if not datamodule.patches:
        return []
    height, width = datamodule.input_size
    return [f"a patch of {height} x {width}, {datamodule.patch_foreground:.0%} of them around foreground"]


def augmentation_in_words(augmentation: DictConfig) -> list[str]:
    """Say step by step what augmentation does."""
    plain: Any = OmegaConf.to_container(augmentation, resolve=True)
    return [in_words(step) if isinstance(step, Mapping) else str(step) for step in plain.get("transforms", [plain])]


def choice(group: str) -> str | None:
    """Return the option that was chosen in a group."""
    return HydraConfig.get().runtime.choices.get(group)


def default_file(datamodule: SegmentationDataModule, augmentation: str | None) -> Path:
    """Return `<data_dir>/inspection/<prepared folder>.html`, with the other choices, so that each has a page."""
    parts = [datamodule.prepared.folder.name]
    if datamodule.fold is not None:
        parts.append(f"fold{datamodule.fold}")
    elif datamodule.split is not None:
        parts.append(datamodule.split)
    if augmentation not in (None, yaml_files.primary("inspect")[0]["augmentation"]):
        parts.append(str(augmentation))
    if datamodule.border_weights:
        parts.append("border")
    return datamodule.data_dir / "inspection" / f"{'-'.join(parts)}.html"
