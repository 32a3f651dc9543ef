"""How this process asks the kernel for memory: once, and keeps it."""

import ctypes


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
