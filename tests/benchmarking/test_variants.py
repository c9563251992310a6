"""Variants: what each of them switches, and that the process that measures it does so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from medseg.acceleration.depthwise import DepthwiseConv2d
from medseg.benchmarking import worker
from medseg.benchmarking.released import ReleasedBlock
from medseg.benchmarking.setting import Setting
from medseg.benchmarking.subject import Subject
from medseg.benchmarking.variants import VARIANTS, in_variant, reference
from medseg.commands.benchmark import find_settings
from tests.helpers import compose_config

WORDS = (
    "model=convunext", "model.base_channels=4", "image_size=64", "batch_size=2", "trainer=cpu",
    "trainer.precision=bf16-mixed", "compile=true", "++optimizer.fused=true",
)  # fmt: skip


def settings(*names: str) -> list[Setting]:
    return find_settings(compose_config("benchmark", *WORDS, f"variants=[{','.join(names)}]"))


def switches(setting: Setting) -> dict[str, bool]:
    """What of medseg's ways a setting has, under the names of `Variant`."""
    return {
        "operations": not setting.released_operations,
        "layout": setting.channels_last,
        "precision": setting.precision == "bf16-mixed",
        "acceleration": setting.acceleration,
        "optimizer": "fused" in setting.optimizer_arguments,
        "allocator": setting.keeps_memory,
        "compile": setting.compile,
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_switches_what_it_says(name: str) -> None:
    (setting,) = settings(name)
    on = {key for key, value in switches(setting).items() if value}
    every = set(switches(setting))
    wanted = {"plain": set(), "tuned": every, "unaccelerated": every - {"acceleration"}}.get(name, {name})
    assert on == wanted
    assert setting.title == f"convunext model.base_channels=4, {name}"
    assert setting.optimizer_arguments["lr"] > 0, "the rest of the optimizer stays"


def test_without_variants_it_is_as_configured() -> None:
    (asked,) = settings("tuned")
    (plain,) = find_settings(compose_config("benchmark", *WORDS))
    assert plain.variant is None
    assert in_variant(plain, "tuned") == asked
    assert switches(plain) == switches(asked)


def test_variants_of_a_network_are_side_by_side() -> None:
    words = ("models=[unet,'unet model.base_channels=8']", "variants=[plain,tuned]")
    found = find_settings(compose_config("benchmark", *words))
    assert [(one.network, one.variant) for one in found] == [
        ("unet", "plain"), ("unet", "tuned"), ("unet model.base_channels=8", "plain"),
        ("unet model.base_channels=8", "tuned"),
    ]  # fmt: skip


def test_what_the_others_are_compared_with() -> None:
    assert reference(["tuned", "plain"]) == "plain"
    assert reference(["layout", "tuned"]) == "layout"


def test_the_network_of_a_variant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **arguments: None)
    names = ("plain", "unaccelerated", "tuned")
    plain, slow, tuned = (Subject(setting, 0.01) for setting in settings(*names))

    def is_accelerated(subject: Subject) -> bool:
        return any(isinstance(module, DepthwiseConv2d) for module in subject.network.modules())

    assert any(isinstance(module, ReleasedBlock) for module in plain.network.modules())
    for subject in (slow, tuned):
        assert not any(isinstance(module, ReleasedBlock) for module in subject.network.modules())
    assert [is_accelerated(subject) for subject in (plain, slow, tuned)] == [False, False, True]
    assert not plain.optimizer.defaults["fused"]
    assert tuned.optimizer.defaults["fused"]
    assert plain.image.is_contiguous()
    assert tuned.image.is_contiguous(memory_format=torch.channels_last)
    for subject in (plain, slow, tuned):
        subject.train_step()


@pytest.mark.parametrize(("name", "keeps"), [("plain", False), ("allocator", True), ("tuned", True)])
def test_memory_is_kept_before_anything_else(name: str, keeps: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(worker.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(worker, "keep_freed_memory", lambda: happened.append("kept"))

    class Connection:
        def recv(self) -> Any:
            happened.append("asked")
            raise EOFError

    (setting,) = settings(name)
    worker.serve(Connection(), setting, 0.01, "subject")  # type: ignore[arg-type]
    assert happened == (["kept", "asked"] if keeps else ["asked"])
