"""Whether the masks that a network is scored on are read as those that it was trained on."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from medseg.data.datasets.label_rules import described
from medseg.data.datasets.label_values import ABOVE_ZERO, OTHERS, Labels, plain_name, span_name, spans_of
from medseg.data.labels import IGNORE_INDEX
from medseg.data.prepared.dataset import PreparedDataset
from medseg.data.prepared.report import as_text
from medseg.errors import ConfigError
from medseg.trained.checkpoint import Metadata

log = logging.getLogger(__name__)


def compare_labels(prepared: PreparedDataset, metadata: Metadata) -> None:
    """Log where the data have other classes, or read them from other mask values, than those of the training.

    Raises `ConfigError` for the same classes in another order, and for a mask value of another class than in the
    training, unless `data.labels` gives it to a class of the training by name: they would be scored as one another.
    """
    names, trained = [[plain_name(name) for name in each] for each in (prepared.class_names, metadata.class_names)]
    by_user = prepared.labels.get("rule") == "data.labels"
    if names != trained and sorted(names) == sorted(trained):
        values = {plain_name(name): each for name, each in prepared.labels.items()}
        option = "data.dataset.class_names and data.labels in that order"
        if by_user:
            option = described({name: values[name] for name in trained if OTHERS not in values[name]})
        raise ConfigError(
            f"{prepared.title}: the classes are {', '.join(names)}, the network was trained on {', '.join(trained)}: "
            f"give {option}"
        )
    if names != trained or not by_user:
        refuse_exchanged(prepared, metadata)
    if names != trained:
        log.warning(
            "%s has the classes %s, the network was trained on %s; they are scored in this order",
            prepared.title, ", ".join(names), ", ".join(trained),
        )  # fmt: skip
    elif metadata.labels and prepared.labels and meaning(metadata.labels) != meaning(prepared.labels):
        log.warning(
            "masks are read as %s; in the training they were %s", as_text(prepared.labels), as_text(metadata.labels)
        )


def refuse_exchanged(prepared: PreparedDataset, metadata: Metadata) -> None:
    """Raise `ConfigError` for a mask value that is of one class here and was of another one in the training."""
    here, before = labels_of(prepared.labels, prepared.class_names), labels_of(metadata.labels, metadata.class_names)
    if here is None or before is None:
        return
    ends = {end for labels in (here, before) for spans in labels.values for span in spans for end in span}
    each = np.array(sorted(ends), np.int64)
    for value, now, then in zip(each.tolist(), here.classes_of(each), before.classes_of(each), strict=True):
        if now == then or not {-1, IGNORE_INDEX}.isdisjoint((now, then)):
            continue
        as_trained = option_of(metadata.labels, metadata.class_names)
        names = [plain_name(name) for name in metadata.class_names]
        pairs = zip(names, here.values, strict=True)
        can_be_typed = names[0].lower() == "background" and ABOVE_ZERO not in here.values[1]
        as_here = described({name: [span_name(span) for span in spans] for name, spans in pairs if spans})
        raise ConfigError(
            f"{prepared.title}: {span_name((value, value))} in the masks is {here.names[now]}, the network was trained "
            f"on it as {before.names[then]}: give {as_trained or 'the classes of the training in data.labels'}"
            + (f"; or, where these masks have other values: {as_here}" if can_be_typed else "")
        )


def trained_labels(metadata: Metadata) -> tuple[str, Labels] | None:
    """Return the option that reads masks as in the training, and what it means; None where no option does."""
    labels, option = labels_of(metadata.labels, metadata.class_names), option_of(metadata.labels, metadata.class_names)
    return (option, labels) if labels and option else None


def option_of(labels: Mapping[str, Any], names: tuple[str, ...] | list[str]) -> str:
    """Write the description of labels as it is typed, the classes in the given order; empty where that cannot be."""
    if not set(names) <= labels.keys() or names[0].lower() != "background":
        return ""
    values = {plain_name(name): labels[name] for name in names if OTHERS not in labels[name]}
    ignored = labels.get("ignored") or []
    each = ", ".join(str(value) if isinstance(value, int) else f'"{value}"' for value in ignored)
    ignore = f" 'data.ignore=[{each}]'" if ignored else ""
    if span_name(ABOVE_ZERO) in labels[names[1]]:
        return "data.foreground=above_zero" + ignore
    return described(values) + ignore if all(values.values()) else ""


def labels_of(description: Mapping[str, Any], names: tuple[str, ...] | list[str]) -> Labels | None:
    """Return the labels that were described, see `Labels.describe`; None where the description lacks a class.

    What is of a class without being named is of none here.
    """
    if not set(names) <= description.keys():
        return None

    def spans(name: str) -> tuple[tuple[int, int], ...]:
        values = [value for value in description.get(name, ()) if value != OTHERS]
        if values == [span_name(ABOVE_ZERO)]:
            return (ABOVE_ZERO,)
        return spans_of(values, name) if values else ()

    return Labels(tuple(names), tuple(map(spans, names)), spans("ignored"))


def meaning(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a description of labels that defines what values mean, without how that was decided."""
    return {name: values for name, values in labels.items() if isinstance(values, list)}
