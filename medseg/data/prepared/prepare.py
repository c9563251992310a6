"""Prepare a dataset for training: find it, check it, decode and resize it once, and store the result.

The result is a folder `<data_dir>/prepared/<dataset>-<height>x<width>[-grey]-<key>/`, or `<dataset>-native...`, whose
key changes with everything that changes its content. It is built under a temporary name, and renamed when it is
complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from omegaconf import DictConfig, OmegaConf

from medseg.config.checks.data import DATA, is_url
from medseg.config.checks.kinds import CHANNELS, SIZE, check_arguments, checked
from medseg.config.instantiate import instantiate
from medseg.data.datasets.base import Dataset, IntensityRange, Listing
from medseg.data.pixel_format import as_typed, fits
from medseg.data.prepared.border_maps import prepare_border
from medseg.data.prepared.build import build_arrays
from medseg.data.prepared.dataset import PreparedDataset, is_complete, read_fingerprint, write_fingerprint
from medseg.data.prepared.duplicates import find_duplicates
from medseg.data.prepared.fingerprint import describe_contents, describe_origin, sha256_file
from medseg.data.prepared.samples import as_samples, write_samples
from medseg.data.prepared.staging import build_once, writing
from medseg.data.prepared.threads import thread_count
from medseg.data.sources.finding import missing_archives, open_source
from medseg.data.sources.problems import FEW, Problem, bad_samples, refuse_fatal, summary, write_problems
from medseg.data.sources.source import Source, checksum_name
from medseg.errors import ConfigError, DataError, UserError, as_bytes, count
from medseg.system.files import sync

log = logging.getLogger(__name__)

CHANNEL_LABELS = {3: "", 1: "-grey"}

PREPARE_VERSION = 4
"""Raised when the same source and options give other arrays than before."""


@dataclass(frozen=True)
class Request:
    """What is to be prepared, apart from the source."""

    dataset: Dataset
    size: tuple[int, int] | None
    channels: int
    skip_bad: bool

    @property
    def label(self) -> str:
        """Readable part of the folder's name."""
        channels = CHANNEL_LABELS.get(self.channels, f"-{self.channels}channels")
        size = "native" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"{self.dataset.name}-{size}{channels}"

    def key(self, identity: str = "") -> str:
        """Return 12 hexadecimal digits that stand for the request and the source's identity."""
        dataset = self.dataset
        parts = [PREPARE_VERSION, dataset.name, dataset.version, dataset.options, self.size, self.channels]
        text = json.dumps([*parts, self.skip_bad, identity], sort_keys=True, default=str)
        return hashlib.sha256(as_bytes(text)).hexdigest()[:12]


def prepare(
    dataset: Dataset,
    *,
    image_size: int | Sequence[int] | None,
    in_channels: int = 3,
    data_dir: str | Path,
    source: str | Path | None = None,
    download: bool = False,
    skip_bad: bool = False,
    num_workers: int | None = None,
    num_classes: int | None = None,
    prepared_in: str | Path | None = None,
) -> PreparedDataset:
    """Return the prepared data of a dataset; made now unless they are there already.

    Args:
        dataset: which dataset.
        image_size: side of square images, or (height, width), in pixels. The aspect ratio is not kept, as in most
            papers. Images are resized by area where they shrink and linearly where they grow, masks to the nearest.
            None: every image stays at its native size.
        in_channels: 3 for RGB, 1 for grey, or as many as the files have.
        data_dir: where archives are looked for and prepared data are kept.
        source: see `medseg.data.sources.finding.open_source`. None also finds what was prepared before from elsewhere.
        download: fetch missing archives from their published address.
        skip_bad: leave out samples that cannot be used instead of stopping.
        num_workers: decoding threads; all cores without.
        num_classes: checked against the dataset's.
        prepared_in: another folder like `data_dir`, only read: its prepared data and archives are used if it has any.

    Raises `DataError` for data that are missing, damaged or unsafe and for a disk that cannot be written, and
    `ConfigError` for a size or a number of channels or classes that cannot be.
    """
    check_arguments(DATA, "data.", download=download, skip_bad=skip_bad)
    size = None if image_size is None else checked_size(image_size)
    request = Request(dataset, size, checked_channels(in_channels), skip_bad)
    data_dir = Path(data_dir).expanduser()
    others = [] if prepared_in is None else [Path(prepared_in).expanduser()]
    folder = None
    if source is None and dataset.archives and missing_archives(dataset, data_dir):
        known = (newest_prepared(request, each / "prepared") for each in (*others, data_dir))
        folder = next(filter(None, known), None)
        if folder is not None:
            log.info("%s: using what was prepared before, %s", dataset.title, folder)
        source = next((each for each in others if not missing_archives(dataset, each)), None)
    if folder is None:
        opened = open_source(dataset, source, data_dir, download)
        name = f"{request.label}-{request.key(opened.identity)}"
        folders = [each / "prepared" / name for each in (*others, data_dir)]
        folder = next(filter(is_complete, folders), folders[-1])
        if not is_complete(folder):
            downloaded = source is not None and is_url(source)
            fill = partial(build, request, opened, thread_count(num_workers), num_classes, downloaded)
            problems = build_once(folder, f"is busy with preparing {dataset.title}", is_complete, fill)
            if problems is not None:
                log.info("%s: prepared in %s", dataset.title, folder)
            varying = [problem for problem in problems or () if problem.kind == "alpha left out"]
            if varying:
                few = f"{count(len(varying), 'image')}, such as {varying[0].file}"
                log.warning("%s: alpha that is not the same everywhere is left out of %s", dataset.title, few)
            for problem in problems or ():
                if problem.kind == FEW:
                    log.warning("%s: dark images: %s", dataset.title, problem.detail)
            if problems:
                log.warning("%s: found %s; see %s", dataset.title, summary(problems), folder / "problems.csv")
    prepared = PreparedDataset(folder)
    check_num_classes(dataset, num_classes, prepared.class_names)
    return prepared


def prepare_from_config(data: DictConfig) -> tuple[Dataset, PreparedDataset]:
    """Prepare what a `data` configuration describes, without the module that loads it, which would import torch."""
    arguments = ("in_channels", "data_dir", "source", "download", "skip_bad", "num_classes")
    plain = OmegaConf.to_container(data, resolve=True, throw_on_missing=True)
    assert isinstance(plain, dict)
    dataset = instantiate(data.dataset)
    check_range(dataset, plain["intensity_range"])
    size = None if plain["patches"] else plain["image_size"]
    prepared = prepare(dataset, image_size=size, **{name: plain[name] for name in arguments})
    if plain["border_weights"]:
        where = {name: plain[name] for name in ("data_dir", "source", "download")}
        prepare_border(dataset, prepared, sigma=plain["border_sigma"], **where)
    return dataset, prepared


def checked_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width); raises `ConfigError` for anything but one or two integers from 8 up."""
    given = list(image_size) if isinstance(image_size, Sequence) and not isinstance(image_size, str) else image_size
    size = checked("data.image_size", given, SIZE)
    return (size[0], size[1]) if isinstance(size, list) else (size, size)


def checked_channels(in_channels: int) -> int:
    """Return the number of channels; raises `ConfigError` for anything but 1 to 64."""
    return checked("data.in_channels", in_channels, CHANNELS)


def check_range(dataset: Dataset, asked: IntensityRange) -> None:
    """Raise `ConfigError` where a range is asked of a dataset that has a fixed one."""
    if asked is not None and dataset.intensity_range is None:
        given = asked if isinstance(asked, str) else as_typed(*asked)
        raise ConfigError(
            f"data.intensity_range={given} is for data=folder; the images of {dataset.title} are taken as they are"
        )


def check_channels(dataset: Dataset, listing: Listing, asked: int) -> None:
    """Raise `ConfigError` where the files have other channels than are asked for."""
    channels = listing.pixels.channels
    if not fits(channels, asked):
        names = {1: "1 channel (grey)", 3: "3 channels (RGB; alpha is no channel)"}
        have = names.get(channels, f"{channels} channels")
        raise ConfigError(
            f"data.in_channels={asked}, but the files of {dataset.title} have {have}; give data.in_channels={channels}"
        )


def check_num_classes(dataset: Dataset, asked: int | None, class_names: Sequence[str]) -> None:
    """Raise `ConfigError` where the user's number of classes is not the dataset's."""
    if asked is not None and asked != len(class_names):
        raise ConfigError(
            f"data.num_classes={asked}, but the masks of {dataset.title} have {len(class_names)} classes "
            f"({', '.join(class_names)})"
        )


def newest_prepared(request: Request, prepared_dir: Path) -> Path | None:
    """Find the newest prepared data of a request, whatever their source."""
    candidates: list[tuple[str, Path]] = []
    for path in prepared_dir.glob(f"{request.label}-*/fingerprint.json"):
        with suppress(DataError):
            fingerprint = read_fingerprint(path.parent)
            if fingerprint.get("request") == request.key():
                candidates.append((fingerprint["created"], path.parent))
    return max(candidates)[1] if candidates else None


def build(
    request: Request, source: Source, workers: int, num_classes: int | None, downloaded: bool, folder: Path
) -> list[Problem]:
    """Fill a folder with prepared data, the fingerprint last; return the problems of its samples."""
    started = time.perf_counter()
    dataset, size = request.dataset, request.size
    checksums = verify_archives(dataset, source, downloaded=downloaded)
    listing = dataset.list_samples(source)
    check_num_classes(dataset, num_classes, listing.class_names)
    check_channels(dataset, listing, request.channels)
    listing = without_bad(listing)
    failed = folder.parent / f"{dataset.name}-problems.csv"
    if not listing.samples:
        refuse_fatal(listing.problems, dataset.title, failed, bad_samples(listing.problems))
        raise DataError(f"{dataset.title}: no images found in {source.location}; is this the right folder or archive?")
    needed = None if size is None else len(listing.samples) * size[0] * size[1] * (request.channels + 1)
    with writing(folder.parent, needed=needed):
        workers = min(workers, len(listing.samples))
        result = build_arrays(dataset, source, listing, folder, size, request.channels, workers)
    problems = listing.problems + result.problems
    bad = [problem for problem in problems if problem.fatal]
    refuse_fatal(problems, dataset.title, failed, len(result.rows) + bad_samples(problems), skip_bad=request.skip_bad)
    try:
        splits = dataset.assign_splits(as_samples(result.rows), None, None)
    except UserError:  # raised again where this split is used; the options may choose another
        splits = {}
    parts = [splits.get(row.id, "no split") for row in result.rows]
    pairs = find_duplicates(result.rows, result.thumbnails, parts)
    problems += [pair.as_problem(result.rows, parts) for pair in pairs]
    write_samples(folder / "samples.csv", result.rows)
    write_problems(folder / "problems.csv", problems)
    sizes = {name: (folder / name).stat().st_size for name in (*result.files, "samples.csv")}
    fingerprint = {
        **describe_origin(dataset),
        "request": request.key(),
        "image_size": None if size is None else list(size),
        "in_channels": request.channels,
        "pixels": listing.pixels.to_dict(),
        "opaque_alpha": result.opaque_alpha,
        "skip_bad": request.skip_bad,
        "skipped": sorted({problem.sample or PurePosixPath(problem.file).stem for problem in bad}),
        "problems": dict(Counter(problem.kind for problem in problems)),
        **describe_contents(listing, result.rows, result.class_pixels, splits, size),
        "source": source.location,
        "source_identity": source.identity,
        "archive_sha256": checksums,
        "sha256": result.sha256,
        "file_sizes": sizes,
        "seconds": round(time.perf_counter() - started, 2),
        "workers": workers,
    }
    for name in ("samples.csv", "problems.csv"):
        sync(folder / name)
    write_fingerprint(folder, fingerprint)
    failed.unlink(missing_ok=True)
    return problems


def verify_archives(dataset: Dataset, source: Source, *, downloaded: bool) -> dict[str, str]:
    """Return the SHA-256 of each archive by file name.

    One that differs from the published one is what the user gave us, perhaps repacked: a warning; or refused, where
    it was downloaded.
    """
    checksums: dict[str, str] = {}
    for path, published in source.archives:
        checksums[path.name] = sha256_file(path)
        if published is None or published == f"sha256:{checksums[path.name]}" or is_file_of(path, published):
            continue
        kind, digest = checksum_name(published), published.partition(":")[2]
        if downloaded:
            raise DataError(
                f"{dataset.title}: {path} has another {kind} than the published {digest}; delete it to download it "
                "again, or trust it with data.source=" + str(path.parent)
            )
        log.warning("%s: %s is not the published file (other %s; repacked?); used as it is", dataset.title, path, kind)
    return checksums


def is_file_of(path: Path, checksum: str) -> bool:
    """Tell whether a file has a checksum that is published as MD5; one published as SHA-256 is compared without it."""
    algorithm, _, digest = checksum.partition(":")
    if algorithm != "md5":
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == digest


def without_bad(listing: Listing) -> Listing:
    """Leave out the samples that the listing has reported as unusable."""
    bad = {problem.sample for problem in listing.problems if problem.fatal}
    samples = [sample for sample in listing.samples if sample.id not in bad]
    return replace(listing, samples=samples)
