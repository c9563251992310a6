"""The LightningDataModule of every dataset: prepared data in, batches out."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from omegaconf import DictConfig

from medseg.config.checks.data import DATA, SPACING
from medseg.config.checks.kinds import check_arguments, checked
from medseg.config.instantiate import instantiate
from medseg.data.datasets.base import Dataset, IntensityRange
from medseg.data.images import Images
from medseg.data.labels import IGNORE_INDEX
from medseg.data.loading.patches import Patches, check_patches
from medseg.data.loading.sampling import EpochSampler
from medseg.data.loading.workers import Loader, as_sent, default_workers, start_worker
from medseg.data.metadata import find_columns
from medseg.data.normalisation import normalise
from medseg.data.on_device import DrawnPositions, ImagesOnDevice, OnDeviceAugmentation
from medseg.data.prepared.border_maps import BorderMaps, prepare_border
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.prepare import check_range, prepare
from medseg.data.splits.fraction import take_fraction
from medseg.data.splits.grouping import find_groups
from medseg.errors import DataError

if TYPE_CHECKING:  # albumentations is imported where images are changed
    from medseg.data.augmentation import Augmentation


class SegmentationDataModule(lightning.LightningDataModule):
    """Prepare a dataset when needed and load its splits.

    Args:
        dataset: which dataset.
        data_dir: where archives are looked for and prepared data are kept.
        prepared_in: another such folder, which is read and never written to; see `medseg.data.prepared.prepare`.
        source: the user's archive or folder; see `medseg.data.sources.finding`.
        download: fetch the archive from its published address.
        image_size: one number for square images, or (height, width); with `patches`, the size of a patch.
        patches: None resizes every image to `image_size`. A number keeps images at their native size: so many patches
            of each are trained on in an epoch; of validation and test, whole images are loaded, one at a time.
        patch_foreground: see `medseg.data.loading.patches`.
        in_channels: 3 for RGB, 1 for grey, or as many as the files have.
        intensity_range: that of the dataset, `medseg.data.datasets.Folder`; checked, and taken from there.
        num_classes: checked against the data where given.
        split: name of the split; None is the dataset's default.
        fold: k for fold k of five as the test split; goes before `split`.
        groups: which images belong together, such as those of a patient; see `medseg.data.splits.grouping`.
        metadata: a CSV file with the column id and others, for the subgroups of a report; see `medseg.data.metadata`.
        fraction: of the training split that is trained on; see `medseg.data.splits.fraction`. `seed` chooses which.
        batch_size: images per step and process.
        num_workers: loading processes; "auto" picks what the machine has.
        skip_bad: leave unusable samples out instead of stopping.
        augmentation: applied to training images; one that is on the device needs no loading processes in training.
        seed: of the order of the images and of the augmentation.
        root: the user's folder for `data=folder`; the same as `source`.
        spacing: height and width of a native pixel in mm, or one number for both, to measure distances in mm as well.
        labels, ignore, foreground, mask_pattern: of `data=folder`; its dataset has them too, and only uses those.
        border_weights: give training images the weight map of the U-Net paper, and train on masks with a border
            between touching cells; see `medseg.data.prepared.border_weights`. Validation and test stay as they are.
        border_w0, border_sigma: of that weight map; sigma in pixels of the prepared images.
        normalisation: mean and standard deviation per channel, of images in 0..1; None takes the training split's.
        test_split: the split that `test_dataloader` loads: train, val or test.

    Batches, on the device: `image` float32 N x C x H x W with the training split's mean 0 and deviation 1 per
    channel, `mask` int64 N x H x W (0 background, 255 ignored), `index` int64 N; in training with border weights also
    `weight` float32 N x H x W, 0 where the mask is ignored.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        data_dir: str | Path,
        source: str | Path | None = None,
        download: bool = False,
        image_size: int | Sequence[int] = 256,
        patches: int | None = None,
        patch_foreground: float = 0.33,
        in_channels: int = 3,
        intensity_range: IntensityRange = None,
        num_classes: int | None = None,
        split: str | None = None,
        fold: int | None = None,
        groups: str | None = None,
        metadata: str | None = None,
        fraction: float = 1.0,
        batch_size: int = 8,
        num_workers: int | str = "auto",
        skip_bad: bool = False,
        augmentation: Augmentation | OnDeviceAugmentation | None = None,
        seed: int = 0,
        root: str | Path | None = None,
        spacing: float | Sequence[float] | None = None,
        labels: Mapping[str, Any] | None = None,
        ignore: Any = None,
        foreground: str | None = None,
        mask_pattern: str | None = None,
        border_weights: bool = False,
        border_w0: float = 10.0,
        border_sigma: float = 5.0,
        prepared_in: str | Path | None = None,
        normalisation: tuple[Sequence[float], Sequence[float]] | None = None,
        test_split: str = "test",
    ) -> None:
        super().__init__()
        check_range(dataset, intensity_range)
        self.given_normalisation = normalisation
        self.dataset = dataset
        self.data_dir = Path(data_dir).expanduser()
        self.prepared_in = prepared_in
        self.source = source if source is not None else root
        self.download = download
        self.image_size = image_size if isinstance(image_size, int) else (int(image_size[0]), int(image_size[1]))
        self.in_channels = in_channels
        self.num_classes = num_classes
        self.split = split
        self.fold = fold
        self.grouping = groups
        self.metadata = metadata
        check_arguments(DATA, "data.", fraction=fraction)
        self.fraction = fraction
        self.batch_size = batch_size
        self.num_workers = default_workers() if num_workers == "auto" else int(num_workers)
        self.skip_bad = skip_bad
        self.augmentation = augmentation
        self.seed = seed
        border = {"border_weights": border_weights, "border_w0": border_w0, "border_sigma": border_sigma}
        check_arguments(DATA, "data.", **border, patches=patches, patch_foreground=patch_foreground)
        check_patches(patches, border_weights, augmentation)
        self.patches, self.patch_foreground = patches, patch_foreground
        self.border_weights, self.border_w0, self.border_sigma = border_weights, float(border_w0), float(border_sigma)
        self.test_split = test_split
        self.spacing = as_spacing(spacing)
        self.on_device: ImagesOnDevice | None = None  # once the first training batch is there

    @functools.cached_property
    def prepared(self) -> PreparedDataset:
        """The prepared data; made when they are not there yet."""
        return prepare(
            self.dataset,
            image_size=None if self.patches else self.image_size,
            in_channels=self.in_channels,
            data_dir=self.data_dir,
            source=self.source,
            download=self.download,
            skip_bad=self.skip_bad,
            num_classes=self.num_classes,
            prepared_in=self.prepared_in,
        )

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of what the network is given: of the prepared images, or of a patch."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    @property
    def window(self) -> tuple[int, int] | None:
        """Height and width of the windows in which images are predicted; None where they are predicted as a whole."""
        return self.input_size if self.patches else None

    @property
    def training_samples(self) -> int:
        """Images, or patches, in an epoch."""
        return len(self.indices["train"]) * (self.patches or 1)

    @functools.cached_property
    def border(self) -> BorderMaps | None:
        """What border weights need of every image, computed when it is not there yet; None where they are off."""
        if not self.border_weights:
            return None
        return prepare_border(
            self.dataset,
            self.prepared,
            sigma=self.border_sigma,
            data_dir=self.data_dir,
            source=self.source,
            download=self.download,
        )

    @functools.cached_property
    def class_weights(self) -> np.ndarray:
        """The weight of each class, float32, that balances the classes over the training split's border maps."""
        assert self.border is not None
        return self.border.balance(self.indices["train"], self.prepared.num_classes)

    @functools.cached_property
    def indices(self) -> dict[str, np.ndarray]:
        """Positions of each split in the prepared data; of the training split, those of the fraction."""
        indices = self.prepared.split_indices(self.dataset, self.split, self.fold, self.groups)
        if self.fraction == 1:
            return indices
        types = {row.id: row.type for row in self.prepared.samples}
        ids = [self.prepared.ids[index] for index in indices["train"]]
        chosen = take_fraction(ids, self.fraction, self.seed, types, self.groups)
        part = [index for index, id_ in zip(indices["train"], ids, strict=True) if id_ in chosen]
        return indices | {"train": np.array(part, dtype=np.int64)}

    @functools.cached_property
    def groups(self) -> dict[str, str]:
        """The patient, video or other group of each image by its id; empty where none is known."""
        return find_groups(self.grouping, self.dataset, self.prepared, self.source, self.data_dir)

    @functools.cached_property
    def columns(self) -> dict[str, dict[str, str]]:
        """What else is known of each image, for the subgroups of a report: column -> id -> value."""
        return find_columns(self.metadata, self.dataset, self.prepared, self.source, self.data_dir)

    @functools.cached_property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and standard deviation per channel, for images in 0..1: as given, else over the training split."""
        if self.given_normalisation is not None:
            return self.given_normalisation
        mean, std = self.prepared.mean_std(self.indices["train"])
        # A channel that is the same everywhere has nothing to scale.
        return mean, tuple(value or 1.0 for value in std)

    def prepare_data(self) -> None:
        _ = self.prepared

    def train_dataloader(self) -> Loader:
        return self.loader("train", training=True)

    def val_dataloader(self) -> Loader:
        return self.loader("val")

    def test_dataloader(self) -> Loader:
        return self.loader(self.test_split)

    def images(self, *, training: bool = False) -> Images:
        """Return all prepared images by position; in training augmented, and with border maps or as patches."""
        if not training:
            return Images(self.prepared, None)
        patches = Patches(self.input_size, self.patch_foreground) if self.patches else None
        return Images(self.prepared, self.augmentation, self.border, patches)

    def loader(self, split: str, *, training: bool = False) -> Loader:
        """Load one split; in training shuffled and augmented.

        Raises `DataError` for a split without images.
        """
        indices = self.indices[split]
        if len(indices) == 0:
            raise DataError(f"{self.dataset.title}: the {split} split has no images; choose another data.split")
        trainer = self.trainer
        sampler = EpochSampler(
            indices,
            seed=self.seed,
            shuffle=training,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
            repeats=self.patches if training and self.patches else 1,
        )
        # Whole images of different sizes are no batch.
        batch_size = 1 if self.patches and not training else self.batch_size
        images: torch.utils.data.Dataset = self.images(training=training)
        num_workers = self.num_workers
        if training and isinstance(self.augmentation, OnDeviceAugmentation):
            height, width = self.input_size
            images = DrawnPositions(self.augmentation, len(self.prepared.ids), square=height == width)
            num_workers = 0
        return Loader(
            images,
            sampler=sampler,
            batch_size=batch_size,
            # One size for all training steps; a last batch of one image would also make poor batch statistics.
            drop_last=training and len(sampler) >= batch_size,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=as_sent,
            worker_init_fn=start_worker,
        )

    def images_on_device(self, device: torch.device) -> ImagesOnDevice:
        """Return the training images on a device; they are put there once."""
        if self.on_device is None:
            assert isinstance(self.augmentation, OnDeviceAugmentation)
            arrays: dict[str, Any] = {"image": self.prepared.images, "mask": self.prepared.masks}
            if self.border is not None:
                arrays |= {"mask": self.border.masks, "closeness": self.border.closeness}
            self.on_device = ImagesOnDevice(self.augmentation, self.indices["train"], arrays, device)
        return self.on_device

    def on_after_batch_transfer(self, batch: dict[str, torch.Tensor], dataloader_idx: int) -> dict[str, torch.Tensor]:
        if "drawn" in batch:
            batch = self.images_on_device(batch["index"].device).batch(batch)
        # Bytes are sent to the device and become floats there: a quarter of the transfer. N x H x W x C seen as
        # N x C x H x W is the channels_last layout, without a copy.
        image = normalise(batch["image"].permute(0, 3, 1, 2), *self.normalisation)
        mask = batch["mask"].long()
        ready = {"image": image, "mask": mask, "index": batch["index"]}
        if "closeness" in batch:
            seen = mask != IGNORE_INDEX
            by_class = torch.tensor(self.class_weights, device=mask.device)[mask * seen]
            ready["weight"] = (by_class + self.border_w0 * batch["closeness"]) * seen
        return ready


def as_spacing(given: float | Sequence[float] | None) -> tuple[float, float] | None:
    """Return height and width of a pixel in mm; None where they are not given. Raises `ConfigError`."""
    if given is None:
        return None
    sides = [given, given] if isinstance(given, int | float) else list(given)
    checked("data.spacing", sides, SPACING)
    return float(sides[0]), float(sides[1])


def build_datamodule(data: DictConfig, **extra: Any) -> SegmentationDataModule:
    """Build the data module that a `data` configuration describes; `extra` goes to it as it is."""
    datamodule = instantiate(data, **extra)
    assert isinstance(datamodule, SegmentationDataModule)
    return datamodule
