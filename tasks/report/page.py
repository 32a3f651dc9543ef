"""The page for a reviewer who sees the run for the first time: one HTML file, no other host.

Verdict and warnings first, then what stands behind them, at last the examples themselves. Layout: page.html.j2 and the
parts that it names, beside this file; what it has in common with the data page: layout.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report import charts, plots, reliability
from tasks.report.examples import INPUT_CHARACTERS, OPEN, TEXT_CHARACTERS, Examples, extremes, shown_family
from tasks.report.findings import findings
from tasks.report.layout import cut, environment
from tasks.report.sentences import MARKS, minus, title
from tasks.report.table import tables

Row = dict[str, Any]
APART = {"suites", "weights_sha256", "contract_sha256"}  # of how answers were made: shown in places of their own


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
    more: Row
    """What stands behind the scores: metrics/details.py, and efficiency."""


def verdict_sentence(section: str, label: str, row: Row, confidence: float) -> str:
    """Did tuning help on the primary metric, by how much, how sure, on how many examples."""
    change = row["difference"]
    what, scores = f"{label} on {title(section)}", f"from {row['base']:.1f} to {row['tuned']:.1f}"
    went = f"{what} {'rose' if change > 0 else 'fell'} {scores}, by {abs(change):.1f} points"
    lead = {
        "better": f"Tuning helped: {went}",
        "worse": f"Tuning hurt: {went}",
        "equivalent": f"Tuning changed nothing that matters: {what} went {scores}",
        "cannot tell": f"Cannot tell whether tuning helped: {what} went {scores}",
    }[row["verdict"]]
    interval = f"{row['difference_low']:+.1f} to {row['difference_high']:+.1f}"
    size = f"{row['n']} examples" + (f" in {row['groups']} groups" if row["groups"] != row["n"] else "")
    return f"{lead} ({confidence * 100:g}% interval of the difference {interval}; {size})."


def render(evidence: Evidence) -> str:
    """The page as HTML."""
    cards, more, results = evidence.cards, evidence.more, evidence.results
    pages = environment()
    pages.filters |= {"title_of": title, "minus": minus}
    pages.globals |= {"marks": MARKS, "cut": cut}
    family, key = shown_family(evidence.families, cards["primary"])
    ends = extremes(evidence.families[family], key, cards["metrics"][key]["better"])
    suites = cards["decoding"].get("suites", []) if isinstance(cards["decoding"], Mapping) else []
    return pages.get_template("page.html.j2").render(
        evidence=evidence,
        cards=cards,
        more=more,
        findings=findings(results, cards, more, evidence.leaks),
        tables=tables(results, cards, evidence.families),
        forgetting=charts.forgetting(more["forgetting"], results, evidence.families),
        gaps=charts.gaps(more["phrasing"]),
        wordings=charts.wordings(more["wordings"], cards["primary"].split(".")[0]),
        perturbed=charts.perturbed(more["perturbed"]),
        diagrams=reliability.diagrams(more["calibration"], results),
        diagram=reliability.SIZE,
        mentions=charts.mentions(more["mentions"]),
        subjects=charts.subjects(more["subjects"], cards["intervals"]["confidence"]),
        curve=plots.learning_curve(evidence.learning),
        size=plots.SIZE,
        trained=trained(evidence.learning),
        costs=costs(more["efficiency"], evidence.families),
        suites=suites,
        made_with=made_with(cards["decoding"]),
        shown={"family": family, "key": key, **ends},
        open=OPEN,
        input_characters=INPUT_CHARACTERS,
        text_characters=TEXT_CHARACTERS,
    )


def trained(log: Sequence[Row]) -> Row:
    """What training came to, as far as the log says: steps, tokens, seconds, best dev loss and its step."""
    looks = [(row["dev_loss"], row["step"]) for row in log if row.get("dev_loss") is not None]
    found: Row = {"steps": max((row["step"] for row in log), default=0), "best": min(looks) if looks else None}
    for key in ("tokens", "seconds"):
        found[key] = next((row[key] for row in reversed(log) if row.get(key) is not None), None)
    return found


def costs(efficiency: Row, families: Mapping[str, Examples]) -> list[tuple[str, list[str]]]:
    """Rows of the table of costs: a label, base and tuned."""
    models = [efficiency[name] for name in ("base", "tuned")]
    cut_off = [
        [not row.get("finished", True) for family in families.values() for row in getattr(family, name)]
        for name in ("base", "tuned")
    ]
    each = [(one, max(one["seconds"], 1e-9)) for one in models]
    rows = [
        ("Seconds, answers and choices together", [f"{one['seconds']:,.1f}" for one in models]),
        ("Answers written", [f"{one['answers']:,}" for one in models]),
        ("Questions of suites", [f"{one['choices']:,}" for one in models]),
        ("Tokens of prompts", [f"{one['prompt_tokens']:,}" for one in models]),
        ("Tokens written", [f"{one['output_tokens']:,}" for one in models]),
        ("Tokens written an answer", [f"{one['output_tokens'] / max(one['answers'], 1):.1f}" for one in models]),
        ("Tokens written a second of all", [f"{one['output_tokens'] / seconds:,.0f}" for one, seconds in each]),
        ("Memory at most, MB", [f"{one['peak_mb']:,}" for one in models]),
    ]
    if cut_off[0]:
        shares = [f"{100 * sum(own) / len(own):.1f}%" for own in cut_off]
        rows.append(("Answers cut off at the limit of tokens", shares))
    return rows


def made_with(decoding: object) -> list[tuple[str, str]]:
    """How the answers were made, one line each; what differs by family or use is spelled out."""
    if not isinstance(decoding, Mapping):
        return [("decoding", str(decoding))]
    return [
        (name.replace("_", " "), "; ".join(f"{key}: {own}" for key, own in value.items()))
        if isinstance(value, Mapping)
        else (name.replace("_", " "), str(value))
        for name, value in decoding.items()
        if name not in APART
    ]
