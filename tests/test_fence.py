"""tasks/model/fence: one training at a time in a folder, and none that outlives the pipeline that started it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tasks.errors import BusyError
from tasks.model.fence import LOCK, sole_writer
from tasks.orphan import end_with_parent

ROOT = Path(__file__).resolve().parent.parent

HOLDER = """
import os, subprocess, sys, time
from pathlib import Path
from tasks.model.fence import sole_writer
from tasks.step import run

def main(folder: Path, what: str) -> None:
    with sole_writer(folder):
        if what == "fork" and not os.fork():
            time.sleep(60)
        if what == "child":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        print("inside", flush=True)
        time.sleep(60)

if __name__ == "__main__":
    run(main)
"""

STAGE = """
import os, sys, time
from pathlib import Path
from tasks.step import run

def main(what: str) -> None:
    Path("pid").write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    if sys.argv[1] == "without":
        main("without")
    if sys.argv[1] == "late":
        first = os.getppid()
        Path("pid").write_text(str(os.getpid()))
        while os.getppid() == first:
            time.sleep(0.05)
    run(main)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with both scripts; whatever still runs in it at the end is ended by its id."""
    (tmp_path / "holder.py").write_text(HOLDER)
    (tmp_path / "stage.py").write_text(STAGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("DVC_STAGE", raising=False)
    before = os.getpid()
    yield tmp_path
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != before and process.cwd() == str(tmp_path):
                process.kill()


def holder(place: Path, what: str = "hold") -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "holder.py", "training", what], cwd=place, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    return process


def within(seconds: float, true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_second_training_is_told_who_holds_the_folder_and_exits_with_try_again(place: Path) -> None:
    first = holder(place)
    started = datetime.now(UTC)
    with pytest.raises(BusyError) as refused, sole_writer(place / "training"):
        raise AssertionError("two writers")
    note = json.loads((place / "training" / LOCK).read_text())
    assert (note["pid"], note["host"]) == (first.pid, socket.gethostname())
    assert abs((datetime.fromisoformat(note["since"]) - started).total_seconds()) < 60
    host = socket.gethostname()
    sentence = (
        f"is in use by process {first.pid} on {host} since {note['since']}. Wait until it ends, or end it "
        f"('kill {first.pid}' on {host}), and run the step again."
    )
    assert str(refused.value) == f"{place}/training {sentence}"
    second = subprocess.run(
        [sys.executable, "holder.py", "training", "hold"], capture_output=True, text=True, check=False
    )
    assert second.returncode == 75
    assert second.stderr == f"luthier: holder: training {sentence}\n"
    first.kill()
    first.wait()


@pytest.mark.parametrize("what", ["hold", "fork", "child"])
def test_a_killed_training_holds_nothing_even_where_its_children_live_on(place: Path, what: str) -> None:
    first = holder(place, what)
    children = psutil.Process(first.pid).children()
    assert len(children) == (what != "hold")
    first.kill()
    first.wait()
    with sole_writer(place / "training"):
        assert all(child.is_running() for child in children)
        assert json.loads((place / "training" / LOCK).read_text())["pid"] == os.getpid()


def test_the_lock_is_free_after_the_block_however_it_ended(tmp_path: Path) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with suppress(RuntimeError), sole_writer(tmp_path / "a/b"):
        with pytest.raises(BusyError, match=f"process {os.getpid()} on"), sole_writer(tmp_path / "a/b"):
            raise AssertionError("two writers in one process")
        with sole_writer(tmp_path / "other"):
            pass
        raise RuntimeError
    with sole_writer(tmp_path / "a/b"):
        pass
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def test_a_lock_without_its_note_is_a_lock(tmp_path: Path) -> None:
    with sole_writer(tmp_path):
        (tmp_path / LOCK).write_text("")
        with pytest.raises(BusyError, match=r"in use by another process\. Wait until"), sole_writer(
            tmp_path
        ):  # fmt: skip
            raise AssertionError("two writers")


# The pipeline's end


def test_outside_a_stage_nothing_watches(place: Path) -> None:
    threads = threading.active_count()
    end_with_parent()
    assert threading.active_count() == threads
    shell = subprocess.Popen(["sh", "-c", f"nohup {sys.executable} stage.py with > out & sleep 60"], cwd=place)
    assert within(20, (place / "pid").exists)
    training = psutil.Process(int((place / "pid").read_text()))
    shell.kill()
    shell.wait()
    assert not within(1.5, lambda: not training.is_running())
    training.kill()


def test_a_stage_whose_dvc_ended_before_it_looked_ends_itself(place: Path) -> None:
    shell = subprocess.Popen(
        ["sh", "-c", f"DVC_STAGE=wait {sys.executable} stage.py late 2> said & sleep 60"],
        cwd=place,
        start_new_session=True,
    )
    assert within(20, (place / "pid").exists)
    shell.kill()
    shell.wait()
    assert within(10, lambda: "stopped by SIGTERM" in (place / "said").read_text())


def started_by_dvc(place: Path, what: str, shell: str) -> tuple["subprocess.Popen[bytes]", psutil.Process]:
    """`dvc repro` of a stage that waits, in a repository of its own, and the stage's process."""
    (place / "dvc.yaml").write_text(f"stages:\n  wait:\n    cmd: {sys.executable} stage.py {what}\n")
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=place, check=True)
    environment = {**os.environ, "SHELL": shell, "DVC_NO_ANALYTICS": "1"}
    dvc = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=place, env=environment)
    assert within(60, lambda: (place / "pid").exists() and bool((place / "pid").read_text()))
    stage = psutil.Process(int((place / "pid").read_text()))
    assert stage.environ()["DVC_STAGE"] == "wait"
    assert dvc.pid in [parent.pid for parent in stage.parents()]
    return dvc, stage


@pytest.mark.service
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_a_stage_ends_within_seconds_of_a_killed_dvc(place: Path, shell: str) -> None:
    dvc, stage = started_by_dvc(place, "with", shell)
    assert not within(1, lambda: not stage.is_running())  # it waits for as long as DVC lives
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    assert within(5, lambda: not stage.is_running())
    assert json.loads((place / ".luthier/steps.jsonl").read_text())["exit"] == 75


@pytest.mark.service
def test_without_it_a_stage_outlives_a_killed_dvc(place: Path) -> None:
    dvc, stage = started_by_dvc(place, "without", "/bin/bash")
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    assert not within(5, lambda: not stage.is_running())
    stage.kill()
