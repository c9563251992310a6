"""Checkpoints from a stranger: what `medseg.load` makes of random changes of their settings.

    python -m tests.fuzzing.checkpoints CASES [SEED]

prints what came of so many cases, as `tests.fuzzing.run_folders` does.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import medseg
from tests.fuzzing.mutations import mutated
from tests.fuzzing.run_folders import judge, wait_for
from tests.trained.predicting.checkpoints import write_checkpoint


def load(file: Path, said: Path) -> int | None:
    """Load a checkpoint in a process of its own, which ends as a command would; return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 0
        with said.open("w", encoding="utf-8", errors="replace") as stream:
            try:
                medseg.load(file, device="cpu")
            except medseg.errors.UserError as error:
                stream.write(f"error: {error}")
                code = error.exit_code
            except BaseException:
                traceback.print_exc(file=stream)
                code = 1
        os._exit(code)
    return wait_for(pid)


def fuzz(folder: Path, cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try so many cases; return how many ended how, and a line for each that did not end well."""
    source = random.Random(seed)
    counts: Counter[str] = Counter(dict.fromkeys(("tried", "one line", "traceback", "accepted", "executed"), 0))
    bad: list[str] = []
    medseg.load(write_checkpoint(folder / "good.ckpt"), device="cpu")  # imports what is needed, once for all
    good: dict[str, Any] = torch.load(folder / "good.ckpt", weights_only=True)
    good.pop("medseg_sha256", None)
    good["medseg"]["config"]["data"]["dataset"] = {"_target_": "medseg.data.datasets.Synthetic", "count": 10}
    file, said, mark = folder / "changed.ckpt", folder / "said", folder / "mark"
    for number in range(cases):
        changed = mutated(good, source, str(mark))
        torch.save(changed, file)
        word = judge(load(file, said), said.read_text(errors="replace"), mark)
        mark.unlink(missing_ok=True)
        counts["tried"] += 1
        counts[word] += 1
        if word not in ("one line", "accepted"):
            bad.append(f"{number}: {word}: {changed['medseg']}: {said.read_text(errors='replace')[-400:]!r}")
    return counts, bad


if __name__ == "__main__":
    cases, *rest = map(int, sys.argv[1:])
    with tempfile.TemporaryDirectory() as place:
        counts, bad = fuzz(Path(place), cases, *(rest or [0]))
    print(*bad, sep="\n", file=sys.stderr)
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
