"""The evidence packet: what an approver reads is the evidence, all of it that matters, and nothing that data forged."""

import copy
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from markdown_it import MarkdownIt

from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Check, Decision, Evidence
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts
from tasks.report.packet import BASE, MOST_BYTES, packet
from tests import evidence, invented
from tests.test_cards import POINTS, rows_of, table, values

CHAMPION = "champion (version 3)"
PAGE = "http://127.0.0.1:5000/#/models/luthier/versions/7"
LINKS = {
    "version": "models:/luthier/7", "identity": "1d" * 32, "evidence_sha256": "e5" * 32, "page": PAGE,
    "report": "evidence/1d1d1d1d1d1d/report.html",
}  # fmt: skip
CHECKS = (
    Check(True, "The leak certificate is clean."),
    Check(None, "mmlu_0shot: whether it is worse by over 10 cannot be told; about 900 examples would tell."),
    Check(False, "summarise.unsupported: 8.30 to 33.60 [+20.30, +30.30], n = 60; surely worse by over 10."),
)
HOSTILE = (
    "<script>alert(1)</script>", "![x](http://evil.example/x.png)", "[approve here](http://evil.example)",
    "http://evil.example www.evil.example me@evil.example", "WWW.evil.example", "\n# Version 7: the gate says promote\n", "\n\n| holds | ok |\n|---|---|\n",
    "``` `` ` \\` ```\n[a](b)", "&lt;b&gt;&#60;img src=x onerror=alert(1)&#62;", "</code><img src=x>", "\u202eetomorp\u2066 \x00\x1b[2J",
    "\\[x\\](javascript:alert(1))", "<!-- ", "*" * 40 + "_" * 40, "    indented\n\tcode", "> quote\n- item\n1. one", "\r\n---\r\n", "`", "[x]: http://evil.example",
)  # fmt: skip


def model(rows: list[dict[str, Any]], **others: Any) -> Evidence:
    results = others.pop("metrics", evidence.results())
    found = Evidence(
        version=7, weights="91" * 32, evaluated="91" * 32, contract="cc" * 32, evaluated_contract="cc" * 32, stale=[],
        test="54" * 32, leaks_clean=True, critical=[], metrics=results, forgetting=evidence.budget("kept")["suites"],
        resampling=Resampling(17, 200, 0.95), generations=rows, choices=[], card=evidence.cards(results), rolled_back=None,
    )  # fmt: skip
    return replace(found, **others)


def rows(kept: float, examples: int = 60) -> list[dict[str, Any]]:
    return [dict(row) for row in invented.generations(kept, examples)]


def page(whose: str = CHAMPION, private: bool = False, before: float = 0.6, after: float = 0.5) -> str:
    return packet(model(rows(after)), rows(before), whose, Decision.of(CHECKS), LINKS, private)


class Seen(HTMLParser):
    """What a browser would make of a page: tags, links, headings, and text outside of code."""

    def __init__(self, markdown: str, html: bool) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(MarkdownIt("commonmark", {"html": html}).enable("table").render(markdown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        self.open = self.open[: len(self.open) - 1 - self.open[::-1].index(tag)]

    def handle_data(self, data: str) -> None:
        self.text += data if "code" not in self.open else ""

    @property
    def shape(self) -> list[str]:
        """Every tag, in order, but for those inside of code, of which there are none."""
        return [tag for tag in self.tags if tag not in ("em", "code")]


def test_the_verdict_stands_first_and_every_check_with_it_the_failing_ones_on_top() -> None:
    text = page()
    assert text.splitlines()[0] == "# Version 7: the gate says reject"
    assert "1 of 3 checks hold, 1 fails, 1 cannot be told." in text
    shown = table(text, "What the gate looked at")
    assert [row["verdict"] for row in shown] == ["**fails**", "**cannot tell**", "holds"]
    for check in CHECKS:
        assert sum(check.sentence == row["check"].replace("\\", "") for row in shown) == 1


def test_scores_against_the_base_are_the_evidence_s() -> None:
    shown, results = table(page(), "Scores: base model and this version"), evidence.results()
    assert shown[0]["metric"] == "summarise rouge1"
    whole = {name: own for name, own in results.items() if not name.endswith("_wording")}
    for section, own in whole.items():
        for key, row in own.items():
            line = rows_of(section, key, shown)
            assert [float(line[name]) for name in POINTS] == [pytest.approx(row[name], abs=0.005) for name in POINTS]
            assert values(line["95% interval"])[0] == pytest.approx(row["difference_low"], abs=0.005)


def test_scores_against_the_champion_are_of_the_same_examples_and_stand_in_the_headline_too() -> None:
    text = page()
    line = rows_of("summarise", "rouge1", table(text, f"Scores: {CHAMPION} and this version"))
    scores = [
        float(MEASURES["rouge1"].scoring.score(MEASURES["rouge1"].statistics(Texts.of(own))["rouge1"].sum(axis=0)))
        for own in ([row for row in rows(kept) if row["family"] == "summarise"] for kept in (0.6, 0.5))
    ]
    assert [float(line["champion"]), float(line["this version"])] == [pytest.approx(s, abs=0.005) for s in scores]
    assert f"**Against the {CHAMPION}: summarise.rouge1 {scores[0]:.2f} to {scores[1]:.2f}, difference " in text


def test_without_a_champion_there_is_one_table_of_scores() -> None:
    text = page(BASE)
    assert "Against the" not in text
    assert text.count("## Scores") == 1
    assert "## Worst answers, against the base model" in text


def test_a_champion_that_answered_other_examples_is_not_compared() -> None:
    others = [row | {"id": f"other/{row['id']}"} for row in rows(0.6)]
    text = packet(model(rows(0.5)), others, CHAMPION, Decision.of(CHECKS), LINKS, private=False)
    assert f"The {CHAMPION} did not answer the same examples, so the two cannot be compared." in text
    assert "No example was answered by both." in text


def test_the_twenty_examples_that_lost_most_are_shown_worst_first_with_all_texts() -> None:
    before, after = ([row for row in rows(kept) if row["family"] == "summarise"] for kept in (0.6, 0.5))
    measure = MEASURES["rouge1"]
    one, other = (measure.scoring.score(measure.statistics(Texts.of(own))["rouge1"]) for own in (before, after))
    losses = sorted(
        (now - then, row["id"], row) for then, now, row in zip(one, other, after, strict=True) if now < then
    )
    text = page().split("## Worst answers")[1].split("## Harm")[0]
    shown = re.findall(r"\*\*(\d+)\.\*\* `(\S+)`: [\d.]+ to [\d.]+ \(([-+\d.]+)\)", text)
    assert len(losses) > 20
    assert [(int(place), name) for place, name, _ in shown] == [(n, loss[1]) for n, loss in enumerate(losses[:20], 1)]
    assert [float(change) for *_, change in shown] == [pytest.approx(loss[0], abs=0.005) for loss in losses[:20]]
    assert f"{len(losses)} of {len(after)} examples are worse" in text
    shorter = [row["output"] for *_, row in losses[:20] if re.fullmatch(r"[\w ,.]{1,290}", row["output"])]
    assert shorter
    assert all(f"this version wrote: `{output}`" in text for output in shorter)


@pytest.mark.parametrize("html", [False, True], ids=["escaped", "raw HTML allowed"])
@pytest.mark.parametrize("field", ["input", "target", "output", "id"])
def test_no_text_of_the_data_makes_a_link_an_image_a_heading_or_html(field: str, html: bool) -> None:
    tame, wild = ([row for row in rows(kept, 24) if row["family"] == "summarise"] for kept in (0.9, 0.5))
    pages = []
    for texts in (("harmless",) * len(HOSTILE), HOSTILE):
        told, others = copy.deepcopy(wild), copy.deepcopy(tame)
        for place, row in enumerate(told):
            text = texts[place % len(texts)]
            row[field] = f"{place} {text}" if field == "id" else text
            if field != "output":
                others[place][field] = row[field]
            if field != "target":
                row["target"] = others[place]["target"] = others[place]["output"] = f"one two {place}"
                row["output"] = row["output"] if field == "output" else ""
            else:
                others[place]["output"], row["output"] = row["target"], "nothing"
        pages.append(packet(model(told), others, CHAMPION, Decision.of(CHECKS), LINKS, private=False))
    harmless, hostile = (Seen(text, html) for text in pages)
    assert set(hostile.links) == {PAGE}
    assert set(hostile.tags) == set(harmless.tags)
    assert not re.search(r"evil|www\.|javascript", hostile.text)
    assert [tag for tag in hostile.tags if tag in ("h1", "h2", "table")] == [
        tag for tag in harmless.tags if tag in ("h1", "h2", "table")
    ]
    assert not set(pages[1]) & set("\x00\x1b\r\u202e\u2066")


def test_a_reason_that_somebody_wrote_cannot_forge_the_page_either() -> None:
    for text in HOSTILE:
        checks = (Check(False, f"It was rolled back once: {text}"),)
        seen = Seen(
            packet(model(rows(0.5, 6)), rows(0.6, 6), BASE, Decision.of(checks), LINKS, private=True), html=True
        )
        assert set(seen.links) == {PAGE}, text
        assert seen.tags.count("h1") == 1, text
        assert "img" not in seen.tags and "script" not in seen.tags, text
        assert "http" not in seen.text.replace(PAGE, ""), text


def test_private_data_show_ids_and_scores_alone() -> None:
    text = page(private=True)
    shown = table(text, f"Worst answers, against the {CHAMPION}")
    assert len(shown) == 20
    assert all(float(row["now"]) < float(row["before"]) for row in shown)
    for row in [*rows(0.5), *rows(0.6)]:
        for field in ("input", "target", "output"):
            assert len(row[field]) < 20 or row[field][:20] not in text


def test_the_page_stays_under_60_kilobytes_whatever_it_is_about() -> None:
    wide = "\N{GRINNING FACE}`" * 700
    long = [
        row | {"input": wide, "output": wide * (number % 2), "id": f"{row['id']}-{'x' * 900}"}
        for number, row in enumerate(rows(0.5, 80))
    ]
    results = evidence.results()
    for number in range(300):
        results[f"suite_{'x' * 100}_{number}_0shot"] = {"accuracy": evidence.compared(60.0, 40.0, "worse", chance=25.0)}
    checks = tuple(Check(False, f"{number} [*_`" + "<long>" * 900) for number in range(400))
    before = [
        row | {"output": row["target"], "input": wide} | {"id": f"{row['id']}-{'x' * 900}"} for row in rows(0.5, 80)
    ]
    text = packet(model(long, metrics=results), before, CHAMPION, Decision.of(checks), LINKS, private=False)
    assert len(text.encode()) <= MOST_BYTES
    assert "360 more checks are not shown; 360 of them do not hold." in text
    assert "## What is approved" in text


def test_what_is_approved_is_named_by_its_digests() -> None:
    shown = {row["what"]: row["value"] for row in table(page(), "What is approved")}
    assert shown["version"] == "`models:/luthier/7`"
    assert shown["weights (sha256)"] == f"`{'91' * 32}`"
    assert shown["identity (sha256 of the chain of digests)"] == f"`{'1d' * 32}`"
    assert shown["evidence (sha256 of its sealed manifest)"] == f"`{'e5' * 32}`"
    assert shown["leak certificate"] == "clean"
    assert shown["page in MLflow"] == f"[{PAGE}]({PAGE})"


def test_the_same_evidence_gives_the_same_packet_and_other_evidence_another() -> None:
    def digest(challenger: Evidence, opponent: list[dict[str, Any]], links: dict[str, str] = LINKS) -> str:
        text = packet(challenger, opponent, CHAMPION, Decision.of(CHECKS), links, private=False)
        return hashlib.sha256(text.encode()).hexdigest()

    same = digest(model(rows(0.5)), rows(0.6))
    assert same == digest(model(rows(0.5)), rows(0.6))
    results = evidence.results()
    results["outputs_harm"]["toxic"]["tuned"] = 7.0
    spoilt = rows(0.5)
    spoilt[3]["output"] += " and more"
    for other in (
        digest(model(rows(0.5), metrics=results), rows(0.6)),
        digest(model(spoilt), rows(0.6)),
        digest(model(rows(0.5), weights="92" * 32), rows(0.6)),
        digest(model(rows(0.5)), rows(0.6), LINKS | {"evidence_sha256": "e6" * 32}),
    ):
        assert other != same


def test_a_number_that_is_not_finite_is_unknown_on_the_page() -> None:
    results = evidence.results()
    results["summarise"]["rouge1"]["tuned"] = results["outputs_harm"]["toxic"]["difference"] = float("nan")
    text = packet(model(rows(0.5), metrics=results), rows(0.6), CHAMPION, Decision.of(CHECKS), LINKS, private=False)
    assert rows_of("summarise", "rouge1", table(text, "Scores: base model and this version"))["tuned"] == "unknown"
    assert "nan" not in text.split("## Worst")[0]
    assert "It is unknown whether tuning helped." in text
