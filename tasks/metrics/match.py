"""Exact match and token F1 of short answers, and accuracy of choices by score; scale 0..100.

An answer matches its target when both are the same after `normalise`. The whole answer has to match: "The
answer is B" is not "B", because a label that something else reads has to be a label. Token F1 is for answers
that are a phrase: SQuAD's (Rajpurkar et al. 2016), of the words that output and target share, in any order.
"""

import string
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics.compare import Matrix
from tasks.metrics.texts import Texts

ARTICLES = {"a", "an", "the"}
ASCII_MARKS = frozenset(string.punctuation)  # with $, + and the like, which SQuAD drops too


def normalise(text: str) -> str:
    r"""Unicode NFKC, lower case, runs of white space made one space, punctuation around the answer dropped.

    " (B)." -> "b"; "Past  Medical\nHistory:" -> "past medical history"; "C++" keeps its plus signs
    (symbols).
    """
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    start, end = 0, len(words)
    while start < end and _is_edge(words[start]):
        start += 1
    while end > start and _is_edge(words[end - 1]):
        end -= 1
    return words[start:end]


def _is_edge(character: str) -> bool:
    return character == " " or unicodedata.category(character).startswith("P")


def means(values: Sequence[float] | Sequence[bool]) -> Matrix:
    """(n, 2): each example's value and 1, so that sums give a mean."""
    return np.column_stack([np.asarray(values, dtype=np.float64), np.ones(len(values))])


def statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): 100 where the output is the target after `normalise`, else 0; and 1. Nothing never matches."""
    pairs = [
        (normalise(output), normalise(target)) for output, target in zip(texts.outputs, texts.targets, strict=True)
    ]
    return {"exact_match": means([100.0 * (output == target and output != "") for output, target in pairs])}


def words_of(text: str) -> list[str]:
    """Words as SQuAD counts them, after NFKC: lower case, no punctuation, no articles."""
    kept = "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if not _is_punctuation(c))
    return [word for word in kept.split() if word not in ARTICLES]


def _is_punctuation(character: str) -> bool:
    return character in ASCII_MARKS or (not character.isascii() and unicodedata.category(character).startswith("P"))


def token_f1(output: str, target: str) -> float:
    """F-measure of shared words, each as often as it stands in both, 0..1; a text without words shares none."""
    written, wanted = Counter(words_of(output)), Counter(words_of(target))
    shared = (written & wanted).total()
    return 2 * shared / (written.total() + wanted.total()) if shared else 0.0


def token_statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): each example's token F1, 0..100; and 1."""
    pairs = zip(texts.outputs, texts.targets, strict=True)
    return {"token_f1": means([100.0 * token_f1(output, target) for output, target in pairs])}


def length_statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): words of the output and of the target (split at white space), so that sums give their ratio."""
    words = [[float(len(text.split())) for text in side] for side in (texts.outputs, texts.targets)]
    return {"length_ratio": np.column_stack(words)}


def accuracy_statistics(choices: Sequence[dict[str, Any]]) -> Matrix:
    """(n, 2): 100 where `predicted` is `answer`, else 0; and 1."""
    return means([100.0 * (row["predicted"] == row["answer"]) for row in choices])


def chance(choices: Sequence[dict[str, Any]]) -> float:
    """Accuracy of a blind guess, 0..100: the mean of 1 / n_choices, which may differ between questions."""
    return float(np.mean([100.0 / row["n_choices"] for row in choices]))
