"""The precision that `auto` stands for: bf16 where the device multiplies it fast enough, else float32."""

from __future__ import annotations

import torch

from medseg.system.bf16 import bf16_speedup

LEAST_SPEEDUP = 1.3
"""Of a product of matrices, from which bf16 is chosen on a CPU: below it, what is not a product eats the gain up."""


def pick_precision(wanted: str, accelerator: str) -> tuple[str, str]:
    """Return Lightning's precision and why, for `auto`; else what is wanted.

    bf16-mixed keeps weights in float32 and needs no loss scaling; it pays where the hardware multiplies bf16.
    """
    if str(wanted) != "auto":
        return str(wanted), "as configured"
    if accelerator in ("gpu", "cuda"):
        if torch.cuda.get_device_capability() >= (8, 0):
            return "bf16-mixed", "this GPU multiplies bf16 natively"
        return "32-true", "this GPU has no native bf16"
    if accelerator != "cpu":
        return "32-true", f"no native bf16 on this {accelerator}"
    speedup = bf16_speedup()
    measured = f"a matrix product is {speedup:.3g} times as fast in bf16 on this CPU"
    if speedup >= LEAST_SPEEDUP:
        return "bf16-mixed", measured
    return "32-true", f"{measured}; bf16 pays from {LEAST_SPEEDUP:g} times"
