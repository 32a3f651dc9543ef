"""The examples that lost and gained most, with what no input supports marked in the texts.

    marked("Scott left Leeds in May.", "Scott left Leeds.", 2000)   # "Scott left Leeds in ", and "May": a date

Targets are marked by the same rules as outputs (metrics/faithful.py): what they invent is what the data teach.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.metrics.faithful import unsupported

Row = dict[str, Any]
SHOWN = 20  # examples on each side
OPEN = 5  # of them without being asked for
INPUT_CHARACTERS, TEXT_CHARACTERS = 700, 1500  # shown of an input, and of a target or output


class Examples(Protocol):
    """What the page needs of a family: its examples and each one's score."""

    @property
    def base(self) -> Sequence[Row]:
        """Rows of generations.jsonl, which may lie in the file."""

    @property
    def tuned(self) -> Sequence[Row]:
        """The same examples in the same order."""

    @property
    def statistics(self) -> Mapping[str, object]:
        """By metric."""

    def per_example(self, key: str) -> list[tuple[float, float]]:
        """Each example's score, base and tuned."""


@dataclass(frozen=True)
class Part:
    """A piece of a text."""

    text: str
    kind: str
    """number, date or name that the input does not support; "" for anything else."""


@dataclass(frozen=True)
class Text:
    """A text as it is shown."""

    parts: list[Part]
    left_out: int
    """Characters that are not shown."""
    unsupported: int | None
    """Facts of the whole text that its input does not support; None where nobody looked."""


def shown_family(families: Mapping[str, Examples], primary: str) -> tuple[str, str]:
    """The primary metric's family and metric, or the first ones where the primary metric is of a choice suite."""
    section, key = primary.split(".", 1)
    family = section.removesuffix("_seen_wording").removesuffix("_held_out_wording")
    if family in families:
        return family, key
    family = next(iter(families))
    return family, next(iter(families[family].statistics))


def extremes(family: Examples, key: str, better: str | None = "higher") -> dict[str, list[Row]]:
    """The examples that gained and lost most: {gains, losses}, twenty each at most, ties in the file's order."""
    sign = -1.0 if better == "lower" else 1.0
    scored = [
        {"place": place, "base_score": one, "tuned_score": other, "difference": other - one}
        | {"gain": sign * (other - one)}
        for place, (one, other) in enumerate(family.per_example(key))
    ]
    ranked = sorted(scored, key=lambda item: item["gain"])
    losses = [item for item in ranked if item["gain"] < 0][:SHOWN]
    gains = [item for item in reversed(ranked) if item["gain"] > 0][:SHOWN]
    looked = "unsupported" in family.statistics  # elsewhere (labels, choices) an output need not be in the input
    return {"losses": [_shown(item, family, looked) for item in losses],
            "gains": [_shown(item, family, looked) for item in gains]}  # fmt: skip


def _shown(item: Row, family: Examples, looked: bool) -> Row:
    row, tuned = family.base[item["place"]], family.tuned[item["place"]]
    texts = {"Target": row["target"], "Base wrote": row["output"], "Tuned wrote": tuned["output"]}
    given = row["input"] if looked else None
    return item | {
        "id": row["id"],
        "wording": row["wording"],
        "input": row["input"],
        "texts": {name: marked(text, given, TEXT_CHARACTERS) for name, text in texts.items()},
    }


def marked(text: str, given: str | None, most: int) -> Text:
    """A text's first characters in parts, what its input does not support apart; unmarked where no input is given."""
    facts = unsupported(text, given) if given is not None else []
    shown = text if len(text) <= most else text[:most].rstrip()
    parts, at = list[Part](), 0
    for fact in facts:
        if fact.end > len(shown):
            break
        parts += [Part(shown[at : fact.start], ""), Part(shown[fact.start : fact.end], fact.kind)]
        at = fact.end
    parts = [part for part in [*parts, Part(shown[at:], "")] if part.text]
    return Text(parts, len(text) - len(shown), len(facts) if given is not None else None)
