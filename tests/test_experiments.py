"""The studies of `experiments/`: every sweep composes and runs, every claim has its runs, every command is right."""

from __future__ import annotations

import itertools
import re
import shlex
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from medseg.config import yaml_files
from medseg.config.instantiate import instantiate_network
from medseg.metrics.measures import MEASURES
from medseg.reporting.ablation import find_ablations
from medseg.reporting.claims.file import read_claims
from medseg.reporting.claims.judging import judge
from medseg.reporting.comparison import compare_runs
from medseg.reporting.layout import lay_out
from medseg.reporting.published import read_published
from medseg.runs.naming import flatten, is_ignored, setting_name
from medseg.runs.reading import read_runs
from medseg.runs.run import Run
from medseg.sweeps.conditions import Condition, read_conditions
from tests.helpers import command, compose_config, train

ROOT = yaml_files.config_root() / "experiments"

STUDIES = ("convunext", "amsunet", "first_table", "lightweight", "optimizers", "six_datasets", "unet2015")

SWEEPS = [
    f"{study}/{file.stem}"
    for study in STUDIES
    for file in sorted((ROOT / study).glob("*.yaml"))
    if "sweeper:" in file.read_text(encoding="utf-8")
]

OTHERS = ["demo", "first_look/short", "unet2015/dsb", "unet2015/isbi"]
"""Experiments that are no sweeps of their own."""

SEARCH = f"hydra.searchpath=[file://{yaml_files.config_root()}]"


def compose(sweep: str, *overrides: str) -> DictConfig:
    return compose_config("train", SEARCH, f"+experiments={sweep}", *overrides)


@lru_cache
def parameters(sweep: str) -> dict[str, list[str]]:
    """The sweep's lists, as `-m +experiments=...` without anything else runs them: key -> values."""
    compose(sweep, "hydra.mode=MULTIRUN")
    params = HydraConfig.get().sweeper.params
    parser = OverridesParser.create()
    found = {}
    for key, values in params.items():
        if ":" in key:  # for some of the jobs
            continue
        override = parser.parse_override(f"{key}={values}")
        found[str(key)] = list(override.sweep_string_iterator()) if override.is_sweep_override() else [str(values)]
    return found


@lru_cache
def conditions(sweep: str) -> list[Condition]:
    """The overrides that a sweep has for some of its networks, such as `unet:model.base_channels`."""
    compose(sweep, "hydra.mode=MULTIRUN")
    return read_conditions(f"{key}={value}" for key, value in HydraConfig.get().sweeper.params.items())[1]


def jobs(sweep: str) -> list[tuple[str, ...]]:
    """The jobs of a sweep, as overrides."""
    lists = [[f"{key}={value}" for value in values] for key, values in parameters(sweep).items()]
    return [
        (*job, *(each.override for each in conditions(sweep) if f"model={each.option}" in job))
        for job in itertools.product(*lists)
    ]


def settings(sweep: str) -> list[tuple[str, ...]]:
    """The jobs of a sweep on its first dataset, with its first seed and fold."""
    first = {f"{key}={values[0]}" for key, values in parameters(sweep).items() if key in ("seed", "data", "data.fold")}
    return [job for job in jobs(sweep) if first <= set(job)]


@lru_cache
def network_of(sweep: str, job: tuple[str, ...]) -> tuple[torch.nn.Module, DictConfig]:
    """A job's network, without values, and its configuration."""
    cfg = compose(sweep, "data.num_classes=2", *job)
    with torch.device("meta"):
        return instantiate_network(cfg.model), cfg


def test_the_studies_of_the_papers_are_there() -> None:
    assert {
        "convunext/comparison", "convunext/ablation_kernel_size", "convunext/ablation_gate",
        "convunext/ablation_downsampling", "convunext/fractions", "amsunet/comparison", "amsunet/ablation_dilation",
        "amsunet/ablation_kernels", "amsunet/ablation_norm", "amsunet/ablation_shortcuts",
        "amsunet/ablation_attention", "first_table/comparison", "lightweight/comparison",
        "optimizers/comparison", "six_datasets/comparison",
        "unet2015/ablation_elastic_isbi", "unet2015/ablation_elastic_dsb", "unet2015/ablation_border_isbi",
        "unet2015/ablation_border_dsb", "unet2015/ablation_tile", "unet2015/comparison_isbi", "unet2015/comparison_dsb",
    } == set(SWEEPS)  # fmt: skip


@pytest.mark.parametrize("sweep", SWEEPS)
def test_a_sweep_is_what_its_comment_says(sweep: str) -> None:
    lists = parameters(sweep)
    assert next(iter(lists)) == "seed", "the first seed of all comes before the second of any"
    described = yaml_files.describe(ROOT / f"{sweep}.yaml")
    assert described.endswith(f" {len(jobs(sweep))} runs.")
    cfg = compose(sweep)
    assert cfg.experiment == sweep
    choices = HydraConfig.get().runtime.choices
    protocol = "tuned" if sweep.startswith("first_table/") else "medseg"
    assert (choices["protocol"], choices["budget"]) == (protocol, "full")
    if not sweep.startswith("unet2015/"):
        more = ["cvc", "drive", "busi"] if sweep.startswith("six_datasets/") else []
        assert (lists["seed"], lists["data"]) == (["0", "1", "2"], ["kvasir", "isic", "dsb", *more])
        return
    # Its recipe differs between the datasets; of the one that is small all folds are taken.
    assert "data" not in lists
    assert choices["data"] == ("dsb" if sweep.endswith("_dsb") else "isbi")
    if sweep != "unet2015/ablation_tile":
        assert lists["seed"] == ["0", "1", "2"]
        assert lists.get("data.fold") == (["0", "1", "2", "3", "4"] if choices["data"] == "isbi" else None)


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("budget", yaml_files.options("budget"))
def test_every_sweep_composes_with_every_budget(sweep: str, budget: str) -> None:
    # A sweep that sets how settings are tuned is one of that protocol alone.
    for protocol in ["tuned"] if sweep.startswith("first_table/") else yaml_files.options("protocol"):
        cfg = compose(sweep, f"budget={budget}", f"protocol={protocol}", *jobs(sweep)[-1])
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)


@pytest.mark.slow
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_network_of_a_sweep_is_another_and_can_be_built(sweep: str) -> None:
    # Where the training is varied, the networks are the same.
    built = [network_of(sweep, job) for job in settings(sweep)]
    parts = [
        (cfg.model, cfg.optimizer, cfg.augmentation, {"w0": cfg.data.border_w0, "fraction": cfg.data.fraction})
        for _, cfg in built
    ]
    assert len({"".join(OmegaConf.to_yaml(part) for part in of_one) for of_one in parts}) == len(built)
    for network, cfg in built:
        logits = network.train()(torch.empty(2, cfg.data.in_channels, 96, 96, device="meta"))
        assert (logits[-1] if isinstance(logits, list) else logits).shape == (2, 2, 96, 96)


def count(sweep: str) -> dict[str, int]:
    sizes = {}
    for job in settings(sweep):
        network, _ = network_of(sweep, job)
        name = next(word for word in job if word.startswith("model=")).removeprefix("model=")
        sizes[name] = sum(parameter.numel() for parameter in network.parameters())
    return sizes


NOT_COMPARED = {"sliding_window", "ushape", "smp", "custom"}
"""A classifier of windows, and options that are no one network; the README of `lightweight` says so."""


def test_light_networks_are_light_and_none_is_left_out() -> None:
    sizes = count("lightweight/comparison")
    assert max(sizes.values()) < 5_000_000
    text = (ROOT / "lightweight" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in NOT_COMPARED)
    for name in yaml_files.options("model").keys() - sizes.keys() - NOT_COMPARED:
        with torch.device("meta"):
            network = instantiate_network(compose_config("train", f"model={name}", "data.num_classes=2").model)
        assert sum(parameter.numel() for parameter in network.parameters()) >= 5_000_000, name


def test_networks_are_as_wide_as_the_papers_u_net() -> None:
    sizes = {**count("convunext/comparison"), **count("amsunet/comparison")}
    assert sizes["unet"] == 4_318_434
    assert sizes["attention_unet_32"] == 8_726_110
    assert sizes["resunet_32"] == 3_265_218
    assert (sizes["convunext"], sizes["amsunet"]) == (3_505_730, 2_619_898)


def test_an_ablations_first_setting_is_the_network_as_shipped() -> None:
    for sweep in (name for name in SWEEPS if "ablation" in name):
        network, cfg = network_of(sweep, settings(sweep)[0])
        words = (f"model={sweep.partition('/')[0]}", "data.num_classes=2", f"data.in_channels={cfg.data.in_channels}")
        shipped = compose_config("train", *words).model
        with torch.device("meta"):
            assert str(instantiate_network(shipped)) == str(network), sweep


def test_an_ablation_of_unet_2015_changes_one_value_alone() -> None:
    expected = {
        "ablation_elastic_isbi": ("augmentation.transforms.1.std", "std"),
        "ablation_elastic_dsb": ("augmentation.transforms.1.std", "std"),
        "ablation_border_isbi": ("data.border_w0", ""),
        "ablation_border_dsb": ("data.border_w0", ""),
        "ablation_tile": ("model.tile", ""),
    }
    for name, (key, inner) in expected.items():
        (with_it, without) = (compose(f"unet2015/{name}", *job) for job in settings(f"unet2015/{name}"))
        recipe = compose(f"unet2015/{'dsb' if name.endswith('dsb') else 'isbi'}", f"experiment=unet2015/{name}")
        recipe.data.fold = with_it.data.fold
        assert with_it == recipe, "the first is the recipe as it is"
        one, other = (flatten(OmegaConf.to_container(cfg, resolve=True)) for cfg in (with_it, without))  # type: ignore[arg-type]
        assert [k for k in one if one[k] != other[k]] == [key]
        if inner:
            both = zip(with_it.augmentation.transforms, without.augmentation.transforms, strict=True)
            ((deformed, plain),) = [(node, other) for node, other in both if node != other]
            assert deformed._target_ == plain._target_ == "medseg.data.augmentation.CoarseElastic"
            assert (deformed[inner], plain[inner]) == (10.0, 0.0)


def test_without_border_weights_the_weights_are_those_of_the_classes() -> None:
    _, without = (compose("unet2015/ablation_border_dsb", *job) for job in settings("unet2015/ablation_border_dsb"))
    closeness = torch.linspace(0, 1, 11)
    for weight in (0.5, 0.58, 3.64):  # of two classes, none is below a half
        assert (torch.tensor(weight) + without.data.border_w0 * closeness == torch.tensor(weight)).all()


# Runs.


def test_every_experiment_is_tested_here() -> None:
    files = [file for file in ROOT.rglob("*.yaml") if file.read_text(encoding="utf-8").startswith("# @package")]
    assert {str(file.relative_to(ROOT).with_suffix("")) for file in files} == {*SWEEPS, *OTHERS}


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [*SWEEPS, *OTHERS])
def test_a_job_of_every_experiment_runs_end_to_end(sweep: str, tmp_path: Path) -> None:
    own = [word for word in settings(sweep)[-1] if not word.startswith(("data=", "seed="))] if sweep in SWEEPS else []
    narrow = ["model.base_channels=4"] if "base_channels" in compose(sweep, *own).model else []
    small = ("data.dataset.count=20", "data.batch_size=4", "data.num_workers=0", "trainer=cpu", "logger=csv")
    words = ("budget=smoke", *own, "data=synthetic", *narrow, *small)
    folder = train(tmp_path, SEARCH, f"+experiments={sweep}", *words, tiny=False)
    assert folder.finished
    (run,) = read_runs([tmp_path / "runs"]).runs
    assert (run.name, run.data) == (folder.path.name, "synthetic")
    assert run.experiment == (sweep if sweep in SWEEPS else sweep.partition("/")[0])
    assert folder.path.parent == tmp_path / "runs" / run.experiment


@pytest.mark.parametrize(
    ("sweep", "factor", "values"),
    [
        ("ablation_elastic_isbi", "augmentation.transforms.1.std", ["10", "0"]),
        ("ablation_border_dsb", "data.border_w0", ["10", "1e-09"]),
        ("ablation_tile", "model.tile", ["null", "388"]),
    ],
)
def test_the_report_shows_an_ablation_of_unet_2015(sweep: str, factor: str, values: list[str], tmp_path: Path) -> None:
    small = ("data.dataset.count=20", "data.dataset.style=nuclei", "data.num_workers=0", "model.base_channels=2")
    for job in settings(f"unet2015/{sweep}"):
        words = (f"+experiments=unet2015/{sweep}", "budget=smoke", "data=synthetic", "trainer=cpu", "logger=csv")
        train(tmp_path, SEARCH, *words, *job, *small, tiny=False)
    comparison = compare_runs(read_runs([tmp_path / "runs"]).runs, MEASURES["dice"])
    (ablation,) = find_ablations(comparison)
    (block,) = ablation.blocks
    assert (ablation.factor, block.label) == (factor, "unet2015")
    assert sorted(block.values.values()) == sorted(values)
    assert block.values[block.default] == values[0]
    (pair,) = block.pairs.values()
    assert (pair.state, pair.reason) == ("not judged", "one seed")
    if factor == "model.tile":
        assert pair.difference == 0


@pytest.mark.slow
def test_the_sweep_of_a_file_runs_and_lists_of_the_command_line_narrow_it(tmp_path: Path) -> None:
    small = ("data.dataset.count=20", "data.batch_size=4", "data.num_workers=0", "trainer=cpu", "logger=csv")
    words = ("data=synthetic", "seed=7", "budget=smoke", "model.base_channels=4", *small)
    done = command("train", "-m", "+experiments=convunext/ablation_downsampling", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = read_runs([tmp_path / "runs" / "convunext"]).runs
    assert [(run.state, run.seed, run.data) for run in runs] == [("finished", 7, "synthetic")] * 2
    assert {run.config["model"]["downsampling"] for run in runs} == {"conv", "pool"}


# Claims.


def as_run(sweep: str, job: tuple[str, ...]) -> Run:
    """A finished run of a job, as far as claims look at it."""
    cfg = compose(sweep, *job)
    choices = {key: value for key, value in HydraConfig.get().runtime.choices.items() if "/" not in key}
    settings: Any = OmegaConf.to_container(cfg, resolve=True)
    defaults, _ = yaml_files.primary("train")
    run = Run(
        folder=Path(sweep, *job), name="x", state="finished", error=None, experiment=sweep, model=choices["model"],
        data=choices["data"], seed=0, fold=None, setting=setting_name(settings, choices, defaults), choices=choices,
        overrides=job,
    )  # fmt: skip
    run.__dict__["_configuration"] = settings, {k: v for k, v in flatten(settings).items() if not is_ignored(k)}
    size = settings["data"]["image_size"]
    run.__dict__["summary"] = {"evaluation_size": [size, size], "epochs": settings["trainer"]["max_epochs"]}
    run.__dict__["epochs"] = [{"step": 50 * settings["trainer"]["max_epochs"]}]
    network, _ = network_of(sweep, job)
    run.summary["parameters"] = sum(parameter.numel() for parameter in network.parameters())
    return run


def undecided(study: str) -> Any:
    """The comparison that the sweeps of a study make, where no pair is decided."""
    runs = [as_run(sweep, job) for sweep in SWEEPS if sweep.startswith(f"{study}/") for job in settings(sweep)]
    sample = SimpleNamespace(ids=("a", "b", "c"), counts=np.ones((1, 3, 1, 4), int))
    cells = {
        (row, column): SimpleNamespace(row=row, column=column, runs=runs, sample=sample, unused=[])
        for (row, column), runs in lay_out(runs).cells.items()
    }
    pairs = []
    for (row, column), (other, same) in itertools.permutations(cells, 2):
        if column == same:
            pair = SimpleNamespace(first=row, second=other, column=column, state="undecided", reason="")
            pair.reversed = lambda pair=pair: pair
            pairs.append(pair)
    return SimpleNamespace(cells=cells, pairs=pairs, measure=MEASURES["dice"], measures=MEASURES)


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_the_sweeps_of_a_study_make_the_runs_that_its_claims_are_about(
    study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medseg.reporting.claims.judging.pairs_under", lambda comparison, *_: comparison.pairs)
    no_power = SimpleNamespace(variances=lambda first, second: None)
    monkeypatch.setattr("medseg.reporting.claims.judging.family_under", lambda *_: no_power)
    verdicts = judge(ROOT / study / "claims.yaml", undecided(study))
    for verdict in verdicts:
        claim = verdict.claim
        if claim.percent is not None:
            assert verdict.state in ("supported", "contradicted"), claim.says
            continue
        assert verdict.state == "undecided" or claim.fewer_parameters, (claim.says, verdict.state, verdict.remarks)
        # On the first dataset of the sweeps; of U-Net 2015 there are sweeps on two.
        assert len(verdict.datasets) == len(claim.than) * (2 if study == "unet2015" else 1), claim.says
        assert "not comparable" not in "".join((verdict.state, *verdict.remarks))
    for claim in read_claims(ROOT / study / "claims.yaml").claims:
        # Where a claim does not name the optimizer, there is a verdict for each.
        several = 3 if study == "optimizers" and "optimizer" not in claim.better else 1
        if claim.fewer_parameters and study == "convunext":
            several = 4  # fractions of the training images
        assert len([verdict for verdict in verdicts if verdict.claim == claim]) == several, claim.says


# Files.


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_has_its_files(study: str) -> None:
    text = (ROOT / study / "README.md").read_text(encoding="utf-8")
    for heading in ("## Question", "## Protocol", "## Cost", "## Commands"):
        assert heading in text
    assert read_published([ROOT / study / "published.csv"])
    for sweep in (sweep for sweep in SWEEPS if sweep.startswith(f"{study}/")):
        assert f"experiments={sweep}" in text


SHOWN = sorted(
    {
        line.strip()
        for file in ROOT.rglob("README.md")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("    python -m medseg.")
    }
)


@pytest.mark.parametrize("line", SHOWN)
def test_a_command_of_a_readme_composes(line: str) -> None:
    words = shlex.split(re.split(r"\s{2,}|\s#", line)[0])
    name: Any = words[2].removeprefix("medseg.")
    given = [word for word in words[3:] if not word.startswith("-") and "=" in word]
    for values in itertools.zip_longest(*([*variants(word)] for word in given)):
        chosen = [value or variants(word)[0] for value, word in zip(values, given, strict=True)]
        compose_config(name, *([SEARCH] if name == "train" else []), *chosen)


def variants(word: str) -> list[str]:
    """The single values of `key=a,b`."""
    key, _, values = word.partition("=")
    return [word] if "[" in values else [f"{key}={value}" for value in values.split(",")]
