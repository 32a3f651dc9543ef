"""The table that `make demo` ends with, in a terminal as in a log of 100 columns.

    print_summary(Path("."), since=started)   # since: what this run did is told from what it found done

It reads reports/{metrics,cards,validation}.json, .luthier/steps.jsonl (the cost of each step) and, where a
promotion was decided, .luthier/promotion.json {version, alias, verdict, reason}. What is not there yet is
said, not invented.
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = dict[str, Any]
COSTS = ".luthier/steps.jsonl"
SKIPPED = 99  # the gate, of a version that may not be promoted
LOG_WIDTH = 100  # columns, where the output is no terminal
STYLES = {"better": "green", "worse": "red", "equivalent": "dim", "cannot tell": "dim", "not judged": "dim"}
ON_THE_PAGE = {
    "brier",
    "ece",
    "accuracy_macro",
    "rougeL",
    "rougeLsum",
    "chrf",
    "token_f1",
}  # another scale, or much the same
IF_TOLD = {"empty", "repetition", "gender_mentions", "off_balance", "toxic", "accuracy_ambiguous"}  # mostly the same


def print_summary(root: Path, since: float = 0.0, console: Console | None = None) -> None:
    """Print scores, rows, costs, the verdict and where to look next.

    Args:
        root: the project's folder.
        since: seconds since the epoch when this run started; a step whose last row is older is "unchanged".
        console: where to print; by default standard output, 100 columns wide where that is no terminal.
    """
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=LOG_WIDTH, no_color=True, highlight=False)
    reports = root / "reports"
    cards = _read(reports / "cards.json")
    parts = (
        ("Base against tuned", _scores(_read(reports / "metrics.json"), cards), "reports/metrics.json"),
        ("Rows", _rows(_read(reports / "validation.json")), "reports/validation.json"),
        ("Time and memory", _costs(_read_lines(root / COSTS), since), COSTS),
    )
    for heading, table, file in parts:
        console.print()
        console.print(Text(heading, style="bold"))
        console.print(table if table is not None else f"{file} is not there yet.", markup=False)
    console.print()
    if cards is not None:
        console.print(Text(cards["sentence"], style="bold"))
    if (evaluation := _read(root / "reports" / "evaluation.json")) is not None:
        console.print(Text(_forgetting(evaluation["forgetting"])))
    promotion = _read(root / ".luthier" / "promotion.json")
    if promotion is not None:
        console.print(_promotion(promotion))
    console.print("Look next: reports/report.html (the page to review), make up (Airflow and MLflow).")


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _read_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _table(*columns: str) -> Table:
    """A table without frames; the first column is text, the others numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number else "left", no_wrap=bool(number), overflow="fold")
    return table


def _scores(metrics: dict[str, dict[str, Row]] | None, cards: Row | None) -> Table | None:
    if metrics is None or cards is None:
        return None
    confidence = f"{cards['intervals']['confidence'] * 100:g}%"
    table = _table("metric (0..100)", "n", "base", "tuned", "difference", f"{confidence} interval", "verdict")
    first, _, key = cards["primary"].partition(".")
    chosen = [(first, key), (f"{first}_seen_wording", key), (f"{first}_held_out_wording", key)]
    whole = [name for name in metrics if not name.endswith("_wording")]
    whole.sort(key=lambda name: _order(name, first))
    chosen += [(name, other) for name in whole for other in metrics[name] if (name, other) != (first, key)]
    for section, metric in chosen:  # the primary metric by wording too; the page has all of them
        row = metrics.get(section, {}).get(metric)
        if row is not None and _is_shown(metric, row["verdict"]):
            style = "bold" if (section, metric) == (first, key) else ""
            table.add_row(*_score_cells(section, metric, row), style=style)
    return table


def _is_shown(metric: str, verdict: str) -> bool:
    if metric in ON_THE_PAGE or verdict == "not judged":
        return False
    return metric not in IF_TOLD or verdict in ("better", "worse")


def _forgetting(found: Row) -> str:
    """General ability in a sentence: what is surely kept, what is surely forgotten, what cannot be told."""
    said = {"kept": "kept", "forgotten": "forgotten", "cannot tell": "cannot be told"}
    parts = []
    for verdict, words in said.items():
        names = [row["suite"].replace("_", " ") for row in found["suites"] if row["verdict"] == verdict]
        parts += [f"{', '.join(names)}: {words}"] if names else []
    return f"General ability, if a loss of {found['margin']:g} points is allowed: {'; '.join(parts)}."


def _order(section: str, first: str) -> tuple[bool, bool, str]:
    """The primary family first, then the other families, then suites of choices."""
    return section != first, section.endswith("shot") or section.startswith("outputs_"), section


def _score_cells(section: str, key: str, row: Row) -> tuple[str | Text, ...]:
    chance = f" (chance {row['chance']:.0f})" if "chance" in row else ""
    return (
        f"{section.replace('_', ' ')}  {key}{chance}",
        f"{row['n']}",
        f"{row['base']:.1f}",
        f"{row['tuned']:.1f}",
        f"{row['difference']:+.1f}",
        f"{row['difference_low']:+.1f} to {row['difference_high']:+.1f}",
        Text(row["verdict"], style=STYLES[row["verdict"]]),
    )


def _rows(validation: Row | None) -> Table | None:
    if validation is None:
        return None
    table = _table("source", "rows in", "valid", "quarantined")
    for name, source in [*validation["sources"].items(), ("all", validation)]:
        table.add_row(name, *(f"{source[key]:,}" for key in ("rows_in", "rows_valid", "rows_quarantined")))
    return table


def _costs(rows: list[Row], since: float) -> Table | None:
    """The last row of each step, in the order in which the steps first ran."""
    if not rows:
        return None
    last = {row["step"]: row for row in rows}
    table = _table("step", "time", "peak memory")
    for step, row in last.items():
        if row["started"] < since:
            table.add_row(step, "unchanged", "", style="dim")
        else:
            failed = f"  exit {row['exit']}" if row["exit"] not in (0, SKIPPED) else ""
            table.add_row(step + failed, _duration(row["seconds"]), f"{row['peak_mb']:,} MB")
    ran = [row for row in last.values() if row["started"] >= since]
    if ran:
        peak = max(row["peak_mb"] for row in ran)
        table.add_row("all steps", _duration(sum(row["seconds"] for row in ran)), f"{peak:,} MB")
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _promotion(promotion: Row) -> Text:
    version, verdict = promotion["version"], promotion["verdict"]
    alias = f"is {promotion['alias']}" if promotion.get("alias") else "has no alias"
    return Text(f"Model version {version} {alias} ({verdict}): {promotion['reason']}")
