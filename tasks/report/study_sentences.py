"""The sentences that answer a study's question; every one holds its number, its interval and what it would take."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def change(row: Row, decimals: int = 1) -> str:
    """'+0.3 [-0.4, +0.9]'."""
    point, low, high = (f"{row[f'difference{end}']:+.{decimals}f}" for end in ("", "_low", "_high"))
    return f"{point} [{low}, {high}]"


def answer(told: Row, metric: str, margin: float) -> str:
    """How many records are enough.

    Args:
        told: of `metrics.curve.curve`.
        metric: 'ROUGE-1 on summarise'.
        margin: points that do not matter.
    """
    line = next(row for row in told["lines"] if row["wordings"] == told["best"])
    own = [row for row in told["points"] if row["wordings"] == told["best"]]
    pair, largest = line["pair"], own[-1]
    if pair is None:
        return f"Cannot tell how many records are enough: there is one size only, {_records(largest['records'])}."
    start, end = (f"{count:,}" for count in pair["records"])
    went = f"from {start} to {end} records {metric} changes by {change(pair)}"
    if line["verdict"] == "enough":
        helped = [row for row in own if row["records"] >= line["records"] and row["verdict"] == "better"]
        sure = f"{went}, surely less than the margin of {margin:.1f}"
        if not helped:
            return f"More records do not help: {sure}, and no number of them is surely better than the base model."
        return f"{_records(line['records'])} are enough{_worded(told)}: {sure}."
    if line["verdict"] == "not enough":
        lead = f"Not enough yet{_worded(told)}"
        return f"{lead}: {went}, surely better; the curve still rises at {end}, so more would help."
    return (
        f"Cannot tell how many records are enough{_worded(told)}: {went}, and n = {pair['n']} test examples tell "
        f"differences of {pair['detectable']:.1f} points or more."
    )


def _records(count: int) -> str:
    return f"{count:,} record{'s' if count != 1 else ''}"


def _worded(told: Row) -> str:
    """Which line is meant, where there are several."""
    if len(told["lines"]) == 1:
        return ""
    return f", in {told['best']} wording{'s' if told['best'] != 1 else ''} each"


def also(told: Row, metric: str) -> list[str]:
    """What else a learning curve says: the last sure step, wordings, and the cheapest point."""
    said = []
    own = [row for row in told["pairs"] if row["wordings"] == [told["best"]] * 2]
    answered = next(row["pair"] for row in told["lines"] if row["wordings"] == told["best"])
    steps = [row for row in own if row["verdict"] == "better"]
    if steps and (answered is None or steps[-1]["records"] != answered["records"]):
        a, b = steps[-1]["records"]
        said.append(f"The last step that surely helped: from {a:,} to {b:,} records, by {change(steps[-1])}.")
    by_wording = [row for row in told["pairs"] if row["wordings"][0] != row["wordings"][1]]
    if by_wording:
        most = max(row["records"][0] for row in by_wording)
        parts = [
            f"{row['wordings'][1]} instead of {row['wordings'][0]}: {change(row)}, {row['verdict']}"
            for row in by_wording
            if row["records"][0] == most
        ]
        said.append(f"More wordings, with {most:,} records: {'; '.join(parts)}.")
    paid = [row for row in told["points"] if row["tokens_per_point"] is not None]
    if paid:
        cheap = min(paid, key=lambda row: row["tokens_per_point"])
        took = f" and {cheap['seconds_per_point']:,.1f} s" if cheap["seconds_per_point"] is not None else ""
        said.append(
            f"The cheapest gain: {cheap['label']}, {cheap['tokens_per_point']:,.0f} tokens{took} of training for each "
            f"point of {metric} over the base model."
        )
    else:
        said.append("No point is surely better than the base model, so a point gained has no price.")
    return said


def missing(count: int, points: int) -> list[str]:
    """How many points the answer does without."""
    return [f"{count} of {points} points {'is' if count == 1 else 'are'} missing; why stands below."] if count else []


def best_rate(told: Row, metric: str) -> str:
    """Which learning rate, and whether it is surely better than the present one.

    Args:
        told: of `metrics.spread.spread`.
        metric: 'ROUGE-1 on summarise'.
    """
    rows = {row["rate"]: row for row in told["rates"]}
    best, present = rows[told["best"]], told["present"]
    scores = f"{metric} {best['mean']:.1f} on average over {best['seeds']} seed{'s' if best['seeds'] != 1 else ''}"
    if told["best"] == present:
        sure = [row for row in rows.values() if row.get("verdict") == "worse"]
        more = f"; surely better than {_listed([row['rate'] for row in sure])}" if sure else ""
        return f"The present learning rate {present:g} scores best: {scores}{more}."
    lead = f"Learning rate {told['best']:g} scores best: {scores}"
    if present not in rows or best.get("difference") is None:
        return f"{lead}; the present one, {present:g}, has too few trainings to compare it with."
    if best["verdict"] in ("better", "worse"):
        return f"{lead}, surely better than the present {present:g}: {change(best)}."
    return f"{lead}, but whether it is better than the present {present:g} cannot be told: {change(best)}."


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def seeds_move(told: Row, primary: str, metric: str) -> list[str]:
    """What the seed alone changes."""
    if told["deviation"] is None:
        return ["What the seed alone changes is not known: it takes two seeds of the present learning rate."]
    return [
        f"Another seed alone moves {metric} by a standard deviation of {told['deviation']:.2f} points at the present "
        f"rate. As evaluate.seed_spread: {{{primary}: {told['deviation']:.2f}}} it widens every later verdict."
    ]
