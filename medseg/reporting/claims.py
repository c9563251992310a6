"""What a paper claims, and whether runs support it.

`experiments/<paper>/claims.yaml` names the paper and lists its claims, each a sentence with what to compare:

    paper: ConvUNeXt (Han et al., 2022)
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

`better`, `than`, `parameters_of` and `of` select runs by `model`, by `data`, by the option of a group (such as
`optimizer: sgd`) or by a key of the configuration (`model.norm: layer`); `where` holds for both sides. `score` is a
score per image, `dice` if not given; of distances, smaller is better. `targets: small`, `medium` or `large` takes the
third of a dataset's test images with that much foreground.

Compared are runs that share every setting but those that the two sides name (where networks are compared, those of the
network), on the same test images. The difference on a dataset is the mean over images and seeds of the one side minus
that of the other; over the datasets the differences are averaged with equal weights, and the interval is for these
datasets, not for others (`medseg.reporting.differences` has the statistics). Of the 95 % intervals,

    supported      the one over the datasets lies above 0, and no dataset's own lies below 0
    contradicted   the one over the datasets lies below 0, and no dataset's own lies above 0
    undecided      neither; or a side has one seed, which does not tell how far trainings differ
    no runs        no finished runs of both sides under the same settings

"Better than each" of a list is supported when all are, and contradicted when one is, at a level divided by their
number. A claim of a share of parameters is supported when the count is within what the file allows. Each claim is
judged by itself: of many where nothing differs, one in twenty is still called.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from medseg.reporting.claims_file import TARGETS, Claim, read_claims
from medseg.reporting.claims_runs import matches, one_setting, sort_runs, unique_runs, words
from medseg.reporting.differences import CONFIDENCE, Difference, average, difference
from medseg.reporting.layout import ignored
from medseg.reporting.records import Run
from medseg.reporting.samples import Sample, gather

__all__ = ["Comparison", "OnDataset", "Verdict", "as_rows", "judge"]

State = Literal["supported", "contradicted", "undecided", "no runs"]

SMALLER_IS_BETTER = ("hd95", "assd")


@dataclass(frozen=True)
class OnDataset:
    """A comparison on one dataset: the difference, the number of images, the seeds of either side."""

    data: str
    difference: Difference
    images: int
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Comparison:
    """The side that should be better against one other.

    Attributes:
        against: the other side, in words.
        overall: over the datasets; positive where it is as the claim says.
        datasets: each by itself, by name.
    """

    against: str
    overall: Difference
    datasets: tuple[OnDataset, ...]


@dataclass(frozen=True)
class Verdict:
    """What runs say of a claim.

    Attributes:
        claim: the claim.
        state: `supported`, `contradicted`, `undecided` or `no runs`.
        comparisons: one for each other side that there are runs of; none for a claim of parameters.
        runs: how many finished runs went into it.
        protocol: under which these were made, in words.
        detail: what the numbers do not say, in words; often nothing.
        counted: percentage, of a claim of parameters.
    """

    claim: Claim
    state: State
    comparisons: tuple[Comparison, ...] = ()
    runs: int = 0
    protocol: str = ""
    detail: str = ""
    counted: float | None = None


def judge(claims_file: str | Path, runs: Iterable[Run]) -> list[Verdict]:
    """Judge the claims of a file by some runs, in the order of the file.

    A claim that runs of several settings speak to, such as two budgets, gets a verdict for each of them.
    Raises `UserError` for a malformed file.
    """
    claims = read_claims(claims_file)
    known = unique_runs(runs)
    return [verdict for claim in claims for verdict in _judge(claim, known)]


def as_rows(verdicts: Sequence[Verdict]) -> list[dict[str, str]]:
    """Write verdicts as rows of a table: claim, verdict, difference, datasets, runs, protocol, remarks, source.

    Differences of overlap scores are in points (hundredths), those of distances in pixels, in both positive where it is
    as the claim says.
    """
    rows = []
    for verdict in verdicts:
        scale, unit = (1.0, "px") if verdict.claim.score in SMALLER_IS_BETTER else (100.0, "points")
        alone = len(verdict.comparisons) == 1
        overall = [
            f"{_signed(one.overall, scale)} {unit}" + ("" if alone else f" ({one.against})")
            for one in verdict.comparisons
        ]
        if verdict.counted is not None:
            overall = [f"{verdict.counted:.1f} % counted, {verdict.claim.percent:g} % claimed"]
        datasets = [
            f"{on.data} {_signed(on.difference, scale)}" + ("" if alone else f" ({one.against})")
            for one in verdict.comparisons
            for on in one.datasets
        ]
        rows.append(
            {
                "claim": verdict.claim.says,
                "verdict": verdict.state,
                "difference": "; ".join(overall),
                "datasets": "; ".join(datasets),
                "runs": str(verdict.runs),
                "protocol": verdict.protocol,
                "remarks": verdict.detail,
                "source": verdict.claim.source,
            }
        )
    return rows


def _signed(found: Difference, scale: float) -> str:
    low, high = (scale * end for end in found.interval())
    if scale != 1.0:  # of a fraction, whose difference is between -1 and 1
        low, high = max(low, -scale), min(high, scale)
    return f"{scale * found.mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def _on_dataset(claim: Claim, data: str, sides: Sequence[Sequence[Run]]) -> tuple[OnDataset, list[Run]] | str:
    """Compare two sides on a dataset, and say by which runs, or why they cannot be compared."""
    samples = [gather(runs) for runs in sides]
    better, other = (sample for sample in samples if sample is not None)
    if len({run.summary.get("data_identity") for runs in sides for run in runs}) > 1 or better.ids != other.ids:
        return f"{data}: not the same test images"
    if any(claim.score not in sample.scores for sample in (better, other)):
        return f"{data}: no {claim.score}"
    # A distance that one network lacks on an image (both masks empty) is left out of the others as well.
    scores = [sample.scores[claim.score] for sample in (better, other)]
    chosen = _of_size(better, claim.targets) & ~np.isnan(np.concatenate(scores)).any(axis=0)
    if chosen.sum() < 2:
        return f"{data}: fewer than two images"
    first, second = (values[:, chosen] for values in scores)
    if claim.score in SMALLER_IS_BETTER:
        first, second = second, first
    used = [
        run for runs, sample in zip(sides, (better, other), strict=True) for run in runs if run.seed in sample.seeds
    ]
    seeds = (len(better.seeds), len(other.seeds))
    return OnDataset(data, difference(first, second), int(chosen.sum()), seeds), used


def _of_size(sample: Sample, targets: str | None) -> NDArray[np.bool_]:
    """Tell of each image whether its foreground is as large as asked for: a third of them, or all."""
    chosen = np.full(len(sample.ids), targets is None)
    if targets is not None:
        area = (sample.counts[0, ..., 0] + sample.counts[0, ..., 2]).sum(axis=-1)
        order = np.argsort(area, kind="stable")
        chosen[np.array_split(order, len(TARGETS))[TARGETS.index(targets)]] = True
    return chosen


def _judge(claim: Claim, runs: Sequence[Run]) -> list[Verdict]:
    selected = [run for run in runs if any(matches(run, claim.where, one) for one in (claim.better, *claim.than))]
    unfinished = sum(not run.finished for run in selected)
    remark = [f"{unfinished} of {len(selected)} runs not finished"] if unfinished else []
    if claim.percent is not None:
        return [_judge_parameters(claim, selected, remark)]
    found = {
        context: _judge_context(claim, datasets, remark) for context, datasets in sort_runs(claim, selected).items()
    }
    there = {context: judged for context, judged in found.items() if judged[1]}
    if not there:
        reasons = sorted({verdict.detail for verdict, _ in found.values() if verdict.detail})
        return [Verdict(claim, "no runs", detail="; ".join(reasons or remark))]
    return sorted(_told_apart(there), key=lambda verdict: verdict.protocol)


def _told_apart(judged: Mapping[str, tuple[Verdict, Sequence[Run]]]) -> list[Verdict]:
    """Add to the protocols of verdicts, by context, what tells those apart that read the same."""
    settings = {context: json.loads(context) for context in judged}
    choices = {context: runs[0].choices for context, (_, runs) in judged.items()}
    told = []
    for context, (verdict, _) in judged.items():
        same = [other for other, (one, _) in judged.items() if one.protocol == verdict.protocol]
        groups = _differing([choices[other] for other in same])
        keys = [key for key in _differing([settings[other] for other in same]) if key.partition(".")[0] not in groups]
        words = [f"{group}={choices[context].get(group)}" for group in groups]
        words += [f"{key}={settings[context].get(key)}" for key in keys]
        told.append(replace(verdict, protocol=", ".join([verdict.protocol, *words])))
    return told


def _differing(mappings: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the keys, sorted, whose values are not the same everywhere; but those that make no other run."""
    keys = sorted({key for mapping in mappings for key in mapping if not ignored(key) and key != "experiments"})
    return [key for key in keys if len({mapping.get(key) for mapping in mappings}) > 1]


def _judge_context(
    claim: Claim, datasets: Mapping[str, Mapping[int, list[Run]]], remark: Sequence[str]
) -> tuple[Verdict, list[Run]]:
    """Judge a claim by runs that share what they should; return the runs that were used as well."""
    remarks, comparisons = list(remark), []
    used: list[Run] = []
    for place, other in enumerate(claim.than, start=1):
        on_datasets = []
        for data, sides in sorted(datasets.items()):
            if not sides.get(0) or not sides.get(place):
                continue
            chosen = [one_setting(sides[at]) for at in (0, place)]
            for runs, selected in zip(chosen, (claim.better, other), strict=True):
                if not runs:
                    remarks.append(f"{data}: several settings of {words(selected)}; name what tells them apart")
            if not all(chosen):
                continue
            result = _on_dataset(claim, data, chosen)
            if isinstance(result, str):
                remarks.append(result)
            else:
                on_datasets.append(result[0])
                used += result[1]
        if on_datasets:
            overall = average([on.difference for on in on_datasets])
            comparisons.append(Comparison(words(other), overall, tuple(on_datasets)))
    against = {one.against for one in comparisons}
    remarks += [f"no runs of {words(other)}" for other in claim.than if comparisons and words(other) not in against]
    used = unique_runs(used)
    state = _state(claim, comparisons)
    if any(1 in on.seeds for one in comparisons for on in one.datasets):
        remarks.append("one seed: how far trainings differ is not known")
    if claim.fewer_parameters and comparisons:
        fewer, sizes = _fewer_parameters(claim, used)
        state = state if fewer else "undecided" if fewer is None else "contradicted"
        remarks.append(sizes)
    detail = "; ".join(dict.fromkeys(remarks))
    return Verdict(claim, state, tuple(comparisons), len(used), _protocol(used), detail), used


def _state(claim: Claim, comparisons: Sequence[Comparison]) -> State:
    for one in comparisons:
        if _lies(one, -1, 1 - (1 - CONFIDENCE) / len(claim.than)):
            return "contradicted"
    every = len(comparisons) == len(claim.than)
    return "supported" if every and all(_lies(one, 1, CONFIDENCE) for one in comparisons) else "undecided"


def _lies(comparison: Comparison, side: int, confidence: float) -> bool:
    """Whether the interval over the datasets lies above (1) or below (-1) 0, and no dataset's own on the other side."""
    if any(1 in on.seeds for on in comparison.datasets):
        return False
    nearest = min(side * end for end in comparison.overall.interval(confidence))
    others = [max(side * end for end in on.difference.interval()) for on in comparison.datasets]
    return nearest > 0 and all(farthest >= 0 for farthest in others)


def _fewer_parameters(claim: Claim, runs: Sequence[Run]) -> tuple[bool | None, str]:
    """Whether the better side has fewer parameters than the other ones; None where it is not known. And the numbers."""
    own = {run.parameters for run in runs if matches(run, claim.where, claim.better)} - {None}
    others = {run.parameters for run in runs if any(matches(run, claim.where, other) for other in claim.than)} - {None}
    if not own or not others:
        return None, "the number of parameters is not known"
    most, least = max(map(int, own)), min(map(int, others))  # type: ignore[arg-type]
    return most < least, f"{most:,} parameters against {least:,}"


def _judge_parameters(claim: Claim, runs: Sequence[Run], remark: Sequence[str]) -> Verdict:
    """Judge a claim of a share of parameters."""
    assert claim.percent is not None
    finished = [run for run in runs if run.parameters]
    counts = [
        {run.parameters for run in finished if matches(run, claim.where, selected)}
        for selected in (claim.better, claim.than[0])
    ]
    for found, selected in zip(counts, (claim.better, claim.than[0]), strict=True):
        if len(found) > 1:
            detail = f"several sizes of {words(selected)}; name what tells them apart"
            return Verdict(claim, "undecided", runs=len(finished), detail=detail)
    if not all(counts):
        return Verdict(claim, "no runs", detail="; ".join(remark))
    (own,), (other,) = counts
    assert own is not None
    assert other is not None
    percent = 100 * own / other
    right = abs(percent - claim.percent) <= claim.within
    return Verdict(
        claim,
        "supported" if right else "contradicted",
        runs=len(finished),
        detail=f"{own:,} parameters against {other:,}; within {claim.within:g} percentage points was allowed",
        counted=percent,
    )


def _protocol(runs: Sequence[Run]) -> str:
    """Say under which protocol runs were made: `protocol=medseg, budget=short, 96 x 96, 10 epochs, 3 seeds`."""
    parts = []
    for group in ("protocol", "budget"):
        options = sorted({run.choices[group] for run in runs if group in run.choices})
        parts += [f"{group}={','.join(options)}"] if options else []
    sizes = sorted({tuple(run.summary.get("evaluation_size", ())) for run in runs})
    parts += [" and ".join(" x ".join(map(str, size)) for size in sizes if size)]
    epochs = sorted({int(run.summary["epochs"]) for run in runs if "epochs" in run.summary})
    if epochs:
        numbers = f"{epochs[0]}" if len(epochs) == 1 else f"{epochs[0]} to {epochs[-1]}"
        parts.append(f"{numbers} epoch{'s' if epochs[-1] > 1 else ''}")
    seeds = len({run.seed for run in runs})
    return ", ".join([*filter(None, parts), f"{seeds} seed{'s' if seeds > 1 else ''}"])
