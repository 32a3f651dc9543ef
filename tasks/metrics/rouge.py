"""ROUGE-1, -2, -L and -Lsum: the F-measure of Google's `rouge_score`, Porter stemmer on, scale 0..100.

    Rouge(keep_in_memory=True).compute(predictions=[...], references=[...])  # {"rouge1": 41.2, ...}

The score of a set is the mean over its examples. (`evaluate`'s own ROUGE reports the middle of a bootstrap
instead, which moves with its seed.) Tokens are runs of a-z and 0-9 in lower case: text in other scripts
scores 0. rougeLsum takes each line as a sentence; on texts of one line it equals rougeL. Truth:
https://github.com/google-research/google-research/tree/master/rouge
"""

from collections.abc import Sequence

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from tasks.metrics.compare import Matrix
from tasks.metrics.interface import PAIR_OF_STRINGS, Metric, MetricInfo

KEYS = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Rouge(Metric):  # type: ignore[misc]  # evaluate publishes no types
    """ROUGE as an `evaluate.Metric`; `evaluate.load("rouge")` would need the network."""

    def _info(self) -> MetricInfo:
        return MetricInfo(description=str(__doc__), citation="", inputs_description="", features=PAIR_OF_STRINGS)

    def _compute(
        self, predictions: list[str], references: list[str], per_example: bool = False
    ) -> dict[str, float] | dict[str, list[float]]:
        """Each key's mean over the examples, 0..100; with `per_example` each key's list of values instead."""
        scorer = RougeScorer(KEYS, use_stemmer=True)
        scores = [scorer.score(target, output) for output, target in zip(predictions, references, strict=True)]
        values = {key: [100.0 * float(score[key].fmeasure) for score in scores] for key in KEYS}
        return values if per_example else {key: float(np.mean(values[key])) for key in KEYS}


def statistics(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, Matrix]:
    """(n, 2) per key: each example's F-measure, 0..100, and 1 (so that sums give a mean)."""
    values = Rouge(keep_in_memory=True).compute(predictions=list(outputs), references=list(targets), per_example=True)
    return {key: np.column_stack([values[key], np.ones(len(values[key]))]) for key in KEYS}
