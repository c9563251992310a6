"""What is known of the network of a run: the run's folder has it from the network's class."""

from __future__ import annotations

from dataclasses import dataclass

from medseg.runs.run import Run


@dataclass(frozen=True)
class Network:
    """A network.

    Args:
        name: of the class.
        about: one sentence; empty where nothing is known.
        citation: of the paper or the library; None where there is none, or none is known.
    """

    name: str
    about: str = ""
    citation: str | None = None


def find_network(run: Run) -> Network:
    """Tell what network a run trained; of a run of an older version, whose folder does not have it, by its class."""
    target = str(run.config.get("model", {}).get("_target_", run.model))
    package, _, name = target.rpartition(".")
    facts = run.summary.get("network") or {}
    if not facts and package == "medseg.models":
        from medseg import models  # not above: it takes a while to import

        known = getattr(getattr(models, name, None), "facts", None)
        facts = vars(known) if known else {}
    return Network(name, facts.get("about") or "", facts.get("paper"))
