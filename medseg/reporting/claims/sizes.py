"""Claims of numbers of parameters: a share of those of another network, or fewer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medseg.reporting.claims.file import Claim, Selector
from medseg.reporting.claims.runs import changes_network, matches, selector_text, unique
from medseg.reporting.claims.verdict import Verdict
from medseg.runs.run import Run


def judge_share(claim: Claim, percent: float, runs: Sequence[Run], remarks: tuple[str, ...]) -> Verdict:
    """Judge a claim of a share of parameters on each dataset; numbers of classes change the counts a little."""
    measured = sum(run.parameters is not None for run in runs)
    selected = (claim.better, claim.than[0])
    sizes: dict[tuple[int, int], None] = {}
    for data in unique(run.data for run in runs):
        sides = [sizes_of(claim, [run for run in runs if run.data == data], one) for one in selected]
        several = tuple(
            f"several sizes of {selector_text(one)}; name what tells them apart"
            for one, counts in zip(selected, sides, strict=True)
            if len(counts) > 1
        )
        if several:
            return Verdict(claim, "undecided", runs=measured, remarks=several)
        if all(sides):
            (first,), (second,) = sides
            sizes[first, second] = None
    if not sizes:
        return Verdict(claim, "no runs", remarks=remarks)
    counted = [100 * first / second for first, second in sizes]
    allowed = "; ".join(f"{first:,} parameters against {second:,}" for first, second in sizes)
    right = {abs(share - percent) <= claim.within + 1e-9 for share in counted}  # not undone by rounding
    state = "mixed" if len(right) == 2 else "supported" if right == {True} else "contradicted"
    note = f"{allowed}; within {claim.within:g} percentage points is allowed"
    return Verdict(claim, state, runs=measured, remarks=(note,), counted=float(np.mean(counted)))


def sizes_of(claim: Claim, runs: Sequence[Run], selected: Selector) -> set[int]:
    """Return the numbers of parameters of the runs of a side; of several, those of the network as shipped, if any."""
    where = {key: value for key, value in claim.where.items() if key != "data"}  # an external test is no run's dataset
    here = [run for run in runs if run.parameters is not None and matches(run, where, selected)]
    shipped = [run for run in here if not changes_network(run, claim.where, selected)]
    return {run.parameters for run in shipped or here if run.parameters is not None}


def judge_fewer(claim: Claim, runs: Sequence[Run]) -> tuple[bool | None, str]:
    """Return whether the better side has fewer parameters than each other, None where not known; and the counts."""
    better, *others = (sizes_of(claim, runs, selected) for selected in (claim.better, *claim.than))
    other_sizes = set().union(*others)
    if not better or not other_sizes:
        return None, "the number of parameters is not known"
    most, least = max(better), min(other_sizes)
    return most < least, f"{most:,} parameters against {least:,}"
