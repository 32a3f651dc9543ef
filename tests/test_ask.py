"""luthier evaluate: any model folder, any suite's files, and a comparison only of what was made alike."""

import csv
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tasks.cli_tables import app
from tasks.data.files import read_json
from tests import toys

ASKED = [(f"What comes after {n}?", [str(n + k) for k in (2, 1, 3, 4)], 1) for n in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two toy models and MMLU's layout, of two subjects."""
    root = tmp_path_factory.mktemp("ask")
    toys.write_base(root / "model", "causal")
    toys.write_base(root / "t5", "seq2seq")
    for split, count in (("test", 8), ("dev", 5)):
        for subject in ("anatomy", "marketing"):
            path = root / "mmlu" / split / f"{subject}_{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", newline="") as file:
                for question, options, answer in ASKED[:count]:
                    csv.writer(file).writerow([f"{subject}: {question}", *options, "ABCD"[answer]])
    return root


def run(folder: Path, *words: str, code: int = 0) -> str:
    """What the command prints."""
    given = [str(folder / word[1:]) if word.startswith("@") else word for word in words]
    done = CliRunner().invoke(app, ["evaluate", *given, "--threads", "1"])
    assert done.exit_code == code, done.output
    return done.stdout if code == 0 else done.output


@pytest.mark.parametrize("model", ["model", "t5"])
def test_a_model_s_score_has_its_interval_its_subjects_and_every_question(folder: Path, model: str) -> None:
    said = run(
        folder,
        f"@{model}",
        "--suite",
        "mmlu",
        "--data",
        "@mmlu",
        "--shots",
        "2",
        "--limit",
        "5",
        "--json",
        "--out",
        f"@{model}.json",
    )
    printed, kept = json.loads(said), read_json(folder / f"{model}.json")
    assert printed["scores"]["accuracy"]["n"] == 10 == len(kept["items"])
    assert printed["scores"]["accuracy"]["low"] <= printed["scores"]["accuracy"]["score"]
    assert list(printed["subjects"]) == ["anatomy", "marketing"]
    assert list(printed["disciplines"]) == ["other", "stem"]
    assert {len(item["scores"]) for item in kept["items"]} == {4}
    assert printed["card"]["alike"]["licence"] == "MIT"
    assert printed["card"]["alike"]["available"] == 16


def test_the_same_model_is_not_told_from_itself_and_another_question_set_is_refused(folder: Path) -> None:
    asked = ("@model", "--suite", "mmlu", "--data", "@mmlu")
    run(folder, *asked, "--shots", "2", "--out", "@first.json")
    again = json.loads(run(folder, *asked, "--shots", "2", "--against", "@first.json", "--json"))
    assert again["against"]["metrics"]["accuracy"]["verdict"] == "cannot tell"
    assert again["against"]["metrics"]["accuracy"]["difference"] == 0
    said = run(folder, *asked, "--shots", "0", "--against", "@first.json", code=1)
    assert "shots: 0, not 2" in said
    said = run(folder, *asked, "--shots", "2", "--limit", "3", "--against", "@first.json", code=1)
    assert "asked: 6, not 16" in said


def test_a_table_shows_the_score_and_how_much_of_the_suite_it_is(folder: Path) -> None:
    said = run(folder, "@model", "--suite", "mmlu", "--data", "@mmlu")
    assert "Accuracy" in said and "MMLU, 0 shots" in said
    assert "its makers published 14,042: a part" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("@model", "--suite", "mmmlu", "--data", "@mmlu"), "Did you mean 'mmlu'?"),
        (("@model", "--suite", "mmlu", "--data", "@nowhere"), "is no folder: name the one with MMLU's questions"),
        (("@model", "--suite", "mmlu", "--data", "@model"), "holds no test split"),
        (("@model", "--suite", "mmlu"), "name their folder by --data"),
        (("@mmlu", "--suite", "mmlu", "--data", "@mmlu"), "holds no model that can be loaded"),
        (("@model", "--suite", "mmlu", "--data", "@mmlu", "--shots", "6"), "at most 5 shots"),
        (("@model", "--suite", "boolq", "--data", "@mmlu", "--by", "letter"), "not asked by letter, only by text"),
        (("@model", "--suite", "mmlu", "--data", "@mmlu", "--against", "@model/config.json"), "is no result of luthier evaluate"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = run(folder, *words, code=1)
    assert said in printed
    assert "Traceback" not in printed


def test_a_model_with_a_weight_that_is_no_number_is_refused(folder: Path, tmp_path: Path) -> None:
    toys.write_base(tmp_path / "broken", "causal")
    model = toys.model("causal")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    said = run(folder, str(tmp_path / "broken"), "--suite", "mmlu", "--data", "@mmlu", code=1)
    assert "holds what is no number" in said


def test_a_truncated_file_of_questions_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    whole = (folder / "mmlu/test/anatomy_test.csv").read_text()
    (tmp_path / "test/anatomy_test.csv").write_text(whole[:-8])
    said = run(folder, "@model", "--suite", "mmlu", "--data", str(tmp_path), code=1)
    assert "anatomy_test.csv, row 8 has" in said
