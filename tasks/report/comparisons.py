"""Base against tuned as a table of Markdown: every comparison with its n, its interval and its verdict.

A metric's row reads alike on the model card, in MLflow and in what an approver is shown.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.metrics.significance import finite
from tasks.report.markdown import KEPT, ends, number, plain, table
from tasks.report.page import verdict_sentence
from tasks.report.sentences import is_part, would_tell
from tasks.report.summary import ON_THE_PAGE
from tasks.report.table import OF_BIAS

Row = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Row]]
Compared = tuple[str, str, Row]
URGENT = ("worse", "better", "cannot tell", "equivalent", "not judged")
NUMBERS = range(1, 6)
NEEDED = [f"{name}{end}" for name in ("base", "tuned", "difference") for end in ("", "_low", "_high")]


def headline(results: Results, cards: Row) -> str | None:
    """Did tuning help on the primary metric, from its numbers; None where they are not all there and finite."""
    section, _, key = str(cards.get("primary", "")).partition(".")
    row = sound(results).get(section, {}).get(key)
    confidence = cards.get("intervals", {}).get("confidence")
    if row is None or row["verdict"] not in URGENT[:-1] or not isinstance(confidence, float) or "groups" not in row:
        return None
    label = cards.get("metrics", {}).get(key, {}).get("label", key)
    return verdict_sentence(section, str(label), dict(row), confidence)


def columns(confidence: object, first: str = "base", second: str = "tuned") -> list[str]:
    """Of the table."""
    share = number(100.0 * confidence, "g") if isinstance(confidence, float) else number(confidence)
    return ["metric", "n", first, second, "difference", f"{share}% interval", "verdict"]


def ordered(results: Results, primary: str, parts: bool = False) -> list[Compared]:
    """All comparisons, the primary first, then its family, then the others by name; `parts`: those by wording alone."""
    rows = [(section, key, row) for section, own in results.items() for key, row in own.items()]
    chosen = [row for row in rows if is_part(row[0]) == parts]
    family = primary.partition(".")[0]
    return sorted(chosen, key=lambda row: (f"{row[0]}.{row[1]}" != primary, row[0] != family, row[0]))


def urgent(rows: Sequence[Compared], primary: str, watched: Sequence[str] = ()) -> list[Compared]:
    """The same, by what a reader has to know first: the primary, what a guard watches, then by verdict."""

    def place(row: Compared) -> tuple[bool, bool, bool, int]:
        name, verdict = f"{row[0]}.{row[1]}", row[2].get("verdict")
        minor = row[1] in ON_THE_PAGE and verdict != "worse"
        order = URGENT.index(verdict) if verdict in URGENT else len(URGENT)
        return name != primary, name not in watched, minor, order

    return sorted(rows, key=place)


def scores(rows: Sequence[Compared], cards: Row, names: Sequence[str] | None = None) -> list[str]:
    """Lines of the table.

    Args:
        rows: what it shows.
        cards: what the metrics are, and how sure the intervals.
        names: what "base" and "tuned" are called, where they are other models.
    """
    confidence = cards.get("intervals", {}).get("confidence")
    return table(columns(confidence, *(names or [])), [cells(*row, cards) for row in rows], numbers=NUMBERS)


def cells(section: str, key: str, row: Row, cards: Row) -> list[str]:
    """One comparison."""
    return [
        f"{plain(section)} {plain(key)}{hint(key, row, cards)}",
        number(row.get("n"), ",d"),
        number(row.get("base")),
        number(row.get("tuned")),
        number(row.get("difference"), "+.2f"),
        ends(row).replace(" ", KEPT),
        verdict(section, row, cards),
    ]


def hint(key: str, row: Row, cards: Row) -> str:
    """What a reader of the numbers has to know: chance, which way is good, another scale."""
    card = cards.get("metrics", {}).get(key, {})
    said = [f"chance {number(row['chance'], '.0f')}"] if "chance" in row else []
    said += ["lower is better"] if card.get("better") == "lower" else []
    scale = card.get("scale", "0..100")
    said += [plain(scale)] if scale != "0..100" else []
    said += [f"targets {number(row['targets'])}"] if "targets" in row else []
    return f" ({'; '.join(said)})" if said else ""


def verdict(section: str, row: Row, cards: Row) -> str:
    """The verdict, and how many examples would tell where it cannot be told."""
    said = str(row.get("verdict", "unknown"))
    families = {str(cards.get("primary", "")).partition(".")[0]}
    families |= set() if section.endswith("shot") else {section}
    needed = would_tell(dict(row), section, families) if is_finite(row) and "groups" in row else ""
    more = f" (needs {needed.removesuffix(' would tell')})" if said == "cannot tell" and needed else ""
    return plain(said + more)


def harmful(results: Results) -> dict[str, dict[str, Row]]:
    """Those about harm and bias: of the outputs, and of suites about stereotypes."""
    return {
        section: {key: row for key, row in rows.items() if section.startswith("outputs_") or key in OF_BIAS}
        for section, rows in results.items()
    }


def sound(results: Results) -> dict[str, dict[str, Row]]:
    """The comparisons whose numbers are all there and finite: what sentences may be made of."""
    whole = {name: {key: row for key, row in own.items() if _whole(row)} for name, own in results.items()}
    return {name: own for name, own in whole.items() if own}


def _whole(row: Row) -> bool:
    return all(finite(row.get(name)) for name in [*NEEDED, "n"]) and "verdict" in row and is_finite(row)


def is_finite(row: Row) -> bool:
    """Whether no number in it is infinite or none at all."""
    return not any(isinstance(value, float) and not finite(value) for value in row.values())
