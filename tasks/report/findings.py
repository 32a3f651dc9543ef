"""What a reviewer should know: at most six sentences made from the numbers, warnings first.

    findings(results, cards, more, leaks)   # [Finding("bad", "Inventions", "Tuning made it invent more: ...", "#...")]

The primary score alone hides what a tuned model may have paid for it: general ability, facts that nobody gave it, words
copied or repeated, insults, answers that hang on the wording. Each is looked at here, whichever way it went.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tasks.report.sentences import amount, between, is_part, listed, named, rounded_up

Row = dict[str, Any]
Results = Mapping[str, Mapping[str, Row]]
Mark = Literal["bad", "unsure", "good"]
ORDER: tuple[Mark, ...] = ("bad", "unsure", "good")
MOST = 6
TOLD = {"unsupported", "empty", "repetition", "toxic"}  # metrics that have a sentence of their own


@dataclass(frozen=True)
class Finding:
    """One sentence of the list."""

    mark: Mark
    """bad: it speaks against the model."""
    about: str
    text: str
    link: str
    """The part of the page that shows it."""


def findings(results: Results, cards: Row, more: Row, leaks: Row) -> list[Finding]:
    """The list, warnings first; of more than six the least pressing are left out."""
    whole = {name: rows for name, rows in results.items() if not is_part(name)}
    primary, margin = cards["primary"].split(".")[0], cards["intervals"].get("margin", 0.0)
    found = [
        *of_inventions(whole, primary),
        *of_forgetting(more["forgetting"], whole),
        *of_habits(whole, margin),
        of_leaks(leaks),
        of_comparisons(whole, cards),
        *of_wordings(more, cards, primary),
        *of_harm(whole),
    ]
    return sorted(found, key=lambda one: ORDER.index(one.mark))[:MOST]


def of_forgetting(forgetting: Row, results: Results) -> list[Finding]:
    """Is the budget kept, and how many questions would tell where it is not known."""
    suites, margin = forgetting["suites"], f"{forgetting['margin']:g} points"
    where: dict[str, list[Row]] = {}
    for row in suites:
        where.setdefault(row["verdict"], []).append(row)
    if not suites:
        text = "No general suite was asked, so nothing can be said about forgetting."
        return [Finding("unsure", "Forgetting", text, "#forgetting")]
    blind = [named(row["suite"]) for row in suites if at_chance(row["suite"], results)]
    guess = f" Base only guesses on {listed(blind)}: nothing to forget there." if blind else ""
    if lost := where.get("forgotten"):
        each = listed([f"{named(row['suite'])} ({row['base']:.1f} to {row['tuned']:.1f})" for row in lost])
        text = f"Forgotten: accuracy fell by surely more than the budget of {margin} on {each}."
        return [Finding("bad", "Forgetting", text, "#forgetting")]
    if unsure := where.get("cannot tell"):
        needed = [rounded_up(row["groups_needed"]) for row in unsure if row["groups_needed"]]
        asked = between([row["groups"] for row in unsure])
        tell = f"; about {between(needed)} questions a suite would tell, {asked} were asked" if needed else ""
        names = listed([named(row["suite"]) for row in unsure])
        text = f"Cannot tell whether more than the budget of {margin} was forgotten on {names}{tell}.{guess}"
        return [Finding("unsure", "Forgetting", text, "#forgetting")]
    loss = min(row["low"] for row in suites)
    text = f"Kept: on {_all(len(suites), 'suite')} the loss is surely smaller than the budget of {margin}"
    return [Finding("good", "Forgetting", f"{text} (at worst {max(0.0, -loss):.1f}).{guess}", "#forgetting")]


def at_chance(suite: str, results: Results) -> bool:
    """Whether the base model cannot be told from a blind guess: it has nothing to forget."""
    row = results.get(suite, {}).get("accuracy", {})
    return "chance" in row and bool(row["base_low"] <= row["chance"] <= row["base_high"])


def of_inventions(results: Results, primary: str) -> list[Finding]:
    """How many of 100 facts the outputs make up, beside the base model's and the targets' own."""
    rows = {name: own["unsupported"] for name, own in results.items() if "unsupported" in own}
    if not rows:
        return []
    worse = sorted((name for name in rows if rows[name]["verdict"] == "worse"), key=lambda name: -_grown(rows[name]))
    section = worse[0] if worse else primary if primary in rows else next(iter(rows))
    row = rows[section]
    mark: dict[str, Mark] = {"worse": "bad", "cannot tell": "unsure"}
    lead = {
        "worse": "Tuning made it invent more",
        "better": "Tuning made it invent less",
        "equivalent": "It invents as much as before",
        "cannot tell": "Cannot tell whether it invents more",
    }[row["verdict"]]
    targets = f", the targets themselves {amount(row['targets'])}" if "targets" in row else ""
    text = (
        f"{lead}: of 100 facts that the tuned model states on {named(section)}, {amount(row['tuned'])} are not in "
        f"what it read (base {amount(row['base'])}{targets})."
    )
    others = f" Worse on {listed([named(name) for name in worse[1:]])}, too." if len(worse) > 1 else ""
    return [Finding(mark.get(row["verdict"], "good"), "Inventions", text + others, f"#{section}-unsupported")]


def of_habits(results: Results, margin: float) -> list[Finding]:
    """Copying, empty outputs and repetition, where tuning surely changed them."""
    said = {
        "copy_rate": "{tuned} of 100 words on {section} stand in runs copied from the input (base {base}{targets})",
        "empty": "{tuned} of 100 outputs on {section} are empty (base {base})",
        "repetition": "{tuned} of 100 four-word runs on {section} are repeated (base {base})",
    }
    changed: dict[Mark, list[tuple[str, str]]] = {"bad": [], "good": []}
    for key, sentence in said.items():
        for mark, kept in changed.items():
            rows = {name: own[key] for name, own in results.items() if key in own and _habit(own[key], margin) == mark}
            if rows:
                section, row = max(rows.items(), key=lambda item: abs(_grown(item[1])))
                targets = f", the targets {amount(row['targets'])}" if "targets" in row else ""
                values = {"tuned": amount(row["tuned"]), "base": amount(row["base"]), "targets": targets}
                kept.append((f"#{section}-{key}", sentence.format(section=named(section), **values)))
    for mark, lead in (("bad", "Worse"), ("good", "Less of it")):
        if own := changed[mark]:
            return [Finding(mark, "Copying, repetition", f"{lead}: {'; '.join(text for _, text in own)}.", own[0][0])]
    return []


def _habit(row: Row, margin: float) -> Mark | None:
    """Which way it went; copying is not judged by a direction, but more than the targets copy is too much."""
    if row["verdict"] in ("worse", "better"):
        return "bad" if row["verdict"] == "worse" else "good"
    if row["verdict"] != "not judged":
        return None
    if row["difference_high"] < -margin:
        return "good"
    return "bad" if row["difference_low"] > margin and row["tuned"] > row.get("targets", 0.0) + margin else None


def of_harm(results: Results) -> list[Finding]:
    """Outputs that a classifier of words holds toxic."""
    row = results.get("outputs_harm", {}).get("toxic")
    if row is None:
        return []
    base, tuned, targets = (round(row[name] * row["n"] / 100.0) for name in ("base", "tuned", "targets"))
    fine = row["verdict"] in ("better", "equivalent") or tuned <= max(base, targets)
    mark: Mark = "bad" if row["verdict"] == "worse" else "good" if fine else "unsure"
    text = (
        f"{tuned} of {row['n']:,} tuned outputs {'has' if tuned == 1 else 'have'} words that a classifier holds toxic "
        f"(base {base}, the targets themselves {targets})."
    )
    return [Finding(mark, "Harm", text, "#harm")]


def of_wordings(more: Row, cards: Row, primary: str) -> list[Finding]:
    """The wording that answers worst, and what unseen phrasing costs."""
    rows = [row for row in more["wordings"] if row["family"] == primary] or more["wordings"]
    rows = [row for row in rows if row["family"] == rows[0]["family"]]
    if len(rows) < 2:
        return []
    worst = rows[0]
    gap = next((row for row in more["phrasing"] if row["family"] == worst["family"]), None)
    costs = gap is not None and gap["tuned_high"] < 0
    mark: Mark = "bad" if worst["verdict"] == "worse" or costs else "good" if worst["verdict"] == "better" else "unsure"
    kind = "held out" if worst["wording"] == "held_out" else "seen in training"
    text = (
        f"Its worst of {len(rows)} wordings on {named(worst['family'])}, “{worst['template']}” ({kind}, "
        f"{worst['n']} examples), scores {worst['tuned']:.1f} {cards['metrics'][worst['metric']]['label']}, base there "
        f"{worst['base']:.1f}."
    )
    if gap is not None:
        surely = "surely " if costs or gap["tuned_low"] > 0 else ""
        way = "lower" if gap["tuned"] < 0 else "higher"
        text = f"{text[:-1]}; unseen wordings score {surely}{abs(gap['tuned']):.1f} {way} than seen ones."
    return [Finding(mark, "Wordings", text, "#wordings")]


def of_leaks(leaks: Row) -> Finding:
    """Whether what is asked stood in the training data."""
    accepted = f"; {leaks['accepted']} were accepted by params.yaml" if leaks["accepted"] else ""
    if leaks["clean"]:
        text = f"No example of the test split or of a suite stands in the training data{accepted}."
        return Finding("good", "Leaks", text, "#leaks")
    text = f"{leaks['leaks']} examples of what is asked stand in the training data{accepted}: scores are too high."
    return Finding("bad", "Leaks", text, "#leaks")


def of_comparisons(results: Results, cards: Row) -> Finding:
    """How many comparisons went which way."""
    judged = [(name, key, row) for name, rows in results.items() for key, row in rows.items()]
    counts = Counter(row["verdict"] for *_, row in judged)
    lost = [(name, key) for name, key, row in judged if row["verdict"] == "worse"]
    worse = [f"{cards['metrics'][key]['label']} on {named(name)}" for name, key in lost]
    news = any(key not in TOLD for _, key in lost)
    mark: Mark = "bad" if news else "good" if counts["better"] and not lost else "unsure"
    total = sum(counts[verdict] for verdict in ("better", "worse", "equivalent", "cannot tell"))
    text = (
        f"Of {_all(total, 'comparison')} {counts['better']} {'is' if counts['better'] == 1 else 'are'} better, "
        f"{counts['worse']} worse"
        f"{f' ({listed(worse)})' if worse else ''}, {counts['equivalent']} equivalent, {counts['cannot tell']} "
        "cannot be told; the verdicts allow for their number (Holm), but for the one named before looking."
    )
    return Finding(mark, "All comparisons", text, "#scores")


def _grown(row: Row) -> float:
    return float(row["difference"])


def _all(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
