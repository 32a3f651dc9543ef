"""Exact match of short answers (labels, letters), and accuracy of choices by score; scale 0..100.

An answer matches its target when both are the same after `normalise`. The whole answer has to match: "The
answer is B" is not "B", because a label that something else reads has to be a label.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics.compare import Matrix


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


def statistics(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, Matrix]:
    """(n, 2): 100 where the output is the target after `normalise`, else 0; and 1. Nothing never matches."""
    pairs = [(normalise(output), normalise(target)) for output, target in zip(outputs, targets, strict=True)]
    return {"exact_match": means([100.0 * (output == target and output != "") for output, target in pairs])}


def length_statistics(outputs: Sequence[str], targets: Sequence[str]) -> dict[str, Matrix]:
    """(n, 2): words of the output and of the target (split at white space), so that sums give their ratio."""
    words = [[float(len(text.split())) for text in texts] for texts in (outputs, targets)]
    return {"length_ratio": np.column_stack(words)}


def accuracy_statistics(choices: Sequence[dict[str, Any]]) -> Matrix:
    """(n, 2): 100 where `predicted` is `answer`, else 0; and 1."""
    return means([100.0 * (row["predicted"] == row["answer"]) for row in choices])


def chance(choices: Sequence[dict[str, Any]]) -> float:
    """Accuracy of a blind guess, 0..100: the mean of 1 / n_choices, which may differ between questions."""
    return float(np.mean([100.0 / row["n_choices"] for row in choices]))
