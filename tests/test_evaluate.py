"""evaluate reads two models' predictions, refuses what it cannot compare, writes the same bytes each time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from invented import METRICS, PARAMS, generations, write_run

from tasks.data.files import read_json, read_rows, write_rows
from tasks.errors import LuthierError
from tasks.evaluate import main

Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]] | None]


@pytest.fixture
def run_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that writes a run, lets the test spoil it, and evaluates it."""
    monkeypatch.chdir(tmp_path)
    arguments = [Path(name) for name in write_run(tmp_path)]

    def evaluate() -> Path:
        main(*arguments)
        return tmp_path / "reports"

    return evaluate


def _change(path: str, change: Change) -> None:
    rows = read_rows(Path(path))
    changed = change(rows)
    text = "".join(json.dumps(row) + "\n" for row in (rows if changed is None else changed))  # may hold NaN
    Path(path).write_text(text)


def test_metrics_are_nested_for_dvc_and_hold_every_comparison(run_in: Callable[[], Path]) -> None:
    metrics = read_json(run_in() / "metrics.json")
    assert set(metrics) == {
        "summarise", "summarise_seen_wording", "summarise_held_out_wording", "section",
        "mmlu_0shot", "mmlu_5shot", "piqa_0shot", "outputs_harm", "outputs_bias",
    }  # fmt: skip
    assert set(metrics["summarise"]) == set(METRICS["summarise"])
    row = metrics["summarise"]["rouge1"]
    assert row["difference"] == pytest.approx(row["tuned"] - row["base"], abs=1e-3)
    assert (row["n"], row["verdict"]) == (24, "better")
    parts = [metrics[f"summarise_{part}_wording"]["rouge1"]["n"] for part in ("seen", "held_out")]
    assert sum(parts) == 24
    assert (metrics["section"]["exact_match"]["n"], metrics["section"]["exact_match"]["groups"]) == (12, 6)
    assert metrics["summarise"]["length_ratio"]["verdict"] == "not judged"
    assert [metrics[suite]["accuracy"]["chance"] for suite in ("mmlu_0shot", "piqa_0shot")] == [25.0, 50.0]


def test_the_same_predictions_give_the_same_bytes(run_in: Callable[[], Path]) -> None:
    def outputs(reports: Path) -> dict[str, bytes]:
        files = [path for path in reports.iterdir() if path.suffix in (".json", ".html")]
        return {path.name: path.read_bytes() for path in [*files, *(reports / "plots").iterdir()]}

    first = outputs(run_in())
    assert {"metrics.json", "scores.json", "evaluation.json", "cards.json", "report.html", "differences.json"} <= set(
        first
    )
    assert outputs(run_in()) == first


def test_cards_say_what_each_number_is_and_of_which_bytes(run_in: Callable[[], Path]) -> None:
    cards = read_json(run_in() / "cards.json")
    assert cards["sentence"].startswith("Tuning helped: ROUGE-1 on summarise rose from ")
    assert cards["metrics"]["bleu"]["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|")
    assert cards["metrics"]["rouge1"]["library"] == "rouge-score 0.1.2"
    assert set(cards["metrics"]) > {*METRICS["summarise"], "exact_match", "accuracy", "ece", "toxic"}
    assert all(len(digest) == 64 for digest in cards["sha256"].values())
    assert set(cards["sha256"]) > {"predictions/tuned/generations.jsonl", "contract", "test"}


def test_equal_models_cannot_be_told_apart(run_in: Callable[[], Path]) -> None:
    for file in ("generations.jsonl", "choices.jsonl", "perturbed.jsonl", "repeated.jsonl", "repeated_choices.jsonl"):
        Path(f"predictions/tuned/{file}").write_bytes(Path(f"predictions/base/{file}").read_bytes())
    reports = run_in()
    rows = [row for section in read_json(reports / "metrics.json").values() for row in section.values()]
    assert {row["difference"] for row in rows} == {0.0}
    assert {row["verdict"] for row in rows} == {"cannot tell", "not judged"}
    assert read_json(reports / "cards.json")["sentence"].startswith("Cannot tell whether tuning helped")


def _nan(rows: list[dict[str, Any]]) -> None:
    rows[3]["scores"][0] = float("nan")


def _output_gone(rows: list[dict[str, Any]]) -> None:
    del rows[4]["output"]


def _scores_cut(rows: list[dict[str, Any]]) -> None:
    rows[0]["scores"].pop()


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("base/generations.jsonl", lambda rows: [], "predictions/base/generations.jsonl is empty"),
        ("tuned/choices.jsonl", lambda rows: [], "predictions/tuned/choices.jsonl is empty"),
        ("tuned/generations.jsonl", lambda rows: rows[1:], "base has 36 rows and tuned has 35"),
        ("tuned/generations.jsonl", lambda rows: rows[::-1], "line 1: 'id' is 'summarise/000' for base and"),
        ("tuned/generations.jsonl", lambda rows: [rows[0], *rows], "summarise/000 comes twice"),
        ("tuned/generations.jsonl", _output_gone, "line 5: 'output': Field required"),
        ("tuned/generations.jsonl", lambda rows: rows[4].update(output=None), "line 5: 'output': Input"),
        ("tuned/generations.jsonl", lambda rows: rows[4].update(target="x"), "line 5: 'target' is"),
        ("tuned/choices.jsonl", _nan, "id 'q3': a score is not finite"),
        ("tuned/choices.jsonl", _scores_cut, "3 scores for 4 choices"),
        ("base/choices.jsonl", lambda rows: rows[0].update(predicted=4), "predicted 4 is not one of 0 to 3"),
        ("tuned/choices.jsonl", lambda rows: rows[0].update(answer=3 - rows[0]["answer"]), "'answer' is"),
    ],
)
def test_predictions_that_cannot_be_compared_are_refused_in_a_sentence(
    run_in: Callable[[], Path], file: str, change: Change, sentence: str
) -> None:
    _change(f"predictions/{file}", change)
    with pytest.raises(LuthierError) as refused:
        run_in()
    assert sentence in str(refused.value)
    assert "predict again" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("reports/metrics.json").exists()


def test_predictions_for_another_test_split_are_refused(run_in: Callable[[], Path]) -> None:
    write_rows(Path("data/examples/test.jsonl"), generations(0.3)[1:])
    with pytest.raises(LuthierError, match="id 'summarise/000' is not in the test split"):
        run_in()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"primary": "summarise.rouge9"}, "'summarise.rouge9' is no result; there are summarise.rouge1, "),
        ({"primary": "summarise.length_ratio"}, "is no result"),
        ({"metrics": {"summarise": ["rogue1"], "section": ["exact_match"]}}, "unknown: rogue1"),
        ({"metrics": {"summarise": ["rouge1"]}}, "family 'section' stands in only one of"),
        ({"metrics": {"summarise": [], "section": ["exact_match"]}}, "a family needs metrics"),
        ({"confidence": 1.0}, "'evaluate.confidence' = 1.0"),
        ({"resampels": 100}, "Did you mean 'resamples'?"),
    ],
)
def test_params_that_name_no_metric_are_refused(
    run_in: Callable[[], Path], change: dict[str, Any], sentence: str
) -> None:
    Path("params.yaml").write_text(json.dumps({"evaluate": {**PARAMS, **change}}))
    with pytest.raises(LuthierError) as refused:
        run_in()
    assert sentence in str(refused.value)


def test_a_suite_may_be_the_primary_metric(run_in: Callable[[], Path]) -> None:
    Path("params.yaml").write_text(json.dumps({"evaluate": {**PARAMS, "primary": "mmlu_5shot.accuracy"}}))
    assert "Accuracy on mmlu, 5-shot" in read_json(run_in() / "cards.json")["sentence"]
