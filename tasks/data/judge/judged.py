"""One source, read and judged: its valid rows, its quarantined rows with their reasons, every rule's verdict."""

from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from tasks.data.files import Row
from tasks.data.intake.quarantine import set_aside_rows
from tasks.data.intake.records import Intake
from tasks.data.judge.rules import DRIFT, Means
from tasks.data.judge.verdicts import Verdict, kept_rows


@dataclass(frozen=True)
class Judged:
    """A source of one or more files."""

    records: pa.Table
    """What could be read: _file, _row, _byte_offset, then text by column; in row order, file after file."""
    valid: pa.Table
    """Those of them that keep every critical rule."""
    unread: list[Row]
    """The rows that could not be read, in the quarantine's form."""
    quarantined: list[Row]
    """These and the records that break a critical rule, in row order, file after file."""
    verdicts: list[Verdict]
    """On the records, in the order of the rules."""
    notes: list[str]
    """What was noticed about the files."""

    def drift(self, accepted: Row | None) -> Row:
        """{accepted_rows, drifted}: what was compared with, and the rules that say that the data has changed."""
        drifted = [verdict.rule for verdict in self.verdicts if verdict.rule.startswith(DRIFT) and not verdict.passed]
        return {"accepted_rows": accepted["rows"] if accepted else None, "drifted": drifted}

    def samples(self, most: int) -> list[Row]:
        """For each rule that rows break: {rule, expects, severity, rows, examples: [{where, why, text}]}."""
        by_rule: dict[str, list[Row]] = {}
        for row in self.unread:
            by_rule.setdefault(row["rule"], []).append(row)
        found = [
            {"rule": rule, "expects": {}, "severity": "critical", "rows": len(rows), "examples": _unread(rows[:most])}
            for rule, rows in sorted(by_rule.items())
        ]
        for verdict in self.verdicts:
            if verdict.broken_by:
                told = {name: getattr(verdict, name) for name in ("rule", "expects", "severity")}
                examples = list(self._examples(verdict, most))
                found.append({**told, "rows": len(verdict.broken_by), "examples": examples})
        return found

    def _examples(self, verdict: Verdict, most: int) -> Iterator[Row]:
        some = self.records.take(pa.array(verdict.broken_by[:most], pa.int64())).to_pylist()
        for number, row in enumerate(some):
            texts = [row[column] for column in verdict.columns]
            length = f"{sum(map(len, texts)):,} characters" if "length" in verdict.rule else ""
            why = verdict.measured[number] if number < len(verdict.measured) else length
            where = f"{row['_file']}, row {row['_row']}: {', '.join(verdict.columns)}"
            yield {"where": where, "why": why, "text": "\n".join(texts)}


def _unread(rows: list[Row]) -> list[Row]:
    return [{"where": f"{row['file']}, row {row['row']}", "why": row["reason"], "text": row["raw"]} for row in rows]


def judge_source(read: Sequence[tuple[Path, Intake]], columns: list[str], rules: list[Row], means: Means) -> Judged:
    """Judge what was read of a source's files.

    Raises:
        ParamsError: a rule is unknown, or its arguments do not fit.
    """
    records = pa.concat_tables([_placed(path, intake.records, columns) for path, intake in read])
    unread = [row for _, intake in read for row in intake.set_aside]
    verdicts: list[Verdict] = []
    if len(records):
        # Takes seconds to import: what is wrong with the files comes first.
        from tasks.data.judge.expectations import judge  # noqa: PLC0415

        verdicts = judge(records, columns, rules, means)
    quarantined = [*unread, *_broken(read, verdicts)]
    order = {path.name: place for place, (path, _) in enumerate(read)}
    return Judged(
        records=records,
        valid=kept_rows(records, verdicts),
        unread=unread,
        quarantined=sorted(quarantined, key=lambda row: (order[row["file"]], row["row"])),
        verdicts=verdicts,
        notes=[note for _, intake in read for note in intake.notes],
    )


def _placed(path: Path, records: pa.Table, columns: list[str]) -> pa.Table:
    table = records.select(["_row", "_byte_offset", *columns])
    return table.add_column(0, "_file", pa.repeat(pa.scalar(path.name), len(records)))


def _broken(read: Sequence[tuple[Path, Intake]], verdicts: list[Verdict]) -> Iterator[Row]:
    """The records that break a critical rule, each with every such rule, in the quarantine's form."""
    reasons: dict[int, list[str]] = {}
    for verdict in verdicts:
        if verdict.severity == "critical":
            for position in verdict.broken_by:
                reasons.setdefault(position, []).append(verdict.rule)
    positions = sorted(reasons)
    ends = list(accumulate(len(intake.records) for _, intake in read))
    for (path, intake), end in zip(read, ends, strict=True):
        start = end - len(intake.records)
        mine = positions[bisect(positions, start - 1) : bisect(positions, end - 1)]
        if mine:
            inside = [position - start for position in mine]
            yield from set_aside_rows(path, intake.records, inside, [reasons[position] for position in mine])
