"""The file of what a study or a paper claims, `experiments/<study>/claims.yaml`.

    title: ConvUNeXt (Han et al., 2022)
    protocol: {data.image_size: 256, trainer.max_epochs: 100} # at least; or of each dataset: {dsb: 256, isbi: 512};
                                                               # or steps: 1000 instead of trainer.max_epochs
    claims:
      - says: ConvUNeXt is better than U-Net, with fewer parameters.
        source: abstract
        better: {model: convunext}
        than: {model: unet} # or a list: better than each of them
        with_fewer_parameters: true
      - says: ConvUNeXt has 20 % fewer parameters than U-Net.
        source: abstract
        parameters_of: {model: convunext}
        are_percent: 80
        of: {model: unet}
        within: 0.5 # percentage points

`better`, `than`, `parameters_of` and `of` select networks by `model`, by the option of a group (`optimizer: sgd`) or by
a key of the configuration (`model.norm: layer`); `where` holds for both sides. `score` is a measure of the report,
`dice` if not given. `targets: small`, `medium` or `large` takes the third of a dataset's test images with that much
foreground.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medseg.errors import UserError
from medseg.metrics.measures import MEASURES, Measure, Measures
from medseg.system.files import read_yaml

Selector = Mapping[str, Any]
"""Keys that runs must have, with their values."""

SIZE, EPOCHS, STEPS = "data.image_size", "trainer.max_epochs", "steps"

TARGETS = ("small", "medium", "large")


@dataclass(frozen=True)
class Claim:
    """One claim of a file: of a score, or of a number of parameters where `percent` is given.

    Args:
        says, source: as in the file.
        better: selects what should be better; of a size, that whose parameters are counted.
        than: selects what it is compared with, one selector for each.
        where: holds for both.
        measure: of a claim of a score.
        fewer_parameters: whether the better side must have fewer parameters as well.
        targets: `small`, `medium` or `large`; None for all test images.
        percent: the claimed share of parameters.
        within: how far from it the count may be, percentage points.
    """

    says: str
    source: str
    better: Selector
    than: tuple[Selector, ...]
    where: Selector = field(default_factory=dict)
    measure: Measure = MEASURES["dice"]
    fewer_parameters: bool = False
    targets: str | None = None
    percent: float | None = None
    within: float = 0.0


@dataclass(frozen=True)
class ClaimsFile:
    """The claims of a paper, or of a study.

    Args:
        title: whose claims these are.
        protocol: what runs must have at least for their scores to speak to the claims: `SIZE`, of the shorter side in
            pixels, and `EPOCHS`, whole passes over the training split, or `STEPS` of the optimizer; each a number, or
            one for each dataset.
        claims: in the order of the file.
    """

    title: str
    protocol: Mapping[str, float | Mapping[str, float]]
    claims: tuple[Claim, ...]


def read_claims(file: str | Path, measures: Measures = MEASURES) -> ClaimsFile:
    """Read a claims file; `measures` are those that `score` may name.

    Raises `UserError`, one line that names the claim and the key.
    """
    file = Path(file)
    content = read_yaml(file)
    check_keys(content, {"title": TEXT, "protocol": PROTOCOL, "claims": LIST}, set(), f"{file}")
    claims = [make_claim(item, measures, f"{file}: claim {n}") for n, item in enumerate(content["claims"], start=1)]
    return ClaimsFile(content["title"], content["protocol"], tuple(claims))


def make_claim(item: Any, measures: Measures, where: str) -> Claim:
    """Make a claim of its entry; `where` begins the line of an error."""
    if not isinstance(item, dict):
        raise UserError(f"{where} must be keys with values, got {item!r}")
    kinds: dict[str, Kind] = {"says": TEXT, "source": TEXT, "where": SELECTOR}
    of_size = {"parameters_of": SELECTOR, "are_percent": NUMBER, "of": SELECTOR, "within": NUMBER}
    if of_size.keys() & item.keys():
        check_keys(item, kinds | of_size, {"where", "within"}, where)
        better, than = item["parameters_of"], item["of"]
    else:
        kinds |= {"better": SELECTOR, "than": SELECTORS}
        options = {"with_fewer_parameters": TRUTH, "score": one_of(*measures), "targets": one_of(*TARGETS)}
        check_keys(item, kinds | options, {"where", *options}, where)
        better, than = item["better"], item["than"]
    return Claim(
        item["says"],
        item["source"],
        better,
        than=tuple(than) if isinstance(than, list) else (than,),
        where=item.get("where", {}),
        measure=measures[item.get("score", "dice")],
        fewer_parameters=item.get("with_fewer_parameters", False),
        targets=item.get("targets"),
        percent=item.get("are_percent"),
        within=item.get("within", 0.0),
    )


Kind = tuple[str, Callable[[Any], bool]]
"""What a value must be, in words, and whether one is."""


def check_keys(content: Mapping[str, Any], kinds: Mapping[str, Kind], optional: set[str], where: str) -> None:
    """Raise `UserError` for a key that is unknown or missing, or whose value is of another kind."""
    for key, value in content.items():
        if key not in kinds:
            close = difflib.get_close_matches(str(key), kinds, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(sorted(kinds))})"
            raise UserError(f"{where}: unknown key {key!r}{hint}")
        must, is_right = kinds[key]
        if not is_right(value):
            raise UserError(f"{where}: {key!r} must be {must}, got {value!r}")
    for key in kinds:
        if key not in content and key not in optional:
            raise UserError(f"{where} has no {key!r}")


def is_number(value: Any) -> bool:
    """Whether a value is a number from 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def is_selector(value: Any) -> bool:
    """Whether a value is a selector; an empty one would select everything."""
    return isinstance(value, dict) and bool(value) and all(isinstance(key, str) for key in value)


def is_protocol(value: Any) -> bool:
    """Whether a value has a size and a number of epochs or steps, each a number or one for each dataset."""
    each = [one if isinstance(one, dict) and one else {"": one} for one in value.values()] if is_selector(value) else []
    known = bool(each) and set(value) in ({SIZE, EPOCHS}, {SIZE, STEPS})
    return known and all(is_number(one) for of in each for one in of.values())


def one_of(*known: str) -> Kind:
    """Make the kind of the values that are one of some texts."""
    return f"one of {', '.join(known)}", lambda value: isinstance(value, str) and value in known


TEXT: Kind = ("a text", lambda value: isinstance(value, str) and bool(value.strip()))
LIST: Kind = ("a list", lambda value: isinstance(value, list))
TRUTH: Kind = ("true or false", lambda value: isinstance(value, bool))
NUMBER: Kind = ("a number from 0", is_number)
SELECTOR: Kind = ("keys with values, such as {model: unet}", is_selector)
SELECTORS: Kind = (
    "keys with values, such as {model: unet}, or a list of such",
    lambda value: is_selector(value) or (isinstance(value, list) and bool(value) and all(map(is_selector, value))),
)
PROTOCOL: Kind = (f"{{{SIZE}: 256, {EPOCHS}: 100}} or the like", is_protocol)
