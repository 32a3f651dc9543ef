"""The data bias report: whom the data mention, what differs between groups, and how sure that is."""

import csv
import json
import os
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from scipy import stats

from tasks.data.bias.contrasts import Grouped, compare_labels, compare_means, gap, representation
from tasks.data.bias.facets import MOST, Facet, by_value
from tasks.data.bias.intervals import newcombe, welch, wilson
from tasks.data.bias.lexicon import LEXICONS, groups_in, load_lexicon
from tasks.data.bias.report import LARGEST, Bias, bias_report
from tasks.data.bias.sentiment import scorer
from tasks.data.files import Row
from tasks.errors import ParamsError
from tasks.report.bias_plot import drawn

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LUTHIER_SHARED") or ROOT.parent / "shared" / "data")


def facet(**given: str | None) -> Facet:
    """A facet of source `notes`; what is not given is null."""
    empty = {"lexicon": None, "length_of": None, "label": None}
    return Facet.model_validate({"facet": "gender", "source": "notes", "column": "text", **empty, **given})


def report(rows: list[Row], one: Facet, min_rows: int = 2, private: bool = False, max_rows: int = 0) -> Row:
    """The report of one facet over these rows."""
    columns = sorted({key for row in rows for key in row}) or ["text"]
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in columns})
    return bias_report({"notes": table}, Bias(max_rows=max_rows, min_rows=min_rows, facets=[one]), private)


def mentioned(*texts: str) -> list[str]:
    """What each text is by the lexicon `gender`."""
    names, codes = groups_in(pa.chunked_array([list(texts)]), load_lexicon("gender"))
    return [names[code] for code in codes]


# --- intervals: the published values of Newcombe 1998 (Statistics in Medicine 17:857 and 17:873) ---------------------


@pytest.mark.parametrize(
    ("count", "n", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_a_share_has_wilson_s_interval_as_published(count: int, n: int, low: float, high: float) -> None:
    assert wilson(count, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("ours", "rest", "low", "high"),
    [((56, 70), (48, 80), 0.0524, 0.3339), ((9, 10), (3, 10), 0.1705, 0.8090), ((10, 10), (0, 20), 0.6791, 1.0)],
)
def test_a_difference_of_shares_has_newcombe_s_interval_as_published(
    ours: tuple[int, int], rest: tuple[int, int], low: float, high: float
) -> None:
    assert newcombe(*ours, *rest, 0.95) == pytest.approx((low, high), abs=5e-5)
    assert newcombe(*rest, *ours, 0.95) == pytest.approx((-high, -low), abs=5e-5)


def test_a_difference_of_means_has_welch_s_interval_as_scipy_gives_it() -> None:
    ours, rest = np.array([3.0, 5, 4, 8, 9, 2]), np.array([1.0, 2, 2, 3, 1])
    expected = stats.ttest_ind(ours, rest, equal_var=False).confidence_interval(0.99)
    assert welch(ours, rest, 0.99) == pytest.approx((expected.low, expected.high))


def test_groups_whose_rows_are_all_alike_have_an_interval_without_width() -> None:
    assert welch(np.array([2.0, 2, 2]), np.array([5.0, 5]), 0.95) == (-3.0, -3.0)


# --- the report, by hand ---------------------------------------------------------------------------------------------

SMALL = [
    {"text": "She came in.", "note": "one two three", "section": "a"},
    {"text": "Her arm hurts.", "note": "one two three four five", "section": "a"},
    {"text": "He sleeps well.", "note": "one", "section": "b"},
    {"text": "His back aches.", "note": "one two", "section": "a"},
    {"text": "John has a cold.", "note": "one two three", "section": "b"},
    {"text": "She brought him.", "note": "one", "section": "b"},
    {"text": "It rained.", "note": "one two three four five six", "section": "b"},
]


def test_a_small_table_gives_the_numbers_worked_out_by_hand() -> None:
    found = report(SMALL, facet(lexicon="gender", length_of="note", label="section"))["facets"][0]
    assert [(row["group"], row["n"]) for row in found["groups"]] == [
        ("female", 2), ("male", 3), ("several", 1), ("none", 1)
    ]  # fmt: skip
    # Wilson, 3 of 7, z = 1.959964: centre (3/7 + z*z/14) / (1 + z*z/7), half width z/(1+z*z/7)*sqrt(12/49/7 + z*z/196)
    assert found["groups"][1] == pytest.approx(
        {"group": "male", "n": 3, "percent": 42.857143, "low": 15.82, "high": 74.95}, abs=0.01
    )
    female, male, several, none = found["length"]["rows"]
    # 3 and 5 words against 1, 2 and 3: means 4 and 2, variances 2 and 1, se*se = 2/2 + 1/3 = 4/3,
    # degrees of freedom (4/3)**2 / (1 + (1/3)**2 / 2) = 1.6842, whose t quantile at 0.975 is 5.17623
    assert (female["mean"], female["rest_mean"], female["n"], female["rest_n"]) == (4.0, 2.0, 2, 3)
    margin = 5.17623 * (4 / 3) ** 0.5
    assert (female["low"], female["high"]) == pytest.approx((2 - margin, 2 + margin), abs=1e-5)
    assert (male["difference"], male["low"]) == pytest.approx((-2.0, -2 - margin), abs=1e-5)
    assert [row["verdict"] for row in (female, male, several, none)] == [
        "no difference seen", "no difference seen", "not compared", "not compared"
    ]  # fmt: skip
    (label,) = found["labels"]["rows"]  # of two labels and two groups, one comparison says it all
    assert (label["label"], label["count"], label["n"], label["rest_count"], label["rest_n"]) == ("b", 0, 2, 2, 3)
    assert label["difference"] == pytest.approx(-66.666667)
    assert (label["low"], label["high"]) == pytest.approx(tuple(100 * x for x in newcombe(0, 2, 2, 3, 0.95)), abs=1e-4)


def test_a_planted_difference_is_found_and_said_in_a_sentence() -> None:
    rng = random.Random(1)
    rows = [
        {
            "text": f"{'She' if who else 'He'} came on day {day} and felt {'awful and sad' if who else 'great and happy'}.",
            "note": "word " * (rng.randint(8, 14) + 4 * who),
            "section": "tests" if rng.random() < 0.3 + 0.4 * who else "history",
        }
        for day in range(150)
        for who in (0, 1)
        if not who or day < 50
    ]
    found = report(rows, facet(lexicon="gender", length_of="note", label="section"), min_rows=20, max_rows=500)
    assert [re.sub(r"[\d.,]+", "#", sentence) for sentence in found["findings"]] == [
        "gender in notes#text: of # texts #% are 'male' only and #% 'female' only (#% several)# # (# to #) points apart#",
        "gender in notes#text: note is longer for 'female'# by # (# to #) words; # texts against #",
        "gender in notes#text: text is more negative for 'female'# by # (# to #) on a scale of -# to #; # texts against #",
        "gender in notes#text: section 'history' is less often with 'female'# #% against #%# by # (# to #) points; # texts against #",
    ]
    assert "75.0% are 'male' only and 25.0% 'female' only (0.0% several), 50.0 (" in found["findings"][0]


def test_without_a_difference_about_one_set_of_intervals_in_twenty_excludes_0() -> None:
    rng = np.random.default_rng(7)
    seen = {"means": 0, "labels": 0}
    for _ in range(400):
        divided = Grouped(["a", "b", "c", "none"], rng.integers(0, 4, 240), groups=3, pool=3)
        labels = Grouped(["x", "y", "z"], rng.integers(0, 3, 240), groups=3, pool=3)
        means = compare_means(rng.poisson(12, 240).astype(float), divided, 20, ("longer", "shorter"))
        seen["means"] += any(row["verdict"] in ("longer", "shorter") for row in means.rows)
        seen["labels"] += compare_labels(labels, divided, 20).rows[0]["verdict"] != "no difference seen"
    assert 4 <= seen["means"] <= 32  # 20 expected; fewer, because the comparisons overlap
    assert 2 <= seen["labels"] <= 32


def test_nothing_stands_out_is_said_with_the_number_of_comparisons() -> None:
    rows = [{"text": f"{'She' if day % 2 else 'He'} came on day {day}.", "note": "a b"} for day in range(60)]
    found = report(rows, facet(lexicon="gender", length_of="note"), max_rows=60)
    assert found["findings"] == ["Nothing stands out: 2 comparisons, no interval that excludes 0."]


def test_a_group_with_few_rows_is_counted_and_not_compared() -> None:
    found = report(SMALL, facet(lexicon="gender", length_of="note", label="section"), min_rows=3)["facets"][0]
    assert found["length"]["rows"][0] | {"mean": 4.0} == {
        "group": "female", "n": 2, "mean": 4.0, "rest_n": 3, "rest_mean": 2.0,
        "difference": None, "low": None, "high": None, "verdict": "too few rows",
    }  # fmt: skip
    assert found["length"]["comparisons"] == found["labels"]["comparisons"] == 0


def test_many_comparisons_widen_each_interval() -> None:
    divided = Grouped(["a", "b", "c"], np.repeat([0, 1, 2], 50), groups=3, pool=3)
    found = compare_means(np.arange(150.0), divided, 2, ("longer", "shorter"))
    assert (found.comparisons, found.confidence) == (3, pytest.approx(1 - 0.05 / 3))
    row = found.rows[0]
    expected = stats.ttest_ind(np.arange(50.0), np.arange(50.0, 150.0), equal_var=False).confidence_interval(
        1 - 0.05 / 3
    )
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_the_gap_between_two_groups_of_one_size_is_not_said_to_be_one() -> None:
    even = representation(Grouped(["a", "b"], np.repeat([0, 1], 40), groups=2, pool=2))
    found = gap(even, 80)
    assert found and found["points"] == 0
    assert found["low"] < 0 < found["high"]
    assert gap(even[:1], 80) is None


# --- which rows count ------------------------------------------------------------------------------------------------


def test_a_repeated_text_counts_once_whatever_its_case_and_punctuation() -> None:
    rows = [{"text": text} for text in ("She left.", "she LEFT", "She  left!", "He left.")]
    found = report(rows, facet(lexicon="gender"))["facets"][0]
    assert (found["rows"], found["texts"]) == (4, 2)
    assert [row["n"] for row in found["groups"]] == [1, 1, 0, 0]


LONG = "text that is long enough to be one, not a value"


def test_rows_of_a_column_s_groups_repeat_when_their_longest_text_and_their_value_do() -> None:
    texts = [("f", f"a {LONG}, said"), ("f", f"A {LONG}: said"), ("m", f"a {LONG}, said")]
    rows = [{"group": group, "text": text, "id": str(number)} for number, (group, text) in enumerate(texts)]
    found = report(rows, facet(column="group"))["facets"][0]
    assert (found["text"], found["rows"], found["texts"]) == ("text", 3, 2)


def test_rows_of_short_values_repeat_when_all_their_values_do() -> None:
    rows = [{"group": "f", "score": score} for score in ("1", "-1", "1", "2")]
    found = report(rows, facet(column="group"), max_rows=9)["facets"][0]
    assert (found["text"], found["texts"], found["sentiment"]) == (None, 3, None)


def test_the_order_of_rows_changes_no_byte() -> None:
    rows: list[Row] = [{**row, "text": f"{row['text']} Day {day % 9}."} for row in SMALL for day in range(20)]
    rows = [{**row, "note": row["note"] + " more" * (number % 7)} for number, row in enumerate(rows)]
    asked = facet(lexicon="gender", length_of="note", label="section")
    texts = set()
    for seed in range(4):
        random.Random(seed).shuffle(rows)
        texts.add(json.dumps(report(rows, asked, max_rows=25), sort_keys=True))
    assert len(texts) == 1


def test_sentiment_is_measured_on_at_most_so_many_texts() -> None:
    rows = [{"text": f"She liked number {number}."} for number in range(50)]
    asked = facet(lexicon="gender")
    assert report(rows, asked, max_rows=30)["facets"][0]["sentiment"]["texts"] == 30
    assert report(rows, asked, max_rows=0)["facets"][0]["sentiment"] is None


def test_the_sentiment_of_a_text_is_the_mean_over_its_sentences() -> None:
    score = scorer()
    good, bad = score("This is great!"), score("This is awful.")
    assert good > 0 > bad
    assert score("This is great! This is awful.\nIt is Tuesday.") == pytest.approx((good + bad) / 3)
    assert score(" \n ") == 0.0


# --- groups ----------------------------------------------------------------------------------------------------------


def test_only_whole_words_count() -> None:
    assert mentioned("The theatre, then.", "Hershey is there.", "A human error.", "René and Mariá") == ["none"] * 4


def test_pronouns_count_in_any_case_and_before_an_apostrophe() -> None:
    assert mentioned("SHE left", "she's here", "He\N{RIGHT SINGLE QUOTATION MARK}d gone", "(his)") == [
        "female", "female", "male", "male"
    ]  # fmt: skip


def test_names_count_with_a_capital_and_their_possessive() -> None:
    assert mentioned("Mary's notes", "John, wait", "mary johns", "Anna-Marie", "Mrs Jones", "Ms. Hall", "MS") == [
        "female", "male", "none", "female", "female", "female", "none"
    ]  # fmt: skip


def test_names_that_are_common_words_or_places_do_not_count() -> None:
    text = "Will Grace mark May? Rose, Frank, Joy and Chase bill April in Charlotte, Virginia, near Jordan and Paris."
    assert mentioned(text) == ["none"]


def test_a_text_with_terms_of_two_groups_is_several() -> None:
    assert mentioned("She told him.", "Mary and John") == ["several", "several"]


def test_terms_of_several_words_count_over_any_space() -> None:
    names, codes = groups_in(pa.chunked_array([["two old\n men", "old. Men"]]), load_lexicon("age"))
    assert [names[code] for code in codes] == ["older person", "none"]


def test_the_gender_lexicon_gives_both_groups_the_same_chance() -> None:
    female, male = load_lexicon("gender").groups.values()
    assert len(female.names) >= 100 and len(male.names) >= 100
    assert abs(len(female.words) - len(male.words)) <= 5


def test_rare_values_are_one_and_no_value_is_none() -> None:
    values = [f"v{number:02}" for number in range(MOST + 5) for _ in range(50 - number)] + [" ", ""]
    found = by_value(values, None)
    assert found.names == [*(f"v{number:02}" for number in range(MOST)), "other (5 more values)", "(no value)"]
    assert (found.groups, found.pool) == (MOST, MOST + 1)
    assert np.bincount(found.codes)[-2:].tolist() == [sum(50 - number for number in range(MOST, MOST + 5)), 2]


def test_private_data_show_no_value() -> None:
    rows: list[Row] = [
        {
            "text": f"Text {number}",
            "ward": ("Zebra", "Okapi")[number % 3 == 0],
            "section": f"secret {number % 2}",
            "note": "x",
        }
        for number in range(60)
    ]
    asked = facet(facet="ward", column="ward", length_of="note", label="section")
    private, shown = (json.dumps(report(rows, asked, private=hide, max_rows=9)) for hide in (True, False))
    assert all(word in shown for word in ("Zebra", "Okapi", "secret"))
    assert not any(word in private for word in ("Zebra", "Okapi", "secret"))
    assert all(word in private for word in ("group 1", "group 2", "label 1"))
    assert "'group 1' and 33.3% 'group 2'" in private


def test_the_largest_label_differences_are_listed_those_that_exclude_0_first() -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 3, 3000)
    labels = np.where((codes == 0) & (rng.random(3000) < 0.3), 0, rng.integers(1, 8, 3000))
    divided = Grouped(["a", "b", "c"], codes, 3, 3)
    found = compare_labels(Grouped([f"l{place}" for place in range(8)], labels, 8, 8), divided, 20)
    assert found.comparisons == len(found.rows) == 24 > LARGEST
    assert (found.rows[0]["label"], found.rows[0]["group"], found.rows[0]["verdict"]) == ("l0", "a", "more often")
    seen = [row["verdict"] != "no difference seen" for row in found.rows]
    assert seen == sorted(seen, reverse=True)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lexicon": "gendre"}, "'gendre' is no lexicon. Did you mean 'gender'? Known: age, gender."),
        ({"source": "letters"}, "names source 'letters'; the sources are: notes."),
        ({"column": "txt"}, "names column 'txt'; the columns of 'notes' are: note, section, text."),
        ({"label": "_row"}, "names column '_row'"),
    ],
)
def test_a_facet_of_what_is_not_there_is_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(ParamsError, match=re.escape(message)):
        report([{**row, "_row": "1"} for row in SMALL], facet(**given))


GOOD = {
    "name": "test",
    "version": 1,
    "origin": "us",
    "groups": {"a": {"words": ["x"], "names": []}, "b": {"words": ["y"], "names": []}},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b": {"words": ["X"], "names": []}}, "'x' is listed twice (in a and b)"),
        ({"b": {"words": ["y", "y"], "names": []}}, "'y' is listed twice (in b)"),
        ({"b": {"words": [], "names": ["Xx", "y"]}}, "'y' is among the names of 'b' without a capital"),
        ({"b": {"words": [], "names": []}}, "group 'b' has no term"),
        ({"b": {"words": ["y"], "names": [], "nouns": []}}, "'groups.b.nouns' is not a key"),
        ({"b": {"words": ["y|.*"], "names": []}}, "'y|.*' (groups.b.words.0) is no term"),
        ({"b": {"words": ["y"]}}, "'groups.b.names': Field required"),
        ({"none": {"words": ["z"], "names": []}}, "no group may be called 'none'"),
    ],
)  # fmt: skip
def test_a_lexicon_that_does_not_tell_its_groups_apart_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    lexicon = {**GOOD, "groups": {**GOOD["groups"], **change}}  # type: ignore[dict-item]
    (tmp_path / "test.yaml").write_text(json.dumps(lexicon))
    with pytest.raises(ParamsError, match=re.escape(message)) as refused:
        load_lexicon("test", tmp_path)
    assert str(refused.value).startswith("test.yaml: ")


@pytest.mark.parametrize("path", sorted(LEXICONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_lexicon_loads_and_says_where_it_comes_from(path: Path) -> None:
    assert len(load_lexicon(path.stem).origin) > 10


# --- any table, and real ones ----------------------------------------------------------------------------------------

CELL = st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["She left", "he", "Mary and John", "", "  "]))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(CELL, CELL, CELL), max_size=30), searched=st.booleans())
def test_any_table_gives_a_report_whose_groups_sum_to_its_texts(rows: list[Any], searched: bool) -> None:
    table = [{"text": text, "note": note, "section": section} for text, note, section in rows] or [{}]
    asked = facet(column="text" if searched else "section", lexicon="gender" if searched else None)
    asked = asked.model_copy(update={"length_of": "note", "label": "section"})
    whole = report([{"text": None, "note": None, "section": None, **row} for row in table], asked, max_rows=10)
    found = whole["facets"][0]
    assert sum(row["n"] for row in found["groups"]) == found["texts"] <= found["rows"]
    json.dumps(whole, allow_nan=False)
    page(whole)


def test_a_table_without_rows_has_nothing_that_stands_out() -> None:
    assert report([], facet(lexicon="gender", length_of="text"), max_rows=5)["findings"] == [
        "Nothing stands out: 0 comparisons, no interval that excludes 0."
    ]


@pytest.mark.skipif(not (SHARED / "mts_dialog").is_dir(), reason=f"{SHARED} is absent: no real data here")
def test_real_doctor_patient_dialogues_are_measured() -> None:
    (path,) = SHARED.glob("mts_dialog/*[Tt]rain*.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    asked = facet(column="dialogue", lexicon="gender", length_of="section_text", label="section_header")
    found = report(rows, asked, min_rows=20, max_rows=300)["facets"][0]
    assert (found["rows"], found["texts"]) == (1201, 1199)
    by_name = {row["group"]: row["n"] for row in found["groups"]}
    assert min(by_name.values()) > 100
    assert found["length"]["comparisons"] == 1
    assert {row["verdict"] for row in found["labels"]["rows"]} <= {"more often", "less often", "no difference seen"}


# --- the page --------------------------------------------------------------------------------------------------------


def page(bias: Row) -> str:
    """The part of the data page."""
    folder = FileSystemLoader(ROOT / "tasks" / "report")
    environment = Environment(loader=folder, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("bias.html.j2").render(bias=drawn(bias))


def test_the_page_shows_every_group_escapes_values_and_reaches_no_host() -> None:
    rows: list[Row] = [
        {
            "text": f"Text {n} on what was seen and done there",
            "ward": ("<script>x</script>", "B & C")[n % 2],
            "note": "w " * (n % 2 + n % 3),
        }
        for n in range(60)
    ]
    html = page(report(rows, facet(facet="ward", column="ward", length_of="note", label="note"), max_rows=60))
    assert "<script" not in html and "http" not in html
    assert "&lt;script&gt;" in html and "B &amp; C" in html
    assert html.count("<circle") >= 4
    assert "▲ longer" in html and "▼ shorter" in html


def test_a_drawing_has_its_interval_where_the_axis_says() -> None:
    bias = report(SMALL, facet(lexicon="gender", length_of="note"))
    axes = drawn(bias)["facets"][0]["axes"]
    low, high = (bias["facets"][0]["length"]["rows"][0][end] for end in ("low", "high"))
    assert 0 <= axes["length"].share(low) < axes["length"].share(0.0) < axes["length"].share(high) <= 1
    assert axes["labels"] is None
