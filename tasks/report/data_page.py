"""The page for whoever asks whether the data may be trained on: one HTML file, no other host.

What was read, what was set aside and why, what the rest is like, what has changed, who is in it. With `private` nothing
of it is a value of the data: no sample is given to it, and labels come named by rank. Layout: data.html.j2, beside this
file; what it has in common with the other page: layout.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.bias_plot import drawn
from tasks.report.layout import cut, environment
from tasks.report.phrases import asked, asked_of_all
from tasks.report.shapes import SIZE, histogram, label_rows

Row = dict[str, Any]
CHARACTERS = 400  # shown of a sample
CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}  # their visible pictures


def render(validation: Row, bias: Row, samples: Mapping[str, Sequence[Row]], accepted: Mapping[str, Row]) -> str:
    """The page as HTML.

    Args:
        validation: reports/validation.json.
        bias: reports/bias.json.
        samples: for each source {rule, expects, severity, rows, examples: [{where, why, text}]} by rule.
        accepted: the accepted profiles, by source.
    """
    pages = environment()
    pages.filters |= {"shown": _shown}
    rules = [rule for source in validation["sources"].values() for rule in source["rules"]]
    return pages.get_template("data.html.j2").render(
        validation=validation,
        sources={
            name: {
                **source,
                "why": _why(source),
                "figures": _figures(source["profile"], accepted.get(name)),
                "samples": samples.get(name, []),
            }
            for name, source in validation["sources"].items()
        },
        asked=asked,
        asked_of_all=asked_of_all,
        warnings=[rule for rule in rules if not rule["passed"]],
        bias=drawn(bias),
        size=SIZE,
    )


def _why(source: Row) -> list[tuple[str, int]]:
    """Why rows were set aside, the commonest reason first."""
    expects: dict[str, list[Row]] = {}
    for rule in source["rules"]:
        if rule["severity"] == "critical":
            expects.setdefault(rule["rule"], []).append(rule["expects"])
    counted = sorted(source["by_rule"].items(), key=lambda item: (-item[1], item[0]))
    # Of several rules of the same name no one knows which: their arguments are left out.
    return [(asked(rule, expects[rule][0] if len(expects.get(rule, [])) == 1 else {}), rows) for rule, rows in counted]


def _shown(text: str) -> str:
    """A text's start, with its control characters made visible."""
    return cut(text, CHARACTERS).translate(CONTROLS)


def _figures(profile: Row, accepted: Row | None) -> list[Row]:
    """One for each column: {column, kind, characters, tokens, labels}, each a drawing or None."""
    figures = []
    for name, column in profile["columns"].items():
        before = accepted["columns"].get(name) if accepted else None
        text = column["kind"] == "text"
        figures.append(
            {
                "column": name,
                "characters": histogram(column["characters"]["counts"], before and before["characters"]["counts"])
                if text
                else None,
                "tokens": histogram(column["tokens"]["counts"], before and before["tokens"]["counts"])
                if text
                else None,
                "labels": label_rows(column["labels"], _comparable(before, profile, accepted))
                if column["labels"]
                else None,
            }
        )
    return figures


def _comparable(before: Row | None, profile: Row, accepted: Row | None) -> list[Row] | None:
    """The accepted labels, if both sides name them alike."""
    if not before or not accepted or profile["private"] != accepted["private"]:
        return None
    return list(before["labels"] or [])
