"""The readers against every fault of a file that is known: each row is a record or set aside, and none moves another."""

import base64
import os
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data.files import Row
from tasks.data.intake import csv_blocks
from tasks.data.intake.csv_reader import read_csv
from tasks.data.intake.quarantine import account, set_aside_rows, total
from tasks.data.intake.records import Intake, Limits, joined, raw_of, read_records
from tasks.data.splits import normalise
from tasks.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LUTHIER_SHARED", ROOT.parent / "shared/data"))
COLUMNS = ["id", "text", "label"]
LIMITS = Limits(max_field_bytes=1_000_000, may_be_empty=frozenset({"label"}), whole=False)
WHOLE = Limits(max_field_bytes=1_000_000, may_be_empty=frozenset({"label"}), whole=True)
HEADER = b"id,text,label\n"
MARK = b"\xef\xbb\xbf"
UTF8 = "caf\u00e9".encode()


def read(path: Path, content: bytes, limits: Limits = LIMITS) -> Intake:
    path.write_bytes(content)
    return read_records(path, COLUMNS, limits)


def records(intake: Intake) -> list[Row]:
    """The records without their places, and with their numbers."""
    names = [name for name in intake.records.column_names if not name.startswith("_byte")]
    return list(intake.records.select(names).to_pylist())


def rules(intake: Intake) -> dict[int, str]:
    return {row["row"]: row["rule"] for row in intake.set_aside}


# What each file says, by its number in the fault table: the rows that are set aside; all others are records.
FAULTS: dict[str, tuple[str, bytes, int, dict[int, str]]] = {
    "B1 byte order mark": ("a.csv", MARK + HEADER + b"1,a,b\n", 1, {}),
    "B2 byte order mark": ("a.jsonl", MARK + b'{"id": 1, "text": "a", "label": "b"}\n', 1, {}),
    "B3 NUL": ("a.csv", HEADER + b"1,a\0,b\n2,a,b\n3,a,\0\n", 3, {1: "nul", 3: "nul"}),
    "B3 NUL in a line of JSON": ("a.jsonl", b'{"id": 1, "text": "\0", "label": ""}\n{"id": 2, "text": "\\u0000", "label": ""}\n', 2, {1: "nul", 2: "nul"}),
    "B4 CRLF, also in quotes": ("a.csv", b'id,text,label\r\n1,"two\r\nlines",b\r\n2,a,b\r\n', 2, {}),
    "B5 a field of 10 MB": ("a.csv", HEADER + b"1,a,b\n2," + b"x" * 10**7 + b",b\n3,a,b\n", 3, {2: "field_size"}),
    "B5 a field of 10 MB in JSON": ("a.jsonl", b'{"id": 1, "text": "' + b"x" * 10**7 + b'", "label": "b"}\n', 1, {1: "field_size"}),
    "B6 not UTF-8": ("a.csv", HEADER + b"1,caf\xe9,b\n2," + UTF8 + b",b\n3,a,b\xff\n", 3, {1: "utf8", 3: "utf8"}),
    "B7 not UTF-8": ("a.jsonl", b'{"id": 1, "text": "caf\xe9", "label": "b"}\n{"id": 2, "text": "' + UTF8 + b'", "label": "b"}\n', 2, {1: "utf8"}),
    "B10 a cell too many": ("a.csv", HEADER + b"1,a,b\n2,a,b,c\n3,a,b\n", 3, {2: "columns"}),
    "B11 a cell too few": ("a.csv", HEADER + b"1,a,b\n2,a\n3,a,b\n", 3, {2: "columns"}),
    "B11 a blank line": ("a.csv", HEADER + b"1,a,b\n\n3,a,b\n", 3, {2: "blank"}),
    "B11 a blank line of JSON": ("a.jsonl", b'{"id": 1, "text": "a", "label": "b"}\n\n \r\n', 3, {2: "blank", 3: "blank"}),
    "B11 a missing key": ("a.jsonl", b'{"id": 1, "text": "a", "label": "b"}\n{"id": 2, "text": "a"}\n{"id": 3, "text": null, "label": "b"}\n', 3, {2: "missing", 3: "missing"}),
    "B12 cut off": ("a.csv", HEADER + b"1,a,b\n2,a,b", 2, {2: "truncated"}),
    "B12 cut off in a character": ("a.csv", HEADER + b"1,a,b\n2,a,caf\xc3", 2, {2: "truncated"}),
    "B12 a last cell that is closed": ("a.csv", HEADER + b'1,a,b\n2,a,"b"', 2, {}),
    "B12 cut off JSON": ("a.jsonl", b'{"id": 1, "text": "a", "label": "b"}\n{"id": 2, "te', 2, {2: "truncated"}),
    "B12 a last line that is whole": ("a.jsonl", b'{"id": 1, "text": "a", "label": "b"}\n{"id": 2, "text": "a", "label": "b"}', 2, {}),
    "B13 words for nothing": ("a.csv", HEADER + b"1,None,N/A\n2,null,NaN\n3,NA,\n", 3, {}),
    "B14 empty or blank": ("a.csv", HEADER + b'1,,b\n2,"  ",b\n3," \t\n",b\n4,\xc2\xa0\xe2\x80\x8b,b\n5,a,\n', 5, {1: "empty", 2: "empty", 3: "empty", 4: "empty"}),
    "B14 empty in JSON": ("a.jsonl", b'{"id": 1, "text": "", "label": ""}\n{"id": 2, "text": " \\n", "label": ""}\n', 2, {1: "empty", 2: "empty"}),
    "B18 the kind of a column changes": ("a.jsonl", b"".join(b'{"id": %d, "text": %s, "label": "b"}\n' % (at, value) for at, value in enumerate([b'"a"', b"1", b'"1"', b"true", b'["a"]', b'{"a": 1}', b'"b"', b'"c"'], 1)), 8, {2: "type", 4: "type", 5: "type", 6: "type"}),
    "B18 as many of each: the first": ("a.jsonl", b'{"id": 1, "text": 1, "label": "b"}\n{"id": 2, "text": "a", "label": "b"}\n', 2, {2: "type"}),
    "B19 a line separator in a text": ("a.jsonl", b'{"id": 1, "text": "a\xe2\x80\xa8b\xc2\x85c", "label": "b"}\n', 1, {}),
    "B19 a line separator in CSV": ("a.csv", HEADER + b"1,a\xe2\x80\xa8b\x0c\xc2\x85,c\n", 1, {}),
    "B20 half of a surrogate pair": ("a.jsonl", b'{"id": 1, "text": "\\ud800", "label": "b"}\n{"id": 2, "text": "\\ud83d\\ude00", "label": "b"}\n{"id": 3, "text": ["\\udc00"], "label": "b"}\n', 3, {1: "utf8", 3: "utf8"}),
    "B20 half of a surrogate pair in bytes": ("a.csv", HEADER + b"1,\xed\xa0\x80,b\n", 1, {1: "utf8"}),
    "not JSON": ("a.jsonl", b'{"id": 1, "text": "a" "label"}\n["a"]\n' + b"[" * 10**5 + b'\n{"id": 1, "text": NaN, "label": "b"}\n{"id": 1, "id": 2, "text": "a", "label": "b"}\n{"id": 1, "text": "a", "label": {"x": 1, "x": 2}}\n', 6, dict.fromkeys(range(1, 7), "json")),
    "a quote inside a cell": ("a.csv", HEADER + b'1,6" pipe,b\n2,a, "b"\n3,"a",b\n4,a\n', 4, {4: "columns"}),
    "lone carriage returns": ("a.csv", b"id,text,label\r1,a,b\r2,a\r\r4,a,b\r", 4, {2: "columns", 3: "blank"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_faulty_rows_are_set_aside(tmp_path: Path, fault: str) -> None:
    name, content, rows, aside = FAULTS[fault]
    intake = read(tmp_path / name, content)
    assert rules(intake) == aside
    assert [row["_row"] for row in records(intake)] == [row for row in range(1, rows + 1) if row not in aside]
    for row in intake.set_aside:
        raw = base64.b64decode(row["raw_base64"])
        assert row.keys() == {"file", "row", "byte_offset", "rule", "reason", "raw", "raw_base64"}
        assert row["file"] == name
        assert content[row["byte_offset"] :].startswith(raw)
        assert content[row["byte_offset"] - 1 : row["byte_offset"]] in {b"\n", b"\r", b""}
        assert content[row["byte_offset"] + len(raw) :][:1] in {b"\n", b"\r", b""}


def test_a_csv_row_is_text_as_it_was_written_with_its_place(tmp_path: Path) -> None:
    content = MARK + b'id,text,label\r\n1,"two\r\nlines, and a ""quote""",N/A\r\n2,\xff,b\r\n3,null,\r\n'
    intake = read(tmp_path / "a.csv", content)
    assert intake.records.to_pylist() == [
        {"id": "1", "text": 'two\r\nlines, and a "quote"', "label": "N/A", "_row": 1, "_byte_offset": 18, "_byte_length": 35},
        {"id": "3", "text": "null", "label": "", "_row": 3, "_byte_offset": 62, "_byte_length": 7},
    ]  # fmt: skip
    assert intake.set_aside == [{
        "file": "a.csv", "row": 2, "byte_offset": 55, "rule": "utf8", "reason": "is not UTF-8 at byte 57 of the file",
        "raw": "2,\\xff,b", "raw_base64": base64.b64encode(b"2,\xff,b").decode(),
    }]  # fmt: skip
    assert intake.notes == ["a.csv starts with a byte order mark, which was dropped."]
    assert raw_of(tmp_path / "a.csv", intake.records, [1, 0]) == [b"3,null,", content[18:53]]


def test_a_json_value_that_is_no_text_is_written_as_json_and_a_number_as_it_is_spelt(tmp_path: Path) -> None:
    line = b'{"id": 12345678901234567890.10, "text": {"a": [1.50, true, null, "\\"\xc3\xa9"]}, "label": "b", "more": "\\ud800"}\n'
    (row,) = records(read(tmp_path / "a.jsonl", line))
    assert row == {
        "_row": 1,
        "id": "12345678901234567890.10",
        "text": '{"a": [1.50, true, null, "\\"é"]}',
        "label": "b",
    }


def test_a_reason_names_the_place_and_never_shows_a_value(tmp_path: Path) -> None:
    content = (
        b'{"id": 1, "text": "secret", "label": "b"}\n{"id": 2, "text": 77, "label": "b"}\n{"id": 3, "text": "secret" 77}\n{"id": 4, "text": "'
        + b"s" * 2 * 10**6
        + b'", "label": "b"}\n'
    )
    reasons = [row["reason"] for row in read(tmp_path / "a.jsonl", content).set_aside]
    assert reasons == [
        "text is a number where most rows have text",
        "is not JSON: Expecting ',' delimiter at its character 28",
        "text has 2,000,000 bytes, more than max_field_bytes = 1,000,000",
    ]


@pytest.mark.parametrize("content", [HEADER + b"1,a,b\n2,a,b", HEADER + b"1,a,b\n2,a,"])
def test_a_last_row_without_a_line_end_is_believed_where_a_sha256_vouches_for_the_file(
    tmp_path: Path, content: bytes
) -> None:
    assert rules(read(tmp_path / "a.csv", content, WHOLE)) == {}


def test_line_ends_do_not_change_what_is_read(tmp_path: Path) -> None:
    unix = b'id,text,label\n1,"a\nb",b\n2,c,d\n'
    read_unix, read_windows = (
        records(read(tmp_path / "a.csv", content)) for content in (unix, unix.replace(b"\n", b"\r\n"))
    )
    assert [normalise(row["text"]) for row in read_unix] == [normalise(row["text"]) for row in read_windows]


def planted(kind: str, seed: int) -> tuple[bytes, list[str]]:
    """A file of 300 rows with faults in places drawn by `seed`, and what was planted in each."""
    faults = {
        ".csv": {"": b'%d,"good, text",a', "nul": b"%d,a\0b,a", "utf8": b"%d,\xff,a", "columns": b"%d,short", "empty": b"%d, ,a"},
        ".jsonl": {
            "": b'{"id": %d, "text": "t", "label": "a"}', "json": b'{"id": %d', "missing": b'{"id": %d, "text": "t"}',
            "utf8": b'{"id": %d, "\xff": 1}', "type": b'{"id": %d, "text": ["t"], "label": "a"}',
        },
    }[kind]  # fmt: skip
    drawn = random.Random(seed).choices(list(faults), weights=[4, 1, 1, 1, 1], k=300)
    lines = [faults[fault] % number for number, fault in enumerate(drawn, start=1)]
    return b"\n".join([*([HEADER.strip()] if kind == ".csv" else []), *lines, b""]), drawn


@pytest.mark.parametrize("kind", [".csv", ".jsonl"])
@pytest.mark.parametrize("seed", range(3))
def test_the_ledger_adds_up_wherever_the_faults_are(tmp_path: Path, kind: str, seed: int) -> None:
    content, faults = planted(kind, seed)
    intake = read(tmp_path / f"a{kind}", content)
    assert [rules(intake).get(number, "") for number in range(1, 301)] == faults
    ledger = account(len(intake.records), intake.set_aside)
    assert ledger["rows_in"] == ledger["rows_valid"] + ledger["rows_quarantined"] == 300
    assert ledger["by_rule"] == {fault: faults.count(fault) for fault in sorted(set(faults) - {""})}
    assert total([ledger, ledger])["by_rule"] == {fault: 2 * count for fault, count in ledger["by_rule"].items()}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", HEADER + b'1,a,b\n2,"never closed,a\n3,a,b\n', "a.csv, line 3: the quote that opens a cell here is not closed"),
        ("a.csv", HEADER + b'1,"two\nlines",a\n2,"open,a\n3,"b",a\n', "a.csv, line 4: the quote"),
        ("a.csv", HEADER + b'1,"two\r\nlines","three\r\nmore\n"lines",a\n', "a.csv, line 3: the quote"),
        ("a.csv", HEADER + b'1,"a"b,c\n', "a.csv, line 2: the quote"),
        ("a.csv", HEADER + b'1,"a" ,c\n', "or text stands behind the one that closes it."),
        ("a.csv", b'id,"text,label\n1,good,a\n', "a.csv, line 1: the quote"),
        ("a.csv", b"id,txt,label\n1,good,a\n", "a.csv has no column 'text'; its columns are: id, txt, label. Correct"),
        ("a.csv", b"id;text;label\n1;good;a\n", "its columns are: id;text;label. Is it separated by semicolons?"),
        ("a.csv", b"id\ttext\tlabel\n1\tgood\ta\n", "Is it separated by tabs?"),
        ("a.csv", b"id,text,text,label\n1,good,other,a\n", "a.csv has several columns called text"),
        ("a.csv", b"\n" + HEADER, "a.csv starts with a blank line"),
        ("a.csv", b"id,text,label\xff\n1,a,b\n", "a.csv: its first line, which names the columns, is not UTF-8."),
        ("a.csv", b"", "a.csv is empty"),
        ("a.csv", MARK, "a.csv is empty"),
        ("a.csv", "id,text,label\n1,a,b\n".encode("utf-16"), "a.csv is not UTF-8; UTF-16? Save it as UTF-8."),
        ("a.csv", "id,text,label\n1,a,b\n".encode("utf-16-le"), "UTF-16?"),
        ("a.jsonl", '{"id": 1}\n'.encode("utf-16"), "a.jsonl is not UTF-8; UTF-16?"),
        ("a.jsonl", b"", "a.jsonl is empty"),
        ("a.jsonl", b'{"id": 1, "txt": 1}\n{"id": 2, "label": 1}\n', "no column 'text'; its columns are: id, txt, label"),
        ("a.parquet", b"PAR1 and nothing else", "a.parquet is damaged or no Parquet file"),
        ("a.parquet", b"", "a.parquet is damaged or no Parquet file"),
        ("a.xlsx", b"PK", "a.xlsx: '.xlsx' cannot be read; Luthier reads .csv, .jsonl, .parquet."),
    ],
)  # fmt: skip
def test_a_file_that_is_wrong_as_a_whole_is_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path / name, content)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_line_of_an_opening_quote_is_right_behind_many_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "BLOCK", 64)
    good = b"".join(b'%d,"a\r\nb",c\r\n' % number for number in range(1000))
    with pytest.raises(DataError, match="line 2002: the quote"):
        read(tmp_path / "a.csv", HEADER + good + b'7,"never closed,b\n' + good.replace(b'"', b""))


def test_a_record_that_never_ends_stops_with_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks, "RECORD", 1 << 20)
    (tmp_path / "a.csv").write_bytes(HEADER + b'1,a,b\n2,"open' + b"x\n" * (1 << 20))
    with pytest.raises(DataError, match="line 3: the record that starts here is longer than 1 MiB"):
        joined(read_csv(tmp_path / "a.csv", COLUMNS, LIMITS, block=1 << 12), COLUMNS)


@pytest.mark.parametrize("content", [HEADER, HEADER.strip()])
def test_a_file_of_nothing_but_a_header_has_no_records(tmp_path: Path, content: bytes) -> None:
    intake = read(tmp_path / "a.csv", content)
    assert (len(intake.records), intake.records.column_names[:3], intake.set_aside) == (0, COLUMNS, [])


def test_columns_that_nobody_needs_may_be_called_alike_and_be_empty(tmp_path: Path) -> None:
    intake = read(tmp_path / "a.csv", b"x,id,x,text,label,\n,1,,a,b,\n")
    assert records(intake) == [{"_row": 1, "id": "1", "text": "a", "label": "b"}]


@pytest.mark.parametrize("name", ["_row", "_file", "_byte_offset", "_byte_length"])
def test_a_column_with_a_name_that_luthier_writes_itself_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"{name}\n1\n")
    with pytest.raises(DataError, match=f"{name}: Luthier writes that name itself"):
        read_records(tmp_path / "a.csv", [name], LIMITS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.csv is not there"):
        read_records(tmp_path / "gone.csv", COLUMNS, LIMITS)


def test_rows_that_break_a_rule_are_set_aside_with_their_bytes(tmp_path: Path) -> None:
    intake = read(tmp_path / "a.csv", HEADER + b'1,a,b\n2,x\n3,"c, d",e\n')
    (row,) = set_aside_rows(tmp_path / "a.csv", intake.records, [1], [["unique id", "length text"]])
    assert row == {
        "file": "a.csv", "row": 3, "byte_offset": 24, "rule": "unique id", "reason": "breaks unique id, length text",
        "raw": '3,"c, d",e', "raw_base64": base64.b64encode(b'3,"c, d",e').decode(),
    }  # fmt: skip


# Parquet


def test_every_row_of_a_parquet_file_is_a_record_or_set_aside(tmp_path: Path) -> None:
    texts = pa.array([b"plain", None, b"a nul \0 here", b"N/A", b"caf\xe9", b" "], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), len(texts), texts.buffers(), texts.null_count)  # as careless writers do
    labels = [["x"], ["y"], ["z"], ["ü"], ["x"], ["y"]]
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"id": [1, 2, 3, 4, 5, 6], "text": texts, "label": labels, "more": [0] * 6}), path, row_group_size=2
    )
    intake = read_records(path, COLUMNS, LIMITS)
    assert rules(intake) == {2: "missing", 3: "nul", 5: "utf8", 6: "empty"}
    assert records(intake) == [
        {"_row": 1, "id": "1", "text": "plain", "label": '["x"]'},
        {"_row": 4, "id": "4", "text": "N/A", "label": '["ü"]'},
    ]
    assert [row["raw"] for row in intake.set_aside if row["rule"] in {"missing", "utf8"}] == [
        '{"id": "2", "text": null, "label": "[\\"y\\"]"}',
        '{"id": "5", "text": "caf\\\\xe9", "label": "[\\"x\\"]"}',
    ]
    assert len(set(intake.records["_byte_offset"].to_pylist())) == 2  # one a row group
    assert raw_of(path, intake.records, [0]) == [b'{"id": "1", "text": "plain", "label": "[\\"x\\"]"}']


def test_a_parquet_file_lacks_a_column_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "txt": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a.parquet has no column 'text', 'label'; its columns are: id, txt."):
        read_records(tmp_path / "a.parquet", COLUMNS, LIMITS)


@pytest.mark.parametrize("keep", [0.5, 0.95])
def test_a_truncated_parquet_file_is_damaged(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({column: [f"{column} {number}" for number in range(500)] for column in COLUMNS}), path)
    whole = path.read_bytes()
    with pytest.raises(DataError, match=r"a.parquet is damaged"):
        read(path, whole[: int(len(whole) * keep)])


def test_a_flipped_bit_in_a_parquet_file_with_checksums_is_damage_and_not_another_text(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({column: [f"{column} {number}" for number in range(500)] for column in COLUMNS})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[content.index(b"text 250") + 5] ^= 1
    with pytest.raises(DataError, match=r"a.parquet is damaged"):
        read(path, bytes(content))


# Real tables


@pytest.mark.parametrize(
    ("name", "columns", "rows"),
    [
        ("mts_dialog/MTS-Dialog-TrainingSet.csv", ["dialogue", "section_text"], 1201),
        ("mts_dialog/MTS-Dialog-ValidationSet.csv", ["dialogue", "section_text"], 100),
        ("dialogsum/dialogsum.dev.jsonl", ["dialogue", "summary"], 500),
        ("dialogsum/dialogsum.test.jsonl", ["dialogue", "summary1"], 500),
    ],
)
def test_tables_that_people_use_are_read_to_the_last_row(name: str, columns: list[str], rows: int) -> None:
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not in {SHARED}")
    intake = read_records(SHARED / name, columns, LIMITS)
    assert (len(intake.records), rules(intake)) == (rows, {})
