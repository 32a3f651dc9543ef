"""tasks/step: every way that a step can end is one sentence, an exit status, and a cost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
from pathlib import Path
from tasks.errors import BusyError, LuthierError
from tasks.data.files import staged
from tasks.step import run

class AcceleratorError(RuntimeError):  # as torch's: a name and CUDA's code
    error_code = 0

def device(code: int, text: str) -> RuntimeError:
    error = AcceleratorError(text)
    error.error_code = code
    return error

def main(what: str, out: Path) -> None:
    if what == "lost":
        raise device(719, "CUDA error: unspecified launch failure\\nCUDA kernel errors might be ...")
    if what == "assert":
        raise device(710, "CUDA error: device-side assert triggered")
    if what == "hidden":
        raise RuntimeError("No CUDA GPUs are available")
    if what == "refuse":
        raise LuthierError("the source is not there: correct params.yaml.")
    if what == "busy":
        raise BusyError("process 7 is at it: wait until it ends.")
    if what == "missing":
        Path("nowhere.jsonl").read_text()
    if what == "bug":
        raise RuntimeError("a bug")
    with staged(out) as partial:
        partial.mkdir()
        (partial / "half").write_bytes(b"x" * (5_000_000 if what == "write" else 10))
        if what == "wait":
            print("waiting", flush=True)
            time.sleep(60)

if __name__ == "__main__":
    run(main)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    (tmp_path / "made.py").write_text(SCRIPT)
    return tmp_path / "made.py"


def call(script: Path, what: str, **kwargs: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(script), what, "out"], capture_output=True, text=True, check=False, **kwargs
    )  # type: ignore[call-overload, no-any-return]


def test_a_finished_step_exits_with_0_and_notes_its_cost(script: Path) -> None:
    assert call(script, "nothing").returncode == 0
    cost = json.loads(Path(".luthier/steps.jsonl").read_text())
    assert cost["step"] == "made"
    assert cost["exit"] == 0
    assert 0 < cost["seconds"] < 60
    assert cost["peak_mb"] > 1
    assert Path("out/half").is_file()


@pytest.mark.parametrize(
    ("what", "status", "said"),
    [
        ("refuse", 1, "luthier: made: the source is not there: correct params.yaml."),
        ("busy", 75, "luthier: made: process 7 is at it: wait until it ends."),
        (
            "lost",
            75,
            "luthier: made: the GPU was lost (CUDA error: unspecified launch failure): run the step again.",
        ),
        ("hidden", 75, "luthier: made: the GPU was lost (No CUDA GPUs are available): run the step again."),
        ("missing", 66, "luthier: made: No such file or directory: nowhere.jsonl. Run the steps in order: dvc repro."),
    ],
)
def test_what_a_user_can_cause_is_one_sentence_without_a_traceback(
    script: Path, what: str, status: int, said: str
) -> None:
    result = call(script, what)
    assert result.returncode == status
    assert result.stderr.strip() == said


@pytest.mark.parametrize("what", ["bug", "assert"])
def test_a_bug_of_ours_keeps_its_traceback_a_device_side_assert_too(script: Path, what: str) -> None:
    result = call(script, what)
    assert result.returncode not in (0, 75, 130)
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("number", "status", "said"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 75, "SIGTERM")]
)
def test_an_interrupted_step_says_so_and_leaves_nothing_that_looks_finished(
    script: Path, number: int, status: int, said: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, str(script), "wait", "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == status
    assert said in errors
    assert "Traceback" not in errors
    assert not any(path.name.endswith((".partial", "out")) for path in Path().iterdir())


def test_a_file_over_the_size_limit_is_one_sentence(script: Path) -> None:
    result = call(script, "write", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    assert result.returncode == 74
    assert "size limit" in result.stderr
    assert not Path("out").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a full disk to write to")
def test_a_full_disk_is_one_sentence_and_the_next_try_works(script: Path) -> None:
    small = script.parent / "small"
    small.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=False, capture_output=True
    ).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        command = [sys.executable, str(script), "write", str(small / "out")]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 74
        assert "the disk is full" in result.stderr
        assert list(small.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        assert subprocess.run(command, check=False).returncode == 0
    finally:
        time.sleep(0.1)
        subprocess.run(["umount", str(small)], check=True)
