"""The drawing of the capacity page: CPU time of each stage over multiples of the default's data, both logarithmic.

Dots are measurements, lines the fits, bands their intervals. Written as SVG by hand: the same numbers, the same bytes.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from benchmarks.capacity_growth import Growth

Place = Callable[[float], float]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 470, 70, 110, 18, 48  # SVG units
COLOURS = {
    "fetch": "#7f7f7f", "validate": "#1f77b4", "expand": "#2ca02c", "finetune": "#d62728", "predict": "#9467bd",
    "evaluate": "#b8860b",
}  # fmt: skip
MOST = 1000.0  # times
TIMES = {1.0: "1 s", 60.0: "1 min", 3600.0: "1 h", 86_400.0: "1 day", 864_000.0: "10 days", 8_640_000.0: "100 days"}
LINE = 15.0  # height of a name


def drawing(lines: Mapping[str, Growth]) -> str:
    """The SVG.

    Args:
        lines: CPU seconds, by stage.
    """
    dots = {name: [(size / line.default_size, cost) for size, cost in line.points] for name, line in lines.items()}
    least = min([0.1, *(times for own in dots.values() for times, _ in own)])
    costs = [cost for own in dots.values() for _, cost in own] + [line.at(MOST)[2] for line in lines.values()]
    low, high = min(costs) / 1.5, max(costs) * 1.5

    def x(times: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(times / least) / math.log(MOST / least)

    def y(cost: float) -> float:
        share = math.log(max(cost, low) / low) / math.log(high / low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    parts = [*_frame(x, y, least, low, high)]
    names = []
    for name, line in lines.items():
        colour = COLOURS[name]
        along = [least * (MOST / least) ** (step / 60) for step in range(61)]
        along = [times for times in along if times >= min(times for times, _ in dots[name])]
        found = [(times, *line.at(times)) for times in along]
        band = [(x(times), y(top)) for times, *_, top in found]
        band += [(x(times), y(bottom)) for times, _, bottom, _ in found[::-1]]
        parts.append(f'<polygon points="{_path(band)}" fill="{colour}" opacity="0.13"/>')
        middle = [(x(times), y(cost)) for times, cost, *_ in found]
        parts.append(f'<polyline points="{_path(middle)}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        parts += [f'<circle cx="{x(times):.1f}" cy="{y(cost + line.moved):.1f}" r="3.4" fill="{colour}"/>'
                  for times, cost in dots[name] if times <= MOST]  # fmt: skip
        names.append([middle[-1][1], name, colour])
    return _whole([*parts, *_names(names)])


def _frame(x: Place, y: Place, least: float, low: float, high: float) -> list[str]:
    """Both axes, with ticks."""
    parts = []
    for times in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        if times >= least * 0.999:
            at, foot = f"{x(times):.1f}", HEIGHT - BOTTOM
            parts.append(f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{foot}" stroke="#ddd"/>')
            parts.append(f'<text x="{at}" y="{foot + 18}" text-anchor="middle">{times:g}</text>')
    for cost, name in TIMES.items():
        if low <= cost <= high:
            at = f"{y(cost):.1f}"
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at}" y2="{at}" stroke="#ddd"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{at}" dy="4" text-anchor="end">{name}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">data, in multiples of the default</text>')
    turned = f'transform="rotate(-90 14 {HEIGHT / 2})"'
    parts.append(f'<text x="14" y="{HEIGHT / 2}" text-anchor="middle" {turned}>CPU time</text>')
    return parts


def _names(names: Sequence[list[object]]) -> list[str]:
    """At the right, one below the other where they would touch."""
    parts, last = [], -math.inf
    for height, name, colour in sorted(names, key=lambda one: float(str(one[0]))):
        last = max(float(str(height)), last + LINE)
        parts.append(f'<text x="{WIDTH - RIGHT + 8}" y="{last + 4:.1f}" fill="{colour}">{name}</text>')
    return parts


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in points)


def _whole(parts: Sequence[str]) -> str:
    font = 'font-family="sans-serif" font-size="13"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {font}>'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>\n"])
