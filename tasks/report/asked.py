"""What a model answered to a suite, as a terminal shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

Row = Mapping[str, Any]


def show(found: Row, out: Path | None, console: Console) -> None:
    """Print scores with intervals, disciplines and subjects, and what there is to know about them.

    Args:
        found: what `tasks.ask.ask` returns, with `against` where there is an earlier result.
        out: where every question's scores are kept.
        console: to print to.
    """
    console.print(_scores(found))
    for name in ("disciplines", "subjects"):
        if found[name]:
            console.print(_parts(name, found[name]))
    if "against" in found:
        console.print(_against(found["against"]["metrics"]))
    for line in _notes(found, out):
        console.print(Text(line), soft_wrap=True)


def _scores(found: Row) -> Table:
    table = Table(f"{found['title']}, {found['shots']} shots", *_right("score", "from", "to", "n"))
    for row in found["scores"].values():
        table.add_row(row["label"], *(f"{row[key]:.2f}" for key in ("score", "low", "high")), f"{row['n']:,}")
    return table


def _parts(name: str, parts: Mapping[str, tuple[int, float]]) -> Table:
    table = Table(name.removesuffix("s"), *_right("n", "accuracy"))
    for part, (n, accuracy) in parts.items():
        table.add_row(part.replace("_", " "), f"{n:,}", f"{accuracy:.1f}")
    return table


def _against(rows: Mapping[str, Row]) -> Table:
    table = Table("against the earlier result", *_right("earlier", "this", "difference", "from", "to"), "verdict")
    for key, row in rows.items():
        signed = (f"{row[name]:+.2f}" for name in ("difference", "difference_low", "difference_high"))
        table.add_row(key, f"{row['base']:.2f}", f"{row['tuned']:.2f}", *signed, row["verdict"])
    return table


def _right(*names: str) -> list[Column]:
    return [Column(name, justify="right") for name in names]


def _notes(found: Row, out: Path | None) -> list[str]:
    alike, measured = found["card"]["alike"], found["scores"]
    notes = [f"Intervals hold {found['intervals']['confidence']:.0%}; a blind guess scores {found['chance']:.1f}."]
    if "accuracy" not in measured:
        notes = notes[:0]
    published = max(alike["published"].values(), default=0)
    if alike["available"] < published and alike["available"] not in alike["published"].values():
        notes.append(f"The data hold {alike['available']:,} questions; its makers published {published:,}: a part.")
    if alike["asked"] < alike["available"]:
        notes.append(f"{alike['asked']:,} of the {alike['available']:,} questions were asked.")
    if alike["left_out"]:
        notes.append(f"{alike['left_out']:,} rows without a right answer among their options were left out.")
    if found["cut"]:
        notes.append(f"{found['cut']:,} prompts lost their beginning: the model reads no more.")
    notes.append(f"Prompt: {alike['prompt_of']}. Licence of the questions: {alike['licence']}.")
    return notes + ([f"Every question's scores are in {out}."] if out else [])
