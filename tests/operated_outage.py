"""An MLflow server that is away for a minute in the middle of a training: what that costs the training.

    python -m tests.operated outage [--turns 3]

Turns of: undisturbed, the server killed with -9 and started again, the server stopped (SIGSTOP) and let go on. Told of
each: seconds from the first step to the last, and two parts of them that no load of the machine falsifies: those that
the training stood in a call that logs, and the processor time of the thread that sends. What is judged: the medians of
the two parts always, and of the whole where undisturbed trainings are within a second of one another.
"""

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tasks.data.files import read_json, read_rows, write_rows
from tests import toys
from tests.faults.project import write_params
from tests.stores import Server

ROOT = Path(__file__).resolve().parent.parent
AWAY_S = 60.0
PACE_S = 0.15  # beside each step, so that a toy's training lasts; it swallows nothing, as it is slept in any case
MOST_S = 1.0
TRAIN = """
import json, sys, threading, time
from tasks import finetune
from tasks.tracking import spool
fit, work, cost = finetune.fit, spool.Spool._work, {"inside_s": 0.0, "sender_s": 0.0}

def timed(call):
    def timed(*arguments):
        started = time.perf_counter()
        call(*arguments)
        cost["inside_s"] += time.perf_counter() - started
    return timed

class Paced:
    def __init__(self, stop):
        self.leave, self.then = stop.leave, stop.asked
    def asked(self, next_s):
        time.sleep(PACE)
        return self.then(next_s)

def measured(setup, train, dev, care, keeper, stop, log, told):
    started = time.perf_counter()
    try:
        return fit(setup, train, dev, care, keeper, Paced(stop), timed(log), timed(told))
    finally:
        cost["fit_s"] = time.perf_counter() - started

def sending(self):
    try:
        work(self)
    finally:
        cost["sender_s"] = time.thread_time()
        json.dump(cost, open("cost.json", "w"))

finetune.fit, spool.Spool._work = measured, sending
sys.argv = ["finetune", "examples", "base", "tuned", "training.jsonl", "training_run.json", "xray.txt", "curves"]
finetune.run(finetune.main)
"""


@dataclass(frozen=True)
class Trained:
    """What a training cost."""

    fit_s: float
    inside_s: float
    sender_s: float
    wrong: list[str]


def write(folder: Path, epochs: int) -> Path:
    """What is trained: 5 steps an epoch."""
    rows = toys.examples(24)
    write_rows(folder / "examples/train.jsonl", rows[:20])
    write_rows(folder / "examples/dev.jsonl", rows[20:])
    write_params(folder, optimizer={"epochs": epochs, "log_every": 5}, care={"look_every": 50, "save_every": 50})
    toys.write_base(folder / "base", "causal")
    return folder


def points(server: Server) -> list[tuple[str, int, float]]:
    """All that the server's database has of metrics."""
    with closing(sqlite3.connect(server.folder / "s.db", timeout=20)) as store:
        return list(store.execute("select key, step, value from metrics"))


def train(folder: Path, server: Server, disturb: Callable[[], None] | None) -> Trained:
    """A training, with something done in its middle."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MLFLOW_TRACKING"))}
    own |= {"MLFLOW_TRACKING_URI": server.uri, "PYTHONPATH": str(ROOT), "LUTHIER_DEVICE_SLOTS": "16"}
    with (folder / "said").open("w") as said:
        command = [sys.executable, "-c", TRAIN.replace("PACE", str(PACE_S))]
        training = subprocess.Popen(command, cwd=folder, env=own, stdout=said, stderr=said, start_new_session=True)
        try:
            if disturb:
                while len([key for key, _, _ in points(server) if key == "loss"]) < 5:
                    assert training.poll() is None, (folder / "said").read_text()
                    time.sleep(0.2)
                disturb()
                assert training.poll() is None, "the training ended before the outage did: give it more steps"
            assert training.wait(timeout=1800) == 0, (folder / "said").read_text()
        finally:
            if training.poll() is None:
                os.killpg(training.pid, signal.SIGKILL)
    return Trained(**json.loads((folder / "cost.json").read_text()), wrong=missing(folder, server))


def missing(folder: Path, server: Server) -> list[str]:
    """Points that MLflow has twice, not, or otherwise."""
    there = points(server)
    wrong = [f"{place} is there {count} times" for place, count in Counter(p[:2] for p in there).items() if count > 1]
    found = {(key, step): value for key, step, value in there}
    for row in read_rows(folder / "training.jsonl"):
        wrong += [
            f"{key} of step {row['step']} is {found.get((key, row['step']))}"
            for key, value in row.items() if key != "step" and found.get((key, row["step"])) != value
        ]  # fmt: skip
    assert len(found) > 50 and read_json(folder / "training_run.json")["run_id"]
    return wrong


def killed(server: Server) -> None:
    """The server is killed, and started again a minute later."""
    server.kill()
    time.sleep(AWAY_S)
    server.start()
    server.wait()


def stopped(server: Server) -> None:
    """The server accepts, and answers nothing, for a minute."""
    server.send(signal.SIGSTOP)
    time.sleep(AWAY_S)
    server.send(signal.SIGCONT)


KINDS: dict[str, Callable[[Server], None] | None] = {"undisturbed": None, "killed": killed, "stopped": stopped}


def one(folder: Path, kind: str, epochs: int) -> Trained:
    """A training with a server of its own."""
    (folder / "mlflow").mkdir(parents=True)
    server = Server(folder / "mlflow")
    server.start()
    try:
        server.wait()
        disturb = KINDS[kind]
        done = train(write(folder / "project", epochs), server, (lambda: disturb(server)) if disturb else None)
    finally:
        server.kill()
    print(f"  {kind:12} {done.fit_s:6.1f} s, of them {done.inside_s:.3f} s in calls that log, and {done.sender_s:.2f} s "
          f"of processor time beside; {'; '.join(done.wrong) or 'every point once'}", flush=True)  # fmt: skip
    return done


def outage(folder: Path, turns: int, epochs: int = 100) -> bool:
    """The command."""
    found: dict[str, list[Trained]] = {kind: [] for kind in KINDS}
    for turn in range(turns):
        for kind in KINDS:
            found[kind].append(one(folder / f"{turn}-{kind}", kind, epochs))
    good = not any(done.wrong for several in found.values() for done in several)
    parts = {kind: statistics.median(one.inside_s + one.sender_s for one in several) for kind, several in found.items()}
    whole = {kind: statistics.median(one.fit_s for one in several) for kind, several in found.items()}
    calm = [one.fit_s for one in found["undisturbed"]]
    quiet = turns > 1 and max(calm) - min(calm) < MOST_S
    for kind in list(KINDS)[1:]:
        more, longer = parts[kind] - parts["undisturbed"], whole[kind] - whole["undisturbed"]
        good &= more < MOST_S and (longer < MOST_S or not quiet)
        noise = "" if quiet else f" (not judged: {turns} undisturbed, {max(calm) - min(calm):.1f} s apart)"
        print(f"outage, server {kind} for {AWAY_S:.0f} s: {more:+.2f} s in logging, {longer:+.2f} s in all{noise}")
    return good
