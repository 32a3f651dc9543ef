"""Locks that nobody holds any more, in this checkout and in its runs' workspaces.

Truth: dvc 3.67, `dvc/rwlock.py` (a file that lists processes by id, which outlives a kill) and `dvc/lock.py` (a lock of
the kernel's, which does not, unless core.hardlink_lock is set); git makes a file NAME.lock and removes it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.health.dvc import value_of
from tasks.health.finding import Finding, error, ok, or_ok, warning
from tasks.health.git import asked
from tasks.health.seen import Process, Surroundings, inside

AREA = "locks"
YOUNG_S = 30.0  # git holds a lock for less
SLACK_S = 2.0  # a process's start is told by another clock than a file's time


def check(seen: Surroundings) -> list[Finding]:
    """DVC's locks and git's."""
    found = [one for folder in seen.checkouts() for one in [*_rwlock(seen, folder), *_hardlink(seen, folder)]]
    found += _git(seen)
    at_work = [one for one in seen.processes if _is_dvc(one) and inside(one.folder, seen.root)]
    if at_work and not found:
        return [ok(AREA, f"DVC is at work here now: {at_work[0].said}")]
    return or_ok(found, AREA, "no lock of DVC's or git's is left behind")


def _is_dvc(process: Process) -> bool:
    return any(Path(word).name == "dvc" or word in {"dvc.cli", "dvc"} for word in process.command[:3])


def _rwlock(seen: Surroundings, folder: Path) -> list[Finding]:
    file = folder / ".dvc/tmp/rwlock"
    if not file.is_file():
        return []
    where, written = seen.named(file), file.stat().st_mtime
    working = [one for one in seen.processes if _is_dvc(one) and inside(one.folder, folder)]
    try:
        holders = list(_holders(json.loads(file.read_text())))
    except (ValueError, AttributeError, KeyError, TypeError):
        if working and time.time() - written < YOUNG_S:
            return []  # it is being written
        proof = f"wait for {working[0].said} to end, then " if working else "no DVC process works here: "
        return [error(AREA, "is damaged: every DVC command fails.", where, f"{proof}rm {where}")]
    found = []
    for pid, command in holders:
        process = seen.process(pid)
        if process is None:
            what = f"names 'dvc {command}' (process {pid}), which was killed."
            found.append(warning(AREA, what, where, "none needed: the next DVC command takes it out"))
        elif process.started > written + SLACK_S:
            what = f"names process {pid}, which was killed; another has its number now, and DVC waits for that one."
            found.append(error(AREA, what, where, f"rm {where}"))
    return found


def _holders(document: Any) -> Iterator[tuple[int, str]]:
    seen: set[int] = set()
    read = [info for infos in document.get("read", {}).values() for info in infos]
    for info in [*document.get("write", {}).values(), *read]:
        pid, command = int(info["pid"]), str(info["cmd"]).split()
        if pid not in seen:
            seen.add(pid)
            yield pid, " ".join(command[1:3])


def _hardlink(seen: Surroundings, folder: Path) -> list[Finding]:
    """The lock that is a file: it stands for a year after a kill (flufl.lock: HOST|PID|NUMBER inside)."""
    file = folder / ".dvc/tmp/lock"
    if value_of(seen, "core", "hardlink_lock").lower() != "true" or not file.is_file():
        return []
    holder = next((int(part) for part in file.read_text(errors="replace").split("|") if part.strip().isdigit()), 0)
    if seen.process(holder):
        return []
    what = f"is held by process {holder or '?'}, which is not on this machine: every DVC command fails."
    fix = f"where no other machine uses this checkout: rm {seen.named(file)}"
    return [error(AREA, what, seen.named(file), fix)]


def _git(seen: Surroundings) -> list[Finding]:
    told = asked(seen.root, "rev-parse", "--git-common-dir")
    if not told:
        return []
    home = (seen.root / told).resolve()
    files = [*home.glob("*.lock"), *home.glob("worktrees/*/*.lock"), *home.glob("refs/heads/**/*.lock")]
    working = [one for one in seen.processes if one.command and Path(one.command[0]).name == "git"]
    found = []
    for file in files:
        with suppress(FileNotFoundError):  # it was let go meanwhile
            age = time.time() - file.stat().st_mtime
            # Of another checkout, or of another user, a git process may be any: it is let off.
            busy = [one for one in working if not one.folder or inside(one.folder, seen.root)]
            if age > YOUNG_S and not busy:
                where = seen.named(file)
                what = f"was left {age_of(age)} ago by a git that was killed: git refuses to write."
                found.append(error(AREA, what, where, f"no git works here: rm {where}"))
    return found


def age_of(seconds: float) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'s' if count > 1 else ''}"
    return f"{int(seconds)} seconds"
