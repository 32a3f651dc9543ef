"""The page asks nothing of other hosts and trusts no text; the summary reads well in a log."""

import io
import json
import re
from pathlib import Path

import pytest
from html_page import Page
from invented import ODD, write_run
from rich.console import Console

from tasks.evaluate import main
from tasks.report.page import title, verdict_sentence
from tasks.report.plots import axis_over, learning_curve
from tasks.report.summary import print_summary


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was evaluated."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(*(Path(name) for name in write_run(folder)))
    return folder


@pytest.fixture(scope="module")
def page(root: Path) -> Page:
    """The parsed page."""
    return Page((root / "reports/report.html").read_text())


def test_the_page_asks_nothing_of_another_host_and_runs_no_script(root: Path, page: Page) -> None:
    html = (root / "reports/report.html").read_text()
    links = [given[name] for _, given in page.tags for name in ("src", "href", "srcset") if name in given]
    assert links
    assert all(str(link).startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|<script", html)
    assert not any(name.startswith("on") for _, given in page.tags for name in given)
    assert len(html) < 3_000_000


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: Page) -> None:
    assert page.open == []
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= {given["href"] for tag, given in page.tags if tag == "a"}


def test_what_a_model_wrote_is_shown_as_text(root: Path, page: Page) -> None:
    assert ODD[0] in page.text
    assert "&lt;script&gt;alert(" in (root / "reports/report.html").read_text()
    assert "script" not in {tag for tag, _ in page.tags}


def test_the_page_opens_with_the_verdict_and_shows_every_part(root: Path, page: Page) -> None:
    sentence = json.loads((root / "reports/cards.json").read_text())["sentence"]
    assert page.text.index(sentence) < page.text.index("Scores")
    parts = ("piqa, 0-shot", "summarise, held-out wording", "a blind guess scores 50.0", "962", "Clean.")
    assert [part for part in parts if part not in page.text] == []
    assert [tag for tag, _ in page.tags].count("polyline") == 2


def test_dvc_plots_get_flat_rows(root: Path) -> None:
    rows = json.loads((root / "reports/plots/differences.json").read_text())
    assert {"metric", "difference", "low", "high"} <= set(rows[0])


@pytest.mark.parametrize("values", [[0.0, 0.0], [-3.2, 17.0], [0.0, 100.0], [1e-5, 2e-5], [5.0], [-80, -79]])
def test_an_axis_holds_its_values_between_few_round_ticks(values: list[float]) -> None:
    axis = axis_over(values)
    slack = 1e-9 * (axis.high - axis.low)
    assert axis.low - slack <= min(values) <= max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 9
    assert -1e-9 <= axis.share(values[0]) <= 1 + 1e-9


def test_a_log_without_loss_draws_nothing_and_a_long_one_is_thinned() -> None:
    assert learning_curve([{"step": 1}]) is None
    curve = learning_curve([{"step": step, "loss": 3.0} for step in range(1, 10_001)])
    assert curve is not None
    assert len(curve["lines"][0]["dots"]) <= 601
    assert curve["lines"][0]["value"] == 3.0


def test_names_are_written_for_a_reader() -> None:
    assert title("commonsense_qa_5shot") == "commonsense qa, 5-shot"
    assert title("note_held_out_wording") == "note, held-out wording"


def test_the_sentence_says_what_cannot_be_told() -> None:
    row = {"base": 24.0, "tuned": 23.5, "difference": -0.5, "difference_low": -4.0, "difference_high": 3.0,
           "n": 300, "groups": 57, "verdict": "cannot tell"}  # fmt: skip
    assert verdict_sentence("mmlu_0shot", "Accuracy", row, 0.95) == (
        "Cannot tell whether tuning helped: Accuracy on mmlu, 0-shot went from 24.0 to 23.5 "
        "(95% interval of the difference -4.0 to +3.0; 300 examples in 57 groups)."
    )


def _summary(root: Path, since: float = 0.0) -> str:
    stream = io.StringIO()
    print_summary(root, since, Console(file=stream, width=300))
    return stream.getvalue()


def test_the_summary_fits_a_log_and_tells_this_run_from_what_was_there(root: Path) -> None:
    steps = [("fetch", 10.0, 3.1), ("finetune", 20.0, 75.0), ("fetch", 30.0, 2.0), ("finetune", 40.0, 263.4)]
    rows = [
        {"step": step, "started": started, "seconds": seconds, "peak_mb": 2100, "exit": 0}
        for step, started, seconds in steps
    ]
    (root / ".luthier").mkdir()
    (root / ".luthier/steps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = _summary(root, since=35.0)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "\x1b" not in text
    assert re.search(r"^summarise  rouge1 +24 .*better", text, re.MULTILINE)
    assert re.search(r"^fetch +unchanged", text, re.MULTILINE)
    assert re.search(r"^finetune +4 min 23 s +2,100 MB", text, re.MULTILINE)
    assert re.search(r"^xsum +1,000 +962 +38", text, re.MULTILINE)
    assert "Tuning helped" in text
    assert "reports/report.html" in text


def test_the_summary_says_what_is_not_there_yet(tmp_path: Path) -> None:
    assert "reports/metrics.json is not there yet." in _summary(tmp_path)


def test_the_summary_shows_what_was_promoted_and_why(root: Path) -> None:
    (root / ".luthier").mkdir(exist_ok=True)
    decision = {"version": 3, "alias": "champion", "verdict": "promote", "reason": "It is better."}
    (root / ".luthier/promotion.json").write_text(json.dumps(decision))
    assert "Model version 3 is champion (promote): It is better." in _summary(root)
