"""`luthier lineage --verify` against plain sha256: gigabytes a second, on a version that was really registered.

    python -m benchmarks.lineage                     # 3 GB of raw data, three rounds

A toy project is made in a temporary folder and removed again: git, DVC with its cache, raw data of so many bytes, a
model registered in an MLflow of its own. Verifying reads and compares everything that it always does (evidence, served
model, DVC's cache, tags, signatures, commit), from the moment that MLflow is connected to the verdict. Plain is one
process that reads the same raw bytes with hashlib and does nothing else, as sha256sum would. Both take turns; the
median counts. The bytes come out of the page cache for both, so it is not the disk that is measured.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks.measure import in_own_process
from tasks.data.files import sha256_of
from tests.trained import WIRING, write_project

TARGET = 0.8
FILES = 6  # that the raw data are in
BLOCK = 2**24  # bytes
URI = "models:/luthier/1"
IGNORED = ("/data/", "/models/", "/predictions/", "/reports/", "/.luthier/", "/mlflow.db*", "/mlruns/")


def make_project(root: Path, size: int) -> None:
    """A registered toy whose raw data have this many bytes; to be run in a process of its own.

    Args:
        root: an empty folder.
        size: of the raw data, rounded to whole blocks.
    """
    os.chdir(root)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    with redirect_stdout(StringIO()):
        write_project(root)
    for number in range(FILES):
        block = os.urandom(BLOCK)
        with (root / f"data/raw/part-{number}.bin").open("wb") as file:
            for _ in range(max(size // BLOCK // FILES, 1)):
                file.write(block)
    stages = {name: stage | {"cmd": "true"} for name, stage in WIRING.items()}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    Path(".gitignore").write_text("\n".join(IGNORED))
    dvc = (sys.executable, "-m", "dvc")
    for command in (
        ("git", "init", "--quiet"), (*dvc, "init", "--quiet"), (*dvc, "config", "cache.type", "hardlink,copy"),
        (*dvc, "commit", "--force", "--quiet"), (sys.executable, "-m", "tasks.register"),
    ):  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def verifying(root: Path) -> float:
    """Seconds that a verification takes; to be run in a process of its own."""
    os.chdir(root)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    from tasks.lineage import version_of  # noqa: PLC0415  # imports are not what is measured
    from tasks.verify import verify  # noqa: PLC0415

    version = version_of(URI)
    started = time.perf_counter()
    with redirect_stdout(StringIO()):
        verify(version)
    return time.perf_counter() - started


def plainly(files: list[Path]) -> float:
    """Seconds that hashing these files one after another takes."""
    started = time.perf_counter()
    for file in files:
        sha256_of(file)
    return time.perf_counter() - started


def main(
    gigabytes: Annotated[float, typer.Option(help="Of raw data.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Print both speeds and their ratio."""
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)  # the steps run in the toy's folder
    with tempfile.TemporaryDirectory(prefix="luthier-bench-") as folder:
        root = Path(folder)
        in_own_process(make_project, root, int(gigabytes * 1e9))
        files = sorted((root / "data/raw").iterdir())
        size = sum(file.stat().st_size for file in files)
        every = [(in_own_process(verifying, root), in_own_process(plainly, files)) for _ in range(rounds)]
        command = [sys.executable, "-m", "tasks.cli", "lineage", URI, "--verify"]
        started = time.perf_counter()
        subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - started
    ours, plain = (statistics.median(times) for times in zip(*every, strict=True))
    print(f"{size / 1e9:.2f} GB of raw data, median of {rounds} rounds in turns, {os.cpu_count()} cores")
    print(f"  lineage --verify  {ours:>6.2f} s  {size / ours / 1e9:>5.2f} GB/s")
    print(f"  plain sha256      {plain:>6.2f} s  {size / plain / 1e9:>5.2f} GB/s")
    print(f"  the whole command, Python's and MLflow's start included: {whole:.2f} s")
    print(f"verify / plain: {plain / ours:.2f} of the speed (target: at least {TARGET})")


if __name__ == "__main__":
    typer.run(main)
