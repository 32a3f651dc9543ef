"""One stage of dvc.yaml in a project of its own, run by DVC as a process, and what it took.

    row = metered(root, "validate")     # {wall_s, step_s, cpu_s, peak_mb, written_mb, kept_mb, kept_files, waited}

Truth: wait4 for CPU seconds, /proc/self/io for bytes (man 5 proc), .luthier/steps.jsonl for memory.
"""

import os
import platform
import re
import signal
import subprocess
import time
from collections.abc import Collection
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from tasks.data.files import read_json, read_rows, write_json
from tests.small import environment

Row = dict[str, Any]
STEPS = Path(".luthier/steps.jsonl")
WAITING = "waiting for a device"  # tasks/model/turn.py


def metered(root: Path, stage: str) -> Row:
    """Run one stage by DVC, whatever ran before, and say what it took.

    CPU seconds and bytes written are those of every process of it, DVC included; bytes as the kernel counts them
    (man 5 proc, /proc/pid/io: pages handed to the file system). Peak memory is the stage's own process's.

    Returns:
        {wall_s, step_s, cpu_s, peak_mb, written_mb, kept_mb, kept_files, waited}: kept is what DVC's cache grew by.

    Raises:
        RuntimeError: it failed; with the end of what it said.
    """
    (root / STEPS).unlink(missing_ok=True)
    cache, written, start = cached(root), written_bytes(), time.monotonic()
    log = root / f".{stage}.log"
    with log.open("w") as out:
        command = ["nice", "-n", "5", "dvc", "repro", "--single-item", "--force", stage]
        started = subprocess.Popen(command, cwd=root, env=environment(), stdout=out, stderr=out, start_new_session=True)
        try:
            _, status, used = os.wait4(started.pid, 0)
        except BaseException:
            os.killpg(started.pid, signal.SIGTERM)
            raise
    wall, said = time.monotonic() - start, log.read_text()
    if status:
        raise RuntimeError(f"{stage} ended with {os.waitstatus_to_exitcode(status)} in {root}: {said[-2000:]}")
    steps, after = list(read_rows(root / STEPS)), cached(root)
    return {
        "wall_s": round(wall, 1), "step_s": sum(row["seconds"] for row in steps),
        "cpu_s": round(used.ru_utime + used.ru_stime, 2), "peak_mb": max(row["peak_mb"] for row in steps),
        "written_mb": round((written_bytes() - written) / 1e6, 1),
        "kept_mb": round((after[0] - cache[0]) / 1e6, 1), "kept_files": after[1] - cache[1],
        "waited": WAITING in said,
    }  # fmt: skip


def written_bytes() -> int:
    """That this process and those of it that ended have written, as the kernel counts them."""
    return int(re.findall(r"^write_bytes: (\d+)", Path("/proc/self/io").read_text(), re.M)[0])


def cached(root: Path) -> tuple[int, int]:
    """Bytes and files in DVC's cache."""
    files = [file.stat().st_size for file in (root / ".dvc/cache").rglob("*") if file.is_file()]
    return sum(files), len(files)


def records(root: Path) -> int:
    """Raw records, of every source."""
    files = sorted((root / "data/raw").glob("*/*"))
    return sum(len(pd.read_csv(file)) if file.suffix == ".csv" else _lines(file) for file in files)


def tokens(root: Path) -> int:
    """That the last training read."""
    return int(read_json(root / "models/training_run.json")["tokens"])


def points(root: Path) -> int:
    """That the last training's values are in MLflow, but for the machine's."""
    return sum(len(row) - 1 for row in read_rows(root / "reports/training.jsonl"))


def asked(root: Path) -> int:
    """Held-out examples."""
    return _lines(root / "data/examples/test.jsonl")


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


def note(path: Path, *rows: Row, without: Collection[str] = ()) -> None:
    """Add measurements to those in a file, with the machine; without the earlier ones of some parts."""
    kept = read_json(path)["rows"] if path.is_file() else []
    write_json(path, {"machine": machine(), "rows": [row for row in kept if row["part"] not in without] + list(rows)})


def machine() -> Row:
    """Where and when, for the page."""
    cpu = re.findall(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.M)
    versions = [f"{name} {version(name)}" for name in ("torch", "transformers", "dvc", "great-expectations", "mlflow")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": os.cpu_count(), "cpu": cpu[0] if cpu else platform.machine(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30), "versions": ", ".join(versions),
    }  # fmt: skip
