"""The verdict of some runs on a claim, and how it is written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from medseg.reporting.claims.file import Claim
from medseg.reporting.formatting import signed
from medseg.reporting.pairs import Pair


@dataclass(frozen=True)
class OnDataset:
    """The pair of a claim on a dataset, seen from the side that should be better; `against`: the other's selector."""

    against: str
    pair: Pair


@dataclass(frozen=True)
class Verdict:
    """What runs show of a claim.

    Args:
        claim: of a file.
        state: one of those that `medseg.reporting.claims.judging` lists.
        reason: why it is not judged or not comparable.
        datasets: one for each other side and dataset.
        runs: how many finished runs went into it.
        protocol: under which these were made, in words.
        power: what the runs could show, or what it would take to decide, on each dataset, in words.
        remarks: what the numbers do not show, in words.
        counted: percentage, of a claim of parameters.
    """

    claim: Claim
    state: str
    reason: str = ""
    datasets: tuple[OnDataset, ...] = ()
    runs: int = 0
    protocol: str = ""
    power: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    counted: float | None = None


@dataclass(frozen=True)
class JudgedStudy:
    """The claims of a file that there are runs for.

    Args:
        study: the folder of the file, in `experiments/`.
        title: of the file.
        verdicts: of the claims that there are runs for; never empty.
        without_runs: how many other claims it makes.
    """

    study: str
    title: str
    verdicts: tuple[Verdict, ...]
    without_runs: int


def as_rows(verdicts: Iterable[Verdict]) -> list[dict[str, str]]:
    """Write verdicts as rows of a table: claim, verdict, difference, datasets, power, runs, protocol, remarks, source.

    Differences are in points or the unit of the score, positive where they are as claimed; `difference` is the
    mean over the datasets, the intervals are those that the verdicts of the datasets were made of.
    """
    return [
        {
            "claim": verdict.claim.says,
            "verdict": verdict.state + (f": {verdict.reason}" if verdict.reason else ""),
            **differences(verdict),
            "power": "; ".join(verdict.power),
            "runs": str(verdict.runs),
            "protocol": verdict.protocol,
            "remarks": "; ".join(verdict.remarks),
            "source": verdict.claim.source,
        }
        for verdict in verdicts
    ]


def differences(verdict: Verdict) -> dict[str, str]:
    """Write the difference of a verdict, and those on the datasets."""
    claim = verdict.claim
    if verdict.counted is not None:
        return {"difference": f"{verdict.counted:.1f} % counted, {claim.percent:g} % claimed", "datasets": ""}
    factor = claim.measure.points * (1 if claim.measure.higher_is_better else -1)
    sides: dict[str, list[float]] = defaultdict(list)
    datasets = []
    for on in verdict.datasets:
        side = f" ({on.pair.second.label})" if len(claim.than) > 1 else ""
        sides[side].append(factor * on.pair.difference)
        text = f"{on.pair.column.label} {signed(sides[side][-1], 2)}"
        if on.pair.low is not None and on.pair.high is not None:
            low, high = sorted((factor * on.pair.low, factor * on.pair.high))
            text += f" [{signed(low, 2)}, {signed(high, 2)}]"
        datasets.append(f"{text} {on.pair.state}{side}")
    means = [f"{signed(float(np.mean(values)), 2)} {claim.measure.point_unit}{side}" for side, values in sides.items()]
    return {"difference": "; ".join(means), "datasets": "; ".join(datasets)}
