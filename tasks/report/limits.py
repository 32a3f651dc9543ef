"""What a model card has to warn of, derived from the evidence: what got worse, what cannot be told, what was not asked.

Each sentence is one of the report's findings, or follows from a number and a threshold that was declared before.
"""

from collections.abc import Mapping
from typing import Any

from tasks.metrics.margins import bounded
from tasks.metrics.significance import finite, finite_row
from tasks.report import findings
from tasks.report.comparisons import is_finite, sound
from tasks.report.markdown import number, spread
from tasks.report.sentences import is_part, listed, named

Row = Mapping[str, Any]
Results = Mapping[str, Mapping[str, Row]]


def limits(files: Mapping[str, Any]) -> list[str]:
    """Sentences, the gravest first."""
    results = sound(files.get("metrics") or {})
    params = files.get("params") or {}
    whole = {name: rows for name, rows in results.items() if not is_part(name)}
    return [
        *_found(files, results),
        *_guards(results, params.get("promote") or {}),
        *_small(whole, params.get("promote") or {}),
        *_blind(whole),
        *_unknown(files, whole),
    ]


def _found(files: Mapping[str, Any], results: Results) -> list[str]:
    """The report's findings that speak against the model, or leave something open."""
    cards, more, leaks = (files.get(name) for name in ("cards", "evaluation", "leaks"))
    if not cards or not more or not leaks or not results:
        return []
    plain = {name: {key: dict(row) for key, row in rows.items()} for name, rows in results.items()}
    whole = {name: rows for name, rows in plain.items() if not is_part(name)}
    if "targets" not in whole.get("outputs_harm", {}).get("toxic", {"targets": 0.0}):
        del whole["outputs_harm"]  # nothing to read it beside
    primary, margin = str(cards["primary"]).partition(".")[0], cards["intervals"].get("margin", 0.0)
    budget = more["forgetting"]
    known = finite(budget.get("margin")) and all(is_finite(row) for row in budget["suites"])
    more = more | {name: [row for row in more[name] if is_finite(row)] for name in ("wordings", "phrasing")}
    told = [
        *findings.of_inventions(whole, primary),
        *(findings.of_forgetting(budget, whole) if known else []),
        *findings.of_habits(whole, margin),
        *findings.of_wordings(more, cards, primary),
        *findings.of_harm(whole),
        findings.of_leaks(leaks),
        findings.of_comparisons(whole, cards),
    ]
    told = sorted((one for one in told if one.mark != "good"), key=lambda one: findings.ORDER.index(one.mark))
    unknown = [] if known else ["Forgetting: a loss or the budget is no finite number, so nothing can be told."]
    return unknown + [f"{one.about}: {one.text}{_interval(one, results, more['wordings'])}" for one in told]


def _interval(found: findings.Finding, results: Results, wordings: list[Row]) -> str:
    """How many examples, and which interval, stand behind a sentence that is about one comparison."""
    section, _, key = found.link.removeprefix("#").rpartition("-")
    row = results.get(section, {}).get(key)
    if found.about == "Harm":
        row = results["outputs_harm"]["toxic"]
    if row:
        return f" Difference {spread(row)}, n = {number(row['n'], ',d')}."
    if found.about == "Wordings":
        worst = next(one for one in wordings if f"“{one['template']}”" in found.text)
        return f" Its score there: {spread(worst, 'tuned', '.2f')}, n = {number(worst.get('n'), ',d')}."
    return ""


def _guards(results: Results, promote: Row) -> list[str]:
    """Metrics that are not surely within what params.yaml allows them to lose."""
    guards = promote.get("guards")
    told = []
    for name, allowed in guards.items() if isinstance(guards, Mapping) else ():
        row = finite_row(results, name)
        if row is None:
            told.append(f"Guard {name}: there is no finite number of base and tuned.")
        elif finite(allowed) and not (check := bounded(name, row, allowed)).holds:
            told.append(f"Guard {check.sentence}")
    return told


def _small(results: Results, promote: Row) -> list[str]:
    """Families and suites that rest on fewer examples than the gate asks of the primary metric."""
    asked = promote.get("min_examples")
    if not finite(asked):
        return []
    sizes = {name: min(row["n"] for row in rows.values()) for name, rows in results.items()}
    few = [
        f"{named(name)} ({size})" for name, size in sizes.items() if size < asked and not name.startswith("outputs_")
    ]
    return [f"Fewer than {number(asked, 'g')} examples stand behind {listed(few, 8)}."] if few else []


def _blind(results: Results) -> list[str]:
    """Suites on which the tuned model cannot be told from a guess."""
    rows = {name: own["accuracy"] for name, own in results.items() if "chance" in own.get("accuracy", {})}
    blind = [
        f"{named(name)} ({row['tuned']:.2f} [{row['tuned_low']:.2f}, {row['tuned_high']:.2f}], n = {row['n']}, "
        f"chance {row['chance']:.0f})"
        for name, row in rows.items()
        if row["tuned_low"] <= row["chance"] <= row["tuned_high"]
    ]
    return [f"Not to be told from a blind guess: {listed(blind, 8)}."] if blind else []


def _unknown(files: Mapping[str, Any], results: Results) -> list[str]:
    """What the evidence does not hold."""
    told = []
    lost = {
        f"{name}.{key}"
        for name, rows in (files.get("metrics") or {}).items()
        for key in rows
        if not is_part(name) and key not in results.get(name, {})
    }
    if lost:
        told.append(f"No finite number is known of {listed(sorted(lost), 8)}.")
    absent = [
        what
        for name, what in (
            ("evaluation", "forgetting, wordings and noise"),
            ("leaks", "leaks between training and test data"),
            ("validation", "how many rows were read and set aside"),
            ("bias", "who is mentioned in the data"),
        )
        if not files.get(name)
    ]
    told += [f"The evidence says nothing of {listed(absent, 8)}."] if absent else []
    return [*told, "No person's judgement of the outputs is part of the evidence, and no use but the measured ones."]
