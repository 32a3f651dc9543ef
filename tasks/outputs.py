"""The gate over a table of outputs that were made elsewhere: `luthier gate FILE --reference C --a C --b C`.

    luthier gate outputs.csv --reference summary --a old --b new --group article --input text

The rules are those of section promote in params.yaml: its primary metric, how many examples it asks for, and those
floors and guards of the same family that outputs alone can show. Of weights, data and leaks it says nothing.
"""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tasks.compare import NAMES, Columns, compared, read, wanted
from tasks.data.files import Row, sha256_of
from tasks.errors import LuthierError
from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Decision, Gate
from tasks.metrics.gate import decide_outputs
from tasks.metrics.identity import MEASURES

SIGNS = {True: "holds  ", False: "fails  ", None: "unknown"}


def decide_table(path: Path, columns: Columns, gate: Gate, how: Resampling) -> Decision:
    """Judge column b against column a by the rules that outputs can show.

    Raises:
        LuthierError: the primary metric is none of texts, or the table cannot be read.
    """
    family, _, primary = gate.primary.partition(".")
    if primary not in MEASURES:
        raise LuthierError(
            f"promote.primary is '{gate.primary}', which no table of outputs shows: name a metric of texts."
        )
    table = read(path, columns)
    others = [
        key for section, _, key in (name.partition(".") for name in [*gate.guards, *gate.floors]) if section == family
    ]
    seen = [
        key for key in others if key in MEASURES and key != primary and (columns.input or not MEASURES[key].needs_input)
    ]
    rows = compared(table, columns, wanted([primary], columns), how, None)  # named before looking: judged alone
    if seen:
        rows |= compared(table, columns, seen, how, None)
    return decide_outputs({family: {key: _as_judged(row) for key, row in rows.items()}}, gate)


def _as_judged(row: Row) -> Row:
    """With base and tuned for a and b, as the gate calls them."""
    sides = {f"{own}{end}": row[f"{theirs}{end}"] for own, theirs in NAMES.items() for end in ("", "_low", "_high")}
    return row | sides


def main(path: Path, columns: Columns, gate: Gate, how: Resampling, as_json: bool) -> None:
    """Print the verdict and every check."""
    decision = decide_table(path, columns, gate, how)
    if as_json:
        print(
            json.dumps({"file": str(path), "sha256": sha256_of(path), **asdict(decision)}, indent=2, ensure_ascii=False)
        )
        return
    console = Console(highlight=False)
    console.print(Text(decision.verdict, style="bold"))
    for check in decision.checks:
        console.print(Text(f"  {SIGNS[check.holds]}  {check.sentence}"), soft_wrap=True)
