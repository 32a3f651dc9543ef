"""Raw files to records: every row is either a record or set aside with its place and reason; none is lost.

A record is text: `None`, `N/A` and `null` stay what was written, and a value that is no text (JSON lines, Parquet) is
written as JSON. What is wrong with one row sets that row aside; damage that cannot be confined to rows stops with the
file and line. How each format is read stands in csv_reader, jsonl_reader and parquet_reader.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from tasks.data.files import Row
from tasks.errors import DataError

PLACE = {"_row": pa.int64(), "_byte_offset": pa.int64(), "_byte_length": pa.int64()}
OURS = {"_file", *PLACE}  # what Luthier writes beside a table's own columns
RECORD = 1 << 28  # bytes; a longer record is no record but a quote or line that never ends
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What a row may be."""

    max_field_bytes: int
    """UTF-8 bytes; a longer field sets its row aside (rule field_size)."""
    may_be_empty: frozenset[str]
    """Columns that may be empty or blank; any other sets its row aside (rule empty)."""
    whole: bool
    """A sha256 vouches for the file's bytes: a last row of CSV without a line end is believed (else rule truncated)."""


@dataclass(frozen=True)
class Intake:
    """What was read: rows in = records + set aside."""

    records: pa.Table
    """In file order: the asked columns (string), then _row (from 1, rows set aside counted, the header not),
    _byte_offset (of the row in the file) and _byte_length (int64)."""
    set_aside: list[Row]
    """In file order, as tasks/data/intake/quarantine.py describes them."""
    notes: list[str]
    """What was noticed about the file and changes no row."""


def read_records(path: Path, columns: list[str], limits: Limits) -> Intake:
    """Read one raw file.

    Args:
        path: .csv, .jsonl or .parquet.
        columns: those that are needed; others are left out.
        limits: what a row may be.

    Raises:
        DataError: the format is unknown, the file is damaged as a whole, or lacks a column.
    """
    return joined(read_parts(path, columns, limits), columns)


def joined(parts: Iterable[Intake], columns: list[str]) -> Intake:
    """Parts of one file as one."""
    parts = list(parts)
    return Intake(
        records=pa.concat_tables([nothing(columns), *(part.records for part in parts)]),
        set_aside=[row for part in parts for row in part.set_aside],
        notes=[note for part in parts for note in part.notes],
    )


def read_parts(path: Path, columns: list[str], limits: Limits) -> Iterator[Intake]:
    """Read one raw file as `read_records` does, part by part in file order: of a CSV file little is held at once."""
    if len(set(columns)) < len(columns):
        raise DataError(f"a column is asked for twice: {', '.join(columns)}.")
    if refused := sorted(OURS.intersection(columns)):
        raise DataError(f"{', '.join(refused)}: Luthier writes that name itself; call the column something else.")
    if not path.is_file():
        raise DataError(f"{path} is not there: name a .csv, .jsonl or .parquet file.")
    return _reader(path)(path, columns, limits)


def _reader(path: Path) -> Callable[[Path, list[str], Limits], Iterator[Intake]]:
    # Imported here: each takes its own libraries, and each needs what stands in this module.
    match path.suffix.lower():
        case ".csv":
            from tasks.data.intake.csv_reader import read_csv  # noqa: PLC0415

            return read_csv
        case ".jsonl":
            from tasks.data.intake.jsonl_reader import read_jsonl  # noqa: PLC0415

            return read_jsonl
        case ".parquet":
            from tasks.data.intake.parquet_reader import read_parquet  # noqa: PLC0415

            return read_parquet
    raise DataError(f"{path.name}: '{path.suffix}' cannot be read; Luthier reads .csv, .jsonl, .parquet.")


def raw_of(path: Path, records: pa.Table, positions: Sequence[int]) -> list[bytes]:
    """The raw bytes of some records' rows, without their line ends; of a Parquet file the row as JSON."""
    rows = records.take(list(positions))
    if path.suffix.lower() == ".parquet":
        texts = rows.drop_columns(list(PLACE)).to_pylist()
        return [json.dumps(row, ensure_ascii=False).encode() for row in texts]
    raw = []
    with path.open("rb") as file:
        for offset, length in zip(rows["_byte_offset"].to_pylist(), rows["_byte_length"].to_pylist(), strict=True):
            file.seek(offset)
            raw.append(file.read(length))
    return raw


def nothing(columns: list[str]) -> pa.Table:
    """A table of records without a row."""
    return pa.schema([*((name, pa.string()) for name in columns), *PLACE.items()]).empty_table()


def mark_dropped(path: Path, columns: list[str]) -> Intake:
    """The note about a byte order mark."""
    return Intake(nothing(columns), [], [f"{path.name} starts with a byte order mark, which was dropped."])


def require(path: Path, columns: list[str], known: list[str]) -> None:
    """Stop where a needed column is not there, or is there twice.

    Raises:
        DataError: which, and what the file has.
    """
    if twice := [column for column in columns if known.count(column) > 1]:
        raise DataError(f"{path.name} has several columns called {', '.join(twice)}: give each its own name.")
    missing = [repr(column) for column in columns if column not in known]
    if missing:
        raise DataError(
            f"{path.name} has no column {', '.join(missing)}; its columns are: {', '.join(known)}. "
            f"{_separated(known)}Correct the name or the file."
        )


def _separated(known: list[str]) -> str:
    if len(known) == 1:
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in known[0]:
                return f"Is it separated by {name}? Luthier reads commas. "
    return ""


def check_encoding(path: Path) -> bool:
    """Whether the file starts with a UTF-8 byte order mark.

    Raises:
        DataError: it is empty, or UTF-16 by its mark or its many NULs.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if not start.removeprefix(BYTE_ORDER_MARK):
        raise DataError(f"{path.name} is empty: is it the right file?")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")) or start.count(0) * 3 >= len(start):
        raise DataError(f"{path.name} is not UTF-8; UTF-16? Save it as UTF-8.")
    return start.startswith(BYTE_ORDER_MARK)
