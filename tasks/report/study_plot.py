"""A study's drawings as plain numbers: the learning curve with intervals, the scores of every seed by learning rate.

The template turns them into SVG, on the page and as a file of its own. Records stand on a logarithmic axis, because
what a record adds falls with their number.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.plots import Axis, axis_over

Row = dict[str, Any]
WIDTH, HEIGHT = 720.0, 330.0  # SVG units
LEFT, RIGHT, TOP, BOTTOM = 46.0, 118.0, 14.0, 46.0  # margins; lines are named at the right
PAD = 26.0  # between the axis and the first and last place
SIZE = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM}
STYLES = 4  # of lines; more repeat
NEAR = 44.0  # two labels of an axis that are nearer would touch
APART = 7.0  # between the same size of two lines, so that their intervals can be told apart
LINE = 14.0  # height of a name at the right


def curve_drawing(told: Mapping[str, Any]) -> Row:
    """The learning curve.

    Args:
        told: of `metrics.curve.curve`.

    Returns:
        {x_ticks, y_ticks: [(position, label)], base: {y, low, high}, lines: [{name, style, points, dots: [{x, y, low,
        high, about}], name_y}]}.
    """
    rows: Sequence[Row] = told["points"]
    names = ("score_low", "score_high", "base_low", "base_high")
    axis = axis_over([row[name] for row in rows for name in names])
    sizes = sorted({row["records"] for row in rows})
    wordings = sorted({row["wordings"] for row in rows})
    places = _log_places([float(size) for size in sizes])
    lines = []
    for number, count in enumerate(wordings):
        aside = APART * (number - (len(wordings) - 1) / 2.0)
        own = [row for row in rows if row["wordings"] == count]
        dots = [
            {"x": round(places[row["records"]] + aside, 1)}
            | {name: _y(row[key], axis) for name, key in (("y", "score"), ("low", "score_low"), ("high", "score_high"))}
            | {"about": f"{row['label']}: {row['score']:.1f}, {row['score_low']:.1f} to {row['score_high']:.1f}"}
            for row in own
        ]
        name = f"{count} wording{'s' if count > 1 else ''}"
        points = " ".join(f"{dot['x']},{dot['y']}" for dot in dots)
        lines.append({"name": name, "style": number % STYLES, "points": points, "dots": dots, "name_y": dots[-1]["y"]})
    base = {name: _y(rows[0][key], axis) for name, key in (("y", "base"), ("low", "base_low"), ("high", "base_high"))}
    base_name = {"name_y": base["y"]}
    _apart([*lines, base_name])
    return {
        "x_ticks": _spaced([(places[size], f"{size:,}") for size in sizes]), "x_label": "training records",
        "y_ticks": _y_ticks(axis), "base": base | base_name, "lines": lines, "columns": [],
    }  # fmt: skip


def grid_drawing(told: Mapping[str, Any]) -> Row:
    """Every seed's score by learning rate, with mean and standard deviation.

    Args:
        told: of `metrics.spread.spread`.

    Returns:
        As `curve_drawing`, without lines; columns: [{x, dots: [(y, about)], mean, low, high, present}].
    """
    rows: Sequence[Row] = told["rates"]
    ends = [value for row in rows for value in row["scores"].values()]
    ends += [row["mean"] + sign * (row["deviation"] or 0.0) for row in rows for sign in (-1, 1)]
    axis = axis_over(ends)
    step = (WIDTH - LEFT - RIGHT - 2 * PAD) / max(1, len(rows) - 1)
    columns = [
        {
            "x": round(LEFT + PAD + number * step, 1),
            "dots": [(_y(score, axis), f"seed {seed}: {score:.2f}") for seed, score in row["scores"].items()],
            "mean": _y(row["mean"], axis),
            "low": _y(row["mean"] - (row["deviation"] or 0.0), axis),
            "high": _y(row["mean"] + (row["deviation"] or 0.0), axis),
            "present": row["rate"] == told["present"],
        }
        for number, row in enumerate(rows)
    ]
    ticks = [(column["x"], f"{row['rate']:g}") for column, row in zip(columns, rows, strict=True)]
    return {
        "x_ticks": _spaced(ticks), "x_label": "learning rate", "y_ticks": _y_ticks(axis), "base": None, "lines": [],
        "columns": columns,
    }  # fmt: skip


def _y(value: float, axis: Axis) -> float:
    return round(HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM), 1)


def _y_ticks(axis: Axis) -> list[tuple[float, str]]:
    return [(_y(tick, axis), f"{tick:g}") for tick in axis.ticks]


def _log_places(values: Sequence[float]) -> dict[float, float]:
    low, high = math.log(values[0]), math.log(values[-1])
    across = WIDTH - LEFT - RIGHT - 2 * PAD
    return {value: round(LEFT + PAD + across * (math.log(value) - low) / ((high - low) or 1.0), 1) for value in values}


def _spaced(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those that have room, the last one always."""
    kept = [ticks[-1]]
    for tick in reversed(ticks[:-1]):
        if kept[-1][0] - tick[0] >= NEAR:
            kept.append(tick)
    return kept[::-1]


def _apart(named: Sequence[Row]) -> None:
    """Move names that would stand on each other down, and the whole column up where it leaves the drawing."""
    rows = sorted(named, key=lambda row: row["name_y"])
    for above, below in itertools.pairwise(rows):
        below["name_y"] = max(below["name_y"], above["name_y"] + LINE)
    over = max(0.0, rows[-1]["name_y"] - (HEIGHT - BOTTOM))
    for row in rows:
        row["name_y"] = round(row["name_y"] - over, 1)
