"""kill -9 of what carries a run, during every stage of it: the run ends well all the same, and nothing is left.

    python -m tests.operated kills [runner task supervisor dvc scheduler mlflow] [--stages fetch,finetune]

Who carries a stage, from the outside in: Airflow's scheduler, the supervisor that it forks for a task, the task's own
process, the runner (`python -m tasks.workspace`), DVC, the step. Each is killed while the step's process is at work.
"""

import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import yaml

from tasks import services
from tasks.runs.changed import changed
from tests import small
from tests.operated_ground import DAG, LONG_S, STAGES, Came, Operated, came_of, processes_of

VARIANTS = ("runner", "task", "supervisor", "dvc", "scheduler", "mlflow")
LONGER = {"optimizer": {"epochs": 12}, "care": {"look_every": 8, "save_every": 1}}  # 48 steps
AT_WORK_S = {"fetch": 0.5, "validate": 1.5, "expand": 0.5, "predict": 3.0, "evaluate": 1.5, "register": 3.0}
AWAY_S = 5.0  # from the kill of MLflow to its next start


@dataclass(frozen=True)
class Kill:
    """One, delivered."""

    variant: str
    stage: str
    step_pid: int
    """Of the step's own process, which was alive when the target was killed."""
    target_pid: int
    target: str
    """How the killed process called itself."""
    gone_s: float
    """From the kill until nothing of what worked for the run then was alive; -1: MLflow, on which nothing depends."""
    at: float
    """Seconds since the epoch: of the restart, or of the kill where nothing has to be started again."""


def finetune(**changes: Any) -> dict[str, Any]:
    """Section finetune of a toy, with some keys of its parts changed."""
    section = small.params()["finetune"]
    return {key: {**section[key], **value} if isinstance(value, dict) else value for key, value in changes.items()}


def reference(folder: Path, seeds: Sequence[int], section: dict[str, Any]) -> dict[int, Came]:
    """What the same project comes to undisturbed, by seed: by `dvc repro` alone."""
    root = small.write(folder, finetune=section)
    found = {}
    for seed in seeds:
        params = root / "params.yaml"
        params.write_text(changed(params.read_text(), {"finetune.seed": seed}))
        small.call(root, "dvc", "repro", "--quiet", "finetune", LUTHIER_DEVICE_SLOTS="16")
        found[seed] = came_of(root, yaml.safe_load((root / "dvc.lock").read_text()))
    assert len({came.weights for came in found.values()}) == len(found)
    return found


def at_work(operated: Operated, run: str, stage: str) -> psutil.Process:
    """The step's own process, once it has begun to work."""
    mark, until = operated.mark(run), time.monotonic() + LONG_S
    while time.monotonic() < until:
        if found := processes_of(mark, stage):
            seen = time.monotonic()
            while found[0].is_running() and found[0].status() != psutil.STATUS_ZOMBIE:
                begun = time.monotonic() - seen > AT_WORK_S.get(stage, 0.0)
                if stage == "finetune":
                    begun = bool(list(Path(mark).glob(".luthier/training/*/step-*")))
                if begun:
                    return found[0]
                time.sleep(0.05)
        state = operated.airflow.state(DAG, run)
        assert state in {"queued", "running"}, f"{run} is {state}: {stage} was not seen at work"
        time.sleep(0.1)
    raise AssertionError(f"{stage} was not seen at work in {LONG_S} s")


def target_of(operated: Operated, variant: str, step: psutil.Process) -> psutil.Process:
    """The process to kill: found from the step upwards."""
    if variant == "scheduler":
        return psutil.Process(services.status(operated.root)["scheduler"].pid)
    above = step.parents()
    runner = next(number for number, one in enumerate(above) if "tasks.workspace" in one.cmdline())
    if variant == "dvc":
        return next(one for one in above[:runner] if "dvc" in one.cmdline())
    task, supervisor = above[runner + 1], above[runner + 2]
    assert "airflow" in task.cmdline()[0] and "LocalExecutor" in supervisor.cmdline()[0]
    return {"runner": above[runner], "task": task, "supervisor": supervisor}[variant]


def deliver(operated: Operated, run: str, variant: str, stage: str) -> Kill:
    """Kill while the stage is at work, start again what a person would, wait until the killed attempt is gone."""
    step = at_work(operated, run, stage)
    if variant == "mlflow":
        return _server_away(operated, step, stage)
    target = target_of(operated, variant, step)
    name, before = " ".join(target.cmdline())[:60].strip(), processes_of(operated.mark(run))
    assert step.is_running() and step.status() != psutil.STATUS_ZOMBIE, f"{stage} ended before the kill"
    os.kill(target.pid, signal.SIGKILL)
    at = killed = time.time()
    if variant == "scheduler":
        target_gone(target)
        operated.up()
        at = time.time()
    while any(_lives(process) for process in before):
        assert time.time() - killed < LONG_S / 4, f"{variant}, {stage}: left at work"
        time.sleep(0.1)
    return Kill(variant, stage, step.pid, target.pid, name, time.time() - killed, at)


def _server_away(operated: Operated, step: psutil.Process, stage: str) -> Kill:
    assert operated.mlflow
    assert operated.mlflow.answers() and step.is_running() and step.status() != psutil.STATUS_ZOMBIE
    killed = operated.mlflow.process.pid
    held = stage not in {"finetune", "register"}  # those that use MLflow feel it; no other may end unseen meanwhile
    if held:
        step.suspend()
    try:
        operated.mlflow.kill()
        assert not operated.mlflow.answers()
        time.sleep(AWAY_S)
        operated.mlflow.start()
        operated.mlflow.wait()
    finally:
        if held:
            step.resume()
    return Kill("mlflow", stage, step.pid, killed, "mlflow server", -1.0, time.time())


def target_gone(target: psutil.Process) -> None:
    """Wait until a killed process is no more than a zombie."""
    while _lives(target):
        time.sleep(0.05)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def one_run(operated: Operated, plan: Mapping[str, str], seed: int, expected: Came, versions: int) -> list[str]:
    """A whole run with kills; prints each.

    Args:
        operated: the project.
        plan: what is killed, by the stage during which it is.
        seed: of the training.
        expected: what the run has to come to.
        versions: how many the registry has to have afterwards.

    Returns:
        What is wrong at the end.
    """
    shutil.rmtree(operated.root / ".dvc/cache", ignore_errors=True)  # so that every stage has to work
    run, done = operated.trigger({"finetune.seed": seed}), list[Kill]()
    for stage, variant in plan.items():
        done.append(kill := deliver(operated, run, variant, stage))
        print(f"  {variant:10} {stage:8} while {kill.step_pid} worked: {kill.target_pid} '{kill.target}'"
              + (f", all gone after {kill.gone_s:.1f} s" if kill.gone_s >= 0 else ""), flush=True)  # fmt: skip
    state = operated.ended(run)
    ends, worst = {task["task_id"]: task for task in operated.airflow.tasks(DAG, run)}, 0.0
    for kill in done:
        end = ends[kill.stage]
        worst = max(worst, took := datetime.fromisoformat(end["end_date"]).timestamp() - kill.at)
        print(f"  {kill.variant:10} {kill.stage:8} {end['state']} in try {end['try_number']}, {took:.1f} s after the "
              f"{'restart' if kill.variant in {'scheduler', 'mlflow'} else 'kill'}", flush=True)  # fmt: skip
    wrong = operated.wrong(run, expected, versions) if state == "success" else [f"the run is {state}"]
    shown = operated.locked(run)
    print(f"{len(done)} kills ({', '.join(dict.fromkeys(plan.values()))}); {state}; worst {worst:.1f} s; "
          f"{'; '.join(wrong) or 'nothing wrong'}; {operated.watch.looks} looks for two writers; "
          f"{len(shown)} lines about locks{': ' + shown[0] if shown else ''}", flush=True)  # fmt: skip
    return wrong


def kills(folder: Path, variants: Sequence[str], stages: Sequence[str] = STAGES) -> bool:
    """All variants, one after another, in one project."""
    section = finetune(**LONGER)
    wanted = [variant for variant in VARIANTS if variant in variants]
    seeds = {variant: 11 + VARIANTS.index(variant) for variant in wanted}
    good = True
    expected = reference(folder / "reference", list(seeds.values()), section) if wanted else {}
    with Operated.begin(folder / "operated", own_mlflow=True, finetune=section) as operated:
        for number, variant in enumerate(wanted, 1):
            plan = {stage: variant for stage in stages if (variant, stage) != ("dvc", "register")}  # no stage of DVC
            good &= not one_run(operated, plan, seeds[variant], expected[seeds[variant]], number)
    return good
