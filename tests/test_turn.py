"""Turns on the machine's devices: who trains waits for who trains, in other processes and checkouts as well."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.devices import SLOTS, devices
from tasks.errors import ParamsError
from tasks.model.turn import turn

ROOT = Path(__file__).resolve().parent.parent
HOLDER = """
import sys, time
from tasks.model.turn import turn
with turn(int(sys.argv[1])) as names:
    print(*names, flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks of this test's own, and a machine without a GPU."""
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def holder(count: int, seconds: float) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(count), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.said = process.stdout.readline().strip()  # type: ignore[attr-defined]
    return process


def test_a_second_training_waits_for_the_first_and_says_for_whom(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SLOTS, "1")
    first = holder(1, 1.5)
    started = time.monotonic()
    with turn() as names:
        assert first.wait(timeout=5) == 0  # it had ended
    assert time.monotonic() - started > 0.5
    assert names == ["cpu0"]
    assert f"waiting for a device: cpu0 is in use by process {first.pid} on" in capfd.readouterr().out


def test_a_killed_training_holds_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS, "1")
    first = holder(1, 60)
    first.kill()
    first.wait()
    with turn() as names:
        assert names == ["cpu0"]


def test_two_devices_serve_two_at_once_and_a_third_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS, "2")
    first, second = holder(1, 60), holder(1, 1.5)
    assert {first.said, second.said} == {"cpu0", "cpu1"}  # type: ignore[attr-defined]
    with turn() as names:
        assert names == [second.said]  # type: ignore[attr-defined]
        assert second.wait(timeout=5) == 0
    first.kill()
    first.wait()


def test_who_needs_all_devices_takes_none_until_all_are_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS, "2")
    one = holder(1, 60)
    both = subprocess.Popen([sys.executable, "-c", HOLDER, "2", "0"], stdout=subprocess.PIPE, text=True)
    time.sleep(3)
    with turn() as names:  # the other device is free: it does not sit on one and wait for the second
        assert both.poll() is None
        assert names != [one.said]  # type: ignore[attr-defined]
        one.kill()
        one.wait()
    told, _ = both.communicate(timeout=30)
    assert told.split()[-2:] == ["cpu0", "cpu1"]


def test_devices_are_the_gpus_that_are_visible_or_slots_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-ab12")
    assert devices() == ["2", "GPU-ab12"]
    assert devices(gpus=False)[0] == "cpu0"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv(SLOTS, "3")
    assert devices() == ["cpu0", "cpu1", "cpu2"]
    monkeypatch.setenv(SLOTS, "many")
    with pytest.raises(ParamsError, match="a number of trainings at once is expected"):
        devices()


def test_a_fork_does_not_keep_its_parent_s_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SLOTS, "1")
    with turn():
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    with turn() as names:
        assert names == ["cpu0"]
    os.kill(child, 9)
    os.waitpid(child, 0)
