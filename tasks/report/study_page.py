"""A study's page and its plot as a file: one HTML file and one SVG, no other host, no script.

Answer first, then the plot, then what stands behind it. Layout: study.html.j2 and the parts that it names.
"""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment

from tasks.report.layout import environment
from tasks.report.plots import Axis, axis_over
from tasks.report.sentences import MARKS, minus, title
from tasks.report.study_plot import SIZE, curve_drawing, grid_drawing

Row = Mapping[str, Any]


def page(told: Row) -> str:
    """The page as HTML.

    Args:
        told: study.json: what `metrics.curve` or `metrics.spread` came to, with question, sentence, notes, missing.
    """
    return _layouts().get_template("study.html.j2").render(_shown(told))


def plot(told: Row) -> str:
    """The plot as an SVG file; MLflow shows it beside the run."""
    return _layouts().get_template("study.svg.j2").render(_shown(told))


def _shown(told: Row) -> dict[str, Any]:
    drawing = curve_drawing(told) if told["kind"] == "examples" else grid_drawing(told)
    return {"told": told, "drawing": drawing, "size": SIZE, "axis": _axis(told)}


def _axis(told: Row) -> Axis | None:
    """One axis for all differences of the table."""
    rows = told["pairs"] if told["kind"] == "examples" else told["rates"]
    known = [row for row in rows if row.get("difference") is not None]
    ends = [row[f"difference{end}"] for row in known for end in ("_low", "_high")]
    return axis_over([0.0, *ends], ticks=6) if ends else None


def _layouts() -> Environment:
    pages = environment()
    pages.filters |= {"title_of": title, "minus": minus}
    pages.globals |= {"marks": MARKS}
    return pages
