"""What a field may be: not empty, not blank, not huge. The last look at the records of every reader."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.intake.quarantine import set_aside
from tasks.data.intake.records import Intake, Limits, raw_of

BLANK = r"^[\p{Z}\p{Cc}\p{Cf}]*$"  # spaces of every kind, control characters, characters without a shape
Flags = npt.NDArray[np.bool_]
Reasons = dict[int, tuple[str, str]]  # rule and reason, by a row's position


def settled(path: Path, part: Intake, columns: list[str], limits: Limits, known: Reasons | None = None) -> Intake:
    """Set the records aside that have an empty, blank or too long field; keep the file's order.

    Args:
        path: the raw file.
        part: some of its records, and rows that are already set aside.
        columns: the needed columns.
        limits: what a field may be.
        known: what the reader has against some of the records.
    """
    reasons = dict(known or {})
    for column in columns:
        sizes = _sizes(part.records[column].combine_chunks())
        for position in np.flatnonzero(sizes > limits.max_field_bytes).tolist():
            said = f"{column} has {sizes[position]:,} bytes, more than max_field_bytes = {limits.max_field_bytes:,}"
            reasons.setdefault(position, ("field_size", said))
    for column in columns:
        if column not in limits.may_be_empty:
            for position in np.flatnonzero(_blank(part.records[column].combine_chunks())).tolist():
                reasons.setdefault(position, ("empty", f"{column} is empty; where it may be, say so (may_be_empty)"))
    return _without(path, part, reasons) if reasons else part


def _without(path: Path, part: Intake, reasons: Reasons) -> Intake:
    positions = sorted(reasons)
    places = part.records.select(["_row", "_byte_offset"]).take(positions).to_pylist()
    raws = raw_of(path, part.records, positions)
    aside = [
        set_aside(path.name, place["_row"], place["_byte_offset"], *reasons[position], raw)
        for position, place, raw in zip(positions, places, raws, strict=True)
    ]
    kept = np.ones(len(part.records), bool)
    kept[positions] = False
    in_order = sorted(part.set_aside + aside, key=lambda row: int(row["row"]))
    return Intake(part.records.filter(pa.array(kept)), in_order, part.notes)


def _offsets(cells: pa.StringArray) -> npt.NDArray[np.int32]:
    if not len(cells):
        return np.zeros(1, np.int32)
    return np.frombuffer(cells.buffers()[1], np.int32)[cells.offset : cells.offset + len(cells) + 1]


def _sizes(cells: pa.StringArray) -> npt.NDArray[np.int32]:
    """Bytes of each text."""
    return np.diff(_offsets(cells))


def _blank(cells: pa.StringArray) -> Flags:
    """Which texts hold nothing that can be seen. Nearly all begin with a letter or the like, and are told by that."""
    blank: Flags = _sizes(cells) == 0
    if blank.all():
        return blank
    bytes_ = np.frombuffer(cells.buffers()[2], np.uint8)
    first = bytes_[np.minimum(_offsets(cells)[:-1], len(bytes_) - 1)]
    suspects = np.flatnonzero(((first <= 0x20) | (first >= 0x7F)) & ~blank)
    if len(suspects):
        blank[suspects] = pc.match_substring_regex(cells.take(pa.array(suspects)), BLANK).to_numpy(False)
    return blank
