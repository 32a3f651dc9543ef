"""A workspace whose making is killed (SIGKILL) after any call of git, DVC or the disk, and then made again.

python -m tests.killed_place            # every call, of a run that begins and of one that is found again
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from tasks.runs import branch, place, shared
from tasks.runs.asked import Asked, slug_of
from tasks.workspace import folder_of, open_workspace
from tests.workspaces import OLD, call, environment, step, write

ASKED = Asked("d/r", {"finetune.seed": 4})
COUNTED = ("git", "asked", "dvc", "remove", "snapshot", "write_json")


def made_and_killed(kill: int) -> None:
    """Make the workspace of the project here, and be killed after so many calls; print how many there are."""
    made = 0

    def counted(call: object) -> object:
        def wrapped(*args: object, **kwargs: object) -> object:
            nonlocal made
            answer = call(*args, **kwargs)  # type: ignore[operator]
            made += 1
            if made == kill:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return wrapped

    for module in (branch, place, shared):
        for name in COUNTED:
            if hasattr(module, name):
                setattr(module, name, counted(getattr(module, name)))
    place.made(Path.cwd(), ASKED)
    print(made)


def kill_after(root: Path, count: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"from tests.killed_place import made_and_killed; made_and_killed({count})"]
    here = str(Path(__file__).resolve().parent.parent)
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment({"PYTHONPATH": here})
    )


def begun(root: Path) -> None:
    """A run whose first stages are done, and whose worktree is gone: making it again takes every kind of call."""
    step(root, "validate --all", sets=dict(ASKED.overrides))
    shutil.rmtree(folder_of(root, slug_of("d/r")))


def killed(before: Path, folder: Path, first: int, every: int) -> Iterator[int]:
    """Kill after each `every`th call from the first on, each time in a fresh copy, and make it whole; which were tried.

    Raises:
        AssertionError: what the next task finds is not whole.
    """
    had = folder_of(before, slug_of("d/r"))
    done = bool(call(before, "git", "for-each-ref", "refs/heads/runs"))
    assert not had.exists()
    count = first
    while True:
        root = folder / "killed"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(before, root, symlinks=True)
        ended = kill_after(root, count)
        if ended.returncode == 0:
            return
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        there = open_workspace(root, ASKED).project
        assert yaml.safe_load((there / "params.yaml").read_text())["finetune"]["seed"] == 4, count
        assert call(there, "git", "status", "--porcelain") == "", count
        assert (there / "given/table.csv").read_text() == OLD, count
        assert done == (there / "data/raw/table.csv").exists(), count
        yield count
        count += every


def main() -> None:
    """Every call."""
    with tempfile.TemporaryDirectory() as name:
        root = write(Path(name) / "here")
        for what in ("begins", "is found again"):
            if what != "begins":
                begun(root)
            tried = list(killed(root, Path(name), 1, 1))
            print(f"a run that {what}: killed after each of {len(tried)} calls, whole every time", flush=True)


if __name__ == "__main__":
    main()
