"""Every service of the production stack killed in every stage of a run, and what came of it.

    python -m tests.stack_kills [SERVICE ...] [--stages fetch,finetune]      # all ten: some minutes each

A run a service, which is killed once in each stage, with all of its processes, and started again at once. Prints what
was wrong; exits with 1 if anything was.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.stack_ground import STAGES, Stack, alone, points, project

SERVICES = (
    "postgres", "redis", "objects", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer", "worker",
    "device-worker",
)  # fmt: skip


def killed(stack: Stack, service: str, stages: list[str], number: int) -> list[str]:
    """What is wrong with a run whose service was killed in each of these stages."""
    sets = {"finetune.seed": 100 + number, "validate.bias.max_rows": 11 + number}  # nothing of it is done already
    clone = stack.root.with_name(f"alone {service}")
    expected = alone(stack.root, clone, sets)
    run = stack.trigger(sets)
    for stage in stages:
        stack.reaches(run, stage)
        time.sleep(1)  # into its work
        before, state = len(stack.kept), stack.tasks(run).get(stage, {}).get("state")
        stack.kill(service)
        print(f"  {service} killed in {stage}, which was {state}", flush=True)
        deadline = time.monotonic() + 60
        while len(stack.kept) == before and time.monotonic() < deadline:
            time.sleep(0.2)
    return stack.wrong(run, expected, points(clone))


def main(arguments: list[str]) -> int:
    """Kill what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack_kills")
    parser.add_argument("services", nargs="*", default=list(SERVICES))
    parser.add_argument("--stages", default=",".join(STAGES))
    asked = parser.parse_args(arguments)
    failed = 0
    with (
        tempfile.TemporaryDirectory(prefix="luthier-stack-") as folder,
        Stack.begin(project(Path(folder) / "small")) as stack,
    ):
        for number, service in enumerate(asked.services):
            since = time.monotonic()
            wrong = killed(stack, service, asked.stages.split(","), number)
            failed += bool(wrong)
            told = "; ".join(wrong) or "same outputs, every metric once, one version"
            print(f"{service:<14} {time.monotonic() - since:5.0f} s  {told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
