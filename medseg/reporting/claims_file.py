"""The file of what a paper claims, `experiments/<paper>/claims.yaml`. Its form is in `medseg.reporting.claims`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from medseg.errors import UserError
from medseg.reporting.records import YAML_LOADER

Selector = Mapping[str, Any]
"""Keys that runs must have, with their values."""

SCORES = ("dice", "iou", "precision", "recall", "specificity", "hd95", "assd")

TARGETS = ("small", "medium", "large")

OF_ALL = {"says", "source", "where"}

OF_A_SCORE = {"better", "than", "score", "with_fewer_parameters", "targets"}

OF_A_SIZE = {"parameters_of", "are_percent", "of", "within"}


@dataclass(frozen=True)
class Claim:
    """One claim of a file: of a score, or of a number of parameters where `percent` is given.

    Attributes:
        paper, says, source: as in the file.
        better: selects the runs that should be better; of a size, those whose parameters are counted.
        than: selects those that they are compared with, one selector for each.
        where: holds for both.
        score: per-image score.
        fewer_parameters: whether the better side must have fewer parameters as well.
        targets: `small`, `medium` or `large`; None for all test images.
        percent: the claimed share of parameters.
        within: how far from it the count may be, in percentage points.
    """

    paper: str
    says: str
    source: str
    better: Selector
    than: tuple[Selector, ...]
    where: Selector = field(default_factory=dict)
    score: str = "dice"
    fewer_parameters: bool = False
    targets: str | None = None
    percent: float | None = None
    within: float = 0.0


def read_claims(file: str | Path) -> list[Claim]:
    """Read a claims file.

    Raises `UserError`, one line that names the claim and the key.
    """
    file = Path(file)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=YAML_LOADER)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or set(content) != {"paper", "claims"} or not isinstance(content["claims"], list):
        raise UserError(f"{file}: it must have two keys, 'paper', a text, and 'claims', a list")
    paper = _text(content["paper"], f"{file}: 'paper'")
    return [_claim(item, paper, f"{file}: claim {place}") for place, item in enumerate(content["claims"], start=1)]


# Below, `where` begins the line of an error.


def _claim(item: Any, paper: str, where: str) -> Claim:
    if not isinstance(item, dict):
        raise UserError(f"{where} must be keys with values, got {item!r}")
    is_size = bool(OF_A_SIZE & set(item))
    known = OF_ALL | (OF_A_SIZE if is_size else OF_A_SCORE)
    for key in item:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f" (there are: {', '.join(sorted(known))})"
            raise UserError(f"{where}: unknown key {key!r}{hint}")
    for key in ("says", "source", *(("parameters_of", "are_percent", "of") if is_size else ("better", "than"))):
        if key not in item:
            raise UserError(f"{where} has no {key!r}")
    texts = {key: _text(item[key], f"{where}: {key!r}") for key in ("says", "source")}
    shared: dict[str, Any] = {"paper": paper, **texts}
    shared["where"] = _selector(item.get("where", {}), f"{where}: 'where'")
    if is_size:
        return Claim(
            **shared,
            better=_selector(item["parameters_of"], f"{where}: 'parameters_of'"),
            than=(_selector(item["of"], f"{where}: 'of'"),),
            percent=_number(item["are_percent"], f"{where}: 'are_percent'"),
            within=_number(item.get("within", 0), f"{where}: 'within'"),
        )
    others = item["than"] if isinstance(item["than"], list) else [item["than"]]
    if not others:
        raise UserError(f"{where}: 'than' is empty")
    return Claim(
        **shared,
        better=_selector(item["better"], f"{where}: 'better'"),
        than=tuple(_selector(other, f"{where}: 'than'") for other in others),
        score=_choice(item.get("score", "dice"), SCORES, f"{where}: 'score'"),
        fewer_parameters=_choice(
            item.get("with_fewer_parameters", False), (True, False), f"{where}: 'with_fewer_parameters'"
        ),
        targets=_choice(item["targets"], TARGETS, f"{where}: 'targets'") if "targets" in item else None,
    )


def _text(item: Any, where: str) -> str:
    if not isinstance(item, str) or not item.strip():
        raise UserError(f"{where} must be a text, got {item!r}")
    return item


def _selector(item: Any, where: str) -> Selector:
    if not isinstance(item, dict) or not all(isinstance(key, str) for key in item):
        raise UserError(f"{where} must be keys with values, such as {{model: unet}}, got {item!r}")
    return item


def _number(item: Any, where: str) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float) or item < 0:
        raise UserError(f"{where} must be a number from 0, got {item!r}")
    return float(item)


def _choice(item: Any, known: Sequence[Any], where: str) -> Any:
    if item not in known or isinstance(item, bool) != isinstance(known[0], bool):
        raise UserError(f"{where} is {item!r}; it must be one of {', '.join(str(one).lower() for one in known)}")
    return item
