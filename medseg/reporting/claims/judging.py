"""What papers and studies claim, and whether runs support it, by the rule of the whole report.

A claim of a score selects rows of the comparison (`medseg.reporting.claims.file` has the form of the file). On each
dataset it has the verdict of their pair: better, worse, equivalent, undecided or not judged, in the family of all pairs
of the dataset. Over the datasets on which the pair is judged,

    supported       better on every one
    contradicted    worse on every one
    equivalent      equivalent on every one
    mixed           better on one, worse on another
    undecided       anything else; the remarks count
    not judged      on none, and why: one seed
    not comparable  the runs are smaller or shorter than the protocol of the file
    no runs         no finished runs of both sides under the same settings

"Better than each" of a list is supported when all are and contradicted when one is. On any one dataset at most 5 % of
experiments whose networks are all equal have a pair that is called better or worse. A claim needs that on each of its
datasets; so of all claims that share a dataset, too, at most 5 % of such experiments support or contradict any. Each
score, and each third of the images (`targets`), is another family.

A network with more parameters contradicts a claim of fewer, whatever the scores, if the runs are comparable. A claim of
a share of parameters is supported when the count is within what the file allows, under any protocol.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from medseg.metrics.measures import Measure
from medseg.reporting.cells import Cell
from medseg.reporting.claims.file import TARGETS, Claim, Selector, read_claims
from medseg.reporting.claims.power import power_text
from medseg.reporting.claims.runs import changes_network, matches, outside, protocol_of, selector_text, unique
from medseg.reporting.claims.sizes import judge_fewer, judge_share
from medseg.reporting.claims.verdict import JudgedStudy, OnDataset, Verdict
from medseg.reporting.comparison import Comparison, family_under, pairs_under
from medseg.reporting.line import Facts, Line
from medseg.reporting.pairs import Family, Pair, find_pair
from medseg.reporting.published import experiments_folder
from medseg.reporting.rule import BETTER, EQUIVALENT, NOT_JUDGED, UNDECIDED, WORSE
from medseg.runs.run import Run

EXPERIMENT = ("experiment", "folder")
"""Facts that tell rows of one configuration apart, which was trained twice."""


def judge_studies(comparison: Comparison, folder: Path | None = None) -> list[JudgedStudy]:
    """Judge the claims of every study, sorted by its folder; a file whose claims have no runs is left out.

    Raises `UserError` for a malformed file.
    """
    judged, studies = Judged(comparison), []
    for file in sorted((folder or experiments_folder()).glob("*/claims.yaml")):
        read = read_claims(file, comparison.measures)
        verdicts = [verdict for claim in read.claims for verdict in judge_claim(claim, read.protocol, judged)]
        there = tuple(verdict for verdict in verdicts if verdict.state != "no runs")
        if there:
            studies.append(JudgedStudy(file.parent.name, read.title, there, len(verdicts) - len(there)))
    return studies


def judge(file: str | Path, comparison: Comparison) -> list[Verdict]:
    """Judge the claims of a file by a comparison, in the order of the file.

    A claim that runs of several settings speak to, such as two optimizers, gets a verdict for each of them.
    Raises `UserError` for a malformed file.
    """
    read, judged = read_claims(file, comparison.measures), Judged(comparison)
    return [verdict for claim in read.claims for verdict in judge_claim(claim, read.protocol, judged)]


class Judged:
    """The pairs of a comparison under the measures and on the images that claims ask for, each judged once."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.known: dict[tuple[str, str | None], Sequence[Pair]] = {(comparison.measure.name, None): comparison.pairs}
        self.families: dict[tuple[str, str | None, Line], Family] = {}
        self.thirds: dict[str, Mapping[Line, Sequence[str]]] = {}

    def images(self, targets: str) -> Mapping[Line, Sequence[str]]:
        """Return the third of each dataset's test images that a claim of `targets` is about."""
        if targets not in self.thirds:
            self.thirds[targets] = third(self.comparison, targets)
        return self.thirds[targets]

    def pair(self, claim: Claim, first: Cell, second: Cell) -> Pair | None:
        """Return the pair of two cells of a dataset that a claim is judged by, seen from the first."""
        key = (claim.measure.name, claim.targets)
        if key not in self.known:
            images = self.images(claim.targets) if claim.targets else None
            self.known[key] = pairs_under(self.comparison, claim.measure, images)
        return find_pair(self.known[key], first.row, second.row, first.column)

    def power(self, claim: Claim, pair: Pair) -> str:
        """Say what a pair of a claim could show."""
        key = (claim.measure.name, claim.targets, pair.column)
        if key not in self.families:
            images = self.images(claim.targets)[pair.column] if claim.targets else None
            self.families[key] = family_under(self.comparison, claim.measure, pair.column, images)
        return power_text(pair, self.families[key].variances(pair.first, pair.second), claim.measure)


def third(comparison: Comparison, targets: str) -> dict[Line, list[str]]:
    """Return the third of each dataset's test images, by id, whose foreground is `targets`: small, medium or large."""
    area: dict[Line, dict[str, int]] = defaultdict(dict)
    for cell in comparison.cells.values():
        if cell.sample is not None:
            pixels = cell.sample.counts[0][..., [0, 2]].sum(axis=(1, 2))  # tp and fn: the true foreground
            area[cell.column] |= dict(zip(cell.sample.ids, pixels.tolist(), strict=True))
    number = TARGETS.index(targets)
    order = {column: sorted(of, key=lambda image: (of[image], image)) for column, of in area.items()}
    return {column: sorted(np.array_split(ids, len(TARGETS))[number].tolist()) for column, ids in order.items()}


def judge_claim(claim: Claim, protocol: Mapping[str, Any], judged: Judged) -> list[Verdict]:
    """Judge a claim by the rows that it selects, once for each of the settings that both sides share."""
    cells = [
        (side, cell)
        for cell in judged.comparison.cells.values()
        for side, selected in enumerate((claim.better, *claim.than))
        if concerns(claim, cell, selected)
    ]
    runs = unique(run for _, cell in cells for run in cell.runs)
    unfinished = sum(not run.finished for run in runs)
    remarks = (f"{unfinished} of {len(runs)} runs not finished",) if unfinished else ()
    if claim.percent is not None:
        return [judge_share(claim, claim.percent, runs, remarks)]
    by_settings: dict[Facts, list[tuple[int, Cell]]] = defaultdict(list)
    for side, cell in cells:
        if cell.sample is not None:
            by_settings[shared_facts(cell.row, claim)].append((side, cell))
    verdicts = []
    for facts, here in by_settings.items():
        rare = [f"{key}={value}" for key, value in facts if any((key, value) not in other for other in by_settings)]
        verdicts.append(judge_settings(claim, protocol, judged, here, rare))
    there = [verdict for verdict in verdicts if verdict.state != "no runs"]
    there = there or [Verdict(claim, "no runs", remarks=unique(note for one in verdicts for note in one.remarks))]
    return [replace(one, remarks=remarks + one.remarks) for one in sorted(there, key=lambda one: one.protocol)]


def concerns(claim: Claim, cell: Cell, selected: Selector) -> bool:
    """Whether a claim is about a cell; about an external test where it names that, `data: kvasir -> cvc`."""
    where, column = dict(claim.where), cell.column
    if column.of is not None:
        flips = ("tta", "true") in column.facts
        if flips or not column.external or where.pop("data", None) != column.name:
            return False
    return matches(example(cell), where, selected)


def example(cell: Cell) -> Run:
    """Return a run of a cell, a finished one if any: all have the same configuration."""
    return next((run for run in cell.runs if run.finished), cell.runs[0])


def shared_facts(row: Line, claim: Claim) -> Facts:
    """Return what the other side must have as well: all facts of a row but those that the claim is about."""
    named = tuple(f"{key}." for selected in (claim.better, *claim.than) for key in (*selected, *EXPERIMENT))
    return tuple(fact for fact in (("model", row.name), *row.facts) if not f"{fact[0]}.".startswith(named))


def judge_settings(
    claim: Claim,
    protocol: Mapping[str, Any],
    judged: Judged,
    cells: Sequence[tuple[int, Cell]],
    differing: Sequence[str],
) -> Verdict:
    """Judge a claim by cells that share their settings.

    Args:
        claim, protocol: of the file.
        judged: the pairs.
        cells: each with the number of its side, 0 for the one that should be better.
        differing: what tells them from the cells of another verdict on the claim.
    """
    notes: list[str] = []
    runs: list[Run] = []
    datasets: list[OnDataset] = []
    too_small: list[tuple[str, str]] = []
    for column, (side, other) in product(unique(cell.column for _, cell in cells), enumerate(claim.than, start=1)):
        both = [[cell for of, cell in cells if of == one and cell.column == column] for one in (0, side)]
        if not all(both):
            continue
        chosen = choose(both, (claim.better, other), claim.where)
        pair = judged.pair(claim, *chosen) if chosen else None
        if chosen is None or pair is None:
            notes.append(f"{column.label}: {why_no_pair(chosen, claim.measure)}")
            continue
        used = [run for cell in chosen for run in cell.runs if run.finished and run not in cell.unused]
        below = [(column.label, text) for run in used if (text := outside(protocol, run))]
        runs += used
        too_small += below
        datasets += [] if below else [OnDataset(selector_text(other), pair)]
    if not runs:
        return Verdict(claim, "no runs", remarks=unique(notes))
    sides = {
        selector_text(other): [on.pair.state for on in datasets if on.against == selector_text(other)]
        for other in claim.than
    }
    state, reasons = decide(list(sides.values())), []
    if not datasets:
        state, reasons = "not comparable", [text for _, text in too_small]
    elif state == "not judged":
        reasons = [on.pair.reason for on in datasets]
    else:
        notes += [f"{on.pair.state}: {on.pair.reason}" for on in datasets if on.pair.reason]
    if datasets:
        notes += [f"{label}: not comparable: {text}" for label, text in too_small]
        labels = {on.against: on.pair.second.label for on in datasets}
        for selector, states in sides.items():
            name = labels.get(selector, selector)
            counted = ", ".join(f"{one} on {number}" for one, number in Counter(states).items())
            notes += [] if states else [f"no comparable runs of {name}"]
            if len(set(states)) > 1:
                notes.append(f"{f'{name}: ' if len(sides) > 1 else ''}{counted} of {len(states)} datasets")
    if claim.fewer_parameters:
        fewer, note = judge_fewer(claim, runs)
        notes.append(note)
        if state not in ("not comparable", "not judged") and not fewer:
            state = "undecided" if fewer is None else "contradicted"
    power = [
        f"{text}{f' ({on.pair.second.label})' if len(claim.than) > 1 else ''}"
        for on in datasets
        if (text := judged.power(claim, on.pair))
    ]
    distinct = unique(runs)
    text = ", ".join([protocol_of(distinct), *differing])
    reason = "; ".join(unique(reasons))
    return Verdict(claim, state, reason, tuple(datasets), len(distinct), text, unique(power), unique(notes))


def why_no_pair(chosen: tuple[Cell, Cell] | None, measure: Measure) -> str:
    """Say why two sides have no pair."""
    if chosen is None:
        return "a side has several settings or networks; name what tells them apart"
    if chosen[0] is chosen[1]:
        return "both sides are the same runs"
    return f"no {measure.title} of both on the same images"


def choose(sides: Sequence[Sequence[Cell]], selectors: Sequence[Selector], where: Selector) -> tuple[Cell, Cell] | None:
    """Choose a cell of each side: of several settings of a network the one as shipped, and of one experiment if any.

    None where a side has several settings and not exactly one of them is as shipped.
    """
    first, second = (
        cells if one_setting(cells) else [cell for cell in cells if not changes_network(example(cell), where, selected)]
        for cells, selected in zip(sides, selectors, strict=True)
    )
    if not one_setting(first) or not one_setting(second):
        return None
    return max(product(first, second), key=lambda two: bool(experiments(two[0]) & experiments(two[1])))


def experiments(cell: Cell) -> set[str]:
    """Return the experiments that the runs of a cell were made in."""
    return {run.experiment for run in cell.runs}


def one_setting(cells: Sequence[Cell]) -> bool:
    """Whether some cells have one configuration, be it in several experiments."""
    settings = {(cell.row.name, *(fact for fact in cell.row.facts if fact[0] not in EXPERIMENT)) for cell in cells}
    return len(settings) == 1


def decide(sides: Iterable[Iterable[str]]) -> str:
    """Return the state of a claim; `sides`: of each other side, the states of the pairs on the datasets."""
    judged = [set(states) - {NOT_JUDGED} for states in sides]
    if {WORSE} in judged:
        return "contradicted"
    if any({BETTER, WORSE} <= states for states in judged):
        return "mixed"
    if not any(judged):
        return NOT_JUDGED
    if all(states == {BETTER} for states in judged):
        return "supported"
    return EQUIVALENT if all(states == {EQUIVALENT} for states in judged) else UNDECIDED
