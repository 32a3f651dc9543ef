"""Verdicts over several metrics: held to scipy's tests, to the published example of Holm, and to planted cases."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tasks.metrics import match
from tasks.metrics.compare import MEAN, Measured, Resampling
from tasks.metrics.judged import holm, judge

HOW = Resampling(seed=17, resamples=2000, confidence=0.95)


def measured(base: Any, tuned: Any) -> Measured:
    return Measured(match.means(base), match.means(tuned), MEAN)


def alone(n: int) -> list[str]:
    return [str(number) for number in range(n)]


def test_right_and_wrong_answers_are_told_apart_by_mcnemars_exact_test() -> None:
    random = np.random.default_rng(1)
    base, tuned = 100.0 * (random.random((2, 80)) < [[0.5], [0.75]])
    row = judge({"m": measured(base, tuned)}, alone(80), HOW)["m"]
    gained, lost = int(((base == 0) & (tuned == 100)).sum()), int(((base == 100) & (tuned == 0)).sum())
    assert row["test"] == "mcnemar"
    assert row["p"] == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, abs=1e-6)


def test_right_and_wrong_answers_that_share_a_source_are_resampled_by_source() -> None:
    base, tuned = 100.0 * (np.random.default_rng(1).random((2, 80)) < 0.5)
    groups = [str(number // 4) for number in range(80)]
    assert judge({"m": measured(base, tuned)}, groups, HOW)["m"]["test"] == "bootstrap"


def test_the_bootstraps_p_is_near_the_t_tests_where_that_holds() -> None:
    random = np.random.default_rng(2)
    base = random.normal(50, 10, 200)
    for shift in (0.3, 0.8, 1.2):
        tuned = base + random.normal(shift, 6, 200)
        row = judge({"m": measured(base, tuned)}, alone(200), Resampling(3, 20_000, 0.95))["m"]
        assert row["p"] == pytest.approx(stats.ttest_rel(base, tuned).pvalue, abs=0.02)


def test_holm_steps_down_and_never_falls_back() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06}
    )  # Holm 1979, the example of R's p.adjust
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}


def noise(metrics: int, n: int, seed: int) -> dict[str, Measured]:
    random = np.random.default_rng(seed)
    return {str(key): measured(random.normal(50, 9, n), random.normal(50, 9, n)) for key in range(metrics)}


def test_of_twenty_metrics_without_a_difference_none_is_told_more_often_than_agreed() -> None:
    found = [judge(noise(20, 60, seed), alone(60), Resampling(1, 2000, 0.95)) for seed in range(40)]
    false = sum(any(row["verdict"] != "cannot tell" for row in rows.values()) for rows in found)
    unadjusted = sum(any(row["p"] < 0.05 for row in rows.values()) for rows in found)
    assert false <= 6  # 5 % of 40 is 2; more than 6 has a chance of 1 in 300
    assert unadjusted >= 15  # and without the adjustment it would be two in three: it does something


def test_a_difference_that_does_not_matter_is_equivalent_and_one_that_does_is_not() -> None:
    random = np.random.default_rng(4)
    base = random.normal(50, 10, 400)
    near, far = base + random.normal(0.1, 1, 400), base + random.normal(2.0, 1, 400)
    rows = judge({"near": measured(base, near), "far": measured(base, far)}, alone(400), HOW, margin=0.5)
    assert (rows["near"]["verdict"], rows["far"]["verdict"]) == ("equivalent", "better")
    assert rows["near"]["equivalent_within"] < 0.5 < rows["far"]["equivalent_within"]


def test_equal_outputs_are_not_equivalent_on_a_handful_of_examples() -> None:
    values = [40.0, 50, 60, 70, 80, 90, 30, 20]
    rows = judge({"m": measured(values, values)}, alone(8), HOW, margin=1.0)
    assert rows["m"]["verdict"] == "cannot tell"
    assert rows["m"]["groups_needed"] is None  # no difference was seen: no number would show it


def test_as_many_groups_as_are_said_to_be_needed_tell_the_difference_four_times_in_five() -> None:
    random = np.random.default_rng(6)

    def drawn(n: int) -> Measured:
        base = random.normal(50, 10, n)
        return measured(base, base + random.normal(1.0, 5.0, n))

    few = judge({"m": drawn(40)}, alone(40), HOW)["m"]
    assert few["detectable"] == pytest.approx((1.96 + 0.8416) * 5.0 / 40**0.5, rel=0.35)
    needed = round(((1.96 + 0.8416) * 5.0) ** 2)  # the formula, at the true difference of 1
    told = sum(judge({"m": drawn(needed)}, alone(needed), HOW)["m"]["verdict"] == "better" for _ in range(60))
    assert 0.65 <= told / 60 <= 0.95


def test_too_few_groups_are_never_a_verdict_whatever_the_margin() -> None:
    rows = judge({"m": measured([10.0] * 5, [90.0] * 5)}, alone(5), HOW, margin=100.0)
    assert rows["m"]["verdict"] == "cannot tell"


def test_eight_metrics_of_1500_rows_take_seconds_with_ten_thousand_resamples() -> None:
    random = np.random.default_rng(7)
    many = {str(key): measured(random.normal(50, 9, 1500), random.normal(51, 9, 1500)) for key in range(8)}
    started = time.process_time()
    judge(many, alone(1500), Resampling(1, 10_000, 0.95))
    assert time.process_time() - started < 10  # of processor time on two cores: 5 s of the clock


# The command.


def table(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "outputs.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def luthier_compare(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tasks.cli", "compare", str(path), "--reference", "wanted", "--a", "old"]
    root = str(Path(__file__).resolve().parents[1])
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=path.parent,
        env=os.environ | {"PYTHONPATH": root, "COLUMNS": "160"},
    )  # fmt: skip


WORDS = [
    "the",
    "court",
    "met",
    "in",
    "may",
    "and",
    "heard",
    "that",
    "rain",
    "had",
    "closed",
    "nine",
    "roads",
    "near",
    "the",
    "old",
    "mill",
    "by",
    "the",
    "river",
]


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    random = np.random.default_rng(8)
    rows = []
    for number in range(60):
        wanted = random.permutation(WORDS)
        old, new = list(wanted), list(wanted)
        old[:9] = ["something"] * 9
        new[: int(random.integers(1, 6))] = ["something"]
        rows.append(
            {"wanted": " ".join(wanted), "old": " ".join(old), "new": " ".join(new), "article": str(number // 2)}
        )
    return table(tmp_path, rows)


def test_the_better_column_is_named_with_its_interval_by_group(outputs: Path) -> None:
    found = json.loads(luthier_compare(outputs, "--b", "new", "--group", "article", "--json").stdout)
    row = found["metrics"]["rouge1"]
    assert (found["rows"], found["groups"], row["verdict"]) == (60, 30, "better")
    assert row["difference_low"] > 0 < row["b"] - row["a"]
    assert found["metrics"]["length_ratio"]["verdict"] == "not judged"
    assert found["columns"] == {"reference": "wanted", "a": "old", "b": "new", "group": "article"}


def test_a_person_reads_verdicts_and_is_told_what_rows_that_share_a_source_would_change(outputs: Path) -> None:
    said = luthier_compare(outputs, "--b", "new", "--metric", "rouge1", "--metric", "bleu")
    assert said.returncode == 0, said.stderr
    assert said.stdout.count("b is better") == 2
    assert "name its column by --group" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--b", "newer"], "newer"),
        (["--b", "old"], "--a and --b are both 'old': a model and itself cannot differ."),
        (["--b", "new", "--metric", "rogue1"], "there is no metric 'rogue1'; there are rouge1, "),
        (["--b", "new", "--margin", "-1"], "--margin -1 is below 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(outputs: Path, arguments: list[str], sentence: str) -> None:
    ended = luthier_compare(outputs, *arguments)
    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_row_that_cannot_be_read_is_no_row_that_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "outputs.csv"
    path.write_text("wanted,old,new\na,b,c\na,b\nd,e,f\n")
    ended = luthier_compare(path, "--b", "new")
    assert ended.returncode == 1
    assert "1 rows cannot be read, the first is row 2" in ended.stderr
