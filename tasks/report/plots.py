"""The page's drawings as plain numbers: ticks, one axis for intervals, the learning curve; `dvc plots` rows.

The template turns them into SVG, so they take the page's colours in light and dark, and the same numbers
give the same bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
WIDTH, HEIGHT = 720.0, 260.0  # of the learning curve, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 46.0, 14.0, 12.0, 44.0  # margins for its labels
SIZE = {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT, "bottom": BOTTOM}
MOST_POINTS = 600  # of a drawn line: more are thinner than a pixel


@dataclass(frozen=True)
class Axis:
    """A linear axis with round ticks."""

    low: float
    high: float
    ticks: list[float]

    def share(self, value: float) -> float:
        """Where a value lies, 0 at `low` and 1 at `high`."""
        return (value - self.low) / (self.high - self.low)


def axis_over(values: Sequence[float], ticks: int = 5) -> Axis:
    """An axis from a tick at or under the least value to one at or over the greatest; about `ticks` steps."""
    low, high = min(values), max(values)
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / ticks))
    step = next(power * m for m in (1.0, 2.0, 5.0, 10.0) if power * m * ticks >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return Axis(first * step, last * step, [round(number * step, 10) for number in range(first, last + 1)])


def difference_rows(results: Mapping[str, Mapping[str, Row]]) -> list[Row]:
    """One row a comparison with a verdict, for `dvc plots`: metric, base, tuned, difference, low, high ..."""
    return [
        {
            "metric": f"{section}.{key}",
            **{name: row[name] for name in ("base", "tuned", "difference", "n", "groups", "verdict")},
            "low": row["difference_low"],
            "high": row["difference_high"],
        }
        for section, rows in results.items()
        for key, row in rows.items()
        if row["verdict"] != "not judged"
    ]


def learning_curve(log: Sequence[Row]) -> Row | None:
    """Drawing of training and dev loss over steps; None where no loss was logged.

    Returns:
        {x_ticks, y_ticks: [(position, label)], lines: [{name, points: "x,y x,y", dots: [(x, y)], last}]}.
    """
    series = {
        name: [(float(row["step"]), float(row[key])) for row in log if row.get(key) is not None]
        for name, key in (("training", "loss"), ("dev", "dev_loss"))
    }
    drawn = {name: _thinned(points) for name, points in series.items() if points}
    if not drawn:
        return None
    flat = [point for points in drawn.values() for point in points]
    x_axis, y_axis = axis_over([0.0, *(x for x, _ in flat)], ticks=8), axis_over([y for _, y in flat])

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x_axis.share(x) * (WIDTH - LEFT - RIGHT)
        return round(across, 1), round(HEIGHT - BOTTOM - y_axis.share(y) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for name, points in drawn.items():
        dots = [place(x, y) for x, y in points]
        text = " ".join(f"{x},{y}" for x, y in dots)
        lines.append({"name": name, "points": text, "dots": dots, "last": dots[-1], "value": points[-1][1]})
    return {
        "x_ticks": [(place(tick, y_axis.low)[0], f"{tick:g}") for tick in x_axis.ticks],
        "y_ticks": [(place(x_axis.low, tick)[1], f"{tick:g}") for tick in y_axis.ticks],
        "lines": lines,
    }


def _thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Every k-th point and the last."""
    every = math.ceil(len(points) / MOST_POINTS)
    kept = list(points[::every])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
