"""Does a model know what it knows? Calibration error and Brier score of multiple choice, and rows for a diagram.

    statistics(rows)  # {"ece": (n, 11), "brier": (n, 2)}; a row has scores (log-probabilities), predicted and answer

A model's confidence in a choice is the softmax of its scores over the choices. A calibrated model is right seven times
in ten where its confidence is 0.7. The expected calibration error (ECE) is the mean distance between confidence and
accuracy over ten equally wide bins, each weighed by its questions (Naeini et al. 2015; Guo et al. 2017). Few questions
put chance into each bin, and every distance counts, so ECE of few questions is too large, and its resamples lie higher
still: compare it between models of the same questions only. The Brier score is the squared distance between all
confidences and what is right (Brier 1950): 0 is perfect, 2 is sure and wrong, 1 - 1 / choices is a blind guess.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.compare import Matrix, Scoring, mean

BINS = 10
EDGES = np.linspace(0.0, 1.0, BINS + 1)
Row = Mapping[str, Any]


def confidences(row: Row) -> Matrix:
    """(choices): softmax of a question's scores."""
    scores = np.asarray(row["scores"], dtype=np.float64)
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum())


def statistics(rows: Sequence[Row]) -> dict[str, Matrix]:
    """Sufficient statistics of each question.

    Args:
        rows: of choices.jsonl: scores (finite), predicted, answer.

    Returns:
        ece (n, 11): correct - confidence in the column of its bin, 0 in the others; and 1. brier (n, 2): the squared
        distance, 0..2; and 1.
    """
    confidence, right = predictions(rows)
    ece, brier = np.zeros((len(rows), BINS + 1)), np.ones((len(rows), 2))
    ece[np.arange(len(rows)), bins_of(confidence)] = right - confidence
    ece[:, BINS] = 1.0
    for number, row in enumerate(rows):
        shares = confidences(row)
        truth = np.arange(len(shares)) == row["answer"]
        brier[number, 0] = np.square(shares - truth).sum()
    return {"ece": ece, "brier": brier}


def predictions(rows: Sequence[Row]) -> tuple[Matrix, Matrix]:
    """(n) each: confidence in the predicted choice, 0..1, and 1 where it is right, else 0."""
    confidence = np.array([confidences(row)[row["predicted"]] for row in rows], dtype=np.float64)
    right = np.array([row["predicted"] == row["answer"] for row in rows], dtype=np.float64)
    return confidence, right


def bins_of(confidence: Matrix) -> NDArray[np.intp]:
    """(n): the bin of each, 0 to 9; a bin holds its upper end, the first its lower end too."""
    return np.clip(np.searchsorted(EDGES, confidence, side="left") - 1, 0, BINS - 1)


def score_ece(sums: Matrix) -> Matrix:
    """ECE of summed statistics, (..., 11) -> (...), 0..100."""
    distance = np.abs(sums[..., :BINS]).sum(axis=-1)
    return np.asarray(100.0 * distance / np.maximum(sums[..., BINS], 1.0))


ECE = Scoring(score_ece, ends=None, better="lower")  # no mean over questions: the bins are filled first
BRIER = Scoring(mean, (0.0, 2.0), better="lower")


def reliability(rows: Sequence[Row]) -> list[dict[str, float | int]]:
    """The reliability diagram: of each bin that holds a question mean confidence and accuracy, 0..1, and n."""
    confidence, right = predictions(rows)
    bins = bins_of(confidence)
    return [
        {
            "confidence": float(confidence[inside].mean()),
            "accuracy": float(right[inside].mean()),
            "n": int(inside.sum()),
        }
        for number in range(BINS)
        if (inside := bins == number).any()
    ]
