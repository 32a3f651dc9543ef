"""Commands that a run calls: their lines go on as they come, and their end is told in one number.

    status = call(project, "finetune", [...])   # 0, SKIPPED, EX_TEMPFAIL, EX_IOERR, or what never helps to try again

DVC ends with 255 whatever happened in a stage; what happened is in its lines. Killed, lost and refused by what may
answer later is worth another attempt; a gate, bad input and a bug are not.
"""

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.errors import LuthierError, OutageError, without_logins
from tasks.orphan import Terminated
from tasks.step import EX_IOERR, EX_TEMPFAIL

SKIPPED = 99  # what Airflow's BashOperator takes for "skipped"
UNTOUCHED = re.compile(r"Stage '([\w-]+)' (?:didn't change, skipping|is cached - skipping run)")
EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)")
OUTAGE = re.compile(  # DVC's and git's own words for what may be otherwise in a minute
    r"No space left|Input/output error|Unable to acquire lock|is busy|[Cc]onnection|timed out|Timeout"
    r"|Temporary failure|Could not resolve host|Could not connect|Broken pipe|SlowDown|ServiceUnavailable"
    r"|No such file or directory: '[^']*/runs/[^']*\.tmp'"  # the run cache: who reads removes what another half wrote
)
PR_SET_PDEATHSIG = 1


def own(stage: Mapping[str, Any]) -> list[str]:
    """The command of a stage of dvc.yaml, by this very Python."""
    return [sys.executable, *shlex.split(stage["cmd"])[1:]]


def call(project: Path, command: Sequence[str], env: Mapping[str, str], stage: str = "") -> int:
    """Run a command in a folder, its output line by line on ours.

    Args:
        project: the folder.
        command: program and arguments.
        env: the whole environment.
        stage: of DVC, for which "nothing to do" is an outcome of its own.

    Returns:
        0: done. SKIPPED: nothing to do. EX_TEMPFAIL, EX_IOERR: may succeed later. Any other: will not.
    """
    lines: list[str] = []
    # No `with`: it would wait for the child where SIGTERM reached us alone, and whoever we raise to ends it.
    child = subprocess.Popen(
        command, cwd=project, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="backslashreplace", bufsize=1,
        preexec_fn=_end_with_us,  # noqa: PLW1509  this process has one thread
    )  # fmt: skip
    for line in child.stdout or ():
        sys.stdout.write(without_logins(line))  # git and DVC print addresses whole
        sys.stdout.flush()
        lines = [*lines[-400:], line.rstrip("\n")]
    child.wait()
    if child.stdout:
        child.stdout.close()
    return meaning(child.returncode, lines, stage)


def meaning(status: int, lines: Sequence[str], stage: str = "") -> int:
    """What an exit status and the lines before it come to."""
    if status == 0:
        untouched = {found[1] for line in lines if (found := UNTOUCHED.search(line))}
        return SKIPPED if stage in untouched else 0
    told = next((int(found[1]) for line in reversed(lines) if (found := EXITED.search(line))), None)
    if told is None and status == 255:  # DVC itself
        return EX_TEMPFAIL if any(OUTAGE.search(line) for line in lines if "ERROR" in line) else 1
    status = status if told is None else told
    if status < 0 or status > 128:  # a signal: killed, by hand, by the machine or for want of memory
        return EX_TEMPFAIL
    return status if status in {EX_TEMPFAIL, EX_IOERR, SKIPPED} else 1


def _end_with_us() -> None:
    """Have the child killed when the process that started it ends, kill -9 included (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_starter() -> None:
    """Have this process sent SIGTERM when the one that started it ends.

    Raises:
        Terminated: it ended before this call.
    """
    starter = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != starter:
        raise Terminated


def lacking(project: Path, stages: Mapping[str, Mapping[str, Any]], name: str) -> list[tuple[str, str]]:
    """What a stage reads that another one has to make and that is not there: (path, who makes it)."""
    made = {
        out if isinstance(out, str) else next(iter(out)): maker
        for maker, stage in stages.items() for out in stage.get("outs", [])
    }  # fmt: skip
    needed = [dep for dep in stages[name].get("deps", []) if dep in made]
    return [(dep, made[dep]) for dep in needed if not (project / dep).exists()]


def require(project: Path, stages: Mapping[str, Mapping[str, Any]], name: str) -> None:
    """Refuse to run a stage without what earlier ones made, in a sentence that DVC does not have.

    Raises:
        LuthierError: an input is not there; who made it, and what to do.
    """
    for out, maker in lacking(project, stages, name)[:1]:
        raise LuthierError(
            f"{name} needs {out}, which {maker} made, and neither DVC's cache nor its remote has it with the bytes "
            f"that dvc.lock names: run {maker} again (in Airflow, clear the task and those after it)."
        )


def dvc(project: Path, *arguments: str) -> str:
    """What DVC prints, run for ourselves. Not with --quiet, which keeps it from saying what went wrong.

    Raises:
        OutageError: it failed for what may be otherwise later.
        LuthierError: it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=project, capture_output=True, text=True, check=False,
        preexec_fn=_end_with_us,
    )  # fmt: skip
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        told = "; ".join(said[:3]) or done.stderr.strip()[-300:]
        kind = OutageError if OUTAGE.search("; ".join(said)) else LuthierError
        raise kind(f"'dvc {' '.join(arguments)}' failed in {project}: {told}")
    return done.stdout
