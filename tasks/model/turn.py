"""A turn on the machine's devices: whoever trains or answers waits here until one is free.

    with turn(1):
        ...        # with CUDA_VISIBLE_DEVICES set to what it got

Airflow's pool `device` lets its own tasks wait; this lock is what a person's own `dvc repro`, another checkout and
another Airflow respect as well. It is held by the process that works (flock), so that no kill leaves it behind.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from tasks.data.sources import cache
from tasks.devices import devices
from tasks.locks import give_back, holder_of, take

LOOK_S = 0.2
SAY_S = 30.0  # between two lines that say what is waited for


@contextmanager
def turn(count: int = 1) -> Iterator[list[str]]:
    """Wait for so many devices, or for all where there are fewer, and have them to oneself; their names.

    CUDA, which this process must not have used yet, sees these alone from then on.
    """
    folder = cache() / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    here = devices(gpus=torch.version.cuda is not None)
    held = _wait(folder, here, min(count, len(here)))
    owner = os.getpid()
    try:
        if not here[0].startswith("cpu"):
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
        yield list(held)
    finally:
        if os.getpid() == owner:
            for descriptor in held.values():
                give_back(descriptor)


def _wait(folder: Path, here: list[str], count: int) -> dict[str, int]:
    """The descriptors of `count` locks, by device; says now and then who has them."""
    said = float("-inf")
    while len(held := _take(folder, here, count)) < count:
        if time.monotonic() - said > SAY_S:
            said = time.monotonic()
            print(f"waiting for a device: {here[0]} is in use by {holder_of(folder / f'{here[0]}.lock')}", flush=True)
        time.sleep(LOOK_S)
    return held


def _take(folder: Path, here: list[str], count: int) -> dict[str, int]:
    """All of `count` locks or none, so that two who want two each never wait for one another."""
    while (gate := take(folder / "gate.lock")) is None:  # held for microseconds
        time.sleep(0.01)
    held: dict[str, int] = {}
    try:
        for name in here:
            if len(held) < count and (descriptor := take(folder / f"{name}.lock")) is not None:
                held[name] = descriptor
        if len(held) < count:
            for descriptor in held.values():
                give_back(descriptor)
            held = {}
    finally:
        give_back(gate)
    return held
