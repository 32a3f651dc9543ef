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
from tasks.metrics.texts import Texts

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
            return {"bleu": counts_of(predictions, references).tolist()}
        metric = BLEU()
        bleu = metric.corpus_score(predictions, [references]).score
        return {"bleu": float(bleu), "signature": str(metric.get_signature())}


def counts_of(outputs: Sequence[str], targets: Sequence[str]) -> Matrix:
    """(n, 10): each pair's counts, in `Bleu`'s order."""
    metric = BLEU()  # once: making one costs more than counting a sentence
    counted = [metric.corpus_score([output], [[target]]) for output, target in zip(outputs, targets, strict=True)]
    rows = [(one.sys_len, one.ref_len, *one.counts, *one.totals) for one in counted]
    return np.array(rows, dtype=np.float64).reshape(-1, 2 + 2 * ORDERS)


def statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 10): each example's counts, in `Bleu`'s order."""
    return {"bleu": counts_of(texts.outputs, texts.targets)}


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
