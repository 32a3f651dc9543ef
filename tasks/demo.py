"""`luthier demo`: the default, from raw data to a reviewed model, run by Airflow and followed here.

It starts what it needs of Airflow and ends that again; what `luthier up` had started stays. The steps run as
tasks of the DAG `finetune_pipeline`, then of `promote_model`, which the registered candidate starts.
"""

import json
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks import services
from tasks.orchestrator import USER, Airflow, ServiceError, password
from tasks.progress import PROGRESS
from tasks.report.summary import print_summary
from tasks.runs.asked import slug_of
from tasks.runs.home import found, take
from tasks.runs.place import place_of
from tasks.screen import Screen, duration

NEEDED = ("api-server", "scheduler", "dag-processor")
POLL_S = 2
WAITS = "awaiting_input"  # Airflow's state of a task that a person has to answer
Task = dict[str, Any]


def demo(root: Path) -> int:
    """Run the whole pipeline under Airflow; return the exit status (0, 1 a task failed, 130 interrupted)."""
    root = root.resolve()
    screen = Screen()
    for signum in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: nothing is left running
        signal.signal(signum, signal.default_int_handler)
    started: list[str] = []
    try:
        started = services.up(root, NEEDED, screen.line)
        url = services.status(root)["api-server"].url
        with Airflow(url, password(root)) as airflow:
            screen.line(f"Airflow runs at {url} (user {USER}, password in .airflow/passwords.json)")
            return _run(airflow, root, screen)
    except KeyboardInterrupt:
        screen.line("Stopped. Finished steps are kept: 'make demo' goes on from here.")
        return 130
    finally:
        screen.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave services behind
        if started:
            services.down(root, started)


def _run(airflow: Airflow, root: Path, screen: Screen) -> int:
    """Trigger the pipeline, follow it and what it starts, and print the summary."""
    since = time.time()
    dags = ("finetune_pipeline", "promote_model")
    for dag_id in dags:
        _await_dag(airflow, dag_id)
        airflow.unpause(dag_id)
    runs = [(dags[0], airflow.trigger(dags[0]))]
    for dag_id, run_id in runs:
        state = follow(airflow, root, dag_id, run_id, screen)
        if state == WAITS:
            screen.line("promote_model waits for a person's yes: 'make up', then Required Actions in Airflow.")
        elif state != "success":
            return 1
        if dag_id == dags[0]:
            _bring_home(root, dag_id, run_id, screen)
            runs += _next(airflow, dag_id, run_id, dags[1])
    screen.close()
    if len(runs) == 1:
        screen.line("promote_model was not started within a minute: trigger it in Airflow ('make up').")
        return 1
    print_summary(root, since)
    return 0


def _bring_home(root: Path, dag_id: str, run_id: str, screen: Screen) -> None:
    """The run worked in a workspace of its own; its results belong here too, where the person is."""
    run = found(root, slug_of(f"{dag_id}/{run_id}"))
    take(root, run)
    screen.line(f"the results are here: dvc.lock and reports/ are those of the branch runs/{run.slug}")


def _next(airflow: Airflow, dag_id: str, run_id: str, then: str) -> list[tuple[str, str]]:
    """The runs that follow: started by a new candidate, or by us where there is nothing new."""
    last = max(airflow.tasks(dag_id, run_id), key=lambda task: task["end_date"] or "")
    if last["state"] == "skipped":
        return [(then, airflow.trigger(then))]
    return _started_by(airflow, dag_id, run_id)


def _await_dag(airflow: Airflow, dag_id: str) -> None:
    """Wait until Airflow has read the DAG's file."""
    deadline = time.monotonic() + 90
    while not airflow.known(dag_id):
        if errors := airflow.import_errors():
            raise ServiceError("Airflow cannot read a DAG file: " + "; ".join(errors))
        if time.monotonic() > deadline:
            raise ServiceError(f"Airflow found no DAG '{dag_id}': see .luthier/logs/dag-processor.log.")
        time.sleep(0.5)


def _started_by(airflow: Airflow, dag_id: str, run_id: str) -> list[tuple[str, str]]:
    """The runs that this run's candidate started; the scheduler takes a few seconds to start them."""
    deadline = time.monotonic() + 60
    while not (runs := airflow.triggered_by(dag_id, run_id)) and time.monotonic() < deadline:
        time.sleep(1)
    return runs


def follow(airflow: Airflow, root: Path, dag_id: str, run_id: str, screen: Screen) -> str:
    """Show a run until it ends or waits for a person; return its state. On Ctrl-C it is marked failed."""
    seen: dict[str, str] = {}
    try:
        while True:
            state = airflow.state(dag_id, run_id)
            tasks = airflow.tasks(dag_id, run_id)
            for task in sorted(tasks, key=lambda task: task["start_date"] or "9"):
                name, now = task["task_id"], task["state"]
                if now in ("running", "success", "failed", "skipped") and seen.get(name) != now:
                    seen[name] = now
                    screen.task(name, now, _outcome(airflow, dag_id, run_id, task))
            if state in ("success", "failed"):
                return state
            if any(task["state"] == WAITS for task in tasks):
                return WAITS
            at = place_of(root, slug_of(f"{dag_id}/{run_id}"))
            screen.progress(_progress(at, tasks) if seen else f"{dag_id}: {state}")
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        screen.line(f"Stopping {dag_id} ...")
        airflow.stop(dag_id, run_id)
        raise


def _outcome(airflow: Airflow, dag_id: str, run_id: str, task: Task) -> str:
    """What there is to say about a task's new state."""
    if task["state"] == "running":
        return ""
    log = airflow.log(dag_id, run_id, task)
    output = log[log.index("Output:") + 1 :] if "Output:" in log else log
    exited = [number for number, line in enumerate(output) if line.startswith("Command exited with")]
    output = output[: exited[-1]] if exited else output
    if task["state"] == "failed":
        where = f".airflow/logs/dag_id={dag_id}/run_id={run_id}/task_id={task['task_id']}/"
        sentences = [line for line in output if line.startswith("luthier: ")][-1:]
        return "\n".join([*sentences, f"The end of its log (all of it: {where}):", *output[-20:]])
    took = duration(task["duration"] or 0)
    if any("didn't change, skipping" in line for line in output):
        return "unchanged"
    if any("is cached - skipping run" in line for line in output):
        return f"taken from the cache in {took}"
    if task["state"] == "skipped":  # "reject: models:/luthier/1" or "nothing new: ...", where a log says so
        said = [line for line in output if not line.startswith("workspace ")]
        return said[0].partition(". ")[0] if said and "Output:" in log else ""
    return took


def _progress(at: Path, tasks: list[Task]) -> str:
    """The running task with what it says of itself in its workspace; empty between two tasks."""
    running = next((task for task in tasks if task["state"] == "running"), None)
    if running is None:
        return ""
    since = datetime.fromisoformat(running["start_date"]).timestamp()
    text = f"{running['task_id']}  running for {duration(time.time() - since)}"
    file = at / PROGRESS
    try:
        written, report = file.stat().st_mtime, json.loads(file.read_text())
    except (FileNotFoundError, ValueError):  # none, or just being rewritten
        return text
    if written < since or report["step"] != running["task_id"]:
        return text
    left = f", {duration(report['seconds_left'])} left" if report["seconds_left"] is not None else ""
    return f"{text}: {report['done']:.0f} of {report['total']} {report['unit']}{left}"
