"""This process's memory: how it asks the kernel for it, once, and keeps it; and the most that it held."""

import ctypes
import resource
from pathlib import Path

STATUS, PEAK = Path("/proc/self/status"), "VmHWM:"  # man 5 proc


def keep_memory() -> None:
    """Let glibc keep freed memory instead of handing it back to the kernel and asking again.

    A training step, or a block of records, frees and asks for megabytes to gigabytes; the page faults took up to three
    quarters of a CPU training step and half of expand's time where they were measured.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 64 << 20)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
        mallopt(option, value)


def peak_bytes() -> int:
    """The most that this process had resident. Not `ru_maxrss`: a process inherits that of the one that started it."""
    if not STATUS.is_file():  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (size,) = (row.split()[1] for row in STATUS.read_text().splitlines() if row.startswith(PEAK))
    return int(size) * 1024
