"""How the values of all masks are read where nobody has described them; where that is not certain, they are refused.

1. Two values are background and foreground; the lower one is background. So are black and a colour.
2. Values 0, 1, ..., K - 1 without a gap, K up to 51, are class indices, unless each looks like one object.
   With K given, values below K are class indices, whether all of them occur or not; masks with other values are then
   reported one by one, unless they are half of all masks.
3. Masks of 0 and 255 with a few grey pixels (soft edges) are thresholded: values above 127 are foreground.
4. A lossily stored mask (JPEG, lossy WebP) is thresholded too, and goes with two classes only and nothing ignored.
5. Everything else ends in one message: the values with their frequency, and the options that describe them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from medseg.data.datasets.label_census import Census, MaskContent, each_value_is_one_object, one_region_each
from medseg.data.datasets.label_values import MAX_CLASSES, Labels, Span, plain_name, span_name
from medseg.data.datasets.layout import BINARY_GREY, percent, value_list
from medseg.data.sources.decode_masks import COLOUR, brightness, colour_value, value_name
from medseg.data.sources.source import Source
from medseg.errors import ConfigError, DataError

MOST_VALUES = 51
"""Values, 0 among them, up to which class indices are believed; more are the numbers of objects."""

MOST_SHOWN = 8
"""Values that a message shows."""

VOID = (255, 65535, -1)
"""Values beside class indices that usually mean: not to be counted."""

VOID_BORDER = colour_value("#e0e0c0")
"""The colour of object borders that count nowhere in PASCAL VOC, and in what is annotated like it."""

FULL = frozenset((1, 255, 65535))
"""Values of the foreground in masks of 1, 8 and 16 bits."""

FEW_GREY = 0.001
"""Part of all pixels up to which grey values beside 0 and 255 are no class, whatever they look like."""

EVEN = 0.6
"""Part of the pixels with their right neighbour's value below which values are shades of grey, and not areas."""


@dataclass(frozen=True)
class Given:
    """What the user gave of the classes without a description of their values.

    Args:
        ignored: values that count nowhere.
        num_classes: the background included.
        class_names: the background first.
        trained: the option that reads masks as in the training of the network that is scored, and what it means.
    """

    ignored: tuple[Span, ...] = ()
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    trained: tuple[str, Labels] | None = None

    def names(self, count: int) -> tuple[str, ...]:
        """Return the names of so many classes."""
        if self.class_names and len(self.class_names) == count:
            return self.class_names
        if count == 2:
            return ("background", "foreground")
        return ("background", *(f"class {number}" for number in range(1, count)))


def find_labels(source: Source, masks: Mapping[str, MaskContent], given: Given) -> Labels:
    """Decide how the values of all masks are read; see the rules above.

    Args:
        source: where the masks are.
        masks: file -> what it holds, one mask at least.
        given: by the user.

    Raises `ConfigError` where the number of classes does not fit and `DataError` where the values are not certain.
    """
    every = {value for content in masks.values() for value in content.counts}
    without = Labels(("background",), ((),), given.ignored)
    values = set(without.unexpected(every))
    if len(values) < 2 and not (values and 0 < min(values) < (given.num_classes or 0)):
        shown = value_list(values or every)
        raise DataError(f"{source.location}: every mask holds {shown} and nothing else; there is nothing to segment")
    labels = reading(source, masks, values, given)
    refuse_lossy(source, masks, len(values) if labels is None else labels.num_classes, given.ignored)
    if labels is None:
        raise undecided(source, masks, values, given)
    return labels


def refuse_lossy(source: Source, masks: Mapping[str, MaskContent], num_classes: int, ignored: tuple[Span, ...]) -> None:
    """Raise `DataError` where a mask is stored lossily and there are more than two classes, or values to ignore."""
    lossy = next((file for file, content in masks.items() if content.lossy), None)
    if lossy is None:
        return
    if ignored:
        raise DataError(
            f"{source.location}: {lossy} is a JPEG, which changes values, so data.ignore cannot be recognised in it; "
            "save all masks as PNG"
        )
    if num_classes > 2:
        raise DataError(
            f"{source.location}: {lossy} is a JPEG and can only be black and white, which does not go with "
            f"{num_classes} values in all masks; save all masks as PNG"
        )


def reading(source: Source, masks: Mapping[str, MaskContent], values: set[int], given: Given) -> Labels | None:
    """Return how the values are read; None where that is not certain."""
    count, ignored = given.num_classes, given.ignored
    if count is not None and values.issubset(range(count)):
        rule = f"class indices 0 to {count - 1}"
        return Labels(given.names(count), tuple(((value, value),) for value in range(count)), ignored, rule=rule)
    if len(values) == 2 and count in (None, 2):
        low, high = sorted(values)
        if high >= COLOUR and low != 0:
            return None  # of white and red, either can be the background
        rule = "two values: the lower one is background" if high < COLOUR else "black and a colour: black is background"
        return Labels(given.names(2), (((low, low),), ((high, high),)), ignored, rule=rule)
    if count in (None, 2) and has_grey_edges(masks, values):
        rule = "0 and 255 with a few grey pixels: values above 127 are foreground"
        return Labels(given.names(2), (((0, 0),), ((255, 255),)), ignored, grey_edges=True, rule=rule)
    indices = tuple(((value, value),) for value in range(len(values)))
    if count is None and values == set(range(len(values))) and len(values) <= MOST_VALUES:
        if each_value_is_one_object(source, {file: expected(one, values) for file, one in masks.items()}):
            return None
        return Labels(given.names(len(values)), indices, ignored, rule=f"class indices 0 to {len(values) - 1}")
    if count is not None and count > 2 and values != set(range(len(values))):
        labels = Labels(given.names(count), tuple(((value, value),) for value in range(count)), ignored)
        if 2 * holding_others(masks, labels) < len(masks):
            return replace(labels, rule=f"class indices 0 to {count - 1}")
    return None


def expected(content: MaskContent, values: set[int]) -> MaskContent:
    """Return what a mask holds of some values only."""
    return replace(content, counts={value: number for value, number in content.counts.items() if value in values})


def has_grey_edges(masks: Mapping[str, MaskContent], values: set[int]) -> bool:
    """Tell whether masks are black and white but for a few grey pixels, many shades of them.

    0 and 255 are there, beside them at least four values, each in less than a third of the pixels that 255 has.
    Together they are at most 0.1 % of all pixels, as in CVC-ClinicDB, where 138 of 612 masks have some; or at most 5 %,
    and differ from pixel to pixel, as interpolated edges do. Class indices 0 to N beside 255 are no shades.
    """
    shades = values - {0, 255}
    if not {0, 255} <= values or min(values) < 0 or max(values) > 255 or len(shades) < 4:
        return False
    if shades == set(range(1, len(shades) + 1)):
        return False
    census = Census.of(list(masks.values()))
    if max(census.pixels[value] for value in shades) >= census.pixels[255] / 3:
        return False
    together = sum(census.pixels[value] for value in shades)
    even = [content.even for content in masks.values() if shades & content.counts.keys()]
    return together <= FEW_GREY or (together <= BINARY_GREY and sum(even) < EVEN * len(even))


def holding_others(masks: Mapping[str, MaskContent], labels: Labels) -> int:
    """Return the number of masks with values that mean no class."""
    return sum(bool(labels.unexpected(content.counts)) for content in masks.values())


def undecided(
    source: Source, masks: Mapping[str, MaskContent], values: set[int], given: Given
) -> DataError | ConfigError:
    """Make the one message for values that nobody has described, with the options that do."""
    census = Census.of(list(masks.values()))
    hold = f"hold {len(values)} {'colours' if max(values) >= COLOUR else 'values'}: {frequencies(census, values)}"
    known = options(source, masks, values, given, census)
    if given.trained and 2 * holding_others(masks, given.trained[1]) < len(masks):
        known.insert(0, (given.trained[0], "as in the training of the network"))
    ways = "; or ".join(f"{words} {meaning}" for words, meaning in known)
    if not ways:
        return DataError(
            f"{source.location}: the masks {hold}. They look like pictures; a mask has one value for a class"
        )
    if given.num_classes is not None:
        number = f"num_classes={given.num_classes} does not fit the masks, which {hold}"
        return ConfigError(f"{source.location}: {number}. Describe them: {ways}")
    return DataError(f"{source.location}: the masks {hold}. What they mean is not certain; describe them: {ways}")


def frequencies(census: Census, values: set[int]) -> str:
    """Write how often each value occurs; of many, the commonest ones."""
    common = sorted(values, key=lambda value: -census.pixels[value])[:MOST_SHOWN]
    shown = [
        f"{value_name(value)} ({percent(census.pixels[value])} of the pixels, in {census.masks[value]} of "
        f"{census.count} mask{'s' * (census.count > 1)})"
        for value in sorted(common)
    ]
    return ", ".join(shown) + (f", and {len(values) - MOST_SHOWN} more" if len(values) > MOST_SHOWN else "")


def options(
    source: Source, masks: Mapping[str, MaskContent], values: set[int], given: Given, census: Census
) -> list[tuple[str, str]]:
    """Return the options that describe the values, the likeliest first, each with what it means."""
    again = "data.num_classes=null data.dataset.class_names=null " if given.num_classes is not None else ""
    objects = [(again + "data.foreground=above_zero", "where each value is one object")] if 0 in values else []
    ignoring: list[tuple[str, str]] = []
    contiguous = values == set(range(len(values)))
    void = next((value for value in VOID if value in values and values - {value} == set(range(len(values) - 1))), None)
    if void is not None and not given.ignored and not again:
        rest = reading(source, masks, values - {void}, replace(given, ignored=((void, void),)))
        if rest is not None:
            ignoring = [(f"data.ignore={void}", f"where {void} is not to be counted")]
    # What is not to be counted is beside classes; alone with 0 it is more likely foreground.
    beside = any(void in content.counts and content.counts.keys() - {0, void} for content in masks.values())
    found = ignoring.copy() if beside else []
    if len(values) > MOST_VALUES:
        shades = sum(content.even for content in masks.values()) < EVEN * len(masks)
        if shades and max(values) >= COLOUR:
            return []
        if shades and 0 <= min(values) <= 127 < max(values) <= 255:
            found.append(
                (again + described({"background": ["0-127"], "foreground": ["128-255"]}), "to threshold greys")
            )
        elif contiguous and not again and len(values) <= MAX_CLASSES:
            return [*objects, (f"data.num_classes={len(values)}", "where they are class indices")]
        return [*found, *objects]
    if contiguous and not again:
        return [*objects, (f"data.num_classes={len(values)}", "where they are class indices")]
    background = max(sorted(values), key=census.pixels.__getitem__)
    others = sorted(values - {background})
    if given.num_classes == 2:
        names = [plain_name(name) for name in given.names(2)]
        groups = {names[0]: [background], names[1]: others}
        found.insert(0, (described(groups), "where all but one value are foreground"))
    elif given.num_classes == len(values):
        names = [plain_name(name) for name in given.names(len(values))]
        found.insert(0, (described({n: [v] for n, v in zip(names, (background, *others), strict=True)}), MEANING))
    else:
        names = ["background", *(f"class_{number}" for number in range(1, len(values)))]
        classes = {name: [value] for name, value in zip(names, (background, *others), strict=True)}
        found.append((again + described(classes), MEANING))
        if VOID_BORDER in others and len(others) > 1 and not given.ignored:
            border = value_name(VOID_BORDER)
            kept = [background, *(value for value in others if value != VOID_BORDER)]
            option = again + described({name: [value] for name, value in zip(names, kept, strict=False)})
            found.insert(0, (f"{option} 'data.ignore=\"{border}\"'", f"where {border} is the border of objects"))
    if not again:
        found += without_strays(masks, values)
    if len(values) > 10 or max(values) > 255 or one_region_each(source, masks):
        found += objects
    dark, bright = ([value for value in sorted(values) if low <= value <= low + 15] for low in (0, 240))
    if dark and bright and len(dark) + len(bright) == len(values) > 2 and void is None and not again:
        found.insert(0, (described({"background": dark, "foreground": bright}), "where they are black and white"))
    foreground = sorted(values - {0})
    if FULL.issuperset(foreground) and never_together(masks, foreground) and 0 in values and not again:
        united = described({"background": [0], "foreground": foreground})
        found.insert(0, (united, "where each of them is foreground, in masks stored in several ways"))
    return [*found, *(way for way in ignoring if way not in found)]


MEANING = "where each value is a class (the commonest is background here; rename and unite them as you like)"


def without_strays(masks: Mapping[str, MaskContent], values: set[int]) -> list[tuple[str, str]]:
    """Offer to leave out a few masks, where the others are binary or hold class indices."""
    length = next(number for number in range(len(values) + 1) if number not in values)
    pairs = [frozenset(content.counts) for content in masks.values() if len(content.counts) == 2]
    pair = max(sorted(set(pairs), key=sorted), key=pairs.count, default=frozenset[int]())
    best: tuple[int, dict[str, list[int | str]]] | None = None
    for chosen in (sorted(pair, key=brightness), list(range(length))):
        left_out = sum(not content.counts.keys() <= set(chosen) for content in masks.values())
        if len(chosen) < 2 or 2 * left_out >= len(masks) or not left_out or (best and left_out >= best[0]):
            continue
        names = ["background", *(["foreground"] if len(chosen) == 2 else (f"class_{n}" for n in range(1, len(chosen))))]
        best = left_out, {name: [value] for name, value in zip(names, chosen, strict=True)}
    if best is None:
        return []
    few = f"to leave out the {best[0]} mask{'s' * (best[0] > 1)} with other values"
    return [(f"{described(best[1])} data.skip_bad=true", few)]


def never_together(masks: Mapping[str, MaskContent], values: Collection[int]) -> bool:
    """Tell whether no mask holds two of several values."""
    return len(values) > 1 and all(len(content.counts.keys() & set(values)) < 2 for content in masks.values())


def described(classes: Mapping[str, Sequence[int | str]]) -> str:
    """Write `data.labels` as it is typed on a command line."""

    def typed(value: int | str) -> str:
        name = span_name((value, value)) if isinstance(value, int) else value
        return f'"{name}"' if isinstance(name, str) else str(name)

    parts = []
    for name, values in classes.items():
        each = ", ".join(map(typed, values))
        parts.append(f"{name}: {each if len(values) == 1 else f'[{each}]'}")
    return f"'data.labels={{{', '.join(parts)}}}'"
