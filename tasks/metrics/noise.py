"""The noise floor: what changes when nothing does. Some examples are answered again, and in batches of another size.

Greedy answers are the same words until two tokens are as likely as each other to the last bits; then the order of the
additions, which batches decide, chooses. How much that moves a score is measured on both models: the root mean square
of what it moves an example by is s, a mean of n examples then moves by about s / sqrt(n), and a difference of two such
means by sqrt(2) times that. The floor is twice this. A difference below it is none.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.errors import DataError
from tasks.metrics.choices import counted as counted_choices
from tasks.metrics.choices import suites_of
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts
from tasks.metrics.together import Key

Row = dict[str, Any]
Model = Mapping[str, Sequence[Row]]  # file -> rows of one model's predictions


def floors(models: Sequence[Model], metrics: Mapping[str, Sequence[str]]) -> dict[Key, float]:
    """By section and metric the floor, in the metric's scale; means over examples and accuracies only."""
    found: dict[Key, list[float]] = {}
    sizes: dict[Key, int] = {}
    for model in models:
        of_family = Counter(row["family"] for row in model["generations"])
        first = paired(model["generations"], model["repeated"])
        for family, keys in metrics.items():
            before, again = ([row for row in rows if row["family"] == family] for rows in (first, model["repeated"]))
            for key, moves in _moves_of_texts(before, again, keys).items():
                found.setdefault((family, key), []).extend(moves)
                sizes[family, key] = of_family[family]
        suites = suites_of(model["choices"])
        for name, again in suites_of(model["repeated_choices"]).items():
            if "accuracy" in counted_choices(again):
                found.setdefault((name, "accuracy"), []).extend(_moves_of_choices(suites[name], again))
                sizes[name, "accuracy"] = len(suites[name])
    return {at: 2.0 * math.sqrt(2.0 / sizes[at]) * _rms(moves) for at, moves in found.items() if moves}


def with_seeds(floors: Mapping[Key, float], spread: Mapping[str, float]) -> dict[Key, float]:
    """Floors no lower than twice what other seeds of the training move a score by (its standard deviation)."""
    found = dict(floors)
    for name, deviation in spread.items():
        section, _, key = name.partition(".")
        found[section, key] = max(found.get((section, key), 0.0), 2.0 * deviation)
    return found


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _moves_of_texts(first: Sequence[Row], again: Sequence[Row], keys: Sequence[str]) -> dict[str, list[float]]:
    """By metric: what each repeated example's own score moved by."""
    moves = {}
    for key in keys:
        measure = MEASURES[key]
        if not again or measure.scoring.ends is None:
            continue
        scores = [measure.scoring.score(measure.statistics(Texts.of(rows))[key]) for rows in (first, again)]
        moves[key] = (scores[1] - scores[0]).tolist()
    return moves


def _moves_of_choices(whole: Sequence[Row], again: Sequence[Row]) -> list[float]:
    right = [[100.0 * (row["predicted"] == row["answer"]) for row in rows] for rows in (paired(whole, again), again)]
    return [other - one for one, other in zip(*right, strict=True)]


def paired(whole: Sequence[Row], again: Sequence[Row]) -> list[Row]:
    """The first answer to each example that was answered again.

    Raises:
        DataError: there is none.
    """
    wanted = {row["id"] for row in again}
    by_id = {row["id"]: row for row in whole if row["id"] in wanted}
    if missing := [row["id"] for row in again if row["id"] not in by_id]:
        raise DataError(f"predictions: '{missing[0]}' was answered again and not a first time; run predict again.")
    return [by_id[row["id"]] for row in again]


def changed(models: Mapping[str, Model]) -> list[Row]:
    """A row a model and way: {model, repeat, n, changed}: how many answers were others the second time."""
    rows = []
    for name, model in models.items():
        first = paired(model["generations"], model["repeated"])
        for way in dict.fromkeys(row["repeat"] for row in model["repeated"]):
            again = [row for row in model["repeated"] if row["repeat"] == way]
            others = sum(a["output"] != b["output"] for a, b in zip(paired(first, again), again, strict=True))
            rows.append({"model": name, "repeat": way, "n": len(again), "changed": others})
        pairs = [
            (one, other)
            for suite, again in suites_of(model["repeated_choices"]).items()
            for one, other in zip(paired(suites_of(model["choices"])[suite], again), again, strict=True)
        ]
        others = sum(one["predicted"] != other["predicted"] for one, other in pairs)
        rows.append({"model": name, "repeat": "choices, other batch size", "n": len(pairs), "changed": others})
    return rows
