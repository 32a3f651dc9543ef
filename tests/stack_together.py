"""Two pipelines on two workers at once, and one alone, in the production stack: how much longer the two take.

    python -m tests.stack_together [--turns 3] [--parts 2]      # about five minutes a turn on two cores

Both workers listen to both queues and there are two slots for devices. Each turn runs one pipeline, then two at once,
all of other seeds and records, so that nothing is done already; the ratio is of wall seconds, the stack's own load
included. With parts, the workers share predict of each pipeline, too. Prints the ratio of each turn, and what is not as `dvc repro` makes it.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.stack_ground import Stack, alone, in_parts, points, project

BOTH = {"WORKER_QUEUES": "default,device", "DEVICE_WORKER_QUEUES": "default,device", "DEVICE_SLOTS": "2"}


def sets_of(number: int) -> dict[str, Any]:
    """What makes a pipeline one that was not run before."""
    return {"finetune.seed": 200 + number, "validate.bias.max_rows": 20 + number}


def timed(stack: Stack, numbers: list[int]) -> tuple[float, list[str]]:
    """Seconds until all of these pipelines have ended, and their runs."""
    since = time.monotonic()
    runs = [stack.trigger(sets_of(number)) for number in numbers]
    for run in runs:
        stack.ended(run)
    return time.monotonic() - since, runs


def _project(root: Path, parts: int) -> Path:
    return project(root) if parts == 1 else in_parts(project(root), parts)


def main(arguments: list[str]) -> int:
    """Print a line a turn."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack_together")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--parts", type=int, default=1)
    asked = parser.parse_args(arguments)
    wrong: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="luthier-stack-") as folder,
        Stack.begin(_project(Path(folder) / "small", asked.parts), **BOTH) as stack,
    ):
        timed(stack, [99])  # the first of each kind loads what the others find loaded
        for turn in range(asked.turns):
            one, first = timed(stack, [3 * turn])
            two, others = timed(stack, [3 * turn + 1, 3 * turn + 2])
            for number, run in enumerate([*first, *others], 3 * turn):
                clone = stack.root.with_name(f"alone {number}")
                wrong += stack.wrong(run, alone(stack.root, clone, sets_of(number)), points(clone))
            print(f"turn {turn + 1}: one {one:.0f} s, two at once {two:.0f} s: {two / one:.2f} times", flush=True)
    print("; ".join(wrong) or "every output as by dvc repro on one machine")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
