"""chrF2 of a whole corpus: sacrebleu's defaults (character 1- to 6-grams without white space, cased), scale 0..100.

    statistics(Texts(outputs, targets, None))  # {"chrf": (n, 18)}; score(sums) is sacrebleu's corpus_chrf

Characters forgive an ending that differs where words do not, which suits short texts and languages with many forms.
Like BLEU it is no mean of sentence scores: an example is its eighteen counts, and `score` is chrF of their sum, in
each resample anew. Truth: Popovic 2015 (chrF: character n-gram F-score); https://github.com/mjpost/sacrebleu
"""

from collections import Counter

import numpy as np
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from tasks.metrics.compare import Matrix
from tasks.metrics.texts import Texts

ORDERS = CHRF.CHAR_ORDER  # n-grams of 1 to 6 characters
WEIGHT = CHRF.BETA**2  # recall counts four times


def statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 18): of each order the output's n-grams, the target's and those in common."""
    rows = [counts(output, target) for output, target in zip(texts.outputs, texts.targets, strict=True)]
    return {"chrf": np.array(rows, dtype=np.float64).reshape(-1, 3 * ORDERS)}


def counts(output: str, target: str) -> list[int]:
    """Eighteen counts of one pair; an order that the target has no n-gram of counts none of the output's either."""
    found: list[int] = []
    pairs = zip(extract_all_char_ngrams(output, ORDERS), extract_all_char_ngrams(target, ORDERS), strict=True)
    for written, wanted in pairs:
        found += [written.total() if wanted else 0, wanted.total(), common(written, wanted)]
    return found


def common(written: Counter[str], wanted: Counter[str]) -> int:
    """N-grams in both, each as often as it stands in both."""
    return sum(min(count, wanted[gram]) for gram, count in written.items() if gram in wanted)


def score(sums: Matrix) -> Matrix:
    """ChrF of summed counts, (..., 18) -> (...): F of mean precision and mean recall, over orders that both have."""
    written, wanted, shared = (sums[..., start::3] for start in range(3))
    there = (written > 0) & (wanted > 0)
    orders = np.maximum(there.sum(axis=-1), 1)
    precision, recall = (
        np.divide(shared, all_of, out=np.zeros_like(shared), where=there).sum(axis=-1) / orders
        for all_of in (written, wanted)
    )
    weighed = WEIGHT * precision + recall
    top = 100.0 * (1 + WEIGHT) * precision * recall
    return np.asarray(np.divide(top, weighed, out=np.zeros_like(top), where=weighed > 0))


def signature() -> str:
    """What sacrebleu wants cited beside a chrF score: references, case, orders, white space, version."""
    metric = CHRF()
    metric.corpus_score(["one"], [["one"]])  # it counts references only when it scores
    return str(metric.get_signature())
