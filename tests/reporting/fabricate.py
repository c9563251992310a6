"""Make up run folders as trainings would leave them, with known differences between the networks.

fabricate(tmp_path / "runs" / "sweep", {"unet": 0.0, "convunext": 0.03}, data=("kvasir", "dsb"), seeds=(0, 1, 2))
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from medseg.metrics.summary import per_image_rows, summarise
from medseg.runs.folder import PER_IMAGE, PREPARED_SIZE
from medseg.runs.naming import digest, flatten, is_ignored
from medseg.system.files import read_json, write_csv, write_json

PARAMETERS = {"unet": 4_320_000, "convunext": 3_510_000, "amsunet": 2_620_000, "resunet": 5_540_000}

ERROR = "Traceback (most recent call last):\n  in step\nOutOfMemoryError: 12 GiB are not enough"


def fabricate(
    experiment: Path,
    networks: Mapping[str, float],
    *,
    data: Sequence[str] = ("kvasir",),
    seeds: Iterable[int] = (0,),
    folds: Sequence[int | None] = (None,),
    images: int = 60,
    mean: float = 0.8,
    difficulty: float = 0.1,
    noise: float = 0.04,
    seed_noise: float = 0.0,
    states: Mapping[tuple[str, str, int], str] | None = None,
    classes: Sequence[str] = ("background", "polyp"),
    size: int = 96,
    epochs: int = 5,
    extra: Sequence[str] = (),
    groups: int = 0,
    group_noise: float = 0.0,
    random: int = 0,
) -> Path:
    """Make up the runs of a sweep: `<experiment>/<model>-<data>-<hash>-seed<k>`, and return `experiment`.

    Args:
        experiment: folder of the runs.
        networks: name -> true difference of its Dice from `mean`. A name may carry overrides after spaces:
            `convunext model.kernel_size=9 optimizer=sgd`.
        data: names of datasets; each has its own images, the same for all networks.
        seeds: of each network and dataset.
        folds: of cross-validation; each has its own images.
        images: number of test images (of each fold).
        mean: of the Dice over images where the network adds nothing.
        difficulty: deviation of the Dice over images, which all networks share.
        noise: deviation of a run's Dice from that, by image.
        seed_noise: deviation of a run's Dice from that, the same for all its images.
        states: (network, data, seed) -> interrupted, failed, running or waiting (in `sweep.json` alone) instead of
            finished.
        classes: background first.
        size: of the images.
        epochs: rows of `metrics.csv`.
        extra: overrides that all runs have.
        groups: of the images of each dataset (and fold), such as patients; 0 for none.
        group_noise: deviation of a run's Dice from that, the same for all images of a group.
        random: seed of all this.
    """
    states = states or {}
    jobs = []
    for network, effect in networks.items():
        model, *overrides = network.split()
        for name in data:
            for fold in folds:
                for seed in seeds:
                    state = states.get((network, name, seed), "finished")
                    own = [f"model={model}", f"data={name}", *overrides, *extra]
                    own += [f"data.fold={fold}"] if fold is not None else []
                    job = describe(model, name, seed, fold, [*own, f"seed={seed}"], experiment.name)
                    jobs.append(job)
                    folder = experiment / job["name"]
                    if state == "waiting":
                        continue
                    config = make_config(job, size)
                    folder.mkdir(parents=True)
                    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
                    command = ["train.py", *job["overrides"]]
                    write_json(folder / "environment.json", {"command": command, "device": "cpu, 2 threads"})
                    write_json(folder / "run.json", job)
                    ids = [f"{name}_{n + images * (fold or 0):04d}" for n in range(images)]
                    of = [
                        f"{name}_patient{fold or 0}_{n * groups // images:02d}" if groups else "" for n in range(images)
                    ]
                    listed = [{"id": i, "split": "test", "group": group} for i, group in zip(ids, of, strict=True)]
                    listed += [{"id": f"{name}_x{n}", "split": "val" if n else "train", "group": ""} for n in range(4)]
                    write_csv(folder / "images.csv", listed)
                    done = epochs if state == "finished" else epochs // 2
                    write_csv(folder / "metrics.csv", curve(done, generator(random, job["name"], "curve"), effect))
                    status: dict[str, Any] = {"state": state, "epoch": done, "max_epochs": epochs, "seed": seed}
                    if state == "failed":
                        status["error"] = ERROR
                    if state == "finished":
                        dice = true_dice(name, fold, images, mean, difficulty, random)
                        if groups:
                            shifts = generator(random, job["name"], "groups").normal(0, group_noise, groups)
                            dice = dice + shifts[np.arange(images) * groups // images]
                        counts, distances = scores(
                            dice,
                            effect,
                            generator(random, job["name"], "images"),
                            (noise, seed_noise),
                            classes,
                            size,
                        )
                        measured = {"hd95": distances[..., 0], "assd": distances[..., 1]}
                        rows = per_image_rows(ids, counts, measured, classes)
                        for name_of_scores in (PER_IMAGE, PREPARED_SIZE):
                            write_csv(folder / "test" / f"{name_of_scores}.csv", rows)
                        summarised = summarise(counts, measured, classes)
                        summary = {
                            "data": name,
                            "data_identity": name,
                            "split": "test",
                            "split_name": None,
                            "fold": fold,
                            "evaluation_size": [size, size],
                            **summarised,
                            PREPARED_SIZE: summarised,
                            "reachable_dice": 0.99,
                            "tta": False,
                            "best_epoch": epochs,
                            "epochs": epochs,
                            "training_seconds": 100.0 + len(jobs),
                            "parameters": PARAMETERS.get(model, 1_000_000),
                        }
                        write_json(folder / "test" / "summary.json", summary)
                    write_json(folder / "status.json", status)
    experiment.mkdir(parents=True, exist_ok=True)
    earlier = read_json(experiment / "sweep.json", optional=True).get("jobs", [])
    write_json(experiment / "sweep.json", {"jobs": [*earlier, *jobs]})
    return experiment


OF_MODEL: dict[str, dict[str, Any]] = {"amsunet": {"dilations": [1, 1, 1, 3, 5], "norm": "batch"}}
"""Further defaults of networks."""

DEFAULT_CHOICES = {"optimizer": "adamw", "loss": "ce_dice", "logger": "csv", "trainer": "auto"}


def describe(
    model: str, data: str, seed: int, fold: int | None, overrides: list[str], experiment: str
) -> dict[str, Any]:
    """Return the content of `run.json`."""
    choices = {"model": model, "data": data, **DEFAULT_CHOICES}
    for override in overrides:
        key, _, value = override.partition("=")
        if key in choices:
            choices[key] = value
    job = {
        "experiment": experiment,
        "model": model,
        "data": data,
        "seed": seed,
        "fold": fold,
        "choices": choices,
        "default_choices": {"model": "convunext", "data": "synthetic", **DEFAULT_CHOICES},
        "overrides": overrides,
    }
    given, usual = flatten(make_config(job, 0)), flatten(make_config({**job, "overrides": []}, 0))
    code = digest({key: value for key, value in given.items() if not is_ignored(key)})
    shown = [choices["optimizer"]] if choices["optimizer"] != "adamw" else []
    setting = "-".join([model, data, *shown, *([f"fold{fold}"] if fold is not None else []), code])
    return {
        "name": f"{setting}-seed{seed}",
        "id": hashlib.sha256(f"{experiment} {setting} {seed}".encode()).hexdigest()[:32],
        "setting": setting,
        **job,
        "defaults": {key: usual.get(key) for key, value in given.items() if usual.get(key) != value},
    }


def make_config(job: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the content of `config.yaml`, the parts that a report reads."""
    choices = job["choices"]
    config: dict[str, Any] = {
        "experiment": job["experiment"],
        "seed": job["seed"],
        "model": {
            "_target_": f"medseg.models.{choices['model']}",
            "base_channels": 32,
            "kernel_size": 7,
            **OF_MODEL.get(choices["model"], {}),
        },
        "data": {
            "dataset": {"_target_": f"medseg.data.datasets.{choices['data']}"},
            "image_size": size,
            "fold": job["fold"],
            "batch_size": 8,
        },
        "loss": {"_target_": choices["loss"]},
        "optimizer": {"_target_": choices["optimizer"], "lr": 0.01 if choices["optimizer"] == "sgd" else 0.001},
        "trainer": {"accelerator": "auto", "max_epochs": 100},
        "callbacks": {},
    }
    for override in job["overrides"]:
        key, _, value = override.partition("=")
        group, _, inner = key.partition(".")
        if inner:
            config.setdefault(group, {})[inner] = yaml.safe_load(value)
    return config


def generator(*of: object) -> np.random.Generator:
    """Return a generator of its own for each thing that is made up."""
    digest = hashlib.sha256(" ".join(map(str, of)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def true_dice(data: str, fold: int | None, images: int, mean: float, difficulty: float, random: int) -> np.ndarray:
    """Return the Dice of the images of a dataset before any network adds to it."""
    return generator(random, data, fold, "difficulty").normal(mean, difficulty, images)


def scores(
    dice: np.ndarray,
    effect: float,
    random: np.random.Generator,
    noise: tuple[float, float],
    classes: Sequence[str],
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return counts N x classes x 4 and distances N x foreground classes x 2 with about the Dice that is asked for."""
    images, foreground = len(dice), len(classes) - 1
    wanted = dice[:, None] + effect + random.normal(0, noise[1]) + random.normal(0, noise[0], (images, foreground))
    wanted = np.clip(wanted, 0.0, 1.0)
    area = generator(images, foreground, size).integers(size * size // 20, size * size // 8, (images, foreground))
    wrong = np.rint(area * (1 - wanted)).astype(np.int64)
    tp = area - wrong
    counts = np.zeros((images, foreground + 1, 4), dtype=np.int64)
    # As much is found in excess as is missed, and all of that in the background.
    counts[:, 1:, 0], counts[:, 1:, 1], counts[:, 1:, 2] = tp, wrong, wrong
    counts[:, 1:, 3] = size * size - tp - 2 * wrong
    counts[:, 0, 1] = counts[:, 0, 2] = wrong.sum(axis=1)
    counts[:, 0, 3] = tp.sum(axis=1)
    counts[:, 0, 0] = size * size - counts[:, 0].sum(axis=1)
    hd95 = (1 - wanted) * size / 2
    return counts, np.stack([hd95, hd95 / 3], axis=-1)


def curve(epochs: int, random: np.random.Generator, effect: float) -> list[dict[str, Any]]:
    """Return rows of `metrics.csv`."""
    rows = []
    for epoch in range(epochs):
        dice = 0.8 + effect - 0.5 * 0.6 ** (epoch + 1) + random.normal(0, 0.01)
        row = {"epoch": epoch, "step": (epoch + 1) * 10, "lr": 1e-3 * (1 - epoch / epochs)}
        row |= {"train/loss": 1.2 - dice, "val/loss": 1.25 - dice, "val/dice": dice, "val/iou": dice / (2 - dice)}
        rows.append({**row, "seconds": 20.0})
    return rows
