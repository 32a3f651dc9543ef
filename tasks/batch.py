"""A table of records and a model's answers to them: rows in = rows answered + rows quarantined.

The table is read as strictly as training data. A row that is damaged, lacks a text, or is longer than the model's
prompt contract allows is set aside with its place, rule and reason; the others are answered in their order.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet

from tasks.data.files import Row, write_rows
from tasks.data.intake.quarantine import Spreadsheet, account, set_aside
from tasks.data.intake.records import Intake, Limits, raw_of, read_records
from tasks.errors import DataError, TrainingError, did_you_mean
from tasks.model.served import Served
from tasks.progress import Progress
from tasks.prompts.templates import load_family

MAX_FIELD_BYTES = 1_000_000
AT_ONCE = 256  # rows that are held as text and ids
TOO_LONG = "long_prompt"


@dataclass(frozen=True)
class Asked:
    """What a person asks of a table."""

    table: Path
    family: str
    columns: dict[str, str]
    """Each field of the family and the column that it is read from."""
    keep: list[str]
    """Columns that are copied beside the answers; they may be empty."""

    @property
    def needed(self) -> list[str]:
        """All of these columns, each once."""
        return list(dict.fromkeys([*self.columns.values(), *self.keep]))


def columns_of(family: str, given: Sequence[str], constants: Row) -> dict[str, str]:
    """The column of each field that a record must bring: as `given` (field=column), else of the field's own name.

    Args:
        family: of the records.
        given: what a person typed.
        constants: of each family that the model was trained on: the fields that are the same for every record.

    Raises:
        DataError: the model does not know the family, or the family the field.
    """
    if family not in constants:
        known = ", ".join(sorted(constants))
        raise DataError(
            f"the model was not trained on the family '{family}', but on: {known}.{did_you_mean(family, constants)}"
        )
    fields = [field for field in load_family(family).fields if field not in constants[family]]
    pairs = dict(text.partition("=")[::2] for text in given)
    if wrong := [name for name, column in pairs.items() if name not in fields or not column]:
        raise DataError(
            f"--column {wrong[0]}: write FIELD=COLUMN; the fields of '{family}' are {', '.join(fields)}."
            f"{did_you_mean(wrong[0], fields)}"
        )
    return {field: pairs.get(field, field) for field in fields}


def read_table(asked: Asked) -> Intake:
    """The rows that can be used, and those that cannot.

    Raises:
        DataError: the table cannot be read, lacks a column, or holds no row.
    """
    may_be_empty = frozenset(asked.keep) - frozenset(asked.columns.values())
    try:
        read = read_records(asked.table, asked.needed, Limits(MAX_FIELD_BYTES, may_be_empty, whole=False))
    except DataError as error:
        known: list[str] = []
        with suppress(Exception):  # whatever is wrong with the file, the error says it
            known = _columns_in(asked.table)
        missing = next((name for name in asked.needed if name not in known), "")
        raise DataError(f"{error}{did_you_mean(missing, known)}") from None
    if not len(read.records) and not read.set_aside:
        raise DataError(f"{asked.table} names its columns, but holds no row: is it the right file?")
    return read


def _columns_in(table: Path) -> list[str]:
    if table.suffix.lower() == ".parquet":
        return list(pyarrow.parquet.read_schema(table).names)
    with table.open(encoding="utf-8-sig", newline="") as file:
        return list(json.loads(file.readline())) if table.suffix.lower() == ".jsonl" else next(csv.reader(file))


def answers(asked: Asked, read: Intake, served: Served, too_long: dict[int, str]) -> Iterator[Row]:
    """A row of answers.jsonl for each record that can be answered.

    Args:
        asked: what is asked.
        read: the records.
        served: the model.
        too_long: gets the position and reason of each record that its contract has no room for.
    """
    progress = Progress("answer", len(read.records), "rows", aside=True)
    for start in range(0, len(read.records), AT_ONCE):
        rows = read.records.slice(start, AT_ONCE).to_pylist()
        prompts = {}
        records = [{"family": asked.family} | {name: row[of] for name, of in asked.columns.items()} for row in rows]
        for at, record in enumerate(records):
            try:
                prompts[at] = served.prompt(record)
            except TrainingError as error:
                too_long[start + at] = str(error).partition(". ")[0]
        if skipped := len(rows) - len(prompts):
            progress.advance(skipped, "too long")
        limits = [served.limit(records[at]) for at in prompts]
        written = served.write(list(prompts.values()), limits, lambda done: progress.advance(done, "answered"))
        for at, answer in zip(prompts, written, strict=True):
            given = {name: rows[at][name] for name in asked.needed}
            yield {"row": rows[at]["_row"], "input": given, "output": answer.text, "finished": answer.finished}


def answer_table(asked: Asked, read: Intake, served: Served, out: Path) -> Row:
    """Answer the records of a table into a new folder `out`; return the counts that report.json holds."""
    out.mkdir(parents=True)
    too_long: dict[int, str] = {}
    unfinished = 0

    def counted() -> Iterator[Row]:
        nonlocal unfinished
        for row in answers(asked, read, served, too_long):
            unfinished += not row["finished"]
            yield row

    answered = write_rows(out / "answers.jsonl", counted())
    aside = sorted(read.set_aside + _too_long(asked.table, read, too_long), key=lambda row: int(row["row"]))
    write_rows(out / "quarantine/quarantine.jsonl", aside)
    with (out / "quarantine/quarantine.csv").open("w", encoding="utf-8", newline="") as file:
        Spreadsheet(file).add(aside)
    ledger = account(answered, aside)
    ledger["rows_answered"] = ledger.pop("rows_valid")
    return ledger | {"cut_off": unfinished, "notes": read.notes}


def _too_long(table: Path, read: Intake, reasons: Mapping[int, str]) -> list[Row]:
    """Rows of the quarantine, by their position among the records."""
    if not reasons:
        return []
    raws = raw_of(table, read.records, list(reasons))
    places = read.records.select(["_row", "_byte_offset"]).take(list(reasons)).to_pylist()
    return [
        set_aside(table.name, place["_row"], place["_byte_offset"], TOO_LONG, reason, raw)
        for place, reason, raw in zip(places, reasons.values(), raws, strict=True)
    ]
