"""Calibration error and Brier score are what a plain reading of their definitions gives, for sums in a bootstrap too."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.metrics.calibration import BRIER, ECE, confidences, reliability, score_ece, statistics
from tasks.metrics.compare import Measured, Resampling, compare
from tasks.metrics.identity import CHOICE_MEASURES, card
from tasks.metrics.judged import judge

Row = dict[str, Any]


def question(shares: list[float], answer: int) -> Row:
    """A question whose choices a model gives these probabilities."""
    scores = np.log(shares) - 7.0  # scores are known up to a constant
    return {"scores": scores.tolist(), "predicted": int(np.argmax(shares)), "answer": answer}


def plain_ece(rows: list[Row]) -> float:
    """Guo et al. 2017, equation 3, bin by bin; bins are (0, 0.1], (0.1, 0.2], ..."""
    found = [(confidences(row)[row["predicted"]], row["predicted"] == row["answer"]) for row in rows]
    total = 0.0
    for low, high in zip(np.linspace(0, 1, 11)[:-1], np.linspace(0, 1, 11)[1:], strict=True):
        inside = [(share, right) for share, right in found if low < share <= high]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(share for share, _ in inside) / len(inside)
            total += len(inside) / len(found) * abs(accuracy - confidence)
    return 100 * total


def drawn(n: int, seed: int, temperature: float = 1.0) -> list[Row]:
    """Questions of four choices, answered as often as the model says; then made surer (< 1) or less sure (> 1)."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        scores = random.normal(0, 1.5, 4)
        shares = np.exp(scores) / np.exp(scores).sum()
        rows.append(
            {
                "scores": (scores / temperature).tolist(),
                "predicted": int(scores.argmax()),
                "answer": int(random.choice(4, p=shares)),
            }
        )
    return rows


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.integers(0, 99), st.sampled_from([0.3, 1.0, 3.0]))
def test_ece_is_that_of_a_plain_reading(n: int, seed: int, temperature: float) -> None:
    rows = drawn(n, seed, temperature)
    assert score_ece(statistics(rows)["ece"].sum(axis=0)) == pytest.approx(plain_ece(rows), abs=1e-9)


def test_a_model_that_knows_what_it_knows_has_a_small_error_and_one_that_boasts_a_large_one() -> None:
    ece = {
        name: score_ece(statistics(drawn(5000, 1, t))["ece"].sum(axis=0)) for name, t in (("fair", 1.0), ("sure", 0.3))
    }
    assert ece["fair"] < 2.5
    assert ece["sure"] > 15


def test_brier_is_zero_for_the_sure_and_right_two_for_the_sure_and_wrong() -> None:
    sure = [1 - 1e-12, 1e-12]
    values = [
        statistics([row])["brier"][0, 0] for row in (question(sure, 0), question(sure, 1), question([0.25] * 4, 2))
    ]
    assert values == pytest.approx([0.0, 2.0, 0.75], abs=1e-9)


def test_scores_far_from_zero_are_no_trouble() -> None:
    row = {"scores": [-1e6, -1e6 - 2.0], "predicted": 0, "answer": 0}
    assert confidences(row) == pytest.approx([0.8808, 0.1192], abs=1e-4)


def test_many_resamples_are_scored_at_once() -> None:
    sums = np.stack([statistics(drawn(50, seed))["ece"].sum(axis=0) for seed in range(6)]).reshape(2, 3, -1)
    assert score_ece(sums).ravel() == pytest.approx([plain_ece(drawn(50, seed)) for seed in range(6)])
    assert score_ece(sums).shape == (2, 3)


def test_a_lower_error_is_a_better_one() -> None:
    base, tuned = (statistics(drawn(400, 2, temperature)) for temperature in (0.3, 1.0))
    how, groups = Resampling(1, 500, 0.95), [str(n) for n in range(400)]
    for key, scoring in (("ece", ECE), ("brier", BRIER)):
        row = compare(base[key], tuned[key], groups, scoring, how)
        assert row["difference"] < 0
        assert row["verdict"] == "better"
        assert judge({key: Measured(base[key], tuned[key], scoring)}, groups, how)[key]["verdict"] == "better"
        assert compare(tuned[key], base[key], groups, scoring, how)["verdict"] == "worse"


def test_the_diagram_s_rows_hold_all_questions() -> None:
    rows = drawn(300, 4)
    bins = reliability(rows)
    assert sum(int(row["n"]) for row in bins) == 300
    weighed = sum(row["n"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / 3
    assert weighed == pytest.approx(plain_ece(rows))


LOWER = {"ece", "brier", "off_balance", "toxic", "gender_mentions"}
DESCRIPTIVE = {"bias_ambiguous", "bias_disambiguated", "stereotyped", "gender_professions"}  # 0 or 50 would be best


@pytest.mark.parametrize("key", CHOICE_MEASURES)
def test_every_measure_of_choices_has_a_card(key: str) -> None:
    assert {"label", "what", "scale", "better", "judged"} <= set(card(key))
    assert card(key)["better"] == ("lower" if key in LOWER else None if key in DESCRIPTIVE else "higher")
