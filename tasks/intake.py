"""Intake alone: which rows of some files can be used, and what is wrong with the others. No rule is judged.

    luthier validate tickets.csv --columns ticket,summary --out intake

writes intake/valid.jsonl, intake/quarantine.jsonl (with the very bytes) and intake/quarantine.csv (for a spreadsheet),
and prints the ledger: rows in = rows valid + rows quarantined. It needs no checkout of the project.
"""

import csv
import functools
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tasks.data.files import Row, sha256_of, staged
from tasks.data.intake.quarantine import Spreadsheet, account, total
from tasks.data.intake.records import Intake, Limits, read_parts
from tasks.data.lines import ROWS, bytes_of, json_lines
from tasks.data.threads import in_order
from tasks.errors import DataError, SourceError

OUTPUTS = ("valid.jsonl", "quarantine.jsonl", "quarantine.csv")


@dataclass(frozen=True)
class Wanted:
    """What a person asks of their files."""

    columns: list[str]
    """Those that are needed."""
    may_be_empty: list[str]
    """Those of them that may be empty or blank."""
    max_field_bytes: int
    """A row with a longer field is set aside."""
    sha256: list[str]
    """Hex, one for each file in turn, or none: what vouches that a file is whole."""


def names_in(texts: list[str]) -> list[str]:
    """`a,b` and `c` -> [a, b, c]; a name that holds a comma stands in double quotes, as in CSV."""
    return [name.strip() for names in csv.reader(texts, skipinitialspace=True) for name in names]


def take_in(files: list[Path], wanted: Wanted, out: Path) -> Row:
    """Read files, write their rows under `out`; return the ledger.

    Returns:
        {rows_in, rows_valid, rows_quarantined, by_rule, files: [{file, the same four, notes}]}.

    Raises:
        DataError: a file cannot be read, or holds no row; nothing is written then.
        SourceError: a file has other bytes than its sha256 says.
    """
    _refuse(files, wanted, out)
    ledgers: list[Row] = []
    with ExitStack() as stack:
        paths = [stack.enter_context(staged(out / name)) for name in OUTPUTS]
        valid, quarantine = (stack.enter_context(path.open("wb")) for path in paths[:2])
        spreadsheet = Spreadsheet(stack.enter_context(paths[2].open("w", encoding="utf-8", newline="")))
        for file in files:
            counted, notes = [], []
            for part, lines in _parts(file, wanted):
                valid.writelines(lines)
                quarantine.writelines(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in part.set_aside)
                spreadsheet.add(part.set_aside)
                counted.append(account(len(part.records), part.set_aside))
                notes += part.notes
            ledgers.append({"file": file.as_posix(), **total(counted), "notes": notes})
            if not ledgers[-1]["rows_in"]:
                raise DataError(f"{file} names its columns, but holds no row: is it the right file?")
    return {**total(ledgers), "files": ledgers}


def _parts(file: Path, wanted: Wanted) -> Iterator[tuple[Intake, list[memoryview]]]:
    """What was read of a file, part by part, and the lines that its records make."""
    limits = Limits(wanted.max_field_bytes, frozenset(wanted.may_be_empty), whole=bool(wanted.sha256))
    lines = functools.partial(_with_lines, json.dumps(file.name, ensure_ascii=False))
    return in_order(lines, read_parts(file, wanted.columns, limits))


def _with_lines(file: str, part: Intake) -> tuple[Intake, list[memoryview]]:
    # The file's name is JSON already, and one value for all rows: a dictionary is not escaped row by row.
    records = part.records
    name = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), len(records)), [file])
    records = records.drop_columns(["_row", "_byte_offset", "_byte_length"])
    places = [part.records[column] for column in ("_row", "_byte_offset")]
    table = pa.table([name, *places, *records.columns], ["_file", "_row", "_byte_offset", *records.column_names])
    return part, [bytes_of(json_lines(batch)) for batch in table.to_batches(max_chunksize=ROWS)]


def _refuse(files: list[Path], wanted: Wanted, out: Path) -> None:
    if not all(wanted.columns) or not wanted.columns:
        raise DataError("--columns names no column: write --columns dialogue,summary.")
    if unknown := sorted(set(wanted.may_be_empty) - set(wanted.columns)):
        raise DataError(f"--may-be-empty {', '.join(unknown)}: not among --columns {', '.join(wanted.columns)}.")
    names = [file.name for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{', '.join(twice)} is named twice: rows tell their file by its name, so give it its own.")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file: name a folder after --out.")
    if written := sorted({(out / name).resolve() for name in OUTPUTS} & {file.resolve() for file in files}):
        raise DataError(f"{written[0]} would be written over: name another folder after --out.")
    if wanted.sha256 and len(wanted.sha256) != len(files):
        raise DataError(f"{len(files)} files, but {len(wanted.sha256)} --sha256: give one for each file, in turn.")
    for file, pinned in zip(files, wanted.sha256, strict=False):
        if file.is_file() and (found := sha256_of(file)) != pinned.lower():
            raise SourceError(f"{file} has sha256 {found}, not {pinned}: it was cut short, or is another file.")


def told(ledger: Row, out: Path) -> str:
    """The ledger for people, and where to look next."""
    lines = [f"{'rows in':>12}{'valid':>12}{'quarantined':>13}  file"]
    for row in ledger["files"]:
        lines.append(f"{row['rows_in']:>12,}{row['rows_valid']:>12,}{row['rows_quarantined']:>13,}  {row['file']}")
        lines += [f"{'':>39}{note}" for note in row["notes"]]
    if ledger["by_rule"]:
        lines += ["", "Quarantined by rule"]
        lines += [f"{count:>12,}  {rule}" for rule, count in ledger["by_rule"].items()]
        lines.append(f"Each with its place and reason: {out / OUTPUTS[2]} (spreadsheet), {out / OUTPUTS[1]} (bytes).")
    return "\n".join([*lines, f"Valid rows: {out / OUTPUTS[0]}"])


def main(files: list[Path], wanted: Wanted, out: Path, as_json: bool) -> None:
    """Take files in and print the ledger."""
    ledger = take_in(files, wanted, out)
    print(json.dumps(ledger, indent=2, ensure_ascii=False) if as_json else told(ledger, out))
