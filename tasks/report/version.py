"""What MLflow shows of a model version: a short model card in Markdown, and one number per metric.

A description holds 5,000 characters in MLflow's database (mlflow 3.17, store/model_registry/dbmodels/models.py,
`String(5000)`): sqlite takes more, PostgreSQL and MySQL refuse them. So this is the model card with the parts that fit,
the first ones first, and it names the parts that do not, and the file that has them.
"""

from collections.abc import Mapping
from typing import Any

from tasks.report import model_card
from tasks.report.comparisons import headline, ordered, scores, urgent
from tasks.report.limits import limits
from tasks.report.markdown import bullets, code, plain, shortened

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # family or suite -> metric -> base, tuned, n ...
NUMBERS = ("base", "tuned", "difference", "difference_low", "difference_high", "n")
MOST = 5000  # characters of a version's description, and of a registered model's
SHORT = 12  # comparisons that are shown where there is room


def numbers(results: Results) -> dict[str, float]:
    """Every number under one dotted key: `summarise.rouge1.tuned`."""
    return {
        f"{section}.{key}.{name}": float(row[name])
        for section, rows in results.items()
        for key, row in rows.items()
        for name in NUMBERS
    }


def describe(
    files: Mapping[str, Any], facts: Mapping[str, str], example: Mapping[str, str], where: str = "model_card.md"
) -> str:
    """The version's page: the model card as far as 5,000 characters hold it.

    Args:
        files: what the stages wrote, by name (`tasks.cards.READ`).
        facts: the version's tags.
        example: one record.
        where: the whole card, among the run's artifacts.
    """
    last = [
        f"The whole card is {code(where, 300)} among the run's artifacts, with data_card.md and report.html beside it."
    ]
    last += model_card.rebuilt(facts)
    sentence = headline(files.get("metrics") or {}, files.get("cards") or {}) or model_card.UNKNOWN_RESULT
    lines = [f"**{plain(shortened(sentence, 600))}**", ""]
    left: list[str] = []
    for heading, body in _parts(files, facts, example):
        told = [f"### {heading}", "", *body]
        tail = [*_left_out([*left, heading]), *last]
        if len("\n".join([*lines, *told, *tail])) <= MOST:
            lines += told
        else:
            left.append(heading)
    return "\n".join([*lines, *_left_out(left), *last])


def _left_out(headings: list[str]) -> list[str]:
    return [f"For want of room not here: {', '.join(headings).lower()}.", ""] if headings else []


def _parts(
    files: Mapping[str, Any], facts: Mapping[str, str], example: Mapping[str, str]
) -> list[tuple[str, list[str]]]:
    """The card's sections, what decides first; scores and limits shortened."""
    results, cards = files.get("metrics") or {}, files.get("cards") or {}
    primary = str(cards.get("primary", ""))
    rows = ordered(results, primary)
    guards = ((files.get("params") or {}).get("promote") or {}).get("guards") or {}
    chosen = [row[:2] for row in urgent(rows, primary, list(guards))[:SHORT]]
    shown = [row for row in rows if row[:2] in chosen]
    more = [f"{len(rows) - len(shown)} more comparisons are in the card.", ""] if len(rows) > len(shown) else []
    warnings = [plain(shortened(sentence, 400)) for sentence in limits(files)][:5]
    return [
        ("Scores, base and tuned, on held-out data", [*scores(shown, cards), *more]),
        ("Limits", bullets(warnings)),
        ("Ask it", model_card.ask(files, example)),
        ("Model details", model_card.details(files, facts)),
        ("Where it comes from", model_card.provenance(_digests(facts))),
    ]


def _digests(facts: Mapping[str, str]) -> dict[str, str]:
    """The facts without the commit, which is said at the end."""
    return {name: shortened(value, 100) for name, value in facts.items() if name != "luthier.code.commit"}
