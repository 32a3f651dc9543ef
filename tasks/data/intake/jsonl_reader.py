r"""JSON lines, read strictly: one object a line (RFC 8259); a line ends with LF and with nothing else.

A column holds one kind of value. A file whose column changes its kind on the way is two files in one; which kind was
meant is told by most of its rows, and the others are set aside, never converted in silence. A number is kept as it is
spelt; a list or an object is written as JSON.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from tasks.data.files import Row
from tasks.data.intake.fields import Reasons, settled
from tasks.data.intake.json_record import Kinds, UnfitError, record_of
from tasks.data.intake.quarantine import CUT_OFF, set_aside
from tasks.data.intake.records import (
    BYTE_ORDER_MARK,
    PLACE,
    RECORD,
    Intake,
    Limits,
    check_encoding,
    mark_dropped,
    require,
)
from tasks.errors import DataError

ROWS = 1 << 13  # lines that become a table together


@dataclass
class Lines:
    """Some lines of a file as columns, while the file's other lines are still unknown."""

    texts: list[list[str]] = field(default_factory=list)
    """A row's needed columns."""
    places: list[tuple[int, int, int]] = field(default_factory=list)
    """A row's number, byte offset and byte length."""
    kinds: list[Kinds] = field(default_factory=list)
    """A row's kinds of values."""
    set_aside: list[Row] = field(default_factory=list)
    """The lines that are no rows."""

    def table(self, columns: list[str]) -> pa.Table:
        """The rows as records."""
        cells = [*zip(*self.texts, strict=True)] or [()] * len(columns)
        places = [*zip(*self.places, strict=True)] or [()] * len(PLACE)
        arrays = [*(pa.array(column, pa.string()) for column in cells), *(pa.array(p, pa.int64()) for p in places)]
        return pa.table(arrays, names=[*columns, *PLACE])


def read_jsonl(path: Path, columns: list[str], limits: Limits) -> Iterator[Intake]:
    """Read a file of JSON lines; all of it is held until the kinds of its columns are known.

    Raises:
        DataError: the file is empty, UTF-16, has no such column, or a line of more than `RECORD` bytes.
    """
    marked = check_encoding(path)
    known: dict[str, None] = {}  # the keys of all objects, in the order of the file
    parts, counted = [], Counter[Kinds]()
    for lines in _lines(path, columns, limits, known, len(BYTE_ORDER_MARK) if marked else 0):
        parts.append((Intake(lines.table(columns), lines.set_aside, []), lines.kinds))
        counted.update(lines.kinds)
    if known:
        require(path, columns, [*known])
    usual = _usual(counted, len(columns))
    if marked:
        yield mark_dropped(path, columns)
    for part, kinds in parts:
        yield settled(path, part, columns, limits, _drifted(columns, kinds, usual))


def _lines(path: Path, columns: list[str], limits: Limits, known: dict[str, None], offset: int) -> Iterator[Lines]:
    lines, same = Lines(), dict[Kinds, Kinds]()
    with path.open("rb") as file:
        file.seek(offset)
        for number, line in enumerate(iter(lambda: file.readline(RECORD + 1), b""), start=1):
            if len(line) > RECORD:
                raise DataError(f"{path.name}, line {number}: longer than {RECORD >> 20} MiB: is it JSON lines?")
            raw = line.removesuffix(b"\n").removesuffix(b"\r")
            try:
                texts, kinds = record_of(raw, offset, columns, known)
                lines.texts.append(texts)
                lines.kinds.append(same.setdefault(kinds, kinds))  # kept once: nearly all rows are alike
                lines.places.append((number, offset, len(raw)))
            except UnfitError as unfit:
                cut_off = not line.endswith(b"\n") and unfit.rule in {"json", "utf8"} and not limits.whole
                why = ("truncated", CUT_OFF) if cut_off else (unfit.rule, unfit.reason)
                lines.set_aside.append(set_aside(path.name, number, offset, *why, raw))
            offset += len(line)
            if number % ROWS == 0:
                yield lines
                lines = Lines()
    yield lines


def _usual(counted: Counter[Kinds], columns: int) -> Kinds:
    """Each column's most frequent kind; of equals the one that comes first in the file."""
    usual = []
    for place in range(columns):
        kinds = Counter[str]()
        for row, count in counted.items():
            kinds[row[place]] += count
        usual += [kind for kind, _ in kinds.most_common(1)]
    return tuple(usual)


def _drifted(columns: list[str], kinds: list[Kinds], usual: Kinds) -> Reasons:
    """The rows, by position, of which a column is of another kind than usual."""
    return {
        position: ("type", "; ".join(
            f"{column} is {kind} where most rows have {most}"
            for column, kind, most in zip(columns, row, usual, strict=True) if kind != most
        ))
        for position, row in enumerate(kinds) if row != usual
    }  # fmt: skip
