"""Raw files to records: every row is either a record or set aside with its number and reason; none is lost.

CSV is read strictly (RFC 4180 quoting) and as text: `None`, `N/A` and `null` stay what was written. JSON lines
and Parquet values that are not text are written as JSON.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.data.files import Row
from tasks.errors import DataError

csv.field_size_limit(1 << 27)  # bytes a field; the default of 128 KiB stops on long documents


def read_records(path: Path, columns: list[str]) -> tuple[list[Row], list[Row]]:
    """Read one raw file.

    Args:
        path: .csv, .jsonl or .parquet.
        columns: those that the pipeline needs; others are left out.

    Returns:
        The records (`columns` as text, and `row`: the number in the file, from 1) and the rows set aside
        ({row, rule, reason, raw}).

    Raises:
        DataError: the format is unknown, the file is damaged as a whole, or lacks a column.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise DataError(f"{path.name}: '{path.suffix}' cannot be read; Luthier reads {', '.join(READERS)}.")
    records, set_aside = [], []
    for number, found in enumerate(reader(path, columns), start=1):
        row = _texts(found, columns) if isinstance(found, dict) else found
        if isinstance(row, dict):
            records.append({"row": number, **row})
        else:
            rule, reason, raw = row
            set_aside.append({"row": number, "rule": rule, "reason": reason, "raw": raw})
    return records, set_aside


Found = dict[str, Any] | tuple[str, str, str]  # a row, or why it is none: (rule, reason, raw text)


def _texts(row: dict[str, Any], columns: list[str]) -> Found:
    texts = {column: _text(row[column]) for column in columns}
    # JSON may escape what its line does not show: \u0000, or half of a surrogate pair.
    return _check("".join(texts.values())) or texts


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _lines(path: Path) -> io.TextIOWrapper:
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(f"{path.name} is UTF-16: save it as UTF-8.")
    # Bytes that are not UTF-8 become lone surrogates, so that only their row is set aside; a BOM is dropped.
    return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _check(text: str) -> tuple[str, str, str] | None:
    if "\0" in text:
        return "nul", "holds a NUL character", text.replace("\0", "\\0")
    try:
        text.encode()
    except UnicodeEncodeError:
        return "utf8", "is not valid UTF-8", text.encode(errors="surrogatepass").decode(errors="backslashreplace")
    return None


def _require(path: Path, columns: list[str], known: list[str]) -> None:
    if not known:
        raise DataError(f"{path.name} is empty: is it the right file?")
    if twice := [column for column in columns if known.count(column) > 1]:
        raise DataError(f"{path.name} has several columns called {', '.join(twice)}: give each its own name.")
    missing = [column for column in columns if column not in known]
    if missing:
        raise DataError(
            f"{path.name} has no column {', '.join(repr(name) for name in missing)}; its columns are: "
            f"{', '.join(known)}. Correct params.yaml or the file."
        )


def _csv(path: Path, columns: list[str]) -> Iterator[Found]:
    with _lines(path) as file:
        reader = csv.reader(file, strict=True)
        opened = 1
        try:
            header = next(reader, [])
            _require(path, columns, header)
            opened = reader.line_num + 1
            for cells in reader:
                raw = ",".join(cells)
                if cells:
                    yield _check(raw) or _shaped(cells, header, raw)
                opened = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path.name}: the row that starts on line {opened} cannot be read ({error}): look for a quote "
                "that is not closed or not doubled there."
            ) from None


def _shaped(cells: list[str], header: list[str], raw: str) -> Found:
    if len(cells) != len(header):
        return "columns", f"has {len(cells)} cells where the header has {len(header)}", raw
    return dict(zip(header, cells, strict=True))


def _jsonl(path: Path, columns: list[str]) -> Iterator[Found]:
    known: set[str] = set()
    rows = 0
    with _lines(path) as file:
        for line in file:
            text = line.rstrip("\r\n")
            found = _check(text) or _object(text)
            if isinstance(found, dict):
                known |= found.keys()
                rows += 1
                found = _complete(found, columns, text)
            yield found
    if rows:
        _require(path, columns, sorted(known))


def _object(text: str) -> Found:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return "json", f"is not JSON: {error}", text
    return row if isinstance(row, dict) else ("json", "is not a JSON object", text)


def _complete(row: Row, columns: list[str], raw: str) -> Found:
    missing = [column for column in columns if row.get(column) is None]
    return ("missing", f"has no {', '.join(missing)}", raw) if missing else row


def _parquet(path: Path, columns: list[str]) -> Iterator[Found]:
    try:
        table = pq.ParquetFile(path, page_checksum_verification=True)
        _require(path, columns, table.schema_arrow.names)
        for batch in table.iter_batches(columns=columns):
            for row in batch.to_pylist():
                yield _complete(row, columns, json.dumps(row, default=str, ensure_ascii=False))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is damaged or no Parquet file ({error}): fetch it again.") from None


READERS: dict[str, Callable[[Path, list[str]], Iterator[Found]]] = {
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}
