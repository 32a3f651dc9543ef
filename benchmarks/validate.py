"""The strict intake against `pandas.read_csv` on the same well-formed CSV files: rows a second, and the ratio of times.

    python -m benchmarks.validate                 # a million rows of dialogues, and a million short rows
    python -m benchmarks.validate --rows 100000

Two comparisons. As functions: `read_records` checks every byte and gives text, `read_csv` at its defaults gives
numbers and text and checks little. As processes: `luthier validate`, which also writes every row as JSON with its
place, against a Python that imports pandas and reads the file and does no more; starting counts for both. Rounds
alternate, after one that does not count (the file is then in memory, and the libraries are loaded). The ratio is that
of the best rounds; the medians stand beside it.
"""

import csv
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from tasks.data.intake.records import Limits, read_records

COLUMNS = ["id", "dialogue", "summary"]
LIMITS = Limits(max_field_bytes=1_000_000, may_be_empty=frozenset(), whole=False)
TARGET_RATIO, TARGET_ROWS_S = 3.0, 200_000
Work = Callable[[Path], object]


def dialogues(rows: int) -> Iterator[tuple[int, str, str]]:
    """Five turns each, with commas, quotes and line ends inside."""
    draw = random.Random(17)  # noqa: S311
    words = ["".join(draw.choices("etaoinshrdlucmfw", k=draw.randint(2, 9))) for _ in range(3000)]
    turns = [", ".join(" ".join(draw.choices(words, k=6)) for _ in range(2)) for _ in range(20_000)]
    for row in range(rows):
        said = "\n".join(f'#Person{turn % 2 + 1}#: {turns[draw.randrange(20_000)]} "indeed"' for turn in range(5))
        yield row, said, turns[draw.randrange(20_000)]


def short_rows(rows: int) -> Iterator[tuple[int, str, str]]:
    """A few words each, no quotes: where the work per row shows."""
    draw = random.Random(17)  # noqa: S311
    words = [" ".join("".join(draw.choices("etaoinshr", k=5)) for _ in range(4)) for _ in range(20_000)]
    return ((row, words[draw.randrange(20_000)], words[draw.randrange(20_000)][:11]) for row in range(rows))


def by_pandas(path: Path) -> None:
    """The function of pandas."""
    pd.read_csv(path)


def by_intake(path: Path) -> None:
    """Luthier's function."""
    read_records(path, COLUMNS, LIMITS)


def by_pandas_process(path: Path) -> None:
    """A program that does nothing but read the file."""
    subprocess.run([sys.executable, "-c", f"import pandas; pandas.read_csv({str(path)!r})"], check=True)


def by_luthier_process(path: Path) -> None:
    """The command, from the file on disk to the valid rows on disk."""
    arguments = [str(path), "--columns", ",".join(COLUMNS), "--out", str(path.parent / "out"), "--json"]
    subprocess.run([sys.executable, "-m", "tasks.cli", "validate", *arguments], check=True, stdout=subprocess.DEVNULL)


COMPARED: dict[str, tuple[Work, Work]] = {
    "as functions: pandas.read_csv, read_records": (by_pandas, by_intake),
    "as processes: pandas, luthier validate": (by_pandas_process, by_luthier_process),
}


def seconds_of(work: Work, path: Path) -> float:
    """How long a call takes, where nothing lies that an earlier one wrote."""
    shutil.rmtree(path.parent / "out", ignore_errors=True)
    start = time.perf_counter()
    work(path)
    return time.perf_counter() - start


def compare(path: Path, rows: int, said: str, pair: tuple[Work, Work], rounds: int) -> None:
    """Time two ways in turn and print what came out."""
    times = [[seconds_of(work, path) for work in pair] for _ in range(rounds + 1)][1:]
    print(f"  {said}")
    best, middle = [], []
    for name, seconds in zip(("pandas", "luthier"), zip(*times, strict=True), strict=True):
        best.append(min(seconds))
        middle.append(statistics.median(seconds))
        print(f"    {name:<8} best {best[-1]:6.3f} s, median {middle[-1]:6.3f} s   {rows / best[-1]:>12,.0f} rows/s")
    print(f"    ratio {best[1] / best[0]:.2f} (medians {middle[1] / middle[0]:.2f}); target: at most {TARGET_RATIO}")


def main(
    rows: Annotated[int, typer.Option(help="Rows of each file.")] = 1_000_000,
    rounds: Annotated[int, typer.Option(help="Alternating rounds that count.")] = 7,
) -> None:
    """Print rows a second of both, and their ratio."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        for make in (dialogues, short_rows):
            path = Path(folder) / f"{make.__name__}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([COLUMNS, *make(rows)])
            size = path.stat().st_size
            print(f"{path.name}: {rows:,} rows of {size / rows:.0f} bytes, {size / 1e6:.0f} MB, {os.cpu_count()} cores")
            for said, pair in COMPARED.items():
                compare(path, rows, said, pair, rounds)
            path.unlink()
    print(f"target: {TARGET_ROWS_S:,} rows/s")


if __name__ == "__main__":
    typer.run(main)
