"""The data page asks nothing of other hosts, trusts no text, tells all parts, and with `private` quotes nothing."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from html_page import Page
from words import INPUTS, OUTPUTS, run, table, write_source

from tasks.accept import accept
from tasks.data.files import Row
from tasks.errors import DataError, ParamsError
from tasks.report.phrases import asked, asked_of_all
from tasks.report.shapes import histogram, label_rows

COLUMNS = ["id", "text", "label"]
SECRET = "zq9x"  # noqa: S105  (stands in every cell of the private source, with a number behind it)
LENGTH = {"rule": "expect_column_value_lengths_to_be_between", "column": "text"}
HOSTILE = "<script>alert('no')</script> http://example.org/x \u202eright to left <|im_start|>"
FACET = {"facet": "kind", "source": "mine", "column": "label", "lexicon": None, "length_of": "text", "label": "label"}


def csv(rows: list[tuple[str, str, str]], *broken: bytes) -> bytes:
    lines = [",".join(COLUMNS), *(f'{one},"{two}",{three}' for one, two, three in rows)]
    return "\n".join(lines).encode() + b"\n" + b"\n".join(broken)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(labels: str = "abc", length: int = 1) -> list[tuple[str, str, str]]:
    return [(f"r{n}", "some words " * length * (1 + n % 7) + str(n), labels[n % len(labels)]) for n in range(60)]


def page(*rules: Row, **others: Any) -> tuple[str, Page]:
    """A run on rows of which one is hostile, two are short and one cannot be read; the page and what is in it."""
    write_source(mine_csv=csv([*rows(), ("h", HOSTILE, "a"), ("s", "ab", "b"), ("t", "cd", "b")], b"only,two"))
    rules = rules or ({**LENGTH, "min_value": 5, "mostly": 0.9},)
    run({"mine": table(COLUMNS, *rules)}, bias={"max_rows": 100, "min_rows": 5, "facets": [FACET]}, **others)
    html = Path(OUTPUTS[4]).read_text()
    return html, Page(html)


def test_the_page_asks_nothing_of_another_host_and_runs_no_script() -> None:
    html, found = page()
    links = [given[name] for _, given in found.tags for name in ("src", "href", "srcset") if name in given]
    assert links
    assert all(str(link).startswith(("#", "data:")) for link in links)
    assert not re.search(r"url\(|@import|<script", html)
    assert not any(name.startswith("on") for _, given in found.tags for name in given)
    policy = [given["content"] for tag, given in found.tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]


def test_the_page_is_well_formed_and_its_links_lead_somewhere() -> None:
    _, found = page()
    assert found.open == []
    ids = [given["id"] for _, given in found.tags if "id" in given]
    assert len(ids) == len(set(ids))
    assert {f"#{name}" for name in ids} >= {given["href"] for tag, given in found.tags if tag == "a"}


def test_the_page_opens_with_the_ledger_in_a_sentence_and_shows_every_part() -> None:
    _, found = page()
    assert "61 of 64 rows may be trained on; 3 are set aside, each with its reason." in found.text
    parts = (
        "Every critical rule holds.", "No data was accepted yet", "has another number of cells than the header (1)",
        "text: 5 or more characters (2)", "text: 5 or more characters, in 90% of the rows or more", "kept by 96.8%",
        "expect_column_value_lengths_to_be_between", "identifier", "Control tokens in the text", "<|im_start|>",
        "Who is in the data", "mine.csv, row 64", "mine.csv, row 62: text", "2 characters", "only,two",
    )  # fmt: skip
    assert [part for part in parts if part not in found.text] == []
    assert {"rect", "svg"} <= {tag for tag, _ in found.tags}


def test_what_stands_in_the_data_is_shown_as_text() -> None:
    html, found = page(
        {"rule": "expect_column_values_to_not_match_regex", "column": "text", "regex": "script", "mostly": 0.5}
    )
    assert HOSTILE in found.text
    assert "&lt;script&gt;alert(" in html
    assert "script" not in {tag for tag, _ in found.tags}


def test_samples_are_as_many_and_as_long_as_params_allow() -> None:
    write_source(mine_csv=csv([(f"r{n}", "long " * 100 + str(n), "a") for n in range(9)]))
    rule = {**LENGTH, "max_value": 5, "severity": "warning"}
    run({"mine": table(COLUMNS, rule)}, samples=2)
    found = Page(Path(OUTPUTS[4]).read_text())
    assert [tag for tag, _ in found.tags].count("article") == 2
    assert "characters more)" in found.text
    assert "9 rows, kept (warning)" in found.text
    assert "1 warning does not" in found.text
    run({"mine": table(COLUMNS, rule)}, samples=0)
    assert "article" not in {tag for tag, _ in Page(Path(OUTPUTS[4]).read_text()).tags}


def test_accepted_data_is_drawn_over_today_s_and_drift_is_named() -> None:
    drift = {"rule": "expect_column_lengths_not_to_drift", "column": "text", "threshold": 0.05, "severity": "warning"}
    values = {**drift, "rule": "expect_column_values_not_to_drift", "column": "label"}
    write_source(mine_csv=csv(rows()))
    run({"mine": table(COLUMNS, drift, values)})
    accept()
    write_source(mine_csv=csv(rows(labels="bcd", length=9)))
    run({"mine": table(COLUMNS, drift, values)})
    found = Page(Path(OUTPUTS[4]).read_text())
    assert (
        "2 warnings do not: text: lengths as in the accepted data; label: values as in the accepted data." in found.text
    )
    assert "The accepted data has 60." in found.text
    assert [tag for tag, _ in found.tags].count("polyline") == 2  # the text in characters and in tokens
    run({"mine": table(COLUMNS)})
    assert "Nothing has drifted" in Page(Path(OUTPUTS[4]).read_text()).text


# Private


def secret_rows() -> list[tuple[str, str, str]]:
    return [(f"{SECRET}i{n}", f"{SECRET}t{n} " * (2 + n % 9), f"{SECRET}l{n % 3}") for n in range(60)]


def write_secrets() -> None:
    again, short = secret_rows()[3], (f"{SECRET}i77", SECRET, f"{SECRET}l0")
    broken = (
        f"{SECRET}only,{SECRET}two".encode(), f"{SECRET},\xff,{SECRET}".encode("latin-1"),
        f"{SECRET}a,,{SECRET}b".encode(), f"{SECRET}c,{'x' * 2000}{SECRET},{SECRET}d".encode(),
    )  # fmt: skip
    write_source(mine_csv=csv([*secret_rows(), again, short], *broken))


PRIVATE_RULES: list[Row] = [
    {**LENGTH, "min_value": 8, "mostly": 0.9},
    {"rule": "expect_column_values_to_be_unique", "column": "id", "mostly": 0.9},
    {"rule": "expect_column_values_to_be_in_set", "column": "label", "value_set": [f"{SECRET}l0"], "severity": "warning"},
    {"rule": "expect_column_values_to_match_regex", "column": "text", "regex": f"^{SECRET}t1", "severity": "warning"},
    {"rule": "expect_column_distinct_values_to_be_in_set", "column": "label", "value_set": ["b"], "severity": "warning"},
    {"rule": "expect_column_distinct_values_to_contain_set", "column": "label", "value_set": ["b"], "severity": "warning"},
    {"rule": "expect_column_most_common_value_to_be_in_set", "column": "label", "value_set": ["b"], "severity": "warning"},
    {"rule": "expect_column_token_lengths_to_be_between", "column": "text", "max_value": 5, "severity": "warning"},
    {"rule": "expect_column_values_to_be_in_language", "column": "text", "languages": ["en"], "severity": "warning"},
    {"rule": "expect_column_lengths_not_to_drift", "column": "text", "threshold": 0.05, "severity": "warning"},
    {"rule": "expect_column_values_not_to_drift", "column": "label", "threshold": 0.05, "severity": "warning"},
]  # fmt: skip


def private_run(*rules: Row, **others: Any) -> Row:
    bias = {"max_rows": 100, "min_rows": 5, "facets": [FACET]}
    sources = {"mine": table(COLUMNS, *(rules or PRIVATE_RULES))}
    return run(sources, **{"private": True, "max_field_bytes": 1500, "bias": bias, **others})


def told(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    return said.out + said.err + "".join(Path(path).read_text() for path in OUTPUTS[2:])


def test_with_private_no_report_page_or_message_holds_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    write_secrets()
    report = private_run()
    assert report["by_rule"] == {
        "columns": 1, "empty": 1, "field_size": 1, "utf8": 1,
        "expect_column_value_lengths_to_be_between text": 1, "expect_column_values_to_be_unique id": 1,
    }  # fmt: skip
    kept = "".join(path.read_text() for folder in OUTPUTS[:2] for path in Path(folder).iterdir())
    assert kept.count(SECRET) > 200  # the files that hold the rows hold them
    assert SECRET not in told(capsys)
    accept()
    assert SECRET not in Path(INPUTS[2]).read_text()
    private_run()
    assert SECRET not in told(capsys)
    labels = report["sources"]["mine"]["profile"]["columns"]["label"]["labels"]
    assert [row["label"] for row in labels] == ["label 1", "label 2", "label 3"]


def test_the_same_rows_are_quoted_without_private_or_the_search_would_prove_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_secrets()
    private_run(private=False)
    for path in OUTPUTS[2:]:
        assert SECRET in Path(path).read_text(), path
    accept()
    assert SECRET in Path(INPUTS[2]).read_text()
    shutil.rmtree("reports")
    private_run()  # names that were accepted once are not told either
    assert SECRET not in told(capsys)


@pytest.mark.parametrize(
    "rule",
    [
        {"rule": "expect_column_distinct_values_to_be_in_set", "column": "label", "value_set": ["b"]},
        {"rule": "expect_column_max_to_be_between", "column": "id", "max_value": "a"},
        {"rule": "expect_column_sum_to_be_between", "column": "text", "min_value": 1},
        {"rule": "expect_column_mean_to_be_between", "column": "text", "min_value": 1},
        {"rule": "expect_column_values_to_be_between", "column": "text", "min_value": 1},
        {"rule": "expect_column_values_to_match_strftime_format", "column": "text", "strftime_format": "%Y"},
        {"rule": "expect_column_values_to_be_in_set", "column": "label", "value_set": [f"{SECRET}l0"], "mostli": 1},
        {**LENGTH, "min_value": 500},
    ],
)
def test_with_private_a_refusal_holds_no_value(rule: Row, capsys: pytest.CaptureFixture[str]) -> None:
    write_secrets()
    with pytest.raises((DataError, ParamsError)) as error:
        private_run(rule)
    said = capsys.readouterr()
    assert SECRET not in str(error.value) + said.out + said.err


def test_with_private_a_file_without_a_header_is_not_quoted() -> None:
    write_source(mine_csv="\n".join(",".join(row) for row in secret_rows()).encode())
    with pytest.raises(DataError, match=r"mine.csv cannot be read. Why is not shown") as error:
        private_run()
    assert SECRET not in str(error.value)
    assert "luthier validate data/raw/mine/mine.csv --columns id,text,label --out FOLDER" in str(error.value)


# Words and drawings


@pytest.mark.parametrize(
    ("rule", "expects", "said"),
    [
        ("expect_column_value_lengths_to_be_between text", {"min_value": 5, "max_value": 9}, "text: 5 to 9 characters"),
        ("expect_column_token_lengths_to_be_between text", {"max_value": 9}, "text: 9 or fewer tokens"),
        ("expect_table_row_count_to_equal", {"value": 9}, "9 rows"),
        ("expect_column_values_to_be_unique id", {"mostly": 0.99}, "id: no value twice, in 99% of the rows or more"),
        ("expect_column_values_to_be_in_set a", {"value_set": ["x", "y"]}, "a: one of x, y"),
        ("expect_column_values_to_be_in_set a", {}, "a: one of a set"),
        ("expect_column_values_to_match_regex a", {"regex": r"\d{3}"}, r"a: like \d{3}"),
        ("expect_column_to_exist a", {"column_index": 1}, "a: to exist column_index 1"),
        ("nul", {}, "holds a NUL character"),
    ],
)
def test_rules_are_told_in_a_reader_s_words(rule: str, expects: Row, said: str) -> None:
    assert asked_of_all(rule, expects) == said
    assert said.startswith(asked(rule, expects))


def test_a_histogram_stays_in_its_frame_and_counts_what_it_shows() -> None:
    drawing = histogram({"0": 1, "64": 8, "1024": 2}, {"128": 5})
    assert drawing is not None
    assert [bar["rows"] for bar in drawing["bars"]] == [1, 8, 2]
    assert all(bar["x"] >= 0 and bar["x"] + bar["width"] <= 250 and bar["height"] >= 0 for bar in drawing["bars"])
    assert all(0 <= x <= 250 for x, _ in drawing["ticks"])
    assert 2 <= len(drawing["ticks"]) <= 6
    assert histogram({}, {"8": 1}) is None
    assert histogram({"16777216": 1}, None) is not None


def test_labels_that_are_many_are_counted_and_not_all_drawn() -> None:
    labels = [{"label": f"l{number}", "rows": 40 - number} for number in range(30)]
    drawing = label_rows(labels, labels[:1])
    assert (len(drawing["rows"]), drawing["more"]) == (12, 18)
    assert drawing["longest"] == drawing["rows"][0]["accepted"] == 1.0


def test_the_report_is_what_other_readers_of_it_expect() -> None:
    page()
    report = json.loads(Path(OUTPUTS[2]).read_text())
    ledger = {"rows_in", "rows_valid", "rows_quarantined", "by_rule"}
    assert ledger <= report.keys()
    source = report["sources"]["mine"]
    assert source.keys() == ledger | {"rows_judged", "rules", "notes", "profile", "drift", "control_tokens"}
    assert source["control_tokens"] == {"text": {"<|im_start|>": {"times": 1, "rows": 1}}}
