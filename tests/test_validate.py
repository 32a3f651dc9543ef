"""validate: no row is lost, none is changed in silence, and what may not be used stops the pipeline."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tasks import fetch, validate
from tasks.data.expectations import judge
from tasks.data.files import Row, read_rows, write_json
from tasks.data.records import read_records
from tasks.errors import DataError, ParamsError
from tasks.params import load
from tasks.validate import Table

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ["id", "text", "label"]


def planted(path: Path, content: bytes, columns: list[str] | None = None) -> tuple[list[Row], dict[int, str]]:
    """The records of a file of these bytes, and the rule that set each other row aside, by row number."""
    path.write_bytes(content)
    records, aside = read_records(path, columns or COLUMNS)
    assert all(row.keys() == {"row", "rule", "reason", "raw"} for row in aside)
    return records, {row["row"]: row["rule"] for row in aside}


def test_every_row_of_a_csv_file_is_a_record_or_set_aside_with_its_number_and_reason(tmp_path: Path) -> None:
    content = (
        b"\xef\xbb\xbfid,text,label\r\n"  # a byte order mark, and CRLF
        b'1,"two\r\nlines, a comma and a ""quote""",a\r\n'
        b"2,a nul \0 here,a\r\n"
        b"3,caf\xe9,a\r\n"  # Latin-1
        b"4,too,many,cells\r\n"
        b"5,too few\r\n"
        b"6,None,N/A\r\n"
        b"7,null,\r\n"
        b"8,caf\xc3\xa9 \xe2\x80\xa8 nan,a"  # a line separator inside, and no end of line
    )
    records, aside = planted(tmp_path / "a.csv", content)
    assert aside == {2: "nul", 3: "utf8", 4: "columns", 5: "columns"}
    assert records == [
        {"row": 1, "id": "1", "text": 'two\r\nlines, a comma and a "quote"', "label": "a"},
        {"row": 6, "id": "6", "text": "None", "label": "N/A"},
        {"row": 7, "id": "7", "text": "null", "label": ""},
        {"row": 8, "id": "8", "text": "café \u2028 nan", "label": "a"},
    ]


def test_every_line_of_a_jsonl_file_is_a_record_or_set_aside_with_its_number_and_reason(tmp_path: Path) -> None:
    lines = [
        b'{"id": 1, "text": "one \xe2\x80\xa8 line", "label": "None"}',  # U+2028 as it is
        b'{"id": 2, "text": "cut off',
        b'["a", "list"]',
        b'{"id": 4, "text": "no label"}',
        b'{"id": 5, "text": null, "label": "a"}',
        b'{"id": 6, "text": "caf\xe9", "label": "a"}',
        b'{"id": 7, "text": "a nul \\u0000 escaped", "label": "a"}',
        b'{"id": 8, "text": "half a pair \\ud800", "label": "a"}',
        b"",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 5000 + b', "text": "a huge number", "label": "a"}',
        b'{"id": 12, "text": "null", "label": {"nested": [1, true]}, "more": "not needed \\ud800"}',
    ]
    records, aside = planted(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\r\n")
    assert aside == {
        2: "json",
        3: "json",
        4: "missing",
        5: "missing",
        6: "utf8",
        7: "nul",
        8: "utf8",
        9: "json",
        10: "json",
        11: "json",
    }
    assert records == [
        {"row": 1, "id": "1", "text": "one \u2028 line", "label": "None"},
        {"row": 12, "id": "12", "text": "null", "label": '{"nested": [1, true]}'},
    ]


def test_every_row_of_a_parquet_file_is_a_record_or_set_aside_with_its_number_and_reason(tmp_path: Path) -> None:
    texts, labels = ["plain", None, "a nul \0 here", "N/A"], [["x"], ["y"], ["z"], ["ü"]]
    table = pa.table({"id": [1, 2, 3, 4], "text": texts, "label": labels, "more": [1, 2, 3, 4]})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    records, aside = planted(path, path.read_bytes())
    assert aside == {2: "missing", 3: "nul"}
    assert records == [
        {"row": 1, "id": "1", "text": "plain", "label": '["x"]'},
        {"row": 4, "id": "4", "text": "N/A", "label": '["ü"]'},
    ]


def faulty_lines(kind: str, seed: int) -> tuple[bytes, dict[str, int]]:
    """A file of 300 rows with faults in places drawn by `seed`, and how many of each were planted."""
    draw = random.Random(seed)
    faults = {
        ".csv": {"": b"%d,good text,a", "nul": b"%d,a\0b,a", "utf8": b"%d,\xff,a", "columns": b"%d,short"},
        ".jsonl": {
            "": b'{"id": %d, "text": "t", "label": "a"}',
            "json": b'{"id": %d',
            "missing": b'{"id": %d, "text": "t"}',
            "utf8": b'{"id": %d, "\xff": 1}',
        },
    }[kind]
    drawn = [draw.choice(list(faults)) for _ in range(300)]
    lines = [faults[fault] % number for number, fault in enumerate(drawn, start=1)]
    header = [b"id,text,label"] if kind == ".csv" else []
    return b"\n".join([*header, *lines]), {fault: drawn.count(fault) for fault in faults}


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
@pytest.mark.parametrize("seed", range(5))
def test_rows_in_are_rows_valid_and_rows_quarantined_wherever_the_faults_are(
    tmp_path: Path, kind: str, seed: int
) -> None:
    content, planted_faults = faulty_lines(kind, seed)
    (tmp_path / f"a{kind}").write_bytes(content)
    valid, bad, _ = validate.validate_source([tmp_path / f"a{kind}"], Table(columns=COLUMNS, rules=[]))
    ledger = validate.account(valid, bad)
    assert ledger["rows_in"] == 300 == len({row["row"] for row in valid + bad})
    assert ledger["rows_valid"] == planted_faults.pop("")
    assert ledger["by_rule"] == dict(sorted(planted_faults.items()))


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    unix, windows = b'id,text,label\n1,"a",b\n2,c,d\n', b'id,text,label\r\n1,"a",b\r\n2,c,d\r\n'
    assert planted(tmp_path / "unix.csv", unix) == planted(tmp_path / "windows.csv", windows)


def test_a_field_of_ten_million_characters_is_read(tmp_path: Path) -> None:
    records, aside = planted(tmp_path / "a.csv", b"id,text,label\n1," + b"x" * 10_000_000 + b",a\n")
    assert (len(records[0]["text"]), aside) == (10_000_000, {})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b'id,text,label\n1,good,a\n2,"never closed,a\n3,good,a\n', "a.csv: the row that starts on line 3 "),
        ("a.csv", b'id,text,label\n1,"two\nlines",a\n2,"never closed,a\n3,"b",a\n', "the row that starts on line 4 "),
        ("a.csv", b'id,"text,label\n1,good,a\n', "a.csv: the row that starts on line 1 cannot be read"),
        ("a.csv", b"id,txt,label\n1,good,a\n", "a.csv has no column 'text'; its columns are: id, txt, label. Correct"),
        ("a.csv", b"id,text,text,label\n1,good,other,a\n", "a.csv has several columns called text"),
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", "id,text,label\n1,a,b\n".encode("utf-16"), "a.csv is UTF-16"),
        ("a.jsonl", '{"id": 1}\n'.encode("utf-16"), "a.jsonl is UTF-16"),
        ("a.jsonl", b'{"id": 1, "txt": 1}\n{"id": 2, "label": 1}\n', "no column 'text'; its columns are: id, lab"),
        ("a.parquet", b"PAR1 and nothing else", "a.parquet is damaged or no Parquet file"),
        ("a.parquet", b"", "a.parquet is damaged or no Parquet file"),
        ("a.xlsx", b"PK", "a.xlsx: '.xlsx' cannot be read; Luthier reads .csv, .jsonl, .parquet."),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_as_a_whole_is_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError) as error:
        planted(tmp_path / name, content)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_parquet_file_lacks_a_column_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "txt": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet has no column 'text', 'label'; its columns are: id, txt."):
        read_records(tmp_path / "a.parquet", COLUMNS)


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_truncated_parquet_file_is_damaged(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({column: [f"{column} {number}" for number in range(500)] for column in COLUMNS}), path)
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"a.parquet is damaged"):
        planted(path, whole[: int(len(whole) * keep)])


def test_a_flipped_bit_in_a_parquet_file_with_checksums_is_damage_and_not_another_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({column: [f"{column} {number}" for number in range(500)] for column in COLUMNS})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"text 250") + 5] ^= 1
    with pytest.raises(DataError, match=r"a.parquet is damaged"):
        planted(path, bytes(content))


# Rules


ROWS: list[Row] = [
    {"file": "a.csv", "row": number, "id": f"{number % 9}", "text": "x" * number, "label": "a"}
    for number in range(1, 11)
]
UNIQUE = {"rule": "expect_column_values_to_be_unique", "column": "id"}
LENGTH = {"rule": "expect_column_value_lengths_to_be_between", "column": "text"}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({**UNIQUE, "rule": "expect_column_values_to_be_uniq"}, "rule (near names: expect_column_values_to_be_unique"),
        ({"rule": "nothing of the sort"}, "'nothing of the sort' is no Great Expectations rule"),
        ({"column": "id"}, "'None' is no Great Expectations rule"),
        ({**UNIQUE, "colum": "id"}, "rule expect_column_values_to_be_unique with {'column': 'id', 'colum': 'id'}:"),
        ({**UNIQUE, "mostly": 2}, "less than or equal to 1"),
        ({**LENGTH, "min_value": 1, "severity": "fatal"}, "permitted: 'critical', 'warning', 'info'"),
        ({**LENGTH, "column": "txt", "min_value": 1}, "rule expect_column_value_lengths_to_be_between cannot be run: "),
        ({**UNIQUE, "column": "txt", "severity": "warning"}, "rule expect_column_values_to_be_unique cannot be run: "),
        ({**UNIQUE, "rule": "expect_column_values_to_match_regex", "regex": "("}, "_match_regex cannot be run: "),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_applied_is_refused_and_never_counts_as_kept_or_broken(rule: Row, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        judge(ROWS, COLUMNS, [rule])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_row_carries_every_critical_rule_that_it_breaks_and_counts_once() -> None:
    rules = [
        {**LENGTH, "min_value": 3, "mostly": 0.5},
        {"rule": "expect_column_values_to_be_unique", "column": "id", "mostly": 0.5},
    ]
    valid, bad = validate.split_rows(ROWS, judge(ROWS, COLUMNS, rules))
    assert [row["row"] for row in bad] == [1, 2, 10]
    assert (
        bad[0]["reason"]
        == "breaks expect_column_value_lengths_to_be_between text, expect_column_values_to_be_unique id"
    )
    assert bad[2]["rule"] == "expect_column_values_to_be_unique id"
    assert len(valid) == 7


def test_a_rule_about_two_columns_names_its_rows_like_one_about_one_column() -> None:
    rows = [{**row, "label": row["text"] if row["row"] != 4 else "other"} for row in ROWS]
    (verdict,) = judge(
        rows,
        COLUMNS,
        [{"rule": "expect_column_pair_values_to_be_equal", "column_A": "text", "column_B": "label", "mostly": 0.5}],
    )
    assert verdict.passed
    assert [rows[position]["row"] for position in verdict.broken_by] == [4]


def table(*rules: Row) -> Row:
    return {"columns": COLUMNS, "rules": list(rules)}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fetched source of 20 rows, of which one is broken."""
    monkeypatch.chdir(tmp_path)
    Path("data/raw/mine").mkdir(parents=True)
    lines = [f"{number},text {number},{'a' * number}" for number in range(1, 20)]
    Path("data/raw/mine/mine.csv").write_text("\n".join(["id,text,label", *lines, "20,too few"]))
    write_json(Path("data/raw/manifest.json"), {"sources": {"mine": {"files": ["mine.csv"]}}})
    return tmp_path


def run(*rules: Row, max_quarantined: float = 0.25, **sources: Row) -> Row:
    section = {"max_quarantined": max_quarantined, "sources": sources or {"mine": table(*rules)}}
    Path("params.yaml").write_text(yaml.safe_dump({"validate": section}))
    validate.main(Path("data/raw"), Path("data/valid"), Path("data/quarantine"), Path("reports/validation.json"))
    return dict(json.loads(Path("reports/validation.json").read_text()))


def refusal(*rules: Row, **kwargs: Any) -> str:
    with pytest.raises((DataError, ParamsError)) as error:
        run(*rules, **kwargs)
    assert not Path("data/valid").exists()
    assert not Path("data/quarantine").exists()
    assert not Path("reports/validation.json").exists()
    assert not list(Path().rglob("*.partial"))
    return str(error.value)


@pytest.mark.usefixtures("project")
def test_the_report_and_the_files_tell_the_same() -> None:
    report = run({**LENGTH, "column": "label", "min_value": 2, "mostly": 0.9})
    valid, bad = read_rows(Path("data/valid/mine.jsonl")), read_rows(Path("data/quarantine/mine.jsonl"))
    assert (
        (report["rows_in"], report["rows_valid"], report["rows_quarantined"])
        == (20, len(valid), len(bad))
        == (20, 18, 2)
    )
    assert report["by_rule"] == {"columns": 1, "expect_column_value_lengths_to_be_between label": 1}
    assert [(row["row"], row["rule"]) for row in bad] == [
        (20, "columns"),
        (1, "expect_column_value_lengths_to_be_between label"),
    ]
    assert valid[0] == {"file": "mine.csv", "row": 2, "id": "2", "text": "text 2", "label": "aa"}
    assert all("reason" in row and "raw" in row for row in bad)


@pytest.mark.usefixtures("project")
def test_a_warning_only_counts() -> None:
    report = run({**LENGTH, "column": "label", "min_value": 15, "severity": "warning"})
    assert report["rows_valid"] == 19
    (rule,) = report["sources"]["mine"]["rules"]
    assert (rule["severity"], rule["passed"], rule["observed"]) == ("warning", False, "14 rows break it")


@pytest.mark.usefixtures("project")
def test_a_critical_rule_that_fails_is_named_with_what_was_observed() -> None:
    assert "source 'mine' fails expect_table_row_count_to_be_between (observed 19)" in refusal(
        {"rule": "expect_table_row_count_to_be_between", "min_value": 50}
    )
    assert "fails expect_column_value_lengths_to_be_between label (14 rows break it)" in refusal(
        {**LENGTH, "column": "label", "min_value": 15}
    )
    assert "(unexpected" in refusal(
        {"rule": "expect_column_distinct_values_to_be_in_set", "column": "label", "value_set": ["a"]}
    )


@pytest.mark.usefixtures("project")
def test_too_many_quarantined_rows_stop_the_pipeline() -> None:
    said = refusal(max_quarantined=0.04)
    assert (
        "source 'mine': 5% of its rows are quarantined ({'columns': 1}), more than validate.max_quarantined = 4%."
        in said
    )
    assert "'validate.max_quarantined' = 5" in refusal(max_quarantined=5)


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("content", ["id,text,label\n", "id,text,label", "id,text,label\n1,too few\n"])
def test_a_table_without_a_valid_row_is_refused(content: str) -> None:
    Path("data/raw/mine/mine.csv").write_text(content)
    assert "source 'mine' has no valid row" in refusal()


@pytest.mark.usefixtures("project")
def test_sources_that_only_one_section_names_are_refused() -> None:
    with pytest.raises(ParamsError, match=r"fetch\.sources and validate\.sources differ in mime, mine\."):
        run(mime=table())


@pytest.mark.usefixtures("project")
def test_the_same_input_gives_the_same_bytes_and_a_failed_run_leaves_the_old_ones() -> None:
    def everything() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes()
            for folder in ("data/valid", "data/quarantine", "reports")
            for path in Path(folder).rglob("*.json*")
        }

    rule = {**LENGTH, "column": "label", "min_value": 2, "mostly": 0.9}
    run(rule)
    first = everything()
    run(rule)
    assert everything() == first
    assert len(first) == 3
    with pytest.raises(DataError):
        run({**LENGTH, "column": "label", "min_value": 15})
    assert everything() == first


def test_the_default_s_ledger_is_2321_rows_in_2286_valid_and_35_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    sources = load("fetch", fetch.Fetch).sources
    write_json(Path("raw/manifest.json"), fetch.fetch_sources(sources, Path("raw")))
    validate.main(Path("raw"), Path("valid"), Path("quarantine"), Path("validation.json"))
    report = json.loads(Path("validation.json").read_text())
    assert (report["rows_in"], report["rows_valid"], report["rows_quarantined"]) == (2321, 2286, 35)
    assert sum(report["by_rule"].values()) == 35
    for name in sources:
        ledger = report["sources"][name]
        assert len(read_rows(Path(f"valid/{name}.jsonl"))) == ledger["rows_valid"]
        assert len(read_rows(Path(f"quarantine/{name}.jsonl"))) == ledger["rows_quarantined"]
