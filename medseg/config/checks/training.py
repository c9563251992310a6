"""Settings of a training: network, loss, optimizer, schedule, trainer, callbacks, loggers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from medseg.config.checks.kinds import (
    BELOW_ONE,
    MAX_SIDE,
    PART,
    SWITCH,
    TEXT,
    Settings,
    Words,
    matches,
    number,
    rule,
    several,
    whole,
)

ARGUMENT: Any = whole(1, MAX_SIDE)
"""Channels, blocks and whatever else a network has some of."""
ODD: Any = Annotated[ARGUMENT, rule(lambda value: value % 2 == 1), Words(f"an odd whole number from 1 to {MAX_SIDE}")]

ARGUMENTS: Any = several(ARGUMENT, f"a list, not empty, of whole numbers from 1 to {MAX_SIDE}")
ODDS: Any = several(ODD, f"a list of odd whole numbers from 1 to {MAX_SIDE}", least=0)

PRETRAINED: Any = Annotated[
    TEXT | Literal[False] | None,
    Words("a file, package:<name>, hf:<owner>/<repository>, a name such as imagenet, or null"),
]

NETWORK: Settings = {
    "in_channels": ARGUMENT | None,
    "num_classes": whole(1, 255) | None,
    "encoder": TEXT | None,
    "skip": TEXT | None,
    "decoder": TEXT | None,
    "deep_supervision": SWITCH,
    "base_channels": ARGUMENT,
    "hidden_channels": ARGUMENT,
    "head_channels": ARGUMENT,
    "stem_channels": ARGUMENT,
    "encoder_widths": ARGUMENTS,
    "decoder_widths": ARGUMENTS,
    "channels": ARGUMENTS,
    "dims": ARGUMENTS,
    "depth": whole(1, 12),
    "depths": ARGUMENTS,
    "dilations": ARGUMENTS,
    "mlp_ratios": ARGUMENTS,
    "kernels": ODDS,
    "kernel_sizes": ARGUMENTS,
    "kernel_size": ODD,
    "local_kernel": ODD,
    "strip_kernels": ODDS,
    "shift_size": ODD,
    "gate_kernel": ODD,
    "expansion": whole(1, 64),
    "shortcuts": whole(1, 2),
    "closing_gelu": SWITCH,
    "undilated": SWITCH,
    "rank": ARGUMENT,
    "train_steps": whole(0, 1000),
    "eval_steps": whole(0, 1000),
    "windows_per_pass": whole(1, 1_000_000),
    "tile": ARGUMENT | None,
    "dropout": BELOW_ONE,
    "drop_path": BELOW_ONE,
    **dict.fromkeys(("norm", "norm_placement", "closing", "downsampling", "upsampling", "activation", "mode"), TEXT),
    "arch": TEXT,
    "encoder_name": TEXT,
    "encoder_weights": PRETRAINED,
    "freeze_encoder": SWITCH | whole(0, 1_000_000),
}

WEIGHT: Any = number(0, 1_000_000)
"""Of a part of a loss."""

LOSS: Settings = {
    **dict.fromkeys(("ce_weight", "dice_weight", "bce_weight", "alpha", "beta", "smooth"), WEIGHT),
    "gamma": number(0, 100),
    "class_weights": Annotated[
        Annotated[several(WEIGHT, "", 2, 255), rule(lambda weights: sum(weights) > 0)] | Literal["balanced"] | None,
        Words("null, balanced, or a list of numbers from 0, one per class, background first, not all of them 0"),
    ],
    "include_background": SWITCH,
}

FACTOR: Any = Annotated[float, Gt(0), Le(1000)]
"""Of a learning rate."""
BETAS: Any = several(BELOW_ONE, "two numbers from 0 up to, but not, 1", 2, 2)

OPTIMIZER: Settings = {
    "lr": number(0, 1000),
    "weight_decay": number(0, 1000),
    "encoder_lr_factor": FACTOR,
    "lr_factors": Annotated[
        dict[str, FACTOR],
        Words("a mapping of modules of the network to numbers above 0, such as {encoder: 0.1, head: 10}"),
    ]
    | None,
    "momentum": BELOW_ONE,
    "dampening": PART,
    "betas": BETAS,
    "alpha": BELOW_ONE,
    "eps": Annotated[float, Gt(0), Le(1)],
    **dict.fromkeys(("nesterov", "amsgrad", "maximize", "centered"), SWITCH),
    **dict.fromkeys(("fused", "foreach", "capturable", "differentiable"), SWITCH | None),
}

SCORE: Any = Literal["val/dice", "val/iou"]
MONITOR: Any = Literal["val/dice", "val/iou", "val/loss", "train/loss"]

SCHEDULE: Settings = {
    "warmup_epochs": number(0, 1_000_000),
    "warmup_factor": Annotated[float, Gt(0), Le(1)],
    "min_factor": PART,
    "power": number(0, 100),
    "patience": whole(0, 1_000_000),
    "factor": Annotated[float, Gt(0), Lt(1)],
    "monitor": SCORE,
}

PRECISIONS = ("auto", "32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")
PRECISION: Any = Annotated[
    str | int, rule(lambda value: str(value) in PRECISIONS), Words(f"one of {', '.join(PRECISIONS)}")
]
"""Lightning's that keep weights in float32, which is what images and losses are in, and `auto`."""
DEVICES: Any = Annotated[
    int | TEXT | several(whole(0, 1023), ""),
    matches(r"auto|-1|\d{1,4}(,\d{1,4})*,?"),
    rule(lambda value: not isinstance(value, int) or value == -1 or 1 <= value <= 1024),
    Words("a whole number from 1 to 1024, or -1 for all GPUs"),
]
BATCHES: Any = Annotated[
    Annotated[int, Ge(1)] | Annotated[float, Gt(0), Le(1)],
    Words("a whole number of batches from 1, or a part of them, a number above 0, at most 1.0"),
]
EPOCHS: Any = whole(1, 1_000_000)


def left_out(why: str, *idle: Any) -> Any:
    """Make the kind of an argument of Lightning's that a run cannot have; `idle`: values that are as good as none."""
    return Annotated[
        Any,
        rule(lambda value: (type(value), value) in [(type(each), each) for each in idle]),
        Words(f"left out; {why}"),
    ]


TRAINER: Settings = {
    "accelerator": Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"],
    "devices": DEVICES,
    "num_nodes": left_out("a run is on one machine; the jobs of a sweep can be on several", 1),
    "strategy": Annotated[
        TEXT, matches(r"(auto|ddp|fsdp|deepspeed|single_)\w*"), Words("a strategy of Lightning's, such as ddp")
    ],
    "precision": PRECISION,
    "max_epochs": EPOCHS,
    "min_epochs": EPOCHS | None,
    "accumulate_grad_batches": whole(1, 1_000_000),
    "gradient_clip_val": number(0, 1_000_000) | None,
    "gradient_clip_algorithm": Literal["norm", "value"] | None,
    "check_val_every_n_epoch": EPOCHS,
    "limit_train_batches": BATCHES | None,
    "limit_val_batches": BATCHES | None,
    "log_every_n_steps": whole(0, 1_000_000) | None,
    "deterministic": SWITCH | Literal["warn"] | None,
    **dict.fromkeys(("benchmark", "enable_progress_bar", "enable_model_summary"), SWITCH | None),
    **dict.fromkeys(("inference_mode", "detect_anomaly", "sync_batchnorm"), SWITCH),
    **{
        name: left_out("trainer.max_epochs counts epochs", *idle)
        for name, idle in (("max_steps", [-1]), ("max_time", [None]))
    },
    "min_steps": left_out("trainer.min_epochs counts epochs", None),
    "fast_dev_run": left_out("budget=smoke is a short training", False),
    "overfit_batches": left_out("+trainer.limit_train_batches=2 trains on few images", 0),
    "val_check_interval": left_out("scores are those of the end of an epoch", None, 1.0),
    "limit_test_batches": left_out("every test image is scored", None, 1.0),
    "enable_checkpointing": left_out("a run is resumed and tested from its checkpoints", None, True),
    "barebones": left_out("a run without checkpoints and scores leaves nothing", False),
    "num_sanity_val_steps": left_out("there is no validation before the first epoch", 0),
    "default_root_dir": left_out("runs_dir and experiment determine the folder of a run", None),
    "logger": left_out("choose with logger=csv", None),
    "callbacks": left_out("choose with callbacks=... or +callbacks.<name>._target_=...", None),
    **dict.fromkeys(("plugins", "use_distributed_sampler"), left_out("medseg sees to it", None)),
}

WANDB: Settings = {
    "mode": Annotated[
        Literal["offline", "online", "disabled", "dryrun", "run"],
        Words("offline, online or disabled (WANDB_MODE is the default)"),
    ],
    "project": TEXT,
    "entity": TEXT | None,
    "tags": several(TEXT, "a list of texts", 0),
    "checkpoint": SWITCH,
}

MLFLOW: Settings = {
    "tracking_uri": TEXT | None,
    "tags": Annotated[
        dict[str, str | int | float | bool], Words("a mapping of names to texts or numbers, such as {site: north}")
    ],
    "checkpoint": SWITCH,
}

OF_TRAINING: dict[str, Settings] = {
    "medseg.models.ComposedUShape": NETWORK | dict.fromkeys(("encoder", "skip", "decoder"), TEXT),
    "medseg.models.UNet2015": NETWORK | {"skip": TEXT},
    "medseg.models.": NETWORK,
    "medseg.training.losses.": LOSS,
    "torch.optim.": OPTIMIZER,
    "medseg.training.schedules.": SCHEDULE,
    "lightning.Trainer": TRAINER,
    "lightning.pytorch.callbacks.EarlyStopping": {
        "monitor": MONITOR,
        "mode": Literal["min", "max"],
        "patience": whole(0, 1_000_000),
        "min_delta": number(0, 1_000_000),
        **dict.fromkeys(("stopping_threshold", "divergence_threshold"), float | None),
        **dict.fromkeys(("verbose", "strict", "check_finite", "log_rank_zero_only"), SWITCH),
        "check_on_train_epoch_end": SWITCH | None,
    },
    "lightning.pytorch.callbacks.EMAWeightAveraging": {
        "decay": BELOW_ONE,
        "use_buffers": SWITCH,
        "update_every_n_steps": whole(1, 1_000_000),
        "update_starting_at_step": whole(0) | None,
        "update_starting_at_epoch": whole(0) | None,
    },
    "medseg.training.loggers.build.wandb_logger": WANDB,
    "medseg.training.loggers.build.mlflow_logger": MLFLOW,
}
"""Settings by class, or by module where the name ends in a dot; the first that fits is taken."""
