"""The tables of scores: every comparison once, where a reader looks for it, drawn so that right is always better.

A metric of which less is better is mirrored: what is drawn is how far tuning went in the good direction, in points.
What has another scale than points (Brier score, ratios, counts) is not drawn, for it would be a dot on zero.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.plots import Axis, axis_over
from tasks.report.sentences import MARKS, is_part, title, unit_of, would_tell

Row = dict[str, Any]
Results = Mapping[str, Mapping[str, Row]]
POINTS = ("0..100", "0..50", "-100..100")  # scales that share one axis
CALIBRATION = {"ece", "brier"}
FLAT = {"ability", "calibration", "harm"}
OF_BIAS = {"stereotyped", "off_balance", "icat", "accuracy_ambiguous", "accuracy_disambiguated"}


@dataclass(frozen=True)
class Line:
    """One comparison."""

    anchor: str
    label: str
    hint: str
    """"lower is better", or why there is no verdict."""
    row: Row
    decimals: int
    span: tuple[float, float, float] | None
    """Low, point and high of what was gained, points; None where it is not drawn."""
    mark: str
    """Class that colours it."""
    verdict: str
    needed: str
    primary: bool


@dataclass(frozen=True)
class Section:
    """A family's or a suite's comparisons."""

    name: str
    size: str
    """How many examples, in how many groups."""
    chance: float | None
    blind: bool
    """Whether the tuned model cannot be told from a blind guess."""
    lines: list[Line]


@dataclass(frozen=True)
class Table:
    """Sections on one axis."""

    sections: list[Section]
    axis: Axis
    targets: bool
    """Whether any row says what the targets themselves score."""
    flat: bool
    """Whether sections are so short that each line names its own."""


def tables(results: Results, cards: Row, families: Collection[str]) -> dict[str, Table | None]:
    """task, ability, calibration, bias, harm, wordings: each comparison in one of them; None for an empty one."""
    first = cards["primary"].split(".")[0]
    parts: dict[str, list[Section]] = {
        "task": [], "ability": [], "calibration": [], "bias": [], "harm": [], "wordings": [],
    }  # fmt: skip
    for name, rows in sorted(results.items(), key=lambda item: item[0] != first):
        for place, own in _places(name, rows, families).items():
            parts[place].append(section_of(name, own, cards, families))
    return {place: _table(sections, place in FLAT) for place, sections in parts.items()}


def _places(name: str, rows: Mapping[str, Row], families: Collection[str]) -> dict[str, dict[str, Row]]:
    """Which of a section's rows stand in which table."""
    if is_part(name):
        return {"wordings": dict(rows)}
    if name in families:
        return {"task": dict(rows)}
    if name == "outputs_harm":
        return {"harm": dict(rows)}
    if name.startswith("outputs_") or OF_BIAS & set(rows):
        return {"bias": dict(rows)}
    split = {
        "ability": {key: row for key, row in rows.items() if key not in CALIBRATION},
        "calibration": {key: row for key, row in rows.items() if key in CALIBRATION},
    }
    return {place: own for place, own in split.items() if own}


def section_of(name: str, rows: Mapping[str, Row], cards: Row, families: Collection[str]) -> Section:
    """One section with its lines."""
    row = next(iter(rows.values()))
    groups = f" in {row['groups']:,} groups" if row["groups"] != row["n"] else ""
    chance = next((own["chance"] for own in rows.values() if "chance" in own), None)
    sure = next((own for own in rows.values() if "chance" in own), row)
    return Section(
        name=title(name),
        size=f"{row['n']:,} {unit_of(name, families)}{groups}",
        chance=chance,
        blind=chance is not None and sure["tuned_low"] <= chance <= sure["tuned_high"],
        lines=[line_of(name, key, own, cards, families) for key, own in rows.items()],
    )


def line_of(section: str, key: str, row: Row, cards: Row, families: Collection[str]) -> Line:
    """One comparison, ready to be drawn."""
    card = cards["metrics"][key]
    points = card["scale"] in POINTS
    sign = -1.0 if card.get("better") == "lower" else 1.0
    ends = sorted(sign * row[f"difference_{end}"] for end in ("low", "high"))
    hint = "lower is better" if sign < 0 else "" if card["judged"] else "no verdict"
    mark, verdict = MARKS[row["verdict"]]
    return Line(
        anchor=f"{section}-{key}",
        label=card["label"],
        hint=hint if points else f"{hint}; {card['scale']}".removeprefix("; "),
        row=row,
        decimals=1 if points else 3 if card["judged"] else 2,
        span=(ends[0], sign * row["difference"], ends[1]) if points and card["judged"] else None,
        mark=mark,
        verdict=verdict,
        needed=would_tell(row, section, families),
        primary=f"{section}.{key}" == cards["primary"],
    )


def _table(sections: Sequence[Section], flat: bool) -> Table | None:
    if not sections:
        return None
    lines = [line for section in sections for line in section.lines]
    drawn = [end for line in lines if line.span for end in line.span]
    return Table(list(sections), axis_over([0.0, *drawn], ticks=6), any("targets" in line.row for line in lines), flat)
