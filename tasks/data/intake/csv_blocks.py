"""A CSV file cut into blocks of whole rows: by numpy where that is enough, by the csv module where it gets odd.

A block with a quote in the middle of an unquoted cell (`6" pipe`), a lone carriage return as line end, or a quote
that does not fit, is read by the csv module (strict=True), whose rules this dialect is. It is ten times slower and
tells no offsets, so it is given line by line and watched.
"""

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tasks.data.intake.csv_rows import Rows, regular_rows
from tasks.data.intake.records import RECORD
from tasks.errors import DataError

BLOCK = 1 << 22  # bytes looked at at once
# One cell up to what separates it. Possessive (*+): a long cell costs no stack.
CELL = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"(?=[,\r\n]|\Z)|(?!")[^,\r\n]*+')
csv.field_size_limit(RECORD)  # bytes; the csv module's own limit of 128 KiB stops on long documents


def first_row(path: Path, start: int) -> tuple[list[bytes], int]:
    """The cells of the row that starts at this byte of the file, and where the next row starts."""
    rows = next(rows_of(path, start, 1 << 12, strict=True))
    after = int(rows.starts[1]) if len(rows) > 1 else rows.size
    return [cell.encode("latin-1") for cell in (rows.cells or [[]])[0]], start + after


def rows_of(path: Path, start: int, block: int = BLOCK, strict: bool = False) -> Iterator[Rows]:
    """Cut a file from this byte on.

    Args:
        path: the file.
        start: where a row starts.
        block: bytes looked at at once.
        strict: leave every block to the csv module, regular or not.

    Raises:
        DataError: a quote is not closed, text stands behind a closing one, or a record is longer than `RECORD`.
    """
    first, size = 1, block
    with path.open("rb") as file:
        total = os.fstat(file.fileno()).st_size
        while start < total:
            file.seek(start)
            data = file.read(size)
            final = len(data) < size or start + len(data) >= total
            rows = None if strict else regular_rows(data, start, first, final)
            if rows is None:
                rows = _strict_rows(path, data, start, first, final)
            if len(rows):
                yield rows
                first, start, size = first + len(rows), start + rows.size, block
            elif size >= RECORD:
                raise DataError(
                    f"{path.name}, line {line_of(path, start)}: the record that starts here is longer than "
                    f"{RECORD >> 20} MiB: look for a quote that is not closed."
                )
            else:
                size = min(2 * size, RECORD)


class _Lines(Iterator[str]):
    """The lines of a block for the csv module, and how far it has read."""

    def __init__(self, text: str) -> None:
        self.lines = io.StringIO(text, newline="")
        self.taken = 0
        self.dry = False

    def __next__(self) -> str:
        line = self.lines.readline()
        if not line:
            self.dry = True
            raise StopIteration
        self.taken += len(line)
        return line


def _strict_rows(path: Path, data: bytes, offset: int, first: int, final: bool) -> Rows:
    """The whole rows of any block; none if not one ends in it."""
    # A carriage return at the very end may be half of a line end.
    whole = len(data) if final else max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1
    lines = _Lines(data[:whole].decode("latin-1"))
    borders, cells = [0], []
    try:
        for row in csv.reader(lines, strict=True):
            cells.append(row)
            borders.append(lines.taken)
    except csv.Error:
        if final or not lines.dry:
            line = line_of(path, offset + _last_cell(data, borders[-1]))
            raise DataError(
                f"{path.name}, line {line}: the quote that opens a cell here is not closed, or text stands behind the "
                "one that closes it. Close it, or double a quote that belongs to the text."
            ) from None
    starts, size = borders[:-1], borders[-1]
    last = _last_cell(data, starts[-1]) if starts else 0
    return Rows(
        block=data,
        size=size,
        offset=offset,
        first=first,
        starts=np.array(starts, np.int64),
        ends=np.array([_line_end(data, end) for end in borders[1:]], np.int64),
        ended=not final or data.endswith((b"\n", b"\r")) or data[last : last + 1] == b'"',
        commas=np.empty(0, np.int64),
        cells=cells,
    )


def _line_end(data: bytes, end: int) -> int:
    """Where the row that ends here ends without its line end."""
    for mark in (b"\r\n", b"\n", b"\r"):
        if data.endswith(mark, 0, end):
            return end - len(mark)
    return end


def _last_cell(data: bytes, start: int) -> int:
    """Where the last cell starts of the row that starts here; of a broken row, the cell that is broken."""
    while (cell := CELL.match(data, start)) and data[cell.end() : cell.end() + 1] == b",":
        start = cell.end() + 1
    return start


def line_of(path: Path, offset: int) -> int:
    """The number of the line, from 1, that a byte of the file stands on; a line ends with LF, CRLF or a lone CR."""
    lines, before = 1, b""
    with path.open("rb") as file:
        while offset > 0 and (data := file.read(min(BLOCK, offset))):
            offset -= len(data)
            lines += data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n") - (before + data[:1] == b"\r\n")
            before = data[-1:]
    return lines
