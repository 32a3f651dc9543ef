"""Which of two models is better, from any table of their outputs: `luthier compare FILE --reference C --a C --b C`.

    luthier compare outputs.csv --reference summary --a old --b new --group article

Whoever made the outputs: two columns of them, and one of what they should have been. Nothing is changed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tasks.data.files import Row, sha256_of
from tasks.data.intake.records import Limits, read_records
from tasks.errors import DataError, LuthierError
from tasks.metrics.compare import NOT_JUDGED, Measured, Resampling
from tasks.metrics.identity import MEASURES, card, intervals_card
from tasks.metrics.judged import judge
from tasks.metrics.texts import Texts

ANY_FIELD = 1 << 27  # bytes
NAMES = {"base": "a", "tuned": "b"}  # what `judge` calls the two, and what they are called here
METHOD = "paired percentile bootstrap over groups; verdict from p values adjusted by Holm"
SIGN = {"better": "b is better", "worse": "b is worse", "equivalent": "equivalent", "cannot tell": "cannot tell"}


@dataclass(frozen=True)
class Columns:
    """What stands where in the table."""

    reference: str
    a: str
    b: str
    group: str | None
    """Rows that agree here share a source and are drawn together; None: each row stands alone."""
    input: str | None = None
    """What both models read; None: metrics that hold an output against it are left out."""

    @property
    def said(self) -> dict[str, str | None]:
        """What the report says of them."""
        return {name: column for name, column in vars(self).items() if name != "input" or column}

    @property
    def all(self) -> list[str]:
        """Those that are read."""
        names = (self.reference, self.a, self.b, self.group, self.input)
        return list(dict.fromkeys(name for name in names if name is not None))


def read(path: Path, columns: Columns) -> pa.Table:
    """The columns as text.

    Raises:
        DataError: the file or a column is not there, or a row cannot be read: a score of some rows is none of the file.
    """
    intake = read_records(path, columns.all, Limits(ANY_FIELD, frozenset(columns.all), whole=True))
    if intake.set_aside:
        first = intake.set_aside[0]
        raise DataError(
            f"{path}: {len(intake.set_aside):,} rows cannot be read, the first is row {first['row']} "
            f"({first['rule']}): mend them, or take them out for both models. luthier validate lists them."
        )
    if not len(intake.records):
        raise DataError(f"{path} holds no row.")
    return intake.records


def compared(table: pa.Table, columns: Columns, metrics: Sequence[str], how: Resampling, margin: float | None) -> Row:
    """What each metric says.

    Args:
        table: of the columns, as text.
        columns: their names.
        metrics: keys of MEASURES.
        how: the intervals are made.
        margin: a difference up to it does not matter.
    """
    reference, a, b = (table.column(name).to_pylist() for name in (columns.reference, columns.a, columns.b))
    given = table.column(columns.input).to_pylist() if columns.input else None
    groups = table.column(columns.group or "_row").to_pylist()
    measured: dict[str, Measured] = {}
    for statistics in dict.fromkeys(MEASURES[key].statistics for key in metrics):  # one call gives all four ROUGEs
        ours, theirs = (statistics(Texts(outputs, reference, given)) for outputs in (a, b))
        measured |= {key: Measured(ours[key], theirs[key], MEASURES[key].scoring) for key in ours if key in metrics}
    judged = judge({key: one for key, one in measured.items() if MEASURES[key].judged}, groups, how, margin)
    rows = judged | judge({key: one for key, one in measured.items() if not MEASURES[key].judged}, groups, how)
    return {key: card(key) | renamed(rows[key]) for key in metrics}


def renamed(row: Row) -> Row:
    """With a and b for base and tuned."""
    return {key.replace("base", NAMES["base"]).replace("tuned", NAMES["tuned"]): value for key, value in row.items()}


def show(found: Row, console: Console) -> None:
    """Print a line for each metric, and what keeps it from being told."""
    numbers_of = ("a", "b", "b - a", "from", "to", "p, adjusted")
    table = Table("", *(Column(name, justify="right") for name in numbers_of), "verdict")
    for row in found["metrics"].values():
        verdict = SIGN.get(row["verdict"], row["verdict"])
        if row["groups_needed"]:
            verdict += f"; about {row['groups_needed']:,} {found['drawn']} would, were it {row['difference']:+.2f}"
        numbers = [f"{row[key]:.2f}" for key in ("a", "b")]
        numbers += [f"{row[key]:+.2f}" for key in ("difference", "difference_low", "difference_high")]
        p = "" if row["verdict"] == NOT_JUDGED else f"{row['p_holm']:.4f}"
        table.add_row(row["label"], *numbers, p, verdict)
    console.print(table)
    how = found["intervals"]
    lines = [
        f"{found['rows']:,} rows in {found['groups']:,} groups. Intervals hold {how['confidence']:.0%}, "
        f"{how['resamples']:,} resamples; p values are adjusted for the number of metrics (Holm).",
    ]
    if found["columns"]["group"] is None:
        lines.append("Each row stands alone: if rows share a source, name its column by --group, or all is too sure.")
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def wanted(metrics: Sequence[str], columns: Columns) -> list[str]:
    """Keys of the metrics: those named, or all that these columns allow.

    Raises:
        LuthierError: one is not known, or needs inputs that are not named.
    """
    if unknown := [key for key in metrics if key not in MEASURES]:
        raise LuthierError(f"there is no metric '{unknown[0]}'; there are {', '.join(MEASURES)}.")
    if not metrics:
        return [key for key, measure in MEASURES.items() if columns.input or not measure.needs_input]
    if blind := [key for key in metrics if MEASURES[key].needs_input and not columns.input]:
        raise LuthierError(f"'{blind[0]}' compares an output with what the models read: name its column by --input.")
    return list(dict.fromkeys(metrics))


def main(
    path: Path, columns: Columns, metrics: Sequence[str], how: Resampling, margin: float | None, as_json: bool
) -> None:
    """Compare by these metrics, or by all that the columns allow where none is named, and print.

    Raises:
        LuthierError: a metric is not known or needs inputs that are not named, the two models are one column, the
            margin is below 0, or the table cannot be read.
    """
    metrics = wanted(metrics, columns)
    if columns.a == columns.b:
        raise LuthierError(f"--a and --b are both '{columns.a}': a model and itself cannot differ.")
    if margin is not None and margin < 0:
        raise LuthierError(f"--margin {margin:g} is below 0: it is the largest difference that does not matter.")
    table = read(path, columns)
    groups = len(set(table.column(columns.group).to_pylist())) if columns.group else len(table)
    found: Row = {
        "file": str(path), "sha256": sha256_of(path), "columns": columns.said, "rows": len(table), "groups": groups,
        "drawn": "groups" if columns.group else "rows", "margin": margin,
        "intervals": intervals_card(how) | {"method": METHOD, "adjusted_for_many_metrics": True},
        "metrics": compared(table, columns, metrics, how, margin),
    }  # fmt: skip
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, Console(highlight=False))
