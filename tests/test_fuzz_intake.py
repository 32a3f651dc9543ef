"""Random tables and random bytes against the readers: never a silent loss, never anything but a DataError.

What a CSV file says is taken from the csv module, row for row; where a row stands is checked against the file's bytes.
Blocks are of 1 to 64 bytes, so that their borders fall everywhere.
"""

import base64
import csv
import io
import json
import math
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.data.files import Row
from tasks.data.intake.csv_reader import read_csv
from tasks.data.intake.records import Intake, Limits, joined, read_records
from tasks.errors import DataError

TOTAL = settings(max_examples=300, deadline=None, derandomize=True, database=None)
STRICT = Limits(max_field_bytes=12, may_be_empty=frozenset(), whole=False)
LAX = Limits(max_field_bytes=10**6, may_be_empty=frozenset({"a", "b", "c"}), whole=True)
MARK = b"\xef\xbb\xbf"
blocks = st.integers(1, 64)
limits = st.sampled_from([STRICT, LAX])
# What decides in CSV and JSON, and little else: random bytes proper would hardly ever get past the header.
soup = st.lists(
    st.sampled_from(
        [
            b'"',
            b'""',
            b",",
            b"\n",
            b"\r",
            b"\r\n",
            b"x",
            b" ",
            b"caf\xc3\xa9",
            b"\xff",
            b"\xc3",
            b"\0",
            b"=",
            b"\xe2\x80\xa8",
            b"xxxxxxxxxxxxx",
        ]
    ),
    max_size=40,
).map(b"".join)
cells = st.text(st.sampled_from("ab,\"'\n\r \té\u2028\u200b\U0001f600;=-0"), max_size=12)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def accounted(path: Path, intake: Intake) -> list[str | Row]:
    """For each row of the file the rule that set it aside, or its record; every row is where it is said to be."""
    content = path.read_bytes()
    records = intake.records.to_pylist()
    rows: dict[int, str | Row] = {}
    for record in records:
        rows[record.pop("_row")] = record
        start, length = record.pop("_byte_offset"), record.pop("_byte_length")
        record["raw"] = content[start : start + length]
    for row in intake.set_aside:
        rows[row["row"]] = row["rule"]
        raw = base64.b64decode(row["raw_base64"])
        if path.suffix != ".parquet":
            assert content[row["byte_offset"] :].startswith(raw)
        assert {"file", "reason", "raw"} < row.keys()
    assert sorted(rows) == list(range(1, len(records) + len(intake.set_aside) + 1))
    assert [row["row"] for row in intake.set_aside] == sorted(row["row"] for row in intake.set_aside)
    return [rows[number] for number in sorted(rows)]


# CSV


def csv_rows(text: str) -> list[list[str]] | None:
    """What the csv module reads, or None where it stops."""
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        return None


def expected(content: bytes, columns: list[str], allowed: Limits) -> list[str | Row] | None:
    """For each row its rule or its cells; None where the file as a whole has to be refused."""
    head, text = content[:4096], content.removeprefix(MARK).decode("latin-1")
    if not text or head[:2] in {b"\xff\xfe", b"\xfe\xff"} or head.count(0) * 3 >= len(head):
        return None
    rows = csv_rows(text)
    try:
        header = [cell.encode("latin-1").decode() for cell in (rows or [[]])[0]]
    except UnicodeDecodeError:
        return None
    if rows is None or any(header.count(column) != 1 for column in columns):
        return None
    # Behind a cell that is quoted and closed nothing may stand: one more letter would be refused.
    ended = text.endswith(("\n", "\r")) or csv_rows(text + "x") is None
    found = [rule_or_record(cells, header, columns, allowed) for cells in rows[1:]]
    if found and not ended and not allowed.whole:
        found[-1] = "truncated"
    return found


def rule_or_record(cells: list[str], header: list[str], columns: list[str], allowed: Limits) -> str | Row:
    if any("\0" in cell for cell in cells):
        return "nul"
    try:
        texts = [cell.encode("latin-1").decode() for cell in cells]
    except UnicodeDecodeError:
        return "utf8"
    if len(texts) != len(header):
        return "columns" if texts else "blank"
    record = {column: texts[header.index(column)] for column in columns}
    if any(len(text.encode()) > allowed.max_field_bytes for text in record.values()):
        return "field_size"
    if any(blank(record[column]) for column in set(columns) - allowed.may_be_empty):
        return "empty"
    return record


def blank(text: str) -> bool:
    return all(unicodedata.category(character) in {"Zs", "Zl", "Zp", "Cc", "Cf"} for character in text)


def check_csv(path: Path, content: bytes, allowed: Limits, block: int) -> None:
    path.write_bytes(content)
    columns = ["a", "b"]
    wanted = expected(content, columns, allowed)
    if wanted is None:
        with pytest.raises(DataError):
            joined(read_csv(path, columns, allowed, block), columns)
        return
    found = accounted(path, joined(read_csv(path, columns, allowed, block), columns))
    assert [row if isinstance(row, str) else {name: row[name] for name in columns} for row in found] == wanted
    for row in found:  # the raw bytes are the row's, and no more than that
        if isinstance(row, dict):
            (again,) = csv_rows(row["raw"].decode("latin-1")) or [[]]
            assert {row["a"], row["b"]} <= {cell.encode("latin-1").decode() for cell in again}
            assert not row["raw"].endswith((b"\n", b"\r"))


@TOTAL
@given(
    soup,
    limits,
    blocks,
    st.sampled_from([b"", MARK]),
    st.sampled_from([b"a,b\n", b"a,b,c\r\n", b'"a","b",c,c\n', b"b,a\r"]),
)
@example(b"1,2\n", LAX, 64, b"", b"a,b\n")
def test_bytes_in_csv_are_read_as_the_csv_module_reads_them(
    folder: Path, content: bytes, allowed: Limits, block: int, mark: bytes, header: bytes
) -> None:
    check_csv(folder / "a.csv", mark + header + content, allowed, block)


@TOTAL
@given(soup, blocks)
def test_a_csv_file_without_a_sane_header_is_refused(folder: Path, content: bytes, block: int) -> None:
    check_csv(folder / "a.csv", content, STRICT, block)


@TOTAL
@given(
    st.lists(st.tuples(cells, cells, cells), max_size=12),
    blocks,
    # Python 3.11 writes a carriage return unquoted where the line end is another and quotes are kept to a minimum.
    st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL), ("\r", csv.QUOTE_NONNUMERIC)]),
)
def test_a_table_comes_back_from_csv_as_it_was_written(
    folder: Path, table: list[tuple[str, str, str]], block: int, dialect: tuple[str, int]
) -> None:
    path, (line_end, quoting) = folder / "a.csv", dialect
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=line_end, quoting=quoting).writerows([("a", "b", "c"), *table])  # type: ignore[arg-type]
    found = accounted(path, joined(read_csv(path, ["c", "a", "b"], LAX, block), ["c", "a", "b"]))
    assert [row if isinstance(row, str) else (row["a"], row["b"], row["c"]) for row in found] == table


# JSON lines

scalars = st.one_of(
    cells, cells, cells, st.integers(), st.floats(), st.booleans(), st.none(), st.just("\ud800"), st.just("\0")
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(cells, inner, max_size=3), max_leaves=5
)
objects = st.fixed_dictionaries({"a": values}, optional={"b": values, "c": values})


def strings_in(value: object) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from strings_in(inner)


def faults_of(row: Row, ascii_only: bool) -> set[str]:
    """The rules that this object breaks; any of them may be the one that is named."""
    try:
        json.dumps(row, allow_nan=False)
    except ValueError:
        return {"json"} | ({"utf8"} if not ascii_only else set())
    if not ascii_only and "\ud800" in "".join(strings_in(row)):
        return {"utf8"}
    if row["a"] is None:
        return {"missing"}
    text = "".join(strings_in(row["a"]))
    return {rule for rule, mark in (("nul", "\0"), ("utf8", "\ud800")) if mark in text}


def kind_of(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


@TOTAL
@given(st.lists(objects, min_size=1, max_size=12), st.booleans(), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_objects_come_back_from_json_lines_as_they_were_written(
    folder: Path, rows: list[Row], ascii_only: bool, line_end: bytes, ended: bool
) -> None:
    path = folder / "a.jsonl"
    lines = [json.dumps(row, ensure_ascii=ascii_only).encode(errors="surrogatepass") for row in rows]
    path.write_bytes(line_end.join(lines) + (line_end if ended else b""))
    found = accounted(path, read_records(path, ["a"], LAX))
    faults = [faults_of(row, ascii_only) for row in rows]
    kinds = Counter(kind_of(row["a"]) for row, fault in zip(rows, faults, strict=True) if not fault)
    for row, fault, got in zip(rows, faults, found, strict=True):
        if fault:
            assert got in fault
        elif kind_of(row["a"]) != kinds.most_common(1)[0][0]:
            assert got == "type"
        else:
            assert isinstance(got, dict)
            assert (got["a"] if isinstance(row["a"], str) else json.loads(got["a"])) == row["a"]


tokens = [
    b'{"a": ',
    b'"b": ',
    b"1",
    b'"x"',
    b'"',
    b"null",
    b"NaN",
    b"[",
    b"]",
    b"{",
    b"}",
    b"}\n",
    b",",
    b"\n",
    b" ",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"-1e999",
    b"\xe2\x80\xa8",
]
lines_of_json = st.lists(
    st.sampled_from([b'{"a": 1}\n', b'{"a": "x"}\n', b'{"a": "x", "a": 2}\n', b"\n", *tokens]), max_size=20
).map(b"".join)


@TOTAL
@given(lines_of_json, limits)
@example(b"[" * 10**5, STRICT)
@example(b'{"a": ' * 10**5, STRICT)
@example(b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", LAX)
def test_bytes_in_json_lines_are_records_or_set_aside(folder: Path, content: bytes, allowed: Limits) -> None:
    path = folder / "a.jsonl"
    path.write_bytes(content)
    try:
        found = accounted(path, read_records(path, ["a"], allowed))
    except DataError as error:
        assert str(error).startswith("a.jsonl ")
        return
    assert len(found) == content.count(b"\n") + (not content.endswith(b"\n"))
    for row in found:
        if isinstance(row, dict):
            assert "a" in json.loads(row["raw"])


# Parquet


columns_of = st.one_of(
    st.lists(st.one_of(cells, st.none(), st.just("\0")), min_size=4, max_size=4).map(pa.array),
    st.lists(st.one_of(st.binary(max_size=6), st.none()), min_size=4, max_size=4).map(lambda values: pa.array(values, pa.binary())),
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), min_size=4, max_size=4).map(lambda values: pa.array(values, pa.int64())),
    st.lists(st.one_of(st.floats(), st.none()), min_size=4, max_size=4).map(lambda values: pa.array(values, pa.float64())),
    st.lists(st.lists(cells, max_size=2), min_size=4, max_size=4).map(lambda values: pa.array(values, pa.list_(pa.string()))),
    st.lists(cells, min_size=4, max_size=4).map(lambda values: pa.array(values).dictionary_encode()),
)  # fmt: skip


@TOTAL
@given(columns_of, columns_of, st.integers(1, 4))
def test_a_table_comes_back_from_parquet_as_it_was_written(
    folder: Path, first: pa.Array, second: pa.Array, group: int
) -> None:
    path = folder / "a.parquet"
    pq.write_table(pa.table({"a": first, "b": second}), path, row_group_size=group)
    found = accounted(path, read_records(path, ["a", "b"], LAX))
    for row, *values in zip(found, first.to_pylist(), second.to_pylist(), strict=True):
        faults = {fault for value in values if (fault := fault_of(value))}
        if faults:
            assert row in faults
        else:
            assert isinstance(row, dict)
            assert [row["a"], row["b"]] == [as_text(value) for value in values]


def fault_of(value: object) -> str | None:
    if value is None:
        return "missing"
    if isinstance(value, float):
        return None if math.isfinite(value) else "json"
    try:
        return "nul" if "\0" in as_text(value) else None
    except UnicodeDecodeError:
        return "utf8"


def as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@TOTAL
@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 255))
def test_a_parquet_file_that_lost_or_changed_bytes_is_refused_or_read_right(
    folder: Path, start: int, length: int, flip: int
) -> None:
    path = folder / "a.parquet"
    pq.write_table(pa.table({"a": ["x", "y"], "b": [1, 2]}), path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    start %= len(content)
    if flip:
        content[start] ^= flip
    else:
        del content[start : start + 1 + length % len(content)]
    path.write_bytes(content)
    try:
        found = accounted(path, read_records(path, ["a"], LAX))
    except DataError as error:
        assert str(error).startswith("a.parquet ")
        return
    # No checksum covers the footer; one bit of it makes every value of a column a null.
    assert [row["a"] if isinstance(row, dict) else row for row in found] in (["x", "y"], ["missing", "missing"])
