"""What a rule found in a table, and how it is told: in an error, in reports/validation.json, on the data page."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from tasks.data.files import Row


@dataclass(frozen=True)
class Verdict:
    """What one rule found in one table."""

    rule: str
    """The rule's name and columns."""
    expects: Row
    """Its arguments; where the data is private, those that cannot quote it."""
    severity: str
    """critical, warning or info."""
    passed: bool
    """Whether at least `mostly` of the rows, or the table, keep it."""
    about_rows: bool
    """Whether it names rows; a rule about the table does not."""
    detail: str
    """What was seen beside the number of rows."""
    columns: list[str] = field(default_factory=list)
    """Those that it looks at."""
    broken_by: list[int] = field(default_factory=list)
    """Positions in the table of the rows that break it, from 0; of rows that repeat one, all but the first."""
    measured: list[str] = field(default_factory=list)
    """What was found in the first of these rows, where it is not the text itself."""

    @property
    def observed(self) -> str:
        """What was seen, for the reader of an error."""
        if not self.about_rows:
            return self.detail
        broken = f"{len(self.broken_by):,} row{' breaks' if len(self.broken_by) == 1 else 's break'} it"
        return f"{broken} ({self.detail})" if self.detail else broken

    def told(self) -> Row:
        """The verdict for a report: rows are counted."""
        told = ("rule", "expects", "severity", "passed", "about_rows", "observed", "detail", "columns")
        return {**{name: getattr(self, name) for name in told}, "rows_breaking": len(self.broken_by)}


def kept_rows(table: pa.Table, verdicts: Iterable[Verdict]) -> pa.Table:
    """The rows that keep every critical rule."""
    kept = np.ones(len(table), np.bool_)
    for verdict in verdicts:
        if verdict.severity == "critical":
            kept[verdict.broken_by] = False
    return table.filter(pa.array(kept))


def name_of(rule: Row) -> str:
    """A rule's name and columns."""
    return " ".join(filter(None, [rule["rule"], ", ".join(columns_of(rule))]))


def columns_of(rule: Row) -> list[str]:
    """The columns that a rule looks at."""
    return [rule[key] for key in ("column", "column_A", "column_B") if key in rule] or list(rule.get("column_list", []))


def expects_of(rule: Row, private: bool) -> Row:
    """A rule's arguments; with `private` numbers and languages only, for others may quote the data."""
    said = {key: value for key, value in rule.items() if key not in ("rule", "severity") and "column" not in key}
    if private:
        return {key: value for key, value in said.items() if key == "languages" or isinstance(value, int | float)}
    return said


def observed_of(found: Row, private: bool) -> str:
    """What Great Expectations observed in a table; with `private` only if it is a number."""
    if "partial_unexpected_list" in found:
        return f"unexpected: {'(private)' if private else found['partial_unexpected_list']}"
    value = found.get("observed_value")
    return f"observed {value if isinstance(value, int | float) or not private else '(private)'}"
