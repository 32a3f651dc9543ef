"""What stands behind the scores, as tables of Markdown: wordings, forgetting, perturbations, calibration, noise."""

from collections.abc import Mapping
from typing import Any

from tasks.metrics.significance import finite
from tasks.report.charts import KINDS
from tasks.report.comparisons import harmful, ordered, scores
from tasks.report.markdown import UNKNOWN, code, ends, number, plain, spread, table
from tasks.report.sentences import rounded_up

Row = Mapping[str, Any]
NOTHING = ["Not measured.", ""]


def phrasing(results: Mapping[str, Mapping[str, Row]], cards: Row, more: Row) -> list[str]:
    """The primary metric of seen and of held-out wordings, the gap between them, and the worst wording."""
    key = str(cards.get("primary", "")).partition(".")[2]
    parts = {section: {name: row for name, row in rows.items() if name == key} for section, rows in results.items()}
    told = scores(ordered(parts, "", parts=True), cards)
    for row in more.get("phrasing") or []:
        told += [
            f"Held-out minus seen wordings on {plain(row['family'])} ({plain(row['metric'])}, n = "
            f"{number(row.get('n'), ',d')}): base {spread(row, 'base')}, tuned {spread(row, 'tuned')}.", "",
        ]  # fmt: skip
    worst = {row["family"]: row for row in reversed(more.get("wordings") or [])}
    for family, row in worst.items():
        told += [
            f"Worst wording on {plain(family)}: {plain(row['template'])} ({plain(row['wording'])}, n = "
            f"{number(row.get('n'), ',d')}), {plain(row['metric'])} {spread(row, 'tuned', '.2f')}.", "",
        ]  # fmt: skip
    return told or NOTHING


def forgetting(more: Row) -> list[str]:
    """Each general suite against the budget."""
    budget = more.get("forgetting") or {}
    rows = [
        [plain(row["suite"]), number(row.get("n"), ",d"), number(row.get("base")), number(row.get("tuned")),
         number(row.get("difference"), "+.2f"), f"{number(row.get('low'), '+.2f')}, {number(row.get('high'), '+.2f')}",
         plain(row["verdict"]) + _tell(row)]
        for row in budget.get("suites") or []
    ]  # fmt: skip
    if not rows:
        return NOTHING
    columns = ["suite", "n", "base", "tuned", "difference", "one-sided bounds", "verdict"]
    said = f"Points of accuracy; a loss of {number(budget.get('margin'), 'g')} is allowed. Kept: surely less was lost."
    return [said, "", *table(columns, rows, range(1, 6))]


def _tell(row: Row) -> str:
    needed = row.get("groups_needed")
    return f" (needs about {rounded_up(int(needed)):,} questions)" if needed and finite(needed) else ""


def perturbed(more: Row) -> list[str]:
    """What slips, other spellings and other people in the input change of the scores."""
    rows = [
        [plain(KINDS.get(row["kind"], row["kind"])), number(row.get("n"), ",d"),
         spread(row["base"]), spread(row["tuned"]),
         number(row["changed"].get("base"), ".1f"), number(row["changed"].get("tuned"), ".1f")]
        for row in more.get("perturbed") or []
    ]  # fmt: skip
    columns = [
        "the same examples with",
        "n",
        "change of base's score",
        "of tuned's",
        "answers changed, %, base",
        "tuned",
    ]
    return table(columns, rows, range(1, 6)) or NOTHING


def calibration(results: Mapping[str, Mapping[str, Row]]) -> list[str]:
    """Expected calibration error of each suite, in a line."""
    rows = {section: own["ece"] for section, own in results.items() if "ece" in own}
    told = [
        f"{plain(section)} {number(row.get('base'))} to {number(row.get('tuned'))} [{ends(row)}] (n = "
        f"{number(row.get('n'), ',d')})"
        for section, row in rows.items()
    ]
    return [f"Expected calibration error, base to tuned: {'; '.join(told)}.", ""] if told else NOTHING


def noise(more: Row) -> list[str]:
    """How many answers were others when merely asked again."""
    rows = more.get("noise") or []
    told = [
        f"{plain(row.get('model', UNKNOWN))}, {plain(row.get('repeat', UNKNOWN))}: "
        f"{number(row.get('changed'), ',d')} of {number(row.get('n'), ',d')}"
        for row in rows
    ]
    return [f"Answers that changed when asked again, or in other batches: {'; '.join(told)}.", ""] if told else NOTHING


def harm(results: Mapping[str, Mapping[str, Row]], cards: Row, more: Row) -> list[str]:
    """Outputs and suites about harm and stereotypes, with what the numbers cannot see."""
    mentions = []
    for who, counts in (more.get("mentions") or {}).items():
        each = [f"{plain(group)} {number(count, ',d')}" for group, count in counts.items()]
        mentions.append(f"{plain(who)}: {', '.join(each)}")
    told = scores(ordered(harmful(results), ""), cards)
    told += [f"Mentions of genders in {'; '.join(mentions)}.", ""] if mentions else []
    seen = (more.get("what") or {}).get("toxic")
    return told + ([f"Toxic: {plain(seen)}", ""] if seen else [])


def suites(cards: Row) -> list[str]:
    """What general ability and bias are asked with: from where, and how much of it."""
    made = cards.get("decoding")
    rows = [
        [plain(suite.get("title", UNKNOWN)), number(suite.get("shots"), "d"), number(suite.get("asked"), ",d"),
         number(suite.get("available"), ",d"), code(suite.get("url", UNKNOWN)), code(suite.get("sha256", UNKNOWN))]
        for suite in (made.get("suites") or [] if isinstance(made, Mapping) else [])
    ]  # fmt: skip
    return table(["suite", "shots", "asked", "available", "from", "sha256"], rows, [1, 2, 3])
