r"""The rows that are set aside: where each stands, the rule it broke, its bytes; the ledger; a copy for a spreadsheet.

A row set aside is {"file", "row", "byte_offset", "rule", "reason", "raw", "raw_base64"}: `raw` for the eye (a byte
that is not UTF-8 as \xNN), `raw_base64` the very bytes. The ledger adds up: rows in = rows valid + rows quarantined.
"""

import base64
import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

import pyarrow as pa

from tasks.data.files import Row
from tasks.data.intake.records import raw_of

COUNTS = ("rows_in", "rows_valid", "rows_quarantined")
SHOWN = ("file", "row", "byte_offset", "rule", "reason", "raw")  # the spreadsheet's columns
CUT_OFF = (
    "the file ends inside this row; if the file is whole, give it a final line end or pin its sha256, which vouches "
    "for its last byte"
)
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a cell that begins so


def set_aside(file: str, row: int, byte_offset: int, rule: str, reason: str, raw: bytes) -> Row:
    """One row of the quarantine."""
    return {
        "file": file,
        "row": row,
        "byte_offset": byte_offset,
        "rule": rule,
        "reason": reason,
        "raw": raw.decode(errors="backslashreplace").replace("\0", "\\x00"),
        "raw_base64": base64.b64encode(raw).decode(),
    }


def set_aside_rows(
    path: Path, records: pa.Table, positions: Sequence[int], rules: Sequence[Sequence[str]]
) -> list[Row]:
    """Records that break a rule as rows of the quarantine, in the order of `positions`.

    Args:
        path: the raw file that the records were read from.
        records: as `read_records` gives them.
        positions: in `records`, from 0.
        rules: for each position every rule that it breaks, the first broken first.
    """
    found = records.select(["_row", "_byte_offset"]).take(list(positions)).to_pylist()
    return [
        set_aside(path.name, row["_row"], row["_byte_offset"], broken[0], f"breaks {', '.join(broken)}", raw)
        for row, broken, raw in zip(found, rules, raw_of(path, records, positions), strict=True)
    ]


def account(valid: int, quarantined: Iterable[Row]) -> Row:
    """The ledger of one table: {rows_in, rows_valid, rows_quarantined, by_rule}.

    Args:
        valid: how many rows are valid.
        quarantined: the rows set aside, or anything with their `rule`.
    """
    by_rule = Counter(row["rule"] for row in quarantined)
    aside = by_rule.total()
    return dict(zip(COUNTS, (valid + aside, valid, aside), strict=True)) | {"by_rule": dict(sorted(by_rule.items()))}


def total(ledgers: Iterable[Row]) -> Row:
    """One ledger for several tables."""
    ledgers = list(ledgers)
    by_rule = sum((Counter(ledger["by_rule"]) for ledger in ledgers), Counter[str]())
    counts = {key: sum(ledger[key] for ledger in ledgers) for key in COUNTS}
    return counts | {"by_rule": dict(sorted(by_rule.items()))}


class Spreadsheet:
    """Writes rows of the quarantine as CSV whose cells a spreadsheet shows and never computes."""

    def __init__(self, file: TextIO) -> None:
        self.writer = csv.writer(file, lineterminator="\n")
        self.writer.writerow(SHOWN)

    def add(self, rows: Iterable[Row]) -> None:
        """Write more rows."""
        self.writer.writerows([_shown(row[name]) for name in SHOWN] for row in rows)


def _shown(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
