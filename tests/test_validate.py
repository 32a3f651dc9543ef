"""validate: no row is lost, each that is set aside says why, and what may not be used stops the pipeline."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from words import INPUTS, OUTPUTS, run, table, write_source, write_tokenizer

from tasks import fetch, validate
from tasks.accept import accept
from tasks.data.files import Row, read_json, read_rows, write_json
from tasks.errors import DataError, ParamsError
from tasks.params import load

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["id", "text", "label"]
LENGTH = {"rule": "expect_column_value_lengths_to_be_between", "column": "label"}
UNIQUE = {"rule": "expect_column_values_to_be_unique", "column": "id"}
DRIFT = {"rule": "expect_column_lengths_not_to_drift", "column": "label", "threshold": 0.05}
CSV = "\n".join(["id,text,label", *(f"{n},text {n},{'a' * n}" for n in range(1, 20)), "20,too few"]).encode()
DEFAULT = (2321, 2281, 40)  # rows in, valid, quarantined


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fetched source of 20 rows, of which one is broken."""
    monkeypatch.chdir(tmp_path)
    write_source(mine_csv=CSV)
    return tmp_path


def mine(*rules: Row, **others: Any) -> dict[str, Row]:
    return {"mine": table(COLUMNS, *rules, **others)}


def refusal(sources: dict[str, Row], **others: Any) -> str:
    with pytest.raises((DataError, ParamsError)) as error:
        run(sources, **others)
    assert [path for path in OUTPUTS if Path(path).exists()] == []
    assert not list(Path().rglob("*.partial"))
    assert "\n" not in str(error.value)
    return str(error.value)


def everything() -> dict[str, bytes]:
    outputs = [file for path in OUTPUTS for file in (Path(path), *Path(path).rglob("*")) if file.is_file()]
    return {str(file): file.read_bytes() for file in outputs}


def test_the_report_and_the_files_tell_the_same() -> None:
    report = run(mine({**LENGTH, "min_value": 2, "mostly": 0.9}))
    valid, bad = read_rows(Path("data/valid/mine.jsonl")), read_rows(Path("data/quarantine/mine.jsonl"))
    assert (report["rows_in"], report["rows_valid"], report["rows_quarantined"]) == (20, 18, 2)
    assert (len(valid), len(bad)) == (18, 2)
    assert report["by_rule"] == {"columns": 1, "expect_column_value_lengths_to_be_between label": 1}
    assert [(row["row"], row["rule"]) for row in bad] == [
        (1, "expect_column_value_lengths_to_be_between label"),
        (20, "columns"),
    ]
    assert valid[0] == {
        "_file": "mine.csv", "_row": 2, "_byte_offset": CSV.index(b"2,text 2"), "id": "2", "text": "text 2", "label": "aa",
    }  # fmt: skip
    for row in bad:
        raw = base64.b64decode(row["raw_base64"])
        assert CSV[row["byte_offset"] :].startswith(raw)
        assert raw.decode() == row["raw"]


def test_a_row_carries_every_critical_rule_that_it_breaks_and_counts_once() -> None:
    write_source(mine_csv=b"id,text,label\n1,a,aaaa\n2,b,a\n1,c,a\n1,d,aaaa\n")
    report = run(mine({**LENGTH, "min_value": 3, "mostly": 0.1}, {**UNIQUE, "mostly": 0.1}), max_quarantined=0.9)
    bad = {row["row"]: (row["rule"], row["reason"]) for row in read_rows(Path("data/quarantine/mine.jsonl"))}
    length, unique = "expect_column_value_lengths_to_be_between label", "expect_column_values_to_be_unique id"
    assert bad == {
        2: (length, f"breaks {length}"), 3: (length, f"breaks {length}, {unique}"), 4: (unique, f"breaks {unique}"),
    }  # fmt: skip
    assert report["by_rule"] == {length: 2, unique: 1}


def test_rows_of_several_files_keep_their_file_and_order() -> None:
    write_source(one_csv=b"id,text,label\n1,a,x\n2,b\n3,c,toolong\n", two_jsonl=b'{"id":1,"text":"d","label":"x"}\n{\n')
    run(mine({**LENGTH, "max_value": 3, "mostly": 0.1}, {**UNIQUE, "mostly": 0.1}), max_quarantined=0.9)
    bad = [(row["file"], row["row"], row["raw"]) for row in read_rows(Path("data/quarantine/mine.jsonl"))]
    assert bad == [
        ("one.csv", 2, "2,b"), ("one.csv", 3, "3,c,toolong"),
        ("two.jsonl", 1, '{"id":1,"text":"d","label":"x"}'), ("two.jsonl", 2, "{"),
    ]  # fmt: skip
    assert [row["_file"] for row in read_rows(Path("data/valid/mine.jsonl"))] == ["one.csv"]


def test_a_warning_only_counts() -> None:
    report = run(mine({**LENGTH, "min_value": 15, "severity": "warning"}))
    assert report["rows_valid"] == 19
    (rule,) = report["sources"]["mine"]["rules"]
    assert (rule["severity"], rule["passed"], rule["rows_breaking"]) == ("warning", False, 14)
    assert rule["observed"] == "14 rows break it"


def test_a_critical_rule_that_fails_is_named_with_what_was_observed() -> None:
    rows = {"rule": "expect_table_row_count_to_be_between", "min_value": 50}
    assert "source 'mine' fails expect_table_row_count_to_be_between (observed 19)" in refusal(mine(rows))
    assert "fails expect_column_value_lengths_to_be_between label (14 rows break it)" in refusal(
        mine({**LENGTH, "min_value": 15})
    )
    values = {"rule": "expect_column_distinct_values_to_be_in_set", "column": "label", "value_set": ["a"]}
    assert "(unexpected" in refusal(mine(values))


def test_too_many_quarantined_rows_stop_the_pipeline() -> None:
    assert (
        "source 'mine': 5% of its rows are quarantined ({'columns': 1}), more than validate.max_quarantined = 4%."
    ) in refusal(mine(), max_quarantined=0.04)
    assert "'validate.max_quarantined' = 5" in refusal(mine(), max_quarantined=5)


@pytest.mark.parametrize("content", [b"id,text,label\n", b"id,text,label", b"id,text,label\n1,too few\n"])
def test_a_table_without_a_valid_row_is_refused(content: bytes) -> None:
    write_source(mine_csv=content)
    assert "source 'mine' has no valid row" in refusal(mine())


def test_a_table_of_which_rules_leave_nothing_is_refused() -> None:
    assert "source 'mine' has no valid row (20 read)" in refusal(
        mine({**LENGTH, "min_value": 99, "mostly": 0.0}, DRIFT)
    )


def test_sources_that_only_one_section_names_are_refused() -> None:
    assert "fetch.sources and validate.sources differ in mime, mine." in refusal({"mime": table(COLUMNS)})


@pytest.mark.parametrize("change", [lambda raw: raw + b"\n21,one,more", lambda raw: raw.replace(b"text 5", b"text 6")])
def test_bytes_other_than_those_that_were_fetched_are_refused_with_the_file(change: Any) -> None:
    Path("data/raw/mine/mine.csv").write_bytes(change(CSV))
    said = refusal(mine())
    assert "source 'mine': data/raw/mine/mine.csv no longer has the sha256 that it was fetched with" in said


def test_a_manifest_without_a_sha256_vouches_for_nothing() -> None:
    write_json(Path("data/raw/manifest.json"), {"sources": {"mine": {"files": ["mine.csv"]}}})
    assert "no longer has the sha256" in refusal(mine())


def test_as_many_rows_as_the_maker_says_must_be_there_read_or_not() -> None:
    assert run(mine(rows=20))["rows_in"] == 20
    shutil.rmtree("data/valid")
    shutil.rmtree("data/quarantine")
    shutil.rmtree("reports")
    assert "source 'mine' holds 20 rows, but validate.sources.mine.rows in params.yaml is 21: is a part" in refusal(
        mine(rows=21)
    )


def test_a_column_that_may_be_empty_must_be_a_column() -> None:
    assert "'validate.sources.mine.may_be_empty'" in refusal(mine(may_be_empty=["txt"]))
    write_source(mine_csv=b"id,text,label\n1,a,\n2,,b\n")
    assert run(mine(may_be_empty=["label"]), max_quarantined=0.5)["by_rule"] == {"empty": 1}


def test_without_the_base_model_s_tokenizer_the_step_says_what_to_run() -> None:
    Path(INPUTS[1]).unlink()
    assert "tokenizer.json is not there: lengths in tokens are counted by it. Run the steps in order" in refusal(mine())


def test_the_same_input_gives_the_same_bytes_and_a_failed_run_leaves_the_old_ones() -> None:
    rules = [{**LENGTH, "min_value": 2, "mostly": 0.9}, {**DRIFT, "severity": "warning"}]
    run(mine(*rules))
    first = everything()
    run(mine(*rules))
    assert everything() == first
    assert len(first) == 5
    with pytest.raises(DataError):
        run(mine({**LENGTH, "min_value": 15}))
    assert everything() == first


# Accepting


def test_accepted_data_is_what_later_data_is_compared_with() -> None:
    assert run(mine(DRIFT))["sources"]["mine"]["drift"] == {"accepted_rows": None, "drifted": []}
    said = accept()
    assert said.startswith("data/accepted.json: mine is accepted for the first time (19 rows). Commit it;")
    report = run(mine(DRIFT))
    assert report["sources"]["mine"]["drift"] == {"accepted_rows": 19, "drifted": []}
    longer = [f"{n},text {n},{'b' * (500 + n)}" for n in range(100)]
    write_source(mine_csv="\n".join(["id,text,label", *longer]).encode())
    with pytest.raises(DataError, match=r"fails expect_column_lengths_not_to_drift label \(divergence "):
        run(mine(DRIFT))
    report = run(mine({**DRIFT, "severity": "warning"}))
    assert report["sources"]["mine"]["drift"]["drifted"] == ["expect_column_lengths_not_to_drift label"]
    assert "mine is accepted anew (19 rows before, 100 now)" in accept()
    assert run(mine(DRIFT))["sources"]["mine"]["drift"]["drifted"] == []
    assert "mine is as it was" in accept()


def test_a_source_that_is_not_valid_in_the_report_keeps_the_profile_that_it_had() -> None:
    run(mine())
    accept()
    before = read_json(Path(INPUTS[2]))
    report = read_json(Path(OUTPUTS[2]))
    report["sources"] = {"other": report["sources"]["mine"]}
    write_json(Path(OUTPUTS[2]), report)
    said = accept()
    assert "other is accepted for the first time" in said
    assert "Left as it was, for want of a valid report: mine." in said
    assert read_json(Path(INPUTS[2]))["sources"]["mine"] == before["sources"]["mine"]
    report["sources"]["other"]["rules"] = [{"severity": "critical", "passed": False}]
    write_json(Path(OUTPUTS[2]), report)
    with pytest.raises(DataError, match=r"holds no valid source: there is nothing to accept"):
        accept()


def test_what_cannot_be_accepted_or_compared_is_one_sentence() -> None:
    with pytest.raises(DataError, match=r"reports/validation.json is not there yet"):
        accept()
    for content in ("{", "[]", '{"sources": {"mine": {}}}', '{"sources": 3}'):
        Path(INPUTS[2]).write_text(content)
        assert "data/accepted.json is not what 'luthier accept' writes" in refusal(mine())


# The default


def test_the_default_s_ledger_is_known_to_the_row(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    params = load("validate", validate.Validate)
    counted = {"expect_column_token_lengths_to_be_between"}  # by the base model's tokenizer, which is not here
    section = json.loads(params.model_dump_json())
    for source in section["sources"].values():
        source["rules"] = [rule for rule in source["rules"] if rule["rule"] not in counted]
    shutil.rmtree("data")
    sources = load("fetch", fetch.Fetch).sources
    write_json(Path("data/raw/manifest.json"), fetch.fetch_sources(sources, Path("data/raw")))
    write_tokenizer(Path(INPUTS[1]))
    report = run(**section)
    assert (report["rows_in"], report["rows_valid"], report["rows_quarantined"]) == DEFAULT
    assert sum(report["by_rule"].values()) == report["rows_quarantined"]
    for name in sources:
        ledger = report["sources"][name]
        assert len(read_rows(Path(f"data/valid/{name}.jsonl"))) == ledger["rows_valid"]
        assert len(read_rows(Path(f"data/quarantine/{name}.jsonl"))) == ledger["rows_quarantined"]
