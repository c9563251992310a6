"""What is known of a network from its paper and its code: the attribute `facts` of its class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Size:
    """A form in which a network was published, and its counts.

    Args:
        name: for people.
        model: how to ask for it, `unet model.base_channels=64` for `model=unet model.base_channels=64`.
        parameters: their number.
        gmacs: multiply-accumulates for one image of 256 x 256 pixels, in 10^9.
        num_classes, in_channels: that the paper or its code counts with.
        publications: what publications call it, where that is not `name` in other letters.
    """

    name: str
    model: str
    parameters: int
    gmacs: float
    num_classes: int = 2
    in_channels: int = 3
    publications: tuple[str, ...] = ()


@dataclass(frozen=True)
class NetworkFacts:
    """A network.

    Args:
        about: one sentence.
        paper: its citation, or that of the library; None where there is none.
        year: of the paper.
        code: the repository of the released code that ours is compared with; None where there is none.
        sizes: those of papers.
        claims: what the paper claims of its number of parameters, shortened -> the size that it compares with; None
            where that is not public.
    """

    about: str
    paper: str | None = None
    year: int = 0
    code: str | None = None
    sizes: tuple[Size, ...] = ()
    claims: Mapping[str, str | None] = field(default_factory=dict)


def facts_of(network: nn.Module | type[nn.Module]) -> NetworkFacts | None:
    """Return the facts of a network or its class; None for one that has none, such as most custom ones."""
    facts = getattr(network, "facts", None)
    return facts if isinstance(facts, NetworkFacts) else None


def record(network: nn.Module, model: str) -> dict[str, Any] | None:
    """Return what the folder of a run keeps of the facts, as plain values; `model` is the option it was chosen by."""
    facts = facts_of(network)
    if facts is None:
        return None
    publications = [name for size in facts.sizes if size.model == model for name in (size.name, *size.publications)]
    return {"about": facts.about, "paper": facts.paper, "code": facts.code, "publications": publications}


def published_networks() -> list[NetworkFacts]:
    """Return the facts of medseg's networks of which papers have sizes, by year."""
    from medseg import models

    every = [facts_of(getattr(models, name)) for name in models.__all__]
    return sorted((facts for facts in every if facts and facts.sizes), key=lambda facts: facts.year)
