"""CSV, read strictly and fast: a row that is not as its header says is set aside, and no other row moves.

The dialect is RFC 4180's and the csv module's: commas, fields in double quotes, a quote inside them doubled. A file is
cut into blocks of whole rows (csv_rows.py); Arrow parses the good rows of a block while the next is cut.
Text behind a closing quote, or a quote that is never closed, stops with the line of the opening quote: where the next
row begins is then anybody's guess.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.csv

from tasks.data.intake.csv_blocks import BLOCK, first_row, rows_of
from tasks.data.intake.csv_rows import Rows
from tasks.data.intake.fields import Reasons, settled
from tasks.data.intake.quarantine import CUT_OFF, set_aside
from tasks.data.intake.records import (
    BYTE_ORDER_MARK,
    Intake,
    Limits,
    check_encoding,
    mark_dropped,
    nothing,
    require,
)
from tasks.data.threads import in_order
from tasks.errors import DataError


@dataclass(frozen=True)
class Header:
    """What a file's first row says."""

    width: int
    """Cells."""
    wanted: dict[str, int]
    """The position of each needed column."""


def read_csv(path: Path, columns: list[str], limits: Limits, block: int = BLOCK) -> Iterator[Intake]:
    """Read a CSV file block by block.

    Args:
        path: the file.
        columns: those that are needed.
        limits: what a row may be.
        block: bytes looked at at once.

    Raises:
        DataError: the file is empty, not UTF-8 as a whole, lacks a column, or has a quote that is not closed.
    """
    marked = check_encoding(path)
    cells, start = first_row(path, len(BYTE_ORDER_MARK) if marked else 0)
    header = _header(path, cells, columns)
    if marked:
        yield mark_dropped(path, columns)
    judge = functools.partial(_judged, path, header, limits)
    yield from in_order(judge, rows_of(path, start, block))


def _judged(path: Path, header: Header, limits: Limits, rows: Rows) -> Intake:
    """A block's rows as records and rows set aside."""
    reasons = _reasons(rows, header, limits)
    aside = [
        set_aside(path.name, rows.first + at, rows.offset + int(rows.starts[at]), *reasons[at], rows.raw(at))
        for at in sorted(reasons)
    ]
    return settled(path, Intake(_records(path, rows, header, reasons), aside, []), list(header.wanted), limits)


def _header(path: Path, cells: list[bytes], columns: list[str]) -> Header:
    if not cells:
        raise DataError(f"{path.name} starts with a blank line: its first line must name the columns.")
    try:
        names = [cell.decode() for cell in cells]
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: its first line, which names the columns, is not UTF-8.") from None
    require(path, columns, names)
    return Header(len(names), {column: names.index(column) for column in columns})


def _reasons(rows: Rows, header: Header, limits: Limits) -> Reasons:
    """Why rows of a block are no records. A row with several faults has the first of these."""
    found: Reasons = {}
    if not (rows.ended or limits.whole):
        found[len(rows) - 1] = ("truncated", CUT_OFF)
    if b"\0" in rows.block:
        nuls = np.flatnonzero(rows.bytes_ == 0)
        for at, byte in zip(rows.at(nuls).tolist(), (rows.offset + nuls).tolist(), strict=True):
            found.setdefault(at, ("nul", f"holds a NUL character at byte {byte} of the file"))
    if not _is_text(rows):
        for at in np.unique(rows.at(np.flatnonzero(rows.bytes_ >= 0x80))).tolist():
            try:
                rows.raw(at).decode()
            except UnicodeDecodeError as error:
                byte = rows.offset + int(rows.starts[at]) + error.start
                found.setdefault(at, ("utf8", f"is not UTF-8 at byte {byte} of the file"))
    if not rows.all_have(header.width):
        widths, blank = rows.widths(), rows.ends == rows.starts
        for at in np.flatnonzero(widths != header.width).tolist():
            said = f"has {widths[at]} cells where the header has {header.width}"
            found.setdefault(at, ("blank", "is a blank line") if blank[at] else ("columns", said))
    return found


def _is_text(rows: Rows) -> bool:
    if rows.block.isascii():
        return True
    try:
        str(memoryview(rows.block)[: rows.size], "utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _records(path: Path, rows: Rows, header: Header, reasons: Reasons) -> pa.Table:
    """The rows of a block that have no reason against them, as records."""
    good = np.ones(len(rows), bool)
    good[list(reasons)] = False
    kept = np.flatnonzero(good)
    if not len(kept):
        return nothing(list(header.wanted))
    if rows.cells is not None:
        cells = [[rows.cells[at][place].encode("latin-1") for at in kept] for place in header.wanted.values()]
        columns = [pa.array(column, pa.string()) for column in cells]
    else:
        columns = _parsed(rows.lines(good), header)
    if any(len(column) != len(kept) for column in columns):
        raise DataError(
            f"{path.name}: {len(kept)} rows behind byte {rows.offset} were parsed as {len(columns[0])}. Nothing of it "
            "is believed; please report the file's rows there."
        )
    places = (rows.first + kept, rows.offset + rows.starts[kept], (rows.ends - rows.starts)[kept])
    names = [*header.wanted, "_row", "_byte_offset", "_byte_length"]
    return pa.table([*columns, *(pa.array(place, pa.int64()) for place in places)], names=names)


def _parsed(lines: bytes | memoryview, header: Header) -> list[pa.ChunkedArray]:
    """The needed columns of lines that are known to be UTF-8 and to have as many cells as the header."""
    names = [str(place) for place in range(header.width)]  # by position: names that nobody needs may be twice
    wanted = [names[place] for place in header.wanted.values()]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(lines),
        pyarrow.csv.ReadOptions(use_threads=False, block_size=len(lines), column_names=names),
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.string()),
            include_columns=wanted,
            strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    return cast("list[pa.ChunkedArray]", table.columns)
