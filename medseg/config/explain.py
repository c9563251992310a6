"""Errors of Hydra and OmegaConf as one line, with the key or option that was probably intended."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Sequence

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue, OmegaConfBaseException

from medseg.config import yaml_files
from medseg.config.instantiate import instantiation_error
from medseg.config.override_checks import check_overrides, unreadable
from medseg.errors import ConfigError, close_matches

OTHER_NAMES = {
    "trainer.max_epochs": "epochs epoch max_epochs n_epochs num_epochs num_train_epochs max_epoch",
    "trainer.devices": "gpus n_gpus num_gpus devices ngpu",
    "trainer.precision": "precision amp fp16 bf16 mixed_precision",
    "trainer": "accelerator gpu cuda",
    "device": "gpu cuda accelerator",
    "trainer.gradient_clip_val": "clip grad_clip gradient_clip clip_grad",
    "trainer.accumulate_grad_batches": "accumulate accumulation grad_accum gradient_accumulation_steps",
    "callbacks.early_stopping.patience": "patience early_stopping",
    "callbacks": "callback ema early_stop early_stopping patience",
    "optimizer.lr": "lr learning_rate base_lr learningrate",
    "optimizer.weight_decay": "wd weight_decay decay",
    "optimizer.momentum": "momentum",
    "optimizer": "optim opt",
    "scheduler": "sched lr_scheduler schedule lr_schedule",
    "scheduler.warmup_epochs": "warmup warmup_epochs",
    "loss": "criterion loss_fn",
    "augmentation": "aug augment augmentations transforms transform",
    "data.batch_size": "batch_size bs batch batchsize",
    "data.image_size": "image_size img_size size imgsz input_size resolution crop_size",
    "data.patches": "patches patches_per_image samples_per_volume crops num_crops tiles",
    "data.num_workers": "workers num_workers n_workers",
    "data.num_classes": "classes num_classes n_classes nclasses",
    "data.in_channels": "channels in_channels n_channels in_chans",
    "data.fold": "fold k_fold kfold",
    "data.root": "root data_root data_path dataset_path images image_dir img_dir",
    "data.source": "source data_source data_path dataset_path zip archive",
    "data.download": "download",
    "data": "dataset dataset_name datasets",
    "data_dir": "cache cache_dir datadir",
    "model": "net network arch architecture backbone model_name",
    "continue_from": "continue resume_run",
    "initial_weights": "weights pretrained pretrained_weights ckpt ckpt_path checkpoint load init finetune fine_tune "
    "finetuning load_from init_from warm_start transfer transfer_learning resume_from_checkpoint init_weights",
    "model.encoder_weights": "pretrained pretrained_encoder encoder_pretrained imagenet backbone_weights pretrain",
    "model.freeze_encoder": "freeze frozen freeze_backbone freeze_encoder freeze_epochs unfreeze frozen_stages "
    "encoder_freeze freeze_layers",
    "optimizer.encoder_lr_factor": "backbone_lr encoder_lr lr_backbone lr_encoder lr_mult backbone_lr_mult lr_factor "
    "encoder_lr_mult backbone_lr_factor",
    "optimizer.lr_factors": "param_groups paramwise_cfg layer_lr layer_decay groups lr_groups layer_groups "
    "discriminative_lr",
    "strict": "strict_load strict_loading load_strict",
    "checkpoint": "weights ckpt ckpt_path model_path load run",
    "runs_dir": "out out_dir output output_dir save_dir log_dir logdir results",
    "output": "out out_dir output_dir save_dir outdir o",
    "input": "images image img data source inputs",
    "experiment": "name exp exp_name experiment_name run_name",
    "experiments": "experiment_file",
    "force": "overwrite restart",
    "seed": "random_seed",
    "logger": "wandb tensorboard mlflow log loggers tracking",
    "format": "fmt type",
    "runs": "run folder folders",
}
"""Key -> what other programs call it."""

PATCHES = "data.patches=4 data.image_size=256 trains on 4 patches of 256 x 256 pixels of each image"
ADVICE = {
    "patch_size": PATCHES,
    "data.patch_size": PATCHES,
    "resume": "nothing is needed to resume: the same command goes on with an interrupted run (force=true begins anew)",
    "resume_from": "nothing is needed to resume: the same command goes on with an interrupted run",
    "cfg": "--cfg job prints the configuration",
    "help": "--help lists the groups and keys",
}
"""Advice for a key that does not exist."""

ADVISED = {
    "data": "medseg describe data=all lists their sizes and licences; for your images: data=folder data.root=FOLDER",
    "model": "for a custom network: +model._target_=my_package.MyNet",
}
"""Advice for an option that a group does not have."""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the message that `key` is unknown, with the known key or group that is like it."""
    known = [name for name in known if name != key]
    # The last part of a dotted key may be known under another parent: weight_decay -> optimizer.weight_decay.
    last = key.rpartition(".")[2]
    under_other = [name for name in known if name.rpartition(".")[2] == last]
    renamed = [name for name in other_names(key) if name in known]
    start = f"unknown option '{key}'"
    if key.startswith("tuning."):
        return f"{start}: protocol=tuned has tuning.search, space, trials, epochs, seed and pruning"
    if renamed:
        return f"{start}; did you mean {' or '.join(map(repr, renamed[:3]))}?"
    if key.lower() in ADVICE:
        return f"{start}; {ADVICE[key.lower()]}"
    hint = close_matches(key, known) or (f"; did you mean {under_other[0]!r}?" if under_other else "")
    return f"{start}{hint or '; --help lists the groups, --cfg job every key'}"


def other_names(key: str) -> list[str]:
    """Return the keys that other programs give such a name; of a dotted key, those of its group."""
    group, _, last = key.lower().rpartition(".")
    found = [name for name, others in OTHER_NAMES.items() if last in others.split()]
    return [name for name in found if not group or name.startswith(f"{group}.")]


def unknown_option(group: str, name: str, known: Sequence[str]) -> str:
    """Return the message that a group has no such option, with the one that is like it and the list of all."""
    advice = f"; {ADVISED[group]}" if group in ADVISED else ""
    return f"unknown {group} '{name}'{close_matches(name, known)} (there are: {', '.join(known)}){advice}"


def explain(error: Exception, config_name: str, words: Sequence[str]) -> str | None:
    """Turn what Hydra or OmegaConf raised into one line for the user; None where the error is not theirs to mend."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        # Hydra does not tell them for an option that is one of a list.
        options = error.options or (yaml_files.options(group) if (yaml_files.config_dir() / group).is_dir() else [])
        known = [option for option in options if not option.startswith("_")]
        if group and known:
            return unknown_option(group, name, known)
        return unknown_key(group or name, yaml_files.groups())
    if isinstance(error, ConfigCompositionException):
        return not_composed(str(error), config_name, words)
    if isinstance(error, OverrideParseException):
        return unreadable(error.override)
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"'{error.full_key}' has no value; give {error.full_key}=..."
    if isinstance(error, InterpolationResolutionError):
        match = re.search(r"Missing mandatory value: (\S+)", str(error))
        if match:
            return f"'{match.group(1)}' has no value; give {match.group(1)}=..."
    if isinstance(error, InstantiationException):
        return instantiation_error(error)
    if isinstance(error, ValueError) and "Config group override" in str(error):  # of a sweep over a range
        try:
            check_overrides(words, config_name)
        except ConfigError as refused:
            return str(refused)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return flat(str(error))
    return None


def not_composed(message: str, config_name: str, words: Sequence[str]) -> str:
    """Return what Hydra could not do with a word, in one line.

    Args:
        message: of Hydra.
        config_name: of the command.
        words: of its command line.
    """
    several = re.search(r"Ambiguous value for argument '(.*)'\n", message)
    if several:
        key, _, value = several[1].partition("=")
        quoted = shlex.quote(f'{key}="{value}"')
        return f"'{key}' has several values: -m runs each in turn; a list is {key}=[{value}], one text is {quoted}"
    there = re.search(r"An item is already at '([^']+)'", message)
    if there:
        return f"'{there[1]}' is there already: write {there[1]}=... without the +"
    other_value = re.search(r"The value of '([^']+)' is (.*) and not (.*)\.", message)
    if other_value:
        return (
            f"'{other_value[1]}' is {other_value[2]}, not {other_value[3]}: write ~{other_value[1]} alone to remove it"
        )
    named = re.search(r"Could not (?:override|delete|append)[^']*'([^']+)'", message)
    if named is None:
        return flat(message)
    key = named[1].partition("=")[0]
    if "@" in key:
        return f"unknown option '{key}'; write {key.partition('@')[0]}=..."
    known = known_keys(config_name, words)
    if key in known and "delete" not in named[0]:
        return f"unknown option '{key}' of one of the networks"  # of a list of them, as `benchmark models=[...]` takes
    if key in known:
        return f"'{key}' has no value that could be removed: leave out ~{key}"
    group, _, name = key.rpartition(".")
    ours = [other.removeprefix(f"{group}.") for other in known if group and other.startswith(f"{group}.")]
    # Of another option of the group, or like nothing.
    if ours and not other_names(key) and (key in known_keys(config_name, []) or not close_matches(name, ours)):
        choice = next((word for word in words if word.startswith(f"{group}=")), group)
        own = f"; an argument of your class: +{key}=..." if choice == "model=custom" else ""
        return f"unknown option '{key}': {choice} has {listed(ours)}{own or options_with(group, name)}"
    return unknown_key(key, known)


def listed(options: Sequence[str]) -> str:
    """List the options of a group, without those of its parts and without the name of its class."""
    return ", ".join(name for name in options if "." not in name and name != "_target_") or "no options"


def options_with(group: str, name: str) -> str:
    """Say which options of a group take a key of this name; nothing where none does, or nearly all do."""
    if "." in group or not (yaml_files.config_dir() / group).is_dir():
        return ""
    takers = [option for option in yaml_files.options(group) if name in yaml_files.keys_of(group, option)]
    return f"; '{name}' is taken by {', '.join(f'{group}={taker}' for taker in takers)}" if 0 < len(takers) < 5 else ""


def known_keys(config_name: str, words: Sequence[str]) -> list[str]:
    """List the groups of a command, and the keys of its configuration with the options chosen on its command line."""
    groups = yaml_files.primary(config_name)[0]
    chosen = [word for word in words if word.partition("=")[0] in groups or word.startswith("hydra.searchpath=")]
    # An earlier, failed composition may have left Hydra initialised.
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(yaml_files.config_dir()), version_base="1.3"):
        try:
            cfg = compose(config_name, overrides=[*user_config_dir(), *chosen])
        except Exception:  # what is wrong with another word is not what is asked here
            cfg = compose(config_name)
    return sorted({*groups, *flat_keys(cfg)})


def user_config_dir() -> list[str]:
    """Return the word that tells Hydra of the user's folder of configurations, where the command line names one."""
    given = [sys.argv[at + 1] for at, flag in enumerate(sys.argv[:-1]) if flag in ("--config-dir", "-cd")]
    return [f"hydra.searchpath=['{given[0]}']"] if given else []


def flat(message: str) -> str:
    """Return a message in one line."""
    return " ".join(line.strip() for line in message.splitlines() if line.strip())


def flat_keys(cfg: DictConfig, prefix: str = "") -> list[str]:
    """List every key of a configuration with its dots: `optimizer`, `optimizer.lr`, ..."""
    keys: list[str] = []
    for key in map(str, cfg):
        name = f"{prefix}{key}"
        keys.append(name)
        if not OmegaConf.is_missing(cfg, key) and not OmegaConf.is_interpolation(cfg, key):
            child = cfg._get_node(key)
            if isinstance(child, DictConfig) and not child._is_none():
                keys += flat_keys(child, f"{name}.")
    return keys
