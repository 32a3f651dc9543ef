"""Parquet, read with its page checksums: a flipped bit is damage and not another text.

The format keeps no rows in one place, so `_byte_offset` is where its row group's first needed column starts, and its
raw form is its needed columns as JSON. A column of text may hold bytes that are no text (writers do not check): only
the rows that have them are set aside.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tasks.data.intake.fields import Reasons, settled
from tasks.data.intake.records import Intake, Limits, require
from tasks.errors import DataError

ROWS = 1 << 14  # rows that become a table together
TEXT = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view,
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary,
)  # fmt: skip


def read_parquet(path: Path, columns: list[str], limits: Limits) -> Iterator[Intake]:
    """Read a Parquet file some rows at a time.

    Raises:
        DataError: the file is damaged, no Parquet, or lacks a column.
    """
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        require(path, columns, file.schema_arrow.names)
        first = 1
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(ROWS, row_groups=[group], columns=columns):
                yield _judged(path, batch, columns, limits, first, _offset(file.metadata, group, columns))
                first += len(batch)
        if first - 1 != file.metadata.num_rows:
            raise ValueError(f"{first - 1} rows where it says {file.metadata.num_rows}")
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{path.name} is damaged or no Parquet file ({said}): fetch it again.") from None


def _offset(metadata: pq.FileMetaData, group: int, columns: list[str]) -> int:
    """Where the group's first needed column starts. Only of what has been read: of damage Arrow would die here."""
    paths = (metadata.schema.column(place).path.split(".")[0] for place in range(metadata.num_columns))
    place = next(place for place, name in enumerate(paths) if name in columns)
    chunk = metadata.row_group(group).column(place)
    return int(chunk.dictionary_page_offset or chunk.data_page_offset)


def _judged(path: Path, batch: pa.RecordBatch, columns: list[str], limits: Limits, first: int, offset: int) -> Intake:
    reasons: Reasons = {}
    texts = [_texts(name, batch.column(name), reasons) for name in columns]
    for name, cells in zip(columns, texts, strict=True):
        for position in pc.indices_nonzero(pc.fill_null(pc.match_substring(cells, "\0"), False)).to_pylist():
            reasons.setdefault(position, ("nul", f"holds a NUL character in {name}"))
    absent = np.array([cells.is_null().to_numpy(zero_copy_only=False) for cells in texts])
    for position in np.flatnonzero(absent.any(axis=0)).tolist():
        names = ", ".join(name for name, gone in zip(columns, absent[:, position], strict=True) if gone)
        reasons.setdefault(position, ("missing", f"has no {names}"))
    rows = len(batch)
    records = pa.table(
        [*texts, pa.array(range(first, first + rows), pa.int64()), pa.repeat(offset, rows), pa.repeat(0, rows)],
        names=[*columns, "_row", "_byte_offset", "_byte_length"],
    )
    return settled(path, Intake(records, [], []), columns, limits, reasons)


def _texts(name: str, cells: pa.Array, reasons: Reasons) -> pa.StringArray:
    """A column as text; what cannot be text is noted in `reasons` and stands as it can be shown."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_integer(cells.type) or pa.types.is_boolean(cells.type):
        return cells.cast(pa.string())
    if any(is_text(cells.type) for is_text in TEXT):
        cells = cells.cast(pa.binary())
        try:
            return cells.cast(pa.string())  # checks that it is UTF-8
        except pa.ArrowInvalid:
            pass
    return pa.array([_text(name, cell, place, reasons) for place, cell in enumerate(cells)], pa.string())


def _text(name: str, cell: pa.Scalar, position: int, reasons: Reasons) -> str | None:
    try:
        value = cell.as_py()
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bytes):
            return value.decode()
        if isinstance(value, list | dict | float):
            return json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
        return str(value)  # a date, a decimal
    except UnicodeDecodeError as error:
        reasons.setdefault(position, ("utf8", f"is not UTF-8 in {name}, at its byte {error.start}"))
        return bytes(error.object).decode(errors="backslashreplace")
    except (ValueError, OverflowError):
        reasons.setdefault(position, ("json", f"{name} is {cell}, which JSON cannot say"))
        return str(cell)
