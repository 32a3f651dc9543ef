"""BLEU of a whole corpus: sacrebleu's defaults (13a tokeniser, cased, exponential smoothing), scale 0..100.

    Bleu(keep_in_memory=True).compute(predictions=[...], references=[...])  # {"bleu": 17.3, "signature":
    "nrefs:1|..."}

BLEU is no mean of sentence scores: n-gram counts and lengths are summed over the corpus first. The
bootstrap does the same: an example is its ten counts, a resample is their sum, and `score` is BLEU of that
sum. A corpus in which no output has four tokens scores 0. Truth: https://github.com/mjpost/sacrebleu
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from tasks.metrics.compare import Matrix
from tasks.metrics.interface import PAIR_OF_STRINGS, Metric, MetricInfo

ORDERS = 4  # n-grams of 1 to 4 tokens


class Bleu(Metric):  # type: ignore[misc]  # evaluate publishes no types
    """Corpus BLEU as an `evaluate.Metric`; `evaluate.load("sacrebleu")` would need the network."""

    def _info(self) -> MetricInfo:
        return MetricInfo(description=str(__doc__), citation="", inputs_description="", features=PAIR_OF_STRINGS)

    def _compute(self, predictions: list[str], references: list[str], per_example: bool = False) -> dict[str, Any]:
        """`bleu`, 0..100, and sacrebleu's signature; with `per_example` each example's ten counts instead.

        The counts: output tokens, target tokens, matching 1- to 4-grams, output's 1- to 4-grams.
        """
        if per_example:
            pairs = zip(predictions, references, strict=True)
            return {"bleu": [_counts(output, target) for output, target in pairs]}
        metric = BLEU()
        bleu = metric.corpus_score(predictions, [references]).score
        return {"bleu": float(bleu), "signature": str(metric.get_signature())}


def _counts(output: str, target: str) -> list[float]:
    counted = BLEU().corpus_score([output], [[target]])
    return [float(count) for count in (counted.sys_len, counted.ref_len, *counted.counts, *counted.totals)]


def statistics(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, Matrix]:
    """(n, 10): each example's counts, in `Bleu`'s order."""
    counts = Bleu(keep_in_memory=True).compute(predictions=list(outputs), references=list(targets), per_example=True)
    return {"bleu": np.array(counts["bleu"])}


def score(sums: Matrix) -> Matrix:
    """BLEU of summed counts, (..., 10) -> (...): `sacrebleu`'s `compute_bleu` for many resamples at once."""
    written, wanted = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + ORDERS], sums[..., 2 + ORDERS :]
    missed = correct == 0
    smooth = 2.0 ** np.cumsum(missed, axis=-1)  # the k-th order without a match counts 1 / 2^k matches
    precision = np.where(missed, 1.0 / smooth, correct) / np.maximum(total, 1.0)
    brevity = np.exp(np.minimum(0.0, 1.0 - wanted / np.maximum(written, 1.0)))
    value = 100.0 * brevity * np.exp(np.log(precision).mean(axis=-1))
    return np.where((correct > 0).any(axis=-1) & (total > 0).all(axis=-1), value, 0.0)


def signature() -> str:
    """What sacrebleu wants cited beside a BLEU score: references, case, tokeniser, smoothing, version."""
    return str(Bleu(keep_in_memory=True).compute(predictions=["one"], references=["one"])["signature"])
