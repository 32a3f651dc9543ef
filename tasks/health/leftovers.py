"""What runs left behind: workspaces, worktrees whose folder is gone, processes whose runner is gone."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tasks.health.finding import Finding, error, ok, or_ok, warning
from tasks.health.git import asked
from tasks.health.locks import age_of
from tasks.health.seen import MARKS, Process, Surroundings, inside

AREA = "leftovers"
OLD_S = 7 * 86400.0
ADOPTERS = {"systemd", "init", "tini", "dumb-init", "docker-init"}  # beside process 1
SERVICE, RUN = MARKS


def check(seen: Surroundings) -> list[Finding]:
    """Workspaces, worktrees and processes."""
    found = [*_orphans(seen), *_worktrees(seen)]
    return [*or_ok(found, AREA, "no process and no worktree outlived what started it"), *_workspaces(seen)]


def _workspaces(seen: Surroundings) -> list[Finding]:
    """Those at which nobody works: a finished run removes its own, so these failed or wait for a retry."""
    left = []
    for folder in seen.runs():
        if not any(inside(one.folder, folder) for one in seen.processes):
            left.append((folder, time.time() - _last_write(folder), bytes_of(folder)))
    found = []
    for folder, age, size in left:
        if age > OLD_S:
            what = f"belongs to a run that did not finish: {age_of(age)} old, {amount(size)}."
            fix = f"luthier runs remove {folder.name}, or clear its failed task in Airflow to go on"
            found.append(warning("workspaces", what, seen.named(folder), fix))
    young = len(left) - len(found)
    if young:
        size = sum(size for _, age, size in left if age <= OLD_S)
        told = f"{young} of runs that did not finish, {amount(size)}, kept for a retry"
        found.append(ok("workspaces", told))
    return found


def _last_write(folder: Path) -> float:
    return max(path.stat().st_mtime for path in [folder, *folder.iterdir()] if path.exists())


def bytes_of(folder: Path) -> int:
    """Bytes that removing it would free: a file with a second name, as in DVC's cache, frees none."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                status = os.lstat(f"{where}/{name}")  # a Path a file takes three times as long
            except OSError:
                continue
            total += status.st_blocks * 512 if status.st_nlink == 1 else 0
    return total


def amount(size: float) -> str:
    """For a person."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _worktrees(seen: Surroundings) -> list[Finding]:
    blocks = asked(seen.root, "worktree", "list", "--porcelain").split("\n\n")
    gone = [block.split("\n", 1)[0].removeprefix("worktree ") for block in blocks if "\nprunable" in block]
    if not gone:
        return []
    what = f"is gone, and git still lists it{f' and {len(gone) - 1} more like it' if len(gone) > 1 else ''}."
    return [warning(AREA, what, seen.named(Path(gone[0])), "git worktree prune")]


def _orphans(seen: Surroundings) -> Iterator[Finding]:
    """Processes of this checkout whose service or runner has ended, one finding a family."""
    alive = {service.mark for service in seen.services if service.alive}
    here = [one for one in seen.processes if _of(one, seen.root)]
    families: dict[tuple[str, str], list[Process]] = {}
    for one in here:
        if SERVICE in one.environment and one.environment[SERVICE] not in alive:
            families.setdefault((SERVICE, one.environment[SERVICE]), []).append(one)
        elif RUN in one.environment and _adopted(one, seen):
            families.setdefault((RUN, one.environment[RUN]), []).append(one)
    for (kind, mark), members in families.items():
        first = min(members, key=lambda one: one.started)
        more = f" and {len(members) - 1} more" if len(members) > 1 else ""
        where, age = f"{first.said}{more}", age_of(time.time() - first.started)
        pids = " ".join(str(one.pid) for one in members)
        if kind == SERVICE:
            known = any(service.mark == mark for service in seen.services)
            what = f"outlived the service that started it, {age} ago: it may hold a device, a lock or a database."
            yield error(AREA, what, where, "luthier up, or luthier down: ends them" if known else f"kill {pids}")
        else:
            what = f"works for the run {mark}, and whoever started it, {age} ago, is gone."
            yield warning(AREA, what, where, f"kill {pids}, unless you started it with nohup or setsid")


def _of(process: Process, root: Path) -> bool:
    home = process.environment.get("AIRFLOW_HOME", "")
    return inside(process.folder, root) or (SERVICE in process.environment and home == str(root / ".airflow"))


def _adopted(process: Process, seen: Surroundings) -> bool:
    """Was its parent taken over by the system's first process?"""
    parent = seen.process(process.parent)
    name = Path(parent.command[0]).name if parent and parent.command else ""
    return process.parent <= 1 or parent is None or name in ADOPTERS
