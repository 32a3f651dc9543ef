"""The most memory that was held while something was done: this process's, or its tensors' on a GPU."""

from contextlib import suppress
from pathlib import Path

import psutil
import torch

from tasks import memory

RESET = Path("/proc/self/clear_refs")  # man 5 proc


def reset_peak(where: torch.device) -> int:
    """Begin to look for the peak; return the bytes held now. Where a CPU's peak cannot be reset, it goes on."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        return torch.cuda.memory_allocated(where)
    with suppress(OSError):  # not Linux, or not allowed
        RESET.write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak_bytes(where: torch.device) -> int:
    """The most that was held since."""
    return torch.cuda.max_memory_allocated(where) if where.type == "cuda" else memory.peak_bytes()
