"""How much an answer depends on how it was asked for: held-out wordings against seen ones, and each wording alone.

A model is asked by wordings that it was trained with and by wordings that it never saw. The *unseen-phrasing score* is
the metric on the held-out ones, and the gap is that minus the score on the seen ones: different examples, so the two
are two samples of groups and not pairs, and the bootstrap draws groups of both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks.metrics.compare import Matrix, Measured, Resampling, Scoring, resample, row_of, span_of

Row = dict[str, Any]
Said = Mapping[str, Sequence[str]]  # by name, such as template: of each example


def gap(said: Said, base: Matrix, tuned: Matrix, scoring: Scoring, resampling: Resampling) -> Row | None:
    """Held-out minus seen of both models, as `row_of`; None where only one kind of wording was asked.

    Args:
        said: wording ("seen" or "held_out") and group of n examples.
        base: (n, k) statistics.
        tuned: the same.
        scoring: of the metric.
        resampling: seed, number and confidence.
    """
    held_out = np.array([wording == "held_out" for wording in said["wording"]])[:, None]
    if held_out.all() or not held_out.any():
        return None
    k = base.shape[1]

    def apart(sums: Matrix) -> Matrix:
        return scoring.score(sums[..., k:]) - scoring.score(sums[..., :k])

    sides = [np.hstack([np.where(held_out, 0.0, own), np.where(held_out, own, 0.0)]) for own in (base, tuned)]
    how = Scoring(apart, span_of(scoring.ends), scoring.better)
    draws = resample({"gap": Measured(sides[0], sides[1], how)}, said["group"], resampling)["gap"]
    return row_of(draws, how, resampling)


def by_wording(said: Said, base: Matrix, tuned: Matrix, scoring: Scoring, resampling: Resampling) -> list[Row]:
    """A row a wording, worst tuned score first: template, wording, and what `row_of` says of it."""
    found = []
    for template in dict.fromkeys(said["template"]):
        own = np.array([one == template for one in said["template"]])
        groups = [group for group, inside in zip(said["group"], own, strict=True) if inside]
        draws = resample({"": Measured(base[own], tuned[own], scoring)}, groups, resampling)[""]
        wording = said["wording"][int(own.argmax())]
        found.append({"template": template, "wording": wording, **row_of(draws, scoring, resampling)})
    return sorted(
        found, key=lambda row: (row["tuned"] if scoring.better != "lower" else -row["tuned"], row["template"])
    )
