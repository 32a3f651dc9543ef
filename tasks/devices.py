"""The devices of this machine that models run on: which there are, without asking torch.

One training at a time may use one: `tasks/model/turn.py` locks them, and `luthier up` makes Airflow's pool `device`
with as many slots. A machine without a GPU counts as one device, because two trainings on the same cores take more than
twice as long; LUTHIER_DEVICE_SLOTS says that it bears more.
"""

import os
import re
from pathlib import Path

from tasks.errors import ParamsError

GPU = re.compile(r"nvidia\d+")
SLOTS = "LUTHIER_DEVICE_SLOTS"


def devices(gpus: bool = True) -> list[str]:
    """Their names: what CUDA_VISIBLE_DEVICES may say of each GPU, or cpu0, cpu1 ... where there is none.

    Args:
        gpus: whether they are used at all; a CPU build of torch uses none.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    else:
        count = sum(bool(GPU.fullmatch(path.name)) for path in Path("/dev").glob("nvidia*"))
        found = [str(number) for number in range(count)]
    return found if found and gpus else [f"cpu{number}" for number in range(_slots())]


def _slots() -> int:
    told = os.environ.get(SLOTS, "1")
    if not told.isdigit() or int(told) < 1:
        raise ParamsError(f"{SLOTS} is '{told}': a number of trainings at once is expected, such as 1.")
    return int(told)
