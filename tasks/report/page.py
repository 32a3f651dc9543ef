"""The page for a reviewer who sees the run for the first time: one HTML file, no other host.

Layout: page.html.j2, beside this file; what it has in common with the data page: layout.py.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.report import plots
from tasks.report.layout import cut, environment

Row = dict[str, Any]
SHOWN = 10  # examples on each side
INPUT_CHARACTERS, TEXT_CHARACTERS = 700, 2000  # shown of an input, and of a target or output


class Examples(Protocol):
    """What the page needs of a family: its examples and each one's score."""

    @property
    def base(self) -> list[Row]:
        """Rows of generations.jsonl."""

    @property
    def tuned(self) -> list[Row]:
        """The same examples in the same order."""

    @property
    def statistics(self) -> Mapping[str, object]:
        """By metric."""

    def per_example(self, key: str) -> list[tuple[float, float]]:
        """Each example's score, base and tuned."""


@dataclass(frozen=True)
class Evidence:
    """All that the page shows."""

    results: Mapping[str, Mapping[str, Row]]
    """Family or suite -> metric -> base, tuned, difference, each with _low and _high; n, groups, verdict."""
    cards: Row
    """primary, sentence, intervals, metrics, sha256, decoding."""
    families: Mapping[str, Examples]
    """Families of free text, in the order shown."""
    learning: Sequence[Row]
    """The training log: step, and loss or dev_loss where logged."""
    validation: Row
    """rows_in, rows_valid, rows_quarantined, by_rule, and the same by source."""
    leaks: Row
    """The leak certificate."""


def verdict_sentence(section: str, label: str, row: Row, confidence: float) -> str:
    """Did tuning help on the primary metric, by how much, how sure, on how many examples."""
    change = abs(row["difference"])
    scores = f"from {row['base']:.1f} to {row['tuned']:.1f}"
    lead = {
        "better": f"Tuning helped: {label} on {title(section)} rose {scores}, by {change:.1f} points",
        "worse": f"Tuning hurt: {label} on {title(section)} fell {scores}, by {change:.1f} points",
        "cannot tell": f"Cannot tell whether tuning helped: {label} on {title(section)} went {scores}",
    }[row["verdict"]]
    interval = f"{row['difference_low']:+.1f} to {row['difference_high']:+.1f}"
    size = f"{row['n']} examples" + (f" in {row['groups']} groups" if row["groups"] != row["n"] else "")
    return f"{lead} ({confidence * 100:g}% interval of the difference {interval}; {size})."


def title(section: str) -> str:
    """'summarise_held_out_wording' -> 'summarise, held-out wording'; 'mmlu_0shot' -> 'mmlu, 0-shot'."""
    for mark in ("seen", "held_out"):
        section = section.replace(f"_{mark}_wording", f", {mark.replace('_', '-')} wording")
    name, _, shots = section.rpartition("_")
    if name and shots.endswith("shot") and shots[:-4].isdigit():
        section = f"{name}, {shots[:-4]}-shot"
    return section.replace("_", " ")


def render(evidence: Evidence) -> str:
    """The page as HTML."""
    pages = environment()
    pages.filters |= {"title_of": title, "minus": _minus}
    sections = [(name, rows) for name, rows in evidence.results.items() if not _is_part(name)]
    wordings = [(name, rows) for name, rows in evidence.results.items() if _is_part(name)]
    family, key = _shown_family(evidence)
    return pages.get_template("page.html.j2").render(
        evidence=evidence,
        primary=dict(zip(("section", "key"), evidence.cards["primary"].split(".", 1), strict=True)),
        counts=Counter(row["verdict"] for _, rows in sections for row in rows.values()),
        sections=sections,
        wordings=wordings,
        axes={"whole": _difference_axis(dict(sections)), "parts": _difference_axis(dict(wordings))},
        curve=plots.learning_curve(evidence.learning),
        size=plots.SIZE,
        shown={"family": family, "key": key, **extremes(evidence.families[family], key)},
        cut=cut,
        input_characters=INPUT_CHARACTERS,
        text_characters=TEXT_CHARACTERS,
    )


def _shown_family(evidence: Evidence) -> tuple[str, str]:
    """The primary metric's family, or the first one where the primary metric is of a choice suite."""
    section, key = evidence.cards["primary"].split(".", 1)
    family = section.removesuffix("_seen_wording").removesuffix("_held_out_wording")
    if family in evidence.families:
        return family, key
    family = next(iter(evidence.families))
    return family, next(iter(evidence.families[family].statistics))


def _is_part(section: str) -> bool:
    """Whether these are only the seen or the held-out wordings of a family."""
    return section.endswith("_wording")


def _difference_axis(results: Mapping[str, Mapping[str, Row]]) -> plots.Axis:
    rows = plots.difference_rows(results)
    return plots.axis_over([0.0, *(row[end] for row in rows for end in ("low", "high"))], ticks=6)


def extremes(family: Examples, key: str) -> dict[str, list[Row]]:
    """The examples that gained and lost most: {gains, losses}, ten each at most, ties in the file's order."""
    scored = [
        {
            "row": row,
            "tuned": tuned["output"],
            "base_score": one,
            "tuned_score": other,
            "difference": other - one,
        }
        for row, tuned, (one, other) in zip(family.base, family.tuned, family.per_example(key), strict=True)
    ]
    ranked = sorted(scored, key=lambda item: item["difference"])
    return {
        "losses": [item for item in ranked if item["difference"] < 0][:SHOWN],
        "gains": [item for item in reversed(ranked) if item["difference"] > 0][:SHOWN],
    }


def _minus(text: str) -> str:
    """A hyphen before a digit becomes a minus sign."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)
