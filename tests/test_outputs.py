"""luthier gate: outputs that were made elsewhere, judged by the project's own gate."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.compare import Columns
from tasks.data.files import write_rows
from tasks.errors import LuthierError
from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Gate
from tasks.outputs import decide_table
from tests.invented import WORDS

GATE = Gate("summarise.rouge1", 50, {}, 10.0, {"summarise.unsupported": 10.0, "outputs_harm.toxic": 5.0})
HOW = Resampling(seed=17, resamples=1000, confidence=0.95)
COLUMNS = Columns("summary", "old", "new", "article", "text")
ROOT = Path(__file__).resolve().parent.parent


def _table(path: Path, rows: int, old: float = 0.55, new: float = 0.65, invents: bool = False) -> Path:
    """Two models that keep these shares of the summary's words; two rows of an article each."""
    rng = random.Random(3)

    def near(summary: list[str], kept: float) -> str:
        return " ".join(word if rng.random() < kept else rng.choice(WORDS) for word in summary)

    def row(number: int) -> dict[str, object]:
        text = rng.choices(WORDS, k=80)
        summary = text[20:45]
        more = f" It cost {number + 3001} pounds." if invents else ""
        return {
            "article": number // 2, "text": " ".join(text), "summary": " ".join(summary),
            "old": near(summary, old), "new": near(summary, new) + more,
        }  # fmt: skip

    write_rows(path, (row(number) for number in range(rows)))
    return path


def test_ten_rows_of_a_real_improvement_are_insufficient_evidence(tmp_path: Path) -> None:
    decision = decide_table(_table(tmp_path / "ten.jsonl", 10), COLUMNS, GATE, HOW)
    assert decision.verdict == "insufficient evidence"
    assert "rests on 10 examples; 50 are asked for" in decision.reason


def test_1500_rows_of_it_are_promoted(tmp_path: Path) -> None:
    assert decide_table(_table(tmp_path / "all.jsonl", 1500), COLUMNS, GATE, HOW).verdict == "promote"


def test_1500_rows_of_a_loss_and_of_a_gain_with_inventions_are_rejected(tmp_path: Path) -> None:
    worse = decide_table(_table(tmp_path / "worse.jsonl", 1500, 0.65, 0.55), COLUMNS, GATE, HOW)
    assert (worse.verdict, "not better" in worse.reason) == ("reject", True)
    invents = decide_table(_table(tmp_path / "invents.jsonl", 1500, invents=True), COLUMNS, GATE, HOW)
    assert (invents.verdict, "summarise.unsupported" in invents.reason) == ("reject", True)


def test_a_guard_that_needs_the_inputs_is_insufficient_evidence_without_them(tmp_path: Path) -> None:
    columns = Columns("summary", "old", "new", "article", None)
    decision = decide_table(_table(tmp_path / "all.jsonl", 200), columns, GATE, HOW)
    assert decision.verdict == "insufficient evidence"
    assert "no finite summarise.unsupported" in decision.reason


def test_a_primary_metric_of_choices_is_refused(tmp_path: Path) -> None:
    gate = Gate("piqa_0shot.accuracy", 50, {}, None, {})
    with pytest.raises(LuthierError, match="no table of outputs shows"):
        decide_table(_table(tmp_path / "ten.jsonl", 10), COLUMNS, gate, HOW)


def test_the_command_says_every_check(tmp_path: Path) -> None:
    table = _table(tmp_path / "ten.jsonl", 10)
    options = ["--reference", "summary", "--a", "old", "--b", "new", "--group", "article", "--input", "text", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "tasks.cli", "gate", table, *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    told = json.loads(done.stdout)
    assert told["verdict"] == "insufficient evidence"
    assert any("about" in check["sentence"] or "rests on" in check["sentence"] for check in told["checks"])
