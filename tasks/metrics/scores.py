"""Scores of two models' predictions: texts by family, choices by suite, each with intervals and a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.metrics import match
from tasks.metrics.compare import DECIMALS, MEAN, Matrix, Measured, Resampling, compare, resample, row_of
from tasks.metrics.identity import MEASURES

Row = dict[str, Any]
Results = dict[str, dict[str, Row]]  # family or suite -> metric -> what `compare` says


@dataclass(frozen=True)
class Family:
    """One family's examples and what they count for in each metric."""

    base: list[Row]
    """n rows of generations.jsonl."""
    tuned: list[Row]
    """The same examples in the same order."""
    statistics: dict[str, tuple[Matrix, Matrix]]
    """Of each metric: (n, k) of base and of tuned."""

    def per_example(self, key: str) -> list[tuple[float, float]]:
        """Each example's score by itself, base and tuned (BLEU of one text is rough: for sorting only)."""
        base, tuned = (MEASURES[key].scoring.score(rows) for rows in self.statistics[key])
        return list(zip(base.tolist(), tuned.tolist(), strict=True))


def families(base: Sequence[Row], tuned: Sequence[Row], metrics: Mapping[str, Sequence[str]]) -> dict[str, Family]:
    """Split predictions by family and count, for each metric that params.yaml names for it.

    Raises:
        DataError: a family is predicted and has no metrics, or has metrics and is not predicted.
    """
    predicted = dict.fromkeys(row["family"] for row in base)
    odd = sorted(set(predicted) ^ set(metrics))
    if odd:
        raise DataError(
            f"family '{odd[0]}' stands in only one of the predictions ({', '.join(predicted)}) and "
            f"evaluate.metrics in params.yaml ({', '.join(metrics)}): name its metrics there, or take it out."
        )
    return {family: _family(family, base, tuned, keys) for family, keys in metrics.items()}


def _family(family: str, base: Sequence[Row], tuned: Sequence[Row], keys: Sequence[str]) -> Family:
    rows = [[row for row in model if row["family"] == family] for model in (base, tuned)]
    counted: dict[str, list[Matrix]] = {}
    for count in dict.fromkeys(MEASURES[key].statistics for key in keys):  # one call gives all four ROUGEs
        for model in rows:
            found = count([row["output"] for row in model], [row["target"] for row in model])
            for key, matrix in found.items():
                counted.setdefault(key, []).append(matrix)
    return Family(rows[0], rows[1], {key: (counted[key][0], counted[key][1]) for key in keys})


def score_texts(predicted: Mapping[str, Family], resampling: Resampling) -> Results:
    """Results of each family, and of its seen and held-out wordings apart where it has both."""
    results: Results = {}
    for family, rows in predicted.items():
        wordings = np.array([row["wording"] for row in rows.base])
        results[family] = _score(rows, np.ones(len(wordings), dtype=bool), resampling)
        for wording in sorted(set(wordings)) if len(set(wordings)) > 1 else []:
            results[f"{family}_{wording}_wording"] = _score(rows, wordings == wording, resampling)
    return results


def _score(rows: Family, chosen: NDArray[np.bool_], resampling: Resampling) -> dict[str, Row]:
    groups = [row["group"] for row, inside in zip(rows.base, chosen, strict=True) if inside]
    measured = {
        key: Measured(base[chosen], tuned[chosen], MEASURES[key].scoring)
        for key, (base, tuned) in rows.statistics.items()
    }
    results = {}
    for key, draws in resample(measured, groups, resampling).items():
        row = row_of(draws, MEASURES[key].scoring.ends, resampling)
        results[key] = row if MEASURES[key].judged else row | {"verdict": "not judged"}
    return results


def score_choices(base: Sequence[Row], tuned: Sequence[Row], resampling: Resampling) -> Results:
    """Accuracy of each suite and number of shots as `<suite>_<shots>shot`, beside that of a blind guess."""
    results: Results = {}
    for suite, shots in dict.fromkeys((row["suite"], row["shots"]) for row in base):
        ours, theirs = (
            [row for row in model if (row["suite"], row["shots"]) == (suite, shots)] for model in (base, tuned)
        )
        counts = match.accuracy_statistics(ours), match.accuracy_statistics(theirs)
        row = compare(*counts, [row["group"] for row in ours], MEAN, resampling)
        results[f"{suite}_{shots}shot"] = {"accuracy": row | {"chance": round(match.chance(ours), DECIMALS)}}
    return results
