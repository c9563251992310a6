"""The card as Markdown."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg.cards.certainty import describe_certainty
from medseg.cards.citing import as_bibtex, read_citation
from medseg.cards.collect import Subject
from medseg.cards.front_matter import front_matter
from medseg.cards.limits import find_limits
from medseg.cards.pretrained import describe_normalisation, describe_pretrained
from medseg.cards.recipe import arguments_in_words, in_words, trainer_options, value_in_words
from medseg.cards.scores import describe_scores
from medseg.config.encoders import without_folder
from medseg.data.prepared.report import as_text
from medseg.metrics.measures import MEASURES
from medseg.reporting.formatting import count, interval, number
from medseg.reporting.labels import as_text as setting_text
from medseg.reporting.render.markdown import escape_markdown
from medseg.reporting.tuning import describe_budget
from medseg.runs.folder import PREPARED_SIZE
from medseg.runs.run import Run

PARTS = ("optimizer", "scheduler", "loss")
"""Groups of the configuration that a training is made of; augmentation and callbacks are written separately."""

PLACES = ("data.root", "initial_weights", "model.encoder_weights")
"""Options that name files of whoever trained."""


def write_card(subject: Subject, licence: str | None) -> str:
    """Write the card; `licence`: of the weights, as their owner chose it, None where nobody has."""
    network, data = subject.network.name, subject.data.title
    sections = {
        "Network": describe_network(subject),
        "Data": describe_data(subject),
        "Protocol": describe_protocol(subject),
        "Training": describe_training(subject),
        "Scores": describe_scores(subject),
        "Calibration and confidence": describe_certainty(subject),
        "Limits": bullets(find_limits(subject)),
        "How to use it": describe_use(subject),
        "Environment": describe_environment(subject),
        "Licence": describe_licence(subject, licence),
        "Citation": describe_citation(subject),
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items() if text)
    title = escape_markdown(f"{network} on {data}")
    return f"{front_matter(subject, licence)}\n# {title}\n\n{opening(subject)}\n\n{body}\n"


def opening(subject: Subject) -> str:
    """Say in two sentences what this is and how well it does."""
    names = foreground_names(subject)
    score = subject.cell.scores.get("dice")
    sample = subject.cell.sample
    assert sample is not None
    trainings = "one training" if len(subject.seeds) == 1 else f"the mean of {len(subject.seeds)} trainings"
    images = count(len(sample.ids), "test image")
    if score is None:  # no test image has a class, and none is predicted
        result = f"It has no Dice: no foreground class is in any of {images}, or predicted there. "
    else:
        between = "" if score.remark else interval(score, MEASURES["dice"]).strip()
        sure = f" (95 % interval {between[1:-1].replace(', ', ' to ')})" if between else ""
        result = f"On {images} its Dice is {number(score.mean, 3)}{sure}, {trainings}. "
    return escape_markdown(
        f"A segmentation network for images like those of {subject.data.title}; it tells {', '.join(names)} from the "
        f"background. {result}Trained and tested with medseg; this card was written from the folders of its runs."
    )


def foreground_names(subject: Subject) -> Sequence[str]:
    """Name the classes that are not background."""
    return subject.runs[0].per_image.classes


def describe_network(subject: Subject) -> str:
    """Tell what the network is."""
    network, settings = subject.network, subject.config.get("model", {})
    channels = settings.get("in_channels")
    arguments = {
        key: value for key, value in without_folder(settings).items() if key not in ("in_channels", "num_classes")
    }
    fingerprint = subject.data.fingerprint
    size, patches = (subject.runs[0].summary.get(key) for key in ("evaluation_size", "patches"))
    parameters = subject.runs[0].parameters
    background = fingerprint["class_names"][:1] if fingerprint else ["background"]
    facts = {
        "class": f"`{settings.get('_target_', network.name)}`",
        "option": f"`model={subject.runs[0].model}`",
        "parameters": "not known" if parameters is None else f"{parameters:,}",
        f"trained on {'patches' if patches else 'images'} of": f"{size[0]} x {size[1]} pixels"
        if size
        else "unknown size",
        "channels": {1: "1 (grey)", 3: "3 (RGB)"}.get(channels, "not known"),
        "classes": ", ".join(escape_markdown(name) for name in [*background, *foreground_names(subject)]),
        "arguments": arguments_in_words(arguments) or "none",
        "paper": escape_markdown(network.citation) if network.citation else "none known",
    }
    about = f"{escape_markdown(network.about)}\n\n" if network.about else ""
    return about + bullets([f"{key}: {value}" for key, value in facts.items()])


def describe_data(subject: Subject) -> str:
    """Tell what it was trained on."""
    data, fingerprint = subject.data, subject.data.fingerprint
    facts: dict[str, Any] = {
        "dataset": data.title,
        "licence": data.licence or "not known to medseg",
        "citation": data.citation or "none known to medseg",
    }
    if data.counts:
        facts["images"] = ", ".join(f"{number} {part}" for part, number in data.counts.items())
    if fingerprint:
        facts["part of all pixels"] = as_text(fingerprint["class_fractions"])
        height, width = fingerprint["native_height"], fingerprint["native_width"]
        facts["originals, height x width"] = (
            f"median {height['median']:.0f} x {width['median']:.0f}, from {height['min']:.0f} x {width['min']:.0f} to "
            f"{height['max']:.0f} x {width['max']:.0f}"
        )
        facts["left out as unusable"] = str(len(fingerprint["skipped"]))
        facts["problems found"] = as_text(fingerprint["problems"])
        facts["SHA-256 of the archives"] = as_text(fingerprint["archive_sha256"])
    else:
        facts["prepared data"] = "not described in the folder of this run, which an older version made"
    facts["identity of the prepared data"] = subject.runs[0].summary.get("data_identity", "not known")
    about = f"{escape_markdown(data.about)}\n\n" if data.about else ""
    return about + bullets([f"{key}: {escape_markdown(str(value))}" for key, value in facts.items()])


def describe_protocol(subject: Subject) -> str:
    """Tell how images were split and scored."""
    summary = subject.runs[0].summary
    folds = sorted({run.fold for run in subject.runs if run.fold is not None})
    if folds:
        split = f"Cross-validation, {count(len(folds), 'fold')} of 5 ({', '.join(map(str, folds))}), scored together."
    else:
        split = f"Split: {summary.get('split_name') or 'the default one'} of {subject.data.title}."
    size = summary.get("evaluation_size")
    at = f" to {size[0]} x {size[1]} pixels" if size else ""
    resized = f"Images were resized once{at}, whatever their shape, masks to the nearest pixel."
    if size and summary.get("patches"):
        resized = (
            f"Images kept their native size. Training saw patches of {size[0]} x {size[1]} pixels, "
            f"{summary['patches']} of each image in an epoch; whole images are predicted in windows of that size, "
            "which overlap and are blended."
        )
    several = ", then the mean over the foreground classes" if len(foreground_names(subject)) > 1 else ""
    scored = "The prediction is brought to the native size of each test image and scored there"
    if PREPARED_SIZE not in summary:
        scored = "Each test image is scored at the size that it was resized to"
    sentences = [
        split,
        resized,
        describe_normalisation(subject.runs[0]),
        "The epoch with the best Dice on the validation images was kept. The test images had no part in that.",
        f"{scored}: the class with the highest output against the mask, class by class{several}. A class that is "
        "neither in an image nor predicted counts 1 there (distances: left out); one that no test image has is in no "
        "mean but where it is predicted.",
    ]
    choice = subject.runs[0].choices.get("protocol")
    if choice and choice != "medseg":
        sentences.append(f"The recipe is that of protocol={choice}.")
    return bullets(list(map(escape_markdown, sentences)))


def describe_training(subject: Subject) -> str:
    """Tell how it was trained."""
    settings = subject.config
    trainer = settings.get("trainer", {})
    facts = {part: in_words(settings[part]) for part in PARTS if settings.get(part, {}).get("_target_")}
    augmentation = settings.get("augmentation", {})
    if augmentation:
        facts["augmentation"] = "; ".join(map(in_words, augmentation.get("transforms", [augmentation]))) or "none"
    if settings.get("callbacks"):
        facts["callbacks"] = "; ".join(map(in_words, settings["callbacks"].values()))
    facts["images per step"] = str(settings.get("data", {}).get("batch_size", "not known"))
    facts["epochs"] = "; ".join(
        f"{run.summary.get('epochs')}, the best {run.summary.get('best_epoch')} (seed {run.seed}{fold_of(run)})"
        for run in subject.runs
    )
    facts |= {key.replace("_", " "): str(value) for key, value in trainer_options(trainer).items()}
    tuning = subject.runs[0].tuning
    if tuning is not None:
        values = ", ".join(f"{key} {value_in_words(value)}" for key, value in tuning.best.values.items())
        budget = describe_budget(subject.runs[0], tuning)
        facts["chosen by trials on the validation images"] = f"{values}; {budget}"
    facts |= describe_pretrained(subject.runs[0])
    if settings.get("initial_weights"):
        facts["weights at the start"] = Path(settings["initial_weights"]).name
    facts["seeds"] = ", ".join(map(str, subject.seeds))
    # Places are left out: they make no other network, and may tell who trained it.
    deviations = subject.runs[0].deviations.items()
    words = [f"{key}={setting_text(value)}" for key, value in deviations if key not in PLACES]
    if words:
        facts["settings other than the defaults"] = f"`{' '.join(words)}`"
    lines = [f"{key}: {value if value.startswith('`') else escape_markdown(value)}" for key, value in facts.items()]
    return bullets(lines)


def fold_of(run: Run) -> str:
    """Name the fold of a run, if it has one."""
    return "" if run.fold is None else f", fold {run.fold}"


def describe_use(subject: Subject) -> str:
    """Show the commands that use it."""
    run = subject.best
    # A path that others have as well: below the folder of the project.
    named = run.folder.name == run.name and not run.folder.is_absolute() and ".." not in run.folder.parts
    path = str(run.folder) if named else run.name
    which = (
        "The network of the run with the best validation score:\n\n"
        if len(subject.runs) > 1
        else f"`{run.name}` is the folder of the run, which holds its checkpoint:\n\n"
    )
    word = shlex.quote(path)
    commands = f"medseg predict {word} my_images my_masks"
    code = "\n".join(
        [
            "import medseg",
            "",
            f"network = medseg.load({json.dumps(path, ensure_ascii=False)})",
            "prediction = network.predict(image)  # H x W x 3 uint8, RGB",
            "prediction.mask  # H x W uint8, class indices",
        ]
    )
    return (
        f"{which}```bash\n{commands}\n```\n\n```python\n{code}\n```\n\n"
        "The checkpoint knows how images are resized and normalised. To score it on your images before you trust "
        "it:\n\n"
        f"```bash\nmedseg evaluate {word} data=folder data.root=my_labelled_images\n```"
    )


def describe_environment(subject: Subject) -> str:
    """Tell what it was trained with; where runs differ, all of it."""
    facts: dict[str, list[str]] = {}
    for run in subject.runs:
        environment = run.environment
        packages = environment.get("packages", {})
        for key in ("medseg", "git_commit", "python", "platform", "processor", "device", "precision", "processes"):
            if environment.get(key) is not None:
                facts.setdefault(key.replace("_", " "), []).append(str(environment[key]))
        if packages:
            facts.setdefault("packages", []).append(", ".join(f"{n} {v}" for n, v in packages.items() if v))
    lines = [f"{key}: {escape_markdown('; '.join(dict.fromkeys(values)))}" for key, values in facts.items()]
    seconds = [run.training_seconds for run in subject.runs if run.training_seconds is not None]
    if seconds:
        each = "" if len(seconds) == 1 else " for each run"
        lines.append(f"training: {sum(seconds) / len(seconds) / 60:.1f} minutes{each}")
    return bullets(lines)


def describe_licence(subject: Subject, licence: str | None) -> str:
    """Tell under which licence it is, and what else binds."""
    own = (
        f"The weights: {licence}."
        if licence
        else "The weights: nobody has chosen a licence yet (`licence=NAME` writes it here and into the metadata)."
    )
    data = subject.data.licence or "not known to medseg"
    return f"{own} The data: {escape_markdown(data)}. medseg: {read_citation().get('license', 'Apache-2.0')}."


def describe_citation(subject: Subject) -> str:
    """Tell what to cite."""
    citation = read_citation()
    lines = []
    if subject.network.citation:
        lines.append(f"the network: {escape_markdown(subject.network.citation)}")
    if subject.data.citation:
        lines.append(f"the data: {escape_markdown(subject.data.citation)}")
    lines.append(f"the software: {escape_markdown(citation['title'])}, version {citation['version']}")
    return f"{bullets(lines)}\n\n```bibtex\n{as_bibtex(citation)}\n```"


def bullets(lines: Sequence[str]) -> str:
    """Write a list."""
    return "\n".join(f"- {line}" for line in lines)


def default_file(runs: Sequence[Run]) -> Path:
    """Return `card.md` in the folder of a single run, and `card-<setting>.md` beside several."""
    if len(runs) == 1:
        return runs[0].folder / "card.md"
    return runs[0].folder.parent / f"card-{runs[0].setting}.md"
