"""One training at a time in a folder.

    with sole_writer(folder):
        ...                     # BusyError where another process is in here

The lock is the training process's own (`tasks/locks.py`): one that a scheduler holds would be free again while the
training that it lost sight of still writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import BusyError
from tasks.locks import give_back, holder_of, take

LOCK = "lock"


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Be the only process in this block for this folder, which is made where it is not there.

    Raises:
        BusyError: another process is in such a block; its process id, its machine and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owner, descriptor = os.getpid(), take(folder / LOCK)
    if descriptor is None:
        raise BusyError(f"{folder} is in use by {holder_of(folder / LOCK)}, and run the step again.")
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked child gave up its copy at birth
            give_back(descriptor)
