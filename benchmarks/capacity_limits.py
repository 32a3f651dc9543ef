"""What breaks first as the data grow, and at which multiple of the default: from the fits, or counted from settings.

    found = limits(lines, rows)     # [Limit(what="memory: validate needs 16 GB", times=..., ...), ...]

Nearest first; what does not grow with the data stands last, with a multiple that is not a number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.capacity_fit import fitted
from benchmarks.capacity_growth import Growth, series

Row = Mapping[str, Any]
Lines = Mapping[tuple[str, str], Growth]
MEMORY_GB, DISK_GB, DAY_S = 16, 250, 86_400  # of the machine that is asked about
CORES = {"finetune": 2, "predict": 2}  # params.yaml, threads; the other stages use about one
POINTS = 1_000_000  # of a run in MLflow, which its page draws thinned out
PAGE_MB = 10  # a browser takes seconds over a larger one
GPU_TOKENS_S = 58_600  # README: one H100, a Llama of 1 B, adapters, packed and compiled
MOST = 3000  # times: what breaks later than that is not told
LIST_S = 60  # more than a person waits for `luthier runs`
CONNECTIONS, AIRFLOW_HELD = 200, 15  # docker/compose.yaml; a process of Airflow holds at most 5 + 10 (SQLAlchemy)


@dataclass(frozen=True)
class Limit:
    """Something that ends."""

    what: str
    times: float
    """Of the default's data; nan: what grows is not the data."""
    size: str
    """The same in the thing's own unit."""
    known: str
    """How: measured and fitted, or counted."""
    then: str
    """What to do."""


def limits(lines: Lines, rows: Sequence[Row]) -> list[Limit]:
    """What ends, in that order."""
    found = [*_memory(lines), *_hours(lines), *_disk(lines), *_page(lines, rows), *_points(lines, rows), *_runs(rows)]
    found.append(_connections())
    return sorted(found, key=lambda limit: (math.isnan(limit.times), limit.times))


THEN = {
    "fetch": "several files a source; fetch copies them one by one",
    "validate": "a machine with more memory, or a part of the records: all sources are held until the bias report",
    "expand": "more memory, or `take` fewer records",
    "finetune": "more memory, or fewer wordings: the token ids lie in a memory-mapped cache, the rest is per row",
    "predict": "ask fewer: `take.test`. Intervals narrow with the root of n; some thousand tell a point",
    "evaluate": "ask fewer: `take.test`. Intervals narrow with the root of n; some thousand tell a point",
}


def _memory(lines: Lines) -> list[Limit]:
    found = []
    for (stage, key), line in lines.items():
        if key == "peak_mb":
            times = line.reaches(MEMORY_GB * 1e3)
            if times < MOST:
                size = f"{rounded(times * line.default_size)} {line.unit}"
                found.append(Limit(f"memory: {stage} needs {MEMORY_GB} GB", times, size, "fitted", THEN[stage]))
    return found


def _hours(lines: Lines) -> list[Limit]:
    then = {
        "finetune": f"a GPU: at {GPU_TOKENS_S:,} tokens/s (README, H100) this is {{gpu}} of work; or fewer records: "
        "`study_examples` says how many are enough",
        "predict": "a GPU, or fewer held-out examples: both models are asked every one",
    }
    found = []
    for stage in ("finetune", "predict", "validate", "evaluate", "expand"):
        if line := lines.get((stage, "cpu_s")):
            cores = CORES.get(stage, 1)
            times = line.reaches(DAY_S * cores)
            gpu = clock(times * line.default_size / GPU_TOKENS_S)
            what = f"time: {stage} takes a day of {'one core' if cores == 1 else f'{cores} cores'}"
            said = then.get(stage, "faster cores: this stage uses one").format(gpu=gpu)
            if times < MOST:
                found.append(Limit(what, times, f"{rounded(times * line.default_size)} {line.unit}", "fitted", said))
    return found


def _disk(lines: Lines) -> list[Limit]:
    kept = [line for (_, key), line in lines.items() if key == "kept_mb"]
    if not kept:
        return []
    each = sum(line.at(1)[0] for line in kept)
    more = sum(line.at(1001)[0] - line.at(1)[0] for line in kept) / 1000.0
    times = (DISK_GB * 1e3 - each) / more + 1.0 if more > 0 else math.inf
    size = f"{more:,.1f} MB more kept by every run for each time the default's data"
    if times > MOST:
        return []
    return [Limit(f"disk: one run keeps {DISK_GB} GB in DVC's cache", times, size, "fitted",
                  "a DVC remote (S3) and `dvc gc`; equal files are kept once")]  # fmt: skip


def _page(lines: Lines, rows: Sequence[Row]) -> list[Limit]:
    points = series(rows, "examples", "page", "page_mb")
    if len(points) < 3 or ("evaluate", "cpu_s") not in lines:
        return []
    size, line = fitted(points).reaches(PAGE_MB), lines["evaluate", "cpu_s"]
    if size / line.default_size > MOST:
        return []
    what, then = f"page: report.html is over {PAGE_MB} MB", "the scores are in reports/*.json and MLflow too"
    return [Limit(what, size / line.default_size, f"{rounded(size)} held-out examples", "fitted", then)]


def _points(lines: Lines, rows: Sequence[Row]) -> list[Limit]:
    points = series(rows, "examples", "points", "points")
    if len(points) < 3 or ("finetune", "cpu_s") not in lines:
        return []
    size = fitted(points).reaches(POINTS)
    times = size / lines["finetune", "cpu_s"].default_size
    what, then = f"MLflow: one training logs {POINTS:,} points", "a larger finetune.optimizer.log_every"
    return [Limit(what, times, f"{rounded(size)} tokens", "counted", then)] if times < MOST else []


def _runs(rows: Sequence[Row]) -> list[Limit]:
    found = []
    points = series(rows, "branches", "runs", "cpu_s")
    if len(points) >= 3:
        count = fitted(points).reaches(LIST_S)
        what, then = f"git: `luthier runs` takes {LIST_S} s of CPU", "`luthier runs remove`; only that list reads all"
        found.append(Limit(what, math.nan, f"{rounded(count)} branches of runs", "fitted", then))
    files = sum(row["kept_files"] for row in rows if row["part"] == "default")
    if files:
        size = f"{rounded(1e6 / files)} runs with nothing in common: {files} files each, however large the data"
        found.append(Limit("DVC: a million files in the cache", math.nan, size, "counted", "`dvc gc`"))
    return found


def _connections() -> Limit:
    size = f"{CONNECTIONS // AIRFLOW_HELD} processes of Airflow that hold all of their {AIRFLOW_HELD} at once"
    then = "max_connections in docker/compose.yaml, or pgbouncer"
    return Limit(f"PostgreSQL: none of {CONNECTIONS} connections is free", math.nan, size, "counted, not run", then)


def rounded(number: float) -> str:
    """A number with two digits that count."""
    if not math.isfinite(number) or number <= 0:
        return str(number)
    power = math.floor(math.log10(number))
    return f"{round(number, 1 - power):,.0f}"


def clock(seconds: float) -> str:
    """Seconds in the unit that a person would say them in."""
    for limit, unit, name in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{_digits(seconds / unit)} {name}"
    return f"{_digits(seconds / 86_400)} days"


def _digits(number: float) -> str:
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}"
