"""The sentences on claims: how many have which verdict, and those that are contradicted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from medseg.reporting.claims.verdict import JudgedStudy, Verdict, differences
from medseg.reporting.formatting import count, listed
from medseg.reporting.rule import EQUIVALENT, NOT_JUDGED, UNDECIDED
from medseg.runs.naming import canonical

JUDGED = ("supported", "contradicted", EQUIVALENT, "mixed", UNDECIDED)
"""States of a claim that was judged."""

STATES = (*JUDGED, NOT_JUDGED, "not comparable")
"""Of claims, in the order of the sentence, which always has the first two."""


def conclude_claims(judged: Sequence[JudgedStudy]) -> tuple[str, ...]:
    """Count the verdicts on claims, and state each claim that is contradicted, with numbers, power and protocol.

    Nothing where no claim about a score was judged.
    """
    verdicts = distinct(judged)
    if not any(verdict.datasets and verdict.state in JUDGED for _, verdict in verdicts):
        return ()
    states = Counter(verdict.state for _, verdict in verdicts)
    claims = {asked(verdict) for _, verdict in verdicts}
    whole = count(len(claims), "claim")
    if len(claims) < len(verdicts):
        whole = f"{len(verdicts)} verdicts on {whole}, some under several settings"
    shown = [state for state in STATES if states[state] or state in STATES[:2]]
    counted = [f"{states[state]} {state}" for state in shown]
    counted[0] = f"{states[shown[0]]} {'is' if states[shown[0]] == 1 else 'are'} {shown[0]}"
    return (
        f"Of {whole}, {listed(counted)}.",
        *(contradiction(title, verdict) for title, verdict in verdicts if verdict.state == "contradicted"),
    )


def distinct(judged: Sequence[JudgedStudy]) -> list[tuple[str, Verdict]]:
    """Return the verdicts with the titles of their studies; of a claim that several studies make, the first judged."""
    kept: dict[tuple[str, str], tuple[str, Verdict]] = {}
    for study in judged:
        for verdict in study.verdicts:
            key = (asked(verdict), verdict.protocol)
            if key not in kept or (kept[key][1].state not in JUDGED and verdict.state in JUDGED):
                kept[key] = (study.title, verdict)
    return list(kept.values())


def asked(verdict: Verdict) -> str:
    """Return what a claim asks, whoever makes it and in whatever words."""
    of = verdict.claim
    sides = [of.better, of.than, of.where]
    return canonical([*sides, of.measure.name, of.fewer_parameters, of.targets, of.percent, of.within])


def contradiction(title: str, verdict: Verdict) -> str:
    """State a claim that is contradicted; `title`: of its study."""
    written = differences(verdict)
    shown = "; ".join(filter(None, (written["datasets"] or written["difference"], *verdict.power, *verdict.remarks)))
    claim = verdict.claim.says.rstrip(".")
    protocol = f" (runs: {verdict.protocol})" if verdict.protocol else ""
    source = f": {verdict.claim.source}" if verdict.claim.source else ""
    return f"Contradicted: “{claim}” ({title}{source}). Here: {shown}{protocol}."
