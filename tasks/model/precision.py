"""In which precision to train: the faster one, by measuring this machine. bf16 by name is no promise of speed.

On a CPU without AMX or avx512_bf16 it is 3 to 6 times slower than fp32. bf16 means autocast over fp32 weights.
"""

import time
from typing import Literal

import torch

Precision = Literal["fp32", "bf16"]
SIZE = 1024  # of the matrices; a GPU's are larger, or starting the kernel is all that is timed
WORTH = 1.5  # times faster bf16 has to be, for what it loses in accuracy


def matmul_rate(device: torch.device, dtype: torch.dtype, size: int = 0, for_s: float = 0.1) -> float:
    """Floating-point operations a second of a square matrix product here, in units of 1e9 (GFLOP/s)."""
    size = size or (SIZE if device.type == "cpu" else 8 * SIZE)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    for _ in range(3):
        left @ right
    _wait(device)
    started, rounds = time.perf_counter(), 0
    while time.perf_counter() - started < for_s:
        for _ in range(4):
            left @ right
        _wait(device)
        rounds += 4
    return 2 * size**3 * rounds / (time.perf_counter() - started) / 1e9


def choose(wanted: Literal["auto", "fp32", "bf16"], device: torch.device) -> tuple[Precision, str]:
    """The precision to train in, and why, in a few words."""
    if wanted != "auto":
        return wanted, "asked for"
    rates = {"fp32": matmul_rate(device, torch.float32), "bf16": matmul_rate(device, torch.bfloat16)}
    best: Precision = "bf16" if rates["bf16"] > WORTH * rates["fp32"] else "fp32"
    return best, f"measured here: fp32 {rates['fp32']:,.0f}, bf16 {rates['bf16']:,.0f} GFLOP/s"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
