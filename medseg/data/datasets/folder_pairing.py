"""Which mask files belong to which image, by their names.

A mask has the name of its image, in the mirrored folder; or that name with a prefix or suffix that is the same for all
(`a_lesion`, `mask_a`), which is detected in the names or given as `data.mask_pattern`; or it is in a folder of the
image's name. A number behind the suffix tells several masks of one image apart (`a_mask`, `a_mask_1`). Where all images
share a prefix or suffix that the masks lack (`21_training` and `21_manual1`), it is left off if nothing fits otherwise.
The difference between capital and small letters is then ignored, too. Names are compared in Unicode's composed form.

Numbers as names (`1`, `2`) can be read in two ways: `2_1` is mask 1 of image 2, or the mask of image 1 with a prefix.
The second way counts where it gives every image a mask (`1_1`, `1_2`, `1_3` for 1, 2 and 3), else the one that pairs
more images, and the first where both pair as many.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from medseg.data.splits import SPLIT_FOLDERS
from medseg.errors import DataError

Key = tuple[tuple[str, ...], str]
"""The folders of a file without `images` or `masks`, and its name without extension."""

Affix = tuple[str, str]
"""What is before and behind the name of an image in the name of its mask, without a number at the end."""

WORDS = re.compile(r"mask|seg|label|lesion|anno|manual|truth|(?<![a-z])gt(?![a-z])", re.IGNORECASE)
"""Parts of names that only masks have."""

KNOWN = (("", ""), ("", "_mask"), ("", "_segmentation"))
"""Affixes that go together: some masks can have one and others another."""

_NUMBER = re.compile(r"[ _-]*\(?\d{1,4}\)?$")
_MASK_NUMBER = r"(?:[ _-]+\(?\d+\)?|\(\d+\))"


def pair_masks(
    images: Mapping[Key, str], masks: Mapping[Key, str], pattern: str | None, location: str
) -> dict[Key, tuple[str, ...]]:
    """Return the mask files of each image that has any, sorted by name.

    Args:
        images, masks: key -> file.
        pattern: of the names of masks, with `*` for the name of the image; None finds it.
        location: of the files, for messages.

    Raises `DataError` where an image has masks of several kinds.
    """
    alike = {composed(key): key for key in images}
    of_form = {composed(key): file for key, file in masks.items()}
    if (len(alike), len(of_form)) != (len(images), len(masks)):  # two that differ in nothing else
        alike, of_form = {key: key for key in images}, dict(masks)
    pattern = pattern and unicodedata.normalize("NFC", pattern)
    return {alike[key]: tuple(sorted(files)) for key, files in pair(alike, of_form, pattern, location).items()}


def pair(
    images: Collection[Key], masks: Mapping[Key, str], pattern: str | None, location: str
) -> Mapping[Key, list[str]]:
    """Pair in the first way that pairs any image: by name, without what all images share, in lower case, by folder."""
    pairs = pair_by_name({key: key for key in images}, masks, pattern, location)
    if not pairs:
        pairs = pair_by_name(without_common_parts(images), masks, pattern, location)
    if not pairs:
        lower = {lower_case(key): key for key in images}
        of_case = {lower_case(key): file for key, file in masks.items()}
        if (len(lower), len(of_case)) == (len(images), len(masks)):  # no two that differ in nothing else
            pairs = pair_by_name(lower, of_case, pattern and pattern.lower(), location)
    if not pairs and pattern is None:
        pairs = pair_by_folder(images, masks)
    return pairs


def composed(key: Key) -> Key:
    """Return a key in Unicode's composed form, NFC; macOS writes `ü` as two characters."""
    return tuple(unicodedata.normalize("NFC", folder) for folder in key[0]), unicodedata.normalize("NFC", key[1])


def lower_case(key: Key) -> Key:
    """Return a key in lower case."""
    return tuple(folder.lower() for folder in key[0]), key[1].lower()


def masks_beside(files: Mapping[Key, str], pattern: str | None) -> dict[Key, str]:
    """Return those of some files that are masks of others: by the pattern, else by a word such as `mask`."""
    forms = {composed(key): key for key in files}
    if len(forms) != len(files):  # two that differ in nothing else
        forms = {key: key for key in files}
    pattern = pattern and unicodedata.normalize("NFC", pattern)
    chosen: set[Key] = set()
    for _ in range(2):  # the second time, `a_mask` is no image any more that `a_mask_1` could be the mask of
        stems = by_folder(forms.keys() - chosen)
        for key in forms:
            fitting = fits(key[1], stems.get(key[0], set()) - {key[1]}, pattern)
            if fitting and (pattern is not None or WORDS.search("/".join(fitting[1]))):
                chosen.add(key)
    return {key: files[key] for form, key in forms.items() if form in chosen}


def pair_by_name(
    names: Mapping[Key, Key], masks: Mapping[Key, str], pattern: str | None, location: str
) -> dict[Key, list[str]]:
    """Pair by name: the key of an image -> its masks. `names`: key by which an image is looked for -> its key."""
    pairs: dict[Key, list[str]] = {}
    refused = None
    for start in (False, True):
        try:
            other = of_one_kind(read_names(names, masks, pattern, start), pattern, location)
        except DataError as error:
            refused = error
            continue
        if len(other) >= len(pairs):
            pairs = other
        if pattern is not None or len(pairs) == len(names):
            break
    if refused is not None and not pairs:
        raise refused
    return pairs


def read_names(
    names: Mapping[Key, Key], masks: Mapping[Key, str], pattern: str | None, start: bool
) -> dict[Key, dict[Affix, list[str]]]:
    """Return the masks that name an image, by what is around its name there; arguments as `pair_by_name` and `fits`."""
    stems = by_folder(names)
    named: dict[Key, dict[Affix, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (folders, stem), file in masks.items():
        fitting = fits(stem, stems[folders], pattern, start)
        if fitting:
            named[names[folders, fitting[0]]][fitting[1]].append(file)
    return named


def of_one_kind(
    named: Mapping[Key, Mapping[Affix, list[str]]], pattern: str | None, location: str
) -> dict[Key, list[str]]:
    """Return the masks of each image that have the affix of most. Raises `DataError` where an image has several."""
    kinds = Counter(affix for of_kind in named.values() for affix in of_kind)
    other = max((affix for affix in kinds if affix not in KNOWN), key=lambda affix: (kinds[affix], affix), default=None)
    pairs: dict[Key, list[str]] = {}
    for key, of_kind in named.items():
        if len(of_kind) > 1:
            first, second = (f"{files[0]}" for files in list(of_kind.values())[:2])
            ways = " or ".join(f"'data.mask_pattern={before}*{behind}'" for before, behind in sorted(of_kind))
            raise DataError(
                f"{location}: {key[1]} has more than one mask, {first} and {second}; choose one kind with {ways}"
            )
        ((affix, files),) = of_kind.items()
        if affix in KNOWN or affix == other or pattern is not None:
            pairs[key] = files
    return pairs


def fits(stem: str, names: set[str], pattern: str | None, start: bool = False) -> tuple[str, Affix] | None:
    """Return the image that the name of a mask holds, and what is around it; None where there is none.

    It is the longest, the last one of several. `start`: one that the name begins with goes before all others.
    """
    if pattern is not None:
        before, _, behind = pattern.partition("*")
        # The name of an image may itself end in a number, as that of a further mask does: `img_1`, `img_mask_1`.
        for number in ("", _MASK_NUMBER):
            match = re.fullmatch(rf"{re.escape(before)}(.+?){re.escape(behind)}{number}", stem)
            if match and match[1] in names:
                return match[1], (before, behind)
        return None
    if stem in names:
        return stem, ("", "")
    ends = [at for at in range(len(stem) + 1) if is_boundary(stem, at)]
    parts = [
        (start and first == 0, last - first, first, last)
        for first in ends
        for last in ends
        if first < last and stem[first:last] in names
    ]
    if not parts:
        return None
    *_, first, last = max(parts)
    return stem[first:last], (stem[:first], _NUMBER.sub("", stem[last:]))


def is_boundary(text: str, at: int) -> bool:
    """Tell whether a name can begin or end there: not between two digits or two letters."""
    if at in (0, len(text)):
        return True
    left, right = text[at - 1], text[at]
    return not (left.isdigit() and right.isdigit()) and not (left.isalpha() and right.isalpha())


def without_common_parts(images: Collection[Key]) -> dict[Key, Key]:
    """Leave off the prefix and suffix that the names of all images have: shorter key -> key; none where two agree."""
    stems = [stem for _, stem in images]
    if len(stems) < 2:
        return {}
    start, end = common_length(stems), common_length([stem[::-1] for stem in stems])
    while start and not all(is_boundary(stem, start) for stem in stems):
        start -= 1
    while end and not all(is_boundary(stem, len(stem) - end) for stem in stems):
        end -= 1
    shorter = {(key[0], key[1][start : len(key[1]) - end]): key for key in images}
    return shorter if len(shorter) == len(images) and all(stem for _, stem in shorter) else {}


def common_length(texts: Sequence[str]) -> int:
    """Return how many characters all texts begin with."""
    columns = zip(*texts, strict=False)
    return next((at for at, letters in enumerate(columns) if len(set(letters)) > 1), min(map(len, texts)))


def pair_by_folder(images: Collection[Key], masks: Mapping[Key, str]) -> dict[Key, list[str]]:
    """Pair by folder: all masks in `masks/<name of the image>/`, or in `masks/` beside `images/` with one image."""
    stems = by_folder(images)
    pairs: dict[Key, list[str]] = defaultdict(list)
    for (folders, _), file in masks.items():
        alone = next(iter(stems[folders])) if len(stems.get(folders, ())) == 1 and len(stems) > 1 else None
        if folders and (folders[:-1], folders[-1]) in images:
            pairs[folders[:-1], folders[-1]].append(file)
        elif alone and folders[-1].lower() not in SPLIT_FOLDERS:
            pairs[folders, alone].append(file)
    return pairs


def by_folder(keys: Iterable[Key]) -> dict[tuple[str, ...], set[str]]:
    """Collect the names in each folder."""
    stems: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folders, stem in keys:
        stems[folders].add(stem)
    return stems
