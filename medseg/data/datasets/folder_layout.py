"""Find the image and mask pairs in a user's folder, and the split that it may bring along."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from medseg.data.datasets.folder_pairing import Key, masks_beside, pair_masks
from medseg.data.datasets.splits_csv import EXTENSIONS, read_splits
from medseg.data.sources.problems import Problem
from medseg.data.sources.source import Source
from medseg.data.splits import SPLIT_FOLDERS
from medseg.errors import DataError

log = logging.getLogger(__name__)

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "original", "jpegimages")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentations", "segmentation",
    "segmentationclass", "ground truth", "ground_truth", "groundtruth", "gt", "1st_manual", "2nd_manual", "manual",
)  # fmt: skip
"""Names of the folders, in lower case; those after the first only count where there is none of the first."""

LAYOUT = (
    "images/ with masks/ beside it, a mask having the name of its image, with a prefix or suffix that is the same for "
    "all (or data.mask_pattern='*_seg', * being the name of the image)"
)


@dataclass
class Files:
    """What a folder holds: id -> file; id -> split, and column -> id -> value of its splits.csv, where it has them."""

    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_files(source: Source, mask_pattern: str | None = None) -> Files:
    """Pair images and masks by name; see `folder_pairing`.

    The id of an image is its path below `images/`, with the folders above `images/` that not all share in front,
    without extension, '/' written as '__' (so that an id can name a file): `train/images/p1/a.png` is `train__p1__a`.

    Args:
        source: the folder or zip.
        mask_pattern: of the names of masks, with `*` for the name of the image; None finds it in the names.

    Raises `DataError` where the layout is not met, where two files claim one id, and for a wrong splits.csv.
    """
    images, masks, tops, ignored = _collect(source, mask_pattern)
    if not images or not masks:
        lacking = "images" if not images else "masks"
        seen = f" (files ending in {', '.join(sorted(ignored)[:5])} are not known)" if ignored else ""
        hint = "; images without masks are for medseg predict RUN IMAGES OUTPUT" if images else ""
        raise DataError(f"{source.location}: no {lacking} found; expected is {LAYOUT}{seen}{hint}")
    if ignored:
        endings = ", ".join(f"{number} {ending}" for ending, number in sorted(ignored.items()))
        log.warning("%s: left out in images/ and masks/, by ending: %s", source.location, endings)

    shared = _shared_folders(tops)
    pairs = pair_masks(images, masks, mask_pattern, source.location)
    files = Files()
    for (folders, stem), name in images.items():
        id_ = "__".join((*folders[shared:], stem))
        if id_ in files.images:
            raise DataError(f"{source.location}: {files.images[id_]} and {name} have the same id '{id_}'; rename one")
        files.images[id_] = name
        if (folders, stem) in pairs:
            files.masks[id_] = pairs[folders, stem]
        else:
            files.problems.append(Problem("missing mask", name, sample=id_))
        split = next((SPLIT_FOLDERS[folder.lower()] for folder in folders if folder.lower() in SPLIT_FOLDERS), "")
        if split:
            files.splits[id_] = split
    used = {file for of_image in files.masks.values() for file in of_image}
    files.problems += [
        Problem("extra mask", name, "there is no image of that name") for name in masks.values() if name not in used
    ]
    _read_splits_csv(source, files)
    return files


def without_masks(names: Sequence[str]) -> tuple[list[str], str]:
    """Return the image files of a folder that are no masks, and the folder that all of them are in; empty for none.

    Where `images/` is beside `masks/`, or others of their names, those in `images/` count; where none is, those that
    are no masks by their names, such as `a_mask.png` beside `a.png`.

    Args:
        names: paths below the folder, with `/`.
    """
    below: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        *folders, _ = name.split("/")
        for depth, folder in enumerate(folders):
            below[tuple(folders[:depth])][folder.lower()] = folder
    chosen = {
        parent: next(present[name] for name in IMAGE_FOLDERS if name in present)
        for parent, present in below.items()
        if not present.keys().isdisjoint(IMAGE_FOLDERS) and not present.keys().isdisjoint(MASK_FOLDERS)
    }
    if chosen:
        paths = {name: name.split("/") for name in names}
        kept = [
            name
            for name, parts in paths.items()
            if all(chosen.get(tuple(parts[:depth]), part) == part for depth, part in enumerate(parts))
        ]
        return kept, chosen.get((), "")
    keys: dict[Key, str] = {}
    for name in names:
        *folders, last = name.split("/")
        keys.setdefault((tuple(folders), last.rpartition(".")[0]), name)
    masks = {*masks_beside(keys, None).values()}
    return [name for name in names if name not in masks], ""


def _collect(
    source: Source, mask_pattern: str | None
) -> tuple[dict[Key, str], dict[Key, str], set[tuple[str, ...]], Counter[str]]:
    """Images and masks by key, the folders in which `images` or `masks` are, and endings that are not known."""
    kinds = dict.fromkeys(_folders_of(source, IMAGE_FOLDERS, "images"), "images")
    kinds |= dict.fromkeys(_folders_of(source, MASK_FOLDERS, "masks"), "masks")
    files: dict[str, dict[Key, str]] = {"images": {}, "masks": {}}
    tops: set[tuple[str, ...]] = set()
    ignored: Counter[str] = Counter()
    for name in source.names:
        *folders, last = name.split("/")
        at = next((n for n, folder in enumerate(folders) if folder.lower() in kinds), None)
        if at is None and kinds:
            continue
        stem, dot, extension = last.rpartition(".")
        if not dot or extension.lower() not in EXTENSIONS:
            ignored[f".{extension}" if dot else last] += bool(kinds)
            continue
        kind = "images" if at is None else kinds[folders[at].lower()]
        key = (tuple(folders) if at is None else (*folders[:at], *folders[at + 1 :]), stem)
        tops.add(tuple(folders[:at]))
        other = files[kind].setdefault(key, name)
        if other != name:
            raise DataError(f"{source.location}: {other} and {name} have the same name; which one counts? remove one")
    images, masks = files["images"], files["masks"]
    if not masks:
        masks = masks_beside(images, mask_pattern)
        images = {key: file for key, file in images.items() if key not in masks} if masks or kinds else {}
    return images, masks, tops, +ignored


def _folders_of(source: Source, names: Sequence[str], kind: str) -> list[str]:
    """Names of the folders with images or masks: the first of `names`, else the one of the others that there is."""
    present = {folder.lower() for name in source.names for folder in name.split("/")[:-1]}
    found = [name for name in names if name in present]
    if found[:1] == [names[0]]:
        return found[:1]
    if len(found) > 1:
        raise DataError(
            f"{source.location}: {' and '.join(f'{name}/' for name in found)} could all hold the {kind}; rename the "
            f"right one to {kind}/"
        )
    return found


def _shared_folders(tops: Iterable[tuple[str, ...]]) -> int:
    """Number of leading folders above `images` and `masks` that all share; a split's folder is never one of them."""
    first, *others = tops
    count = 0
    while (
        count < len(first)
        and first[count].lower() not in SPLIT_FOLDERS
        and all(folders[: count + 1] == first[: count + 1] for folders in others)
    ):
        count += 1
    return count


def _read_splits_csv(source: Source, files: Files) -> None:
    """Take splits and further columns, such as groups, from a `splits.csv` beside `images/`, where there is one."""
    depth = min(
        next((n for n, folder in enumerate(name.lower().split("/")) if folder in IMAGE_FOLDERS), name.count("/"))
        for name in files.images.values()
    )
    tables = [name for name in source.names if name.lower().split("/")[-1] == "splits.csv" and name.count("/") <= depth]
    if not tables:
        return
    assigned = read_splits(source.read(tables[0]), tables[0], files.images)
    files.splits, files.columns = assigned.splits, assigned.columns
