"""What a training process imports before it is used: nothing but what Lightning imports anyway."""

from __future__ import annotations

import json
import subprocess
import sys

LATE = {"albumentations", "matplotlib", "onnx", "scipy", "segmentation_models_pytorch", "timm", "torchvision", "wandb"}
"""Packages that take a while to import, and that some runs need."""

LISTING = """
import json, sys
import lightning
before = set(sys.modules)
import medseg.commands.train, medseg.training.job, medseg.training.loggers.build, medseg.data.module
print(json.dumps([name for name in sys.modules if name not in before]))
"""


def test_a_training_imports_late_what_only_some_runs_need() -> None:
    done = subprocess.run([sys.executable, "-c", LISTING], stdout=subprocess.PIPE, text=True, check=True)
    ours = json.loads(done.stdout)
    assert "medseg.training.job" in ours
    assert not {name.partition(".")[0] for name in ours} & LATE
    assert not [name for name in ours if name.startswith(("torch._dynamo", "torch._inductor", "torchmetrics"))]
