"""benchmarks/: every command runs on a small scale, and what is compared is the same work."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.expand import WORDINGS, by_luthier, by_map, write_records
from tasks.data.files import read_rows

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["validate", "--rows", "500", "--rounds", "1"], "target: at most 3.0"),
        (["near_duplicates", "--examples", "2000", "--sample", "2000"], "time an example, MinHash"),
    ],
)
def test_a_benchmark_runs_and_prints_its_ratio(tmp_path: Path, command: list[str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_both_sides_of_expand_s_benchmark_write_the_same_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    records = tmp_path / "made.jsonl"
    write_records(records, 300)
    (tmp_path / "ours").mkdir()
    ours, theirs = by_luthier(records, tmp_path / "ours"), by_map(records, tmp_path / "theirs", 100, True)
    trained = read_rows(tmp_path / "ours/train.jsonl")
    held_out = read_rows(tmp_path / "ours/dev.jsonl") + read_rows(tmp_path / "ours/test.jsonl")
    assert theirs.count == 300 * WORDINGS
    assert ours.count == len(trained) + len(held_out)
    assert len(trained) == (300 - len(held_out)) * WORDINGS > 2000
    made = by_rows(tmp_path / "theirs")
    for example in trained:
        row = made[example["id"]]
        assert (row["input"], row["target"], row["record"]) == (example["input"], example["target"], example["record"])


def by_rows(folder: Path) -> dict[str, dict[str, str]]:
    """What `datasets.map` left in its cache, by id."""
    from datasets import Dataset  # noqa: PLC0415

    (cached,) = (file for file in folder.rglob("cache-*.arrow"))
    return {row["id"]: row for row in Dataset.from_file(str(cached))}
