"""The page says yes, no or cannot tell at once, warns of what the score hides, asks no other host and trusts no text."""

import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from evidence import ODD, budget, compared, evidence, results, wordings, write_reports
from html_page import Page
from rich.console import Console

from tasks.data.files import Row
from tasks.report.charts import wilson
from tasks.report.examples import marked
from tasks.report.findings import Finding, findings
from tasks.report.page import Evidence, render, verdict_sentence
from tasks.report.plots import axis_over, difference_rows, learning_curve
from tasks.report.sentences import listed, rounded_up, title
from tasks.report.summary import print_summary

OF_THE_BROWSER = (".google.com", ".googleapis.com", ".gvt1.com")  # hosts that Chromium asks for itself


@pytest.fixture(scope="module")
def html() -> str:
    """The page of a model that tuning helped."""
    return render(evidence())


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """It, parsed."""
    return Page(html)


def told(shown: Evidence) -> list[Finding]:
    return findings(shown.results, shown.cards, shown.more, shown.leaks)


def changed(section: str, key: str, row: Row) -> Evidence:
    table = results()
    table.setdefault(section, {})[key] = row
    return evidence(table)


# --- the page as a page -----------------------------------------------------------------------------------------------


def test_the_page_asks_nothing_of_another_host_and_runs_no_script(html: str, page: Page) -> None:
    links = [given[name] for _, given in page.tags for name in ("src", "href", "srcset") if name in given]
    assert links
    assert all(str(link).startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|<script", html)
    assert not any(name.startswith("on") or name == "style" for _, given in page.tags for name in given)
    policy = [given["content"] for tag, given in page.tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_page_is_well_formed_and_its_links_lead_somewhere(page: Page) -> None:
    assert page.open == []
    ids = [given["id"] for _, given in page.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= {given["href"] for tag, given in page.tags if tag == "a"}


def test_what_a_model_wrote_is_shown_as_text(html: str, page: Page) -> None:
    assert ODD[0] in page.text
    assert "&lt;script&gt;alert(" in html
    assert "script" not in {tag for tag, _ in page.tags}


def test_the_same_evidence_gives_the_same_page(html: str) -> None:
    assert render(evidence()) == html


def test_the_page_of_1500_rows_stays_under_3_megabytes() -> None:
    shown = evidence(examples=1500)
    for row in shown.families["summarise"].tuned:
        row["output"] = "Nobody in Paris said <so> & more. " * 500
    assert len(render(shown).encode()) < 3_000_000


def opened(html: str, folder: Path) -> tuple[list[str], set[str]]:
    """What a browser without a network complains of, and the hosts that the page (not the browser itself) asks."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this machine to open the page in: apt-get install chromium")
    (folder / "report.html").write_text(html, encoding="utf-8")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'browser'}", "--proxy-server=127.0.0.1:9", "--enable-logging=stderr", "--v=0",
        f"--log-net-log={folder / 'net.json'}", "--dump-dom", (folder / "report.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run([browser, *options], capture_output=True, text=True, timeout=120, check=True)
    assert "What a reviewer should know" in done.stdout
    asked = re.findall(r'"url":"\w+://([^/":]+)', (folder / "net.json").read_text(errors="replace"))
    return [line for line in done.stderr.splitlines() if "CONSOLE" in line], {
        host for host in asked if not host.endswith(OF_THE_BROWSER)
    }


@pytest.mark.service
def test_a_browser_without_a_network_shows_the_page_and_finds_nothing_missing(html: str, tmp_path: Path) -> None:
    assert opened(html, tmp_path) == ([], set())


@pytest.mark.service
def test_the_browser_would_have_seen_a_page_that_asks_another_host(html: str, tmp_path: Path) -> None:
    spoilt = html.replace("<main>", '<main><img src="http://example.org/x.png">')
    complaints, asked = opened(spoilt, tmp_path)
    assert len(complaints) == 1  # the page's own policy forbids it
    assert asked == set()
    without = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", spoilt)
    assert opened(without, tmp_path)[1] == {"example.org"}


# --- what it says first -----------------------------------------------------------------------------------------------


def test_the_verdict_stands_first_and_every_part_is_there(page: Page) -> None:
    body = page.text[page.text.index("Luthier, base model") :]
    order = [
        "Tuning helped: ROUGE-1 on summarise rose from 20.0 to 44.0", "What a reviewer should know", "Beside each score",
        "General ability", "The budget: a suite may lose 10 points", "Unseen minus seen", "Input changed to",
        "Does the model know what it knows", "Mentions of genders", "knows words and no meaning", "Tokens written a second",
        "Accuracy by discipline", "Loss on response tokens", "Of 1,100 rows read", "Clean.", "that lost most ROUGE-1",
        "that gained most", "answered again", "Hendrycks et al. 2021", "best dev loss 2.500 at step 120",
    ]  # fmt: skip
    places = [body.find(part) for part in order]
    assert -1 not in places
    assert places == sorted(places)


def test_a_model_that_only_gained_has_no_warning(page: Page) -> None:
    assert {one.mark for one in told(evidence())} == {"good"}
    assert "warning" not in page.text[: page.text.index("Scores")]


def test_a_model_that_forgot_is_said_so_at_the_top() -> None:
    shown = evidence(forgetting=budget("forgotten", "kept", "cannot tell"))
    first = told(shown)[0]
    assert (first.mark, first.link) == ("bad", "#forgetting")
    assert first.text.startswith("Forgotten: accuracy fell by surely more than the budget of 10 points on mmlu 0-shot")
    text = Page(render(shown)).text
    assert text.index("1 warning") < text.index("Forgotten: accuracy") < text.index("Beside each score")


def test_a_model_that_scores_higher_and_invents_facts_is_warned_of_beside_its_targets() -> None:
    shown = changed("summarise", "unsupported", compared(5.0, 62.0, "worse", targets=21.0))
    first = told(shown)[0]
    assert (first.mark, first.link) == ("bad", "#summarise-unsupported")
    assert "of 100 facts that the tuned model states on summarise, 62 are not in what it read" in first.text
    assert "(base 5, the targets themselves 21)" in first.text
    assert shown.cards["sentence"].startswith("Tuning helped")
    html = render(shown)
    assert '<mark title="a name that the input does not support">Paris</mark>' in html
    assert "3 dogs" in Page(html).text
    assert ">3</mark>" not in html


def test_a_model_that_copies_is_warned_of_unless_its_targets_copy_as_much() -> None:
    copies = compared(3.0, 80.0, "not judged", targets=2.0, p=None, p_holm=None, test=None)
    first = told(changed("summarise", "copy_rate", copies))[0]
    assert first.mark == "bad"
    assert "80 of 100 words on summarise stand in runs copied from the input (base 3, the targets 2)" in first.text
    assert {one.mark for one in told(changed("summarise", "copy_rate", copies | {"targets": 81.0}))} == {"good"}


@pytest.mark.parametrize(
    ("section", "key", "row", "words"),
    [
        ("summarise", "empty", compared(0.0, 30.0, "worse"), "30 of 100 outputs on summarise are empty"),
        ("summarise", "repetition", compared(1.0, 44.0, "worse"), "44 of 100 four-word runs on summarise are repeated"),
        ("outputs_harm", "toxic", compared(0.0, 20.0, "worse", targets=0.0), "12 of 60 tuned outputs have words"),
        ("summarise", "bleu", compared(9.0, 2.0, "worse"), "1 worse (BLEU on summarise)"),
    ],
)
def test_every_loss_that_is_sure_is_a_warning(section: str, key: str, row: Row, words: str) -> None:
    warnings = [one for one in told(changed(section, key, row)) if one.mark == "bad"]
    assert len(warnings) == 1
    assert words in warnings[0].text


def test_leaks_and_wordings_that_cost_are_warnings() -> None:
    assert told(evidence(leaks=3))[0].text.startswith("3 examples of what is asked stand in the training data")
    gap = [{"family": "summarise", "metric": "rouge1"} | compared(0.0, -20.0, "worse")]
    first = told(evidence(phrasing=gap))[0]
    assert (first.mark, first.about) == ("bad", "Wordings")
    assert "“lead” (held out, 8 examples)" in first.text
    assert "unseen wordings score surely 20.0 lower than seen ones" in first.text


def test_no_more_than_six_sentences_and_warnings_are_never_the_ones_left_out() -> None:
    table = results()
    table["summarise"] |= {
        "unsupported": compared(0.0, 50.0, "worse"),
        "empty": compared(0.0, 50.0, "worse"),
        "bleu": compared(50.0, 5.0, "worse"),
    }
    table["outputs_harm"]["toxic"] = compared(0.0, 50.0, "worse", targets=0.0)
    shown = told(evidence(table, leaks=1, forgetting=budget("forgotten")))
    assert [one.mark for one in shown] == ["bad"] * 6


def test_what_cannot_be_told_says_how_many_would_tell() -> None:
    shown = evidence(results("cannot tell"), forgetting=budget("cannot tell", "kept"))
    texts = " ".join(one.text for one in told(shown))
    assert "about 200 questions a suite would tell, 60 were asked" in texts
    assert {one.mark for one in told(shown) if one.about in ("Inventions", "Forgetting")} == {"unsure"}
    text = Page(render(shown)).text
    assert text.count("Cannot tell whether tuning helped") == 1
    assert "about 4,000 questions would tell" in text


def test_a_base_model_that_only_guesses_has_nothing_to_forget() -> None:
    table = results()
    table["mmlu_0shot"]["accuracy"] = compared(26.0, 27.0, "cannot tell", chance=25.0)
    kept = next(one for one in told(evidence(table)) if one.about == "Forgetting")
    assert kept.text.endswith("Base only guesses on mmlu 0-shot: nothing to forget there.")


# --- its parts --------------------------------------------------------------------------------------------------------


def test_the_twenty_worst_losses_and_the_twenty_best_gains_are_shown(page: Page, html: str) -> None:
    assert [tag for tag, _ in page.tags].count("article") == 20 + 20 + 1  # and one flagged output
    assert "The 20 examples that lost most ROUGE-1" in page.text
    losses = html[html.index('id="losses"') : html.index('id="gains"')]
    drops = [float(drop) for drop in re.findall(r'class="worse">\N{MINUS SIGN}([\d.]+)', losses)]
    assert len(drops) == 20
    assert drops == sorted(drops, reverse=True)


def test_a_metric_of_which_less_is_better_is_drawn_mirrored_and_other_scales_are_not_drawn(html: str) -> None:
    fewer = html[html.index('id="summarise-unsupported"') :].split("</tr>", maxsplit=1)[0]
    assert "lower is better" in fewer
    assert 'aria-label="+18.0' in fewer  # gained, though the share fell by 18
    for anchor in ("mmlu_0shot-brier", "summarise-length_ratio", "summarise-facts"):
        assert "<svg" not in html[html.index(f'id="{anchor}"') :].split("</tr>", maxsplit=1)[0]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"perturbed": []}, "No perturbed example was asked"),
        ({"subjects": []}, "No suite names the subjects"),
        ({"wordings": wordings("lead"), "phrasing": []}, "There is only one wording."),
        ({"wordings": [], "phrasing": []}, "asked by one kind of wording"),
        ({"forgetting": budget(), "calibration": {}}, "No general suite was asked"),
        ({"toxic": {"base": [], "tuned": []}, "noise": []}, "No output was flagged."),
        ({"log": []}, "No loss was logged."),
        ({"log": [{"step": 4, "loss": 2.0, "tokens": 9000, "seconds": 60.4}]}, "4 steps, 9,000 tokens, 60 seconds"),
    ],
)
def test_what_is_missing_is_said_and_breaks_nothing(others: dict[str, Any], said: str) -> None:
    found = Page(render(evidence(**others)))
    assert found.open == []
    assert said in found.text


def test_a_primary_metric_of_a_suite_shows_the_first_family() -> None:
    shown = evidence()
    shown.cards["primary"] = "piqa_0shot.accuracy"
    assert "Worst losses, summarise" in Page(render(shown)).text


def test_a_chart_of_many_subjects_waits_to_be_asked_for(html: str) -> None:
    subjects = html[html.index('id="subjects"') :]
    assert "by subject: all 57</summary>" in subjects
    assert "<h3>mmlu, 0-shot, by discipline</h3>" in subjects


def test_marks_stand_where_the_facts_are_even_where_the_text_is_cut() -> None:
    text = marked("Scott left Paris on 7 May 1999.", "Scott left Leeds.", most=18)
    assert "".join(part.text for part in text.parts) == "Scott left Paris o"
    assert [part.text for part in text.parts if part.kind] == ["Paris"]
    assert (text.left_out, text.unsupported) == (13, 2)
    assert marked("Paris", None, 10).unsupported is None


def test_dvc_plots_get_flat_rows() -> None:
    rows = difference_rows(results())
    assert {"metric", "difference", "low", "high"} <= set(rows[0])
    assert "summarise.facts" not in {row["metric"] for row in rows}


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


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(100.0 * 81 / 263, 263, 0.95)  # Newcombe 1998, table I: 0.2553 to 0.3662
    assert (round(low, 2), round(high, 2)) == (25.53, 36.62)
    assert wilson(0.0, 10, 0.95)[0] == pytest.approx(0.0)


def test_names_and_numbers_are_written_for_a_reader() -> None:
    assert title("commonsense_qa_5shot") == "commonsense qa, 5-shot"
    assert title("note_held_out_wording") == "note, held-out wording"
    assert [rounded_up(count) for count in (7, 196, 3969, 349_760)] == [7, 200, 4000, 350_000]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


@pytest.mark.parametrize(
    ("verdict", "tuned", "said"),
    [
        ("cannot tell", 23.5, "Cannot tell whether tuning helped: Accuracy on mmlu, 0-shot went from 24.0 to 23.5 "),
        ("equivalent", 23.5, "Tuning changed nothing that matters: Accuracy on mmlu, 0-shot went from 24.0 to 23.5 "),
        ("worse", 14.0, "Tuning hurt: Accuracy on mmlu, 0-shot fell from 24.0 to 14.0, by 10.0 points "),
        ("better", 14.0, "Tuning helped: Accuracy on mmlu, 0-shot fell from 24.0 to 14.0, by 10.0 points "),
    ],
)
def test_the_sentence_says_which_way_it_went_and_how_sure(verdict: str, tuned: float, said: str) -> None:
    row = compared(24.0, tuned, verdict, 3.5, n=300) | {"groups": 57}
    change = tuned - 24.0
    interval = (
        f"(95% interval of the difference {change - 3.5:+.1f} to {change + 3.5:+.1f}; 300 examples in 57 groups)."
    )
    assert verdict_sentence("mmlu_0shot", "Accuracy", row, 0.95) == said + interval


# --- the terminal -----------------------------------------------------------------------------------------------------


def _summary(root: Path, since: float = 0.0) -> str:
    stream = io.StringIO()
    print_summary(root, since, Console(file=stream, width=300))
    return stream.getvalue()


def test_the_summary_fits_a_log_and_tells_this_run_from_what_was_there(tmp_path: Path) -> None:
    write_reports(tmp_path)
    text = _summary(tmp_path, since=35.0)
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "\x1b" not in text
    assert re.search(r"^summarise  rouge1 +60 .*better", text, re.MULTILINE)
    assert re.search(r"^fetch +unchanged", text, re.MULTILINE)
    assert re.search(r"^finetune +4 min 23 s +2,100 MB", text, re.MULTILINE)
    assert re.search(r"^xsum +1,000 +962 +38", text, re.MULTILINE)
    assert "Tuning helped" in text
    assert "reports/report.html" in text


def test_the_summary_says_what_is_not_there_yet(tmp_path: Path) -> None:
    assert "reports/metrics.json is not there yet." in _summary(tmp_path)


def test_the_summary_shows_what_was_promoted_and_why(tmp_path: Path) -> None:
    write_reports(tmp_path)
    decision = {"version": 3, "alias": "champion", "verdict": "promote", "reason": "It is better."}
    (tmp_path / ".luthier/promotion.json").write_text(json.dumps(decision))
    assert "Model version 3 is champion (promote): It is better." in _summary(tmp_path)
