"""The most memory that was held while something was done: this process's, or its tensors' on a GPU."""

from contextlib import suppress
from pathlib import Path

import psutil
import torch

STATUS, PEAK, RESET = Path("/proc/self/status"), "VmHWM:", Path("/proc/self/clear_refs")  # man 5 proc


def reset_peak(where: torch.device) -> int:
    """Begin to look for the peak; return the bytes held now. Where a CPU's peak cannot be reset, it goes on."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        return torch.cuda.memory_allocated(where)
    with suppress(OSError):  # not Linux, or not allowed
        RESET.write_text("5")
    return int(psutil.Process().memory_info().rss)


def peak_bytes(where: torch.device) -> int:
    """The most that was held since. Not `ru_maxrss`: a process inherits that of the one that started it."""
    if where.type == "cuda":
        return torch.cuda.max_memory_allocated(where)
    (size,) = (row.split()[1] for row in STATUS.read_text().splitlines() if row.startswith(PEAK))
    return int(size) * 1024
