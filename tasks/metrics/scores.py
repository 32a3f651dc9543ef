"""What two models wrote, counted by family and by wording, ready to be judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.metrics.compare import DECIMALS, Matrix, Measured
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts
from tasks.metrics.together import Compared

Row = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """One family's examples and what they count for in each metric."""

    base: list[Row]
    """n rows of generations.jsonl."""
    tuned: list[Row]
    """The same examples in the same order."""
    statistics: dict[str, tuple[Matrix, Matrix]]
    """Of each metric: (n, k) of base and of tuned."""
    targets: dict[str, Matrix]
    """Of each metric that looks at the input: (n, k) of the targets themselves, which is what the data teach."""

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
            for key, matrix in count(Texts.of(model)).items():
                counted.setdefault(key, []).append(matrix)
    asked = [key for key in keys if MEASURES[key].needs_input]
    as_targets = Texts.of([row | {"output": row["target"]} for row in rows[0]])
    targets = {key: MEASURES[key].statistics(as_targets)[key] for key in asked}
    return Family(rows[0], rows[1], {key: (counted[key][0], counted[key][1]) for key in keys}, targets)


def text_sections(predicted: Mapping[str, Family]) -> dict[str, Compared]:
    """Every family's counts, ready to be judged; what looks at the input alone says what the targets score, too."""
    return {family: _compared(rows, np.ones(len(rows.base), dtype=bool)) for family, rows in predicted.items()}


def wording_sections(predicted: Mapping[str, Family]) -> dict[str, Compared]:
    """Seen and held-out wordings of each family apart, where it has both."""
    sections = {}
    for family, rows in predicted.items():
        wordings = np.array([row["wording"] for row in rows.base])
        for wording in sorted(set(wordings)) if len(set(wordings)) > 1 else []:
            sections[f"{family}_{wording}_wording"] = _compared(rows, wordings == wording)
    return sections


def _compared(rows: Family, chosen: NDArray[np.bool_]) -> Compared:
    groups = [row["group"] for row, inside in zip(rows.base, chosen, strict=True) if inside]
    measured = {
        key: Measured(base[chosen], tuned[chosen], MEASURES[key].scoring)
        for key, (base, tuned) in rows.statistics.items()
    }
    own = {key: count[chosen] for key, count in rows.targets.items()}
    more = {
        key: {"targets": round(float(MEASURES[key].scoring.score(count.sum(axis=0))), DECIMALS)}
        for key, count in own.items()
    }
    return Compared(measured, groups, more)
