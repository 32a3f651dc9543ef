"""tasks/runs/attempt.py and calls.py: who works for a run ends when its attempt does, and its end is understood."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tasks.errors import BusyError
from tasks.runs import attempt, calls
from tasks.runs.asked import Asked
from tasks.step import EX_IOERR, EX_TEMPFAIL

ROOT = Path(__file__).resolve().parent.parent
RUN = Asked("my-dag/my-run")
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = [
    sys.executable, "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]  # fmt: skip
STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def _ended_afterwards() -> Iterator[None]:
    yield
    for process in STARTED:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    STARTED.clear()


def start(command: list[str], **env: str) -> subprocess.Popen[str]:
    """A process in a group of its own."""
    STARTED.append(
        subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(ROOT)} | env, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )
    )  # fmt: skip
    return STARTED[-1]


def gone(pid: int, within_s: float) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.05)
                continue
        return True
    return False


def said(process: subprocess.Popen[str]) -> str:
    """The next line that it writes."""
    assert process.stdout
    return process.stdout.readline().strip()


KILLED = "ERROR: failed to reproduce 'finetune': failed to run: python -m tasks.finetune a b, exited with {}"


@pytest.mark.parametrize(
    ("status", "lines", "stage", "means"),
    [
        (0, [], "finetune", 0),
        (0, ["Stage 'finetune' didn't change, skipping"], "finetune", calls.SKIPPED),
        (0, ["Stage 'finetune' is cached - skipping run, checking out outputs"], "finetune", calls.SKIPPED),
        (0, ["Stage 'fetch' didn't change, skipping"], "finetune", 0),
        (0, ["Stage 'finetune' didn't change, skipping"], "", 0),  # a whole `dvc repro` is no stage
        (255, [KILLED.format(75)], "finetune", EX_TEMPFAIL),
        (255, [KILLED.format(74)], "finetune", EX_IOERR),
        (255, [KILLED.format(1)], "finetune", 1),
        (255, [KILLED.format(-9)], "finetune", EX_TEMPFAIL),
        (255, [KILLED.format(137)], "finetune", EX_TEMPFAIL),
        (255, [KILLED.format(2), "ERROR: No space left on device"], "finetune", 1),  # what the stage said counts
        (255, ["ERROR: Unable to acquire lock. Most likely another DVC process is running"], "expand", EX_TEMPFAIL),
        (255, ["ERROR: [Errno 28] No space left on device"], "expand", EX_TEMPFAIL),
        (255, ["ERROR: [Errno 2] No such file or directory: '/x/.dvc/cache/runs/44/44aa/.iMX.tmp'"], "expand", EX_TEMPFAIL),
        (255, ["ERROR: [Errno 2] No such file or directory: 'data/raw/table.csv'"], "expand", 1),
        (255, ["a log line about a Timeout", "ERROR: output 'x' does not exist"], "expand", 1),
        (-9, [], "expand", EX_TEMPFAIL),
        (143, [], "", EX_TEMPFAIL),
        (75, [], "", EX_TEMPFAIL),
        (74, [], "", EX_IOERR),
        (1, [], "", 1),
        (2, [], "", 1),
    ],
)
def test_how_a_command_ended_says_whether_it_may_succeed_later(
    status: int, lines: list[str], stage: str, means: int
) -> None:
    assert calls.meaning(status, lines, stage) == means


def test_lines_go_on_as_they_come_and_the_end_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('to out'); print('to err', file=sys.stderr); sys.exit(75)"
    assert calls.call(tmp_path, [sys.executable, "-c", script], dict(os.environ)) == EX_TEMPFAIL
    assert sorted(capfd.readouterr().out.split("\n"))[1:] == ["to err", "to out"]


def test_what_a_run_calls_is_killed_with_the_process_that_called_it(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from tasks.runs.calls import call\n"
        "call(Path.cwd(), [sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'], os.environ)"
    )
    caller = start([sys.executable, "-c", script])
    called = int(said(caller))
    assert not gone(called, 0.5)
    caller.kill()
    assert gone(called, 5)


def test_a_plain_subprocess_outlives_its_caller_so_the_test_above_can_fail() -> None:
    script = (
        "import subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'])"
    )
    caller = start([sys.executable, "-c", script])
    called = int(said(caller))
    caller.kill()
    assert not gone(called, 2)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_runner_hears_of_the_end_of_who_started_it(sent: signal.Signals) -> None:
    runner = (
        "import os, signal, sys, time; from tasks.runs.calls import end_with_starter\n"
        "signal.signal(15, lambda *_: sys.exit(75)); end_with_starter(); print(os.getpid(), flush=True); time.sleep(600)"
    )
    starter = start(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {runner!r}])"]
    )
    pid = int(said(starter))
    starter.send_signal(sent)
    assert gone(pid, 5)


def test_members_are_those_that_carry_the_folder_and_nobody_who_started_us(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    inside, outside = start(SLEEP, LUTHIER_WORKSPACE=str(mine)), start(SLEEP, LUTHIER_WORKSPACE=str(other))
    monkeypatch.setenv(attempt.MARK, str(mine))
    assert [process.pid for process in attempt.members(mine)] == [inside.pid]
    attempt.end(mine, 0.0)
    assert gone(inside.pid, 1)
    assert outside.poll() is None


def test_what_does_not_hear_a_request_to_end_is_made_to_in_time(tmp_path: Path) -> None:
    deaf, hearing = start(DEAF, LUTHIER_WORKSPACE=str(tmp_path)), start(SLEEP, LUTHIER_WORKSPACE=str(tmp_path))
    assert said(deaf) == "deaf"
    started = time.monotonic()
    attempt.end(tmp_path, 1.0)
    assert 1.0 <= time.monotonic() - started < 3
    assert (deaf.wait(), hearing.wait()) == (-signal.SIGKILL, -signal.SIGTERM)


def test_an_attempt_ends_what_an_earlier_one_left_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "work"
    left = start(SLEEP, LUTHIER_WORKSPACE=str(folder))
    with attempt.sole_attempt(tmp_path, RUN, folder):
        assert gone(left.pid, 1)
    assert f"ended 1 processes that an earlier attempt left ({left.pid})" in capsys.readouterr().out


HOLDER = """
import signal, sys, time
from pathlib import Path
from tasks.runs.asked import Asked
from tasks.runs.attempt import sole_attempt
signal.signal(15, {handler})
with sole_attempt(Path(sys.argv[1]), Asked("my-dag/my-run"), Path(sys.argv[1]) / "work"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_attempt_ends_the_first(tmp_path: Path) -> None:
    first = start([sys.executable, "-c", HOLDER.format(handler="lambda *_: sys.exit(75)"), str(tmp_path)])
    assert said(first) == "held"
    with attempt.sole_attempt(tmp_path, RUN, tmp_path / "work"):
        assert first.wait(timeout=5) == EX_TEMPFAIL


def test_a_first_attempt_that_cannot_be_ended_is_named_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt, "TAKE_S", 0.5)
    first = start([sys.executable, "-c", HOLDER.format(handler="signal.SIG_IGN"), str(tmp_path)])
    assert said(first) == "held"
    with (
        pytest.raises(BusyError, match=f"my-dag/my-run is in use by process {first.pid}"),
        attempt.sole_attempt(tmp_path, RUN, tmp_path / "work"),
    ):
        raise AssertionError("two attempts at once")
    assert first.poll() is None


def test_another_run_is_no_attempt_at_this_one(tmp_path: Path) -> None:
    with (
        attempt.sole_attempt(tmp_path, RUN, tmp_path / "a"),
        attempt.sole_attempt(tmp_path, Asked("b"), tmp_path / "b"),
    ):
        pass


def test_a_note_of_a_dvc_that_is_no_more_is_forgotten_and_one_of_a_person_at_work_is_not(tmp_path: Path) -> None:
    rwlock = tmp_path / ".dvc/tmp/rwlock"
    rwlock.parent.mkdir(parents=True)
    attempt.forget_locks(tmp_path)  # there is none
    here = start(["bash", "-c", f"cd {tmp_path}; echo here; sleep 600"])
    assert said(here) == "here"
    note = '{{"write": {{"out": {{"pid": {}, "cmd": "dvc repro"}}}}, "read": {{}}}}'
    for text, stays in ((note.format(os.getpid()), False), ('{"write": {"out": {"pid": 1', False),
                        ("", False), (note.format(here.pid), True)):  # fmt: skip
        rwlock.write_text(text)
        attempt.forget_locks(tmp_path)
        assert rwlock.exists() == stays


HOLD = """
import os, signal, sys, time
from tasks.orphan import end_with_parent
if {deaf}:
    signal.signal(15, signal.SIG_IGN)
if {watches}:
    end_with_parent()
open({told!r}, "w").write(str(os.getpid()))
print("at work", flush=True)
time.sleep(600)
"""


def project(root: Path, deaf: bool = False, watches: bool = True) -> Path:
    """A repository whose only stage waits; where it writes its process id.

    Args:
        root: its folder, which is made.
        deaf: whether the stage hears no request to end.
        watches: whether it ends with DVC, as every step of ours does (tasks/orphan.py), or knows nothing of that.
    """
    told = root / "told"
    root.mkdir()
    (root / "hold.py").write_text(HOLD.format(deaf=deaf, watches=watches, told=str(told)))
    (root / "params.yaml").write_text("hold: {}\n")
    (root / "dvc.yaml").write_text("stages:\n  hold:\n    cmd: python hold.py\n    outs: [out]\n")
    (root / ".gitignore").write_text("/.luthier\n/told\n/out\n")
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"], ["git", "add", "."]):
        subprocess.run(command, cwd=root, check=True)
    subprocess.run(["git", *who, "commit", "-q", "-m", "a stage that waits"], cwd=root, check=True)
    return told


def attempt_at(told: Path) -> subprocess.Popen[str]:
    """An attempt at the stage, its lines in a file beside the project."""
    command = [sys.executable, "-m", "tasks.workspace", "hold"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (told.parent.parent / "log").open("a") as log:
        STARTED.append(
            subprocess.Popen(
                command, cwd=told.parent, stdout=log, stderr=log, start_new_session=True, text=True,
                env=os.environ | {"LUTHIER_RUN": RUN.run, "PYTHONPATH": str(ROOT), "PATH": path},
            )
        )  # fmt: skip
    return STARTED[-1]


def working(told: Path) -> int:
    """Id of the stage's process, once it works."""
    until = time.monotonic() + 120
    while not (told.exists() and told.read_text()):
        assert time.monotonic() < until
        time.sleep(0.05)
    return int(told.read_text())


@pytest.mark.service
@pytest.mark.parametrize("deaf", [False, True], ids=["a stage that ends when asked", "a deaf stage"])
@pytest.mark.parametrize("whole", [True, False], ids=["all of it is asked", "the runner alone is asked"])
def test_a_run_that_is_asked_to_end_ends_whole_in_5_s_and_may_be_tried_again(
    tmp_path: Path, deaf: bool, whole: bool
) -> None:
    told = project(tmp_path / "project", deaf)
    runner = attempt_at(told)
    step = working(told)
    there = attempt.members((told.parent / ".luthier/runs" / RUN.slug).resolve())
    assert step in {process.pid for process in there}
    asked = time.monotonic()
    if whole:  # by Airflow, which kills 5 s later
        os.killpg(runner.pid, signal.SIGTERM)
    else:  # by the kernel, because Airflow's process of the task is no more
        runner.terminate()
    status = runner.wait(timeout=30)
    took = time.monotonic() - asked
    assert status == EX_TEMPFAIL, (tmp_path / "log").read_text()
    assert took < 5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # busy cores make it wait
    assert not [process for process in there if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert "stopped by SIGTERM" in (tmp_path / "log").read_text()


@pytest.mark.service
@pytest.mark.parametrize("watches", [True, False], ids=["a step of ours", "a stage that knows nothing of it"])
def test_what_a_killed_runner_leaves_ends_by_itself_or_by_the_next_attempt(tmp_path: Path, watches: bool) -> None:
    told = project(tmp_path / "project", watches=watches)
    runner = attempt_at(told)
    step = working(told)
    runner.kill()
    assert gone(step, 5 if watches else 2) == watches
    told.unlink()
    # DVC's note of the killed one, as it reads where its number is another process's by now: this one's.
    rwlock = told.parent / ".luthier/runs" / RUN.slug / ".dvc/tmp/rwlock"
    noted, count = re.subn(r'"pid": \d+', f'"pid": {os.getpid()}', rwlock.read_text())
    assert count
    rwlock.write_text(noted)
    attempt_at(told)
    assert working(told) != step
    assert gone(step, 0.1)
    assert ("that an earlier attempt left" in (tmp_path / "log").read_text()) != watches
