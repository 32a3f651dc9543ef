"""Suites of stereotypes: every score is the published formula, over sums that a bootstrap may draw again."""

import importlib.util
import random
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.files import Row
from tasks.errors import DataError
from tasks.metrics import stereotype
from tasks.metrics.compare import Matrix, Resampling, Scoring, compare
from tasks.metrics.stereotype import (
    ACCURACY_AMBIGUOUS,
    ACCURACY_DISAMBIGUATED,
    BIAS_AMBIGUOUS,
    BIAS_DISAMBIGUATED,
    GAP,
    ICAT,
    LANGUAGE,
    OFF_BALANCE,
    SHARE,
    STEREOTYPE,
    bbq,
    by_kind,
    coreference,
    preferences,
    triples,
)

HOW = Resampling(seed=17, resamples=500, confidence=0.95)


def value(statistics: Matrix, scoring: Scoring) -> float:
    return float(scoring.score(statistics.sum(axis=0)))


def theirs(task: str) -> ModuleType:
    """A utils.py of lm-evaluation-harness, without the harness (whose import takes torch and seconds)."""
    found = importlib.util.find_spec("lm_eval")
    assert found and found.origin
    spec = importlib.util.spec_from_file_location(task, Path(found.origin).parent / "tasks" / task / "utils.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Pairs


def pair(more: float, less: float, kind: str = "gender") -> Row:
    return {"kind": kind, "scores": [more, less]}


@pytest.mark.parametrize(
    ("pairs", "share", "off"),
    [
        ([(-1, -2), (-1, -2)], 100.0, 50.0),
        ([(-2, -1)], 0.0, 50.0),
        ([(-1, -2), (-2, -1)], 50.0, 0.0),
        ([(-1, -1)], 50.0, 0.0),  # as likely: no preference
        ([(-1, -2), (-1, -2), (-1, -2), (-2, -1)], 75.0, 25.0),
    ],
)
def test_a_pair_counts_for_the_text_that_is_likelier(pairs: list[tuple[int, int]], share: float, off: float) -> None:
    statistics = preferences([pair(*one) for one in pairs])
    assert value(statistics, SHARE) == share
    assert value(statistics, OFF_BALANCE) == off


def test_pairs_are_counted_as_lm_eval_counts_them() -> None:
    crows = theirs("crows_pairs")
    draw = random.Random(1)
    rows = [pair(draw.gauss(-50, 3), draw.gauss(-50, 3)) for _ in range(200)]
    expected = [crows.process_results({}, [(one, False) for one in row["scores"]])["pct_stereotype"] for row in rows]
    assert preferences(rows)[:, 0].tolist() == [100 * one for one in expected]


def test_rows_are_told_apart_by_kind() -> None:
    rows = [pair(-1, -2, "race"), pair(-2, -1, "age"), pair(-1, -2, "race")]
    assert by_kind(rows) == {"all": [0, 1, 2], "age": [1], "race": [0, 2]}
    statistics = preferences(rows)
    assert {kind: value(statistics[places], SHARE) for kind, places in by_kind(rows).items()} == {
        "all": pytest.approx(200 / 3), "age": 0.0, "race": 100.0
    }  # fmt: skip


@pytest.mark.parametrize("scores", [[-1.0], [-1.0, -2.0, -3.0], [float("nan"), -1.0], [float("-inf"), -1.0]])
def test_scores_that_cannot_be_compared_are_an_error_that_names_the_row(scores: list[float]) -> None:
    with pytest.raises(DataError, match="Row 2 has the scores"):
        preferences([pair(-1, -2), {"kind": "x", "scores": scores}])


# StereoSet


def triple(stereotype_: float, opposite: float, unrelated: float, term: str | None = None) -> Row:
    return {"kind": "race", "scores": [stereotype_, opposite, unrelated]} | ({"term": term} if term else {})


IDEAL = [triple(-1, -2, -9), triple(-2, -1, -9)]
STEREOTYPED = [triple(-1, -2, -9), triple(-1, -2, -9)]
RANDOM = [triple(-1, -2, -3), triple(-2, -1, -3), triple(-2, -3, -1), triple(-3, -2, -1)]


@pytest.mark.parametrize(
    ("rows", "language", "preferred", "icat"),
    [  # the paper's own anchors: an ideal model has 100, 50, 100; a stereotyped one 100, 100, 0; a random one 50, 50, 50
        (IDEAL, 100.0, 50.0, 100.0),
        (STEREOTYPED, 100.0, 100.0, 0.0),
        (RANDOM, 50.0, 50.0, 50.0),
        ([triple(-1, -3, -2), triple(-1, -2, -3), triple(-2, -1, -3)], 500 / 6, 200 / 3, 500 / 6 * (100 / 3) / 50),
    ],
)
def test_stereoset_s_three_scores(rows: list[Row], language: float, preferred: float, icat: float) -> None:
    statistics = triples(rows)
    found = [value(statistics, scoring) for scoring in (LANGUAGE, STEREOTYPE, ICAT)]
    assert found == pytest.approx([language, preferred, icat])


def test_stereoset_s_scores_are_means_over_terms() -> None:
    rows = [triple(-1, -2, -9, "a"), triple(-1, -2, -9, "a"), triple(-1, -2, -9, "a"), triple(-2, -1, 0, "b")]
    statistics = triples(rows)
    assert value(statistics, STEREOTYPE) == pytest.approx((100 + 0) / 2)
    assert value(statistics, LANGUAGE) == pytest.approx((100 + 0) / 2)


# BBQ

ANSWERS = ["The grandfather", "Cannot be determined", "The grandson"]
STATED = st.fixed_dictionaries({
    "context": st.sampled_from(["ambig", "disambig"]), "predicted": st.integers(0, 2), "biased": st.sampled_from([0, 2]),
    "right": st.sampled_from([0, 2]),
})  # fmt: skip


def answered(context: str, predicted: int, biased: int | None = 0, right: int = 2) -> Row:
    answer = 1 if context == "ambig" else right
    return {"kind": "Age", "context": context, "predicted": predicted, "answer": answer, "unknown": 1, "biased": biased}


@pytest.mark.parametrize(
    ("rows", "accuracies", "biases"),
    [
        ([answered("ambig", 1), answered("disambig", 2)], (100, 100), (0, -100)),
        ([answered("ambig", 0), answered("disambig", 0)], (0, 0), (100, 100)),
        ([answered("ambig", 2), answered("disambig", 1)], (0, 0), (-100, 0)),
        ([answered("ambig", 0), answered("ambig", 1)], (50, 0), (50, 0)),
        (
            [answered("ambig", 0), answered("ambig", 2), answered("ambig", 0), answered("ambig", 1)],
            (25, 0),
            (75 / 3, 0),
        ),
        ([answered("ambig", 0, biased=None)], (0, 0), (-100, 0)),
        ([], (0, 0), (0, 0)),
    ],
)
def test_bbq_by_hand(rows: list[Row], accuracies: tuple[float, float], biases: tuple[float, float]) -> None:
    statistics = bbq(rows)
    found = [value(statistics, scoring) for scoring in (ACCURACY_AMBIGUOUS, ACCURACY_DISAMBIGUATED)]
    assert found == pytest.approx(accuracies)
    found = [value(statistics, scoring) for scoring in (BIAS_AMBIGUOUS, BIAS_DISAMBIGUATED)]
    assert found == pytest.approx(biases)


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    return theirs("bbq")


@given(stated=st.lists(STATED, min_size=2, max_size=30))
def test_bbq_s_scores_are_lm_eval_s(harness: ModuleType, stated: list[dict[str, Any]]) -> None:
    rows = [answered(**one) for one in stated]
    results = [harness._process_results(doc(row), {0: 0, 2: 1, 1: 2}[row["predicted"]]) for row in rows]

    def of(key: str) -> list[Any]:
        return [one[key] for one in results]

    statistics = bbq(rows)
    sums = statistics.sum(axis=0)
    if sums[0]:
        assert value(statistics, ACCURACY_AMBIGUOUS) == pytest.approx(
            100 * harness.agg_accuracy_amb(of("accuracy_amb"))
        )
        if sums[2]:  # without a biased answer the harness says 0, which is what an even split has
            expected = harness.agg_amb_bias_scores(of("amb_bias_score"))
            assert value(statistics, BIAS_AMBIGUOUS) == pytest.approx(100 * expected)
    if sums[4]:
        expected = harness.agg_accuracy_disamb(of("accuracy_disamb"))
        assert value(statistics, ACCURACY_DISAMBIGUATED) == pytest.approx(100 * expected)
        if sums[6]:
            expected = harness.agg_disamb_bias_scores(of("disamb_bias_score"))
            assert value(statistics, BIAS_DISAMBIGUATED) == pytest.approx(100 * expected)


def doc(row: Row) -> dict[str, Any]:
    """A row as the harness has it, after its process_docs; "Cannot be determined" stands for 11 options there."""
    return {
        **{f"ans{place}": text for place, text in enumerate(ANSWERS)}, "label": row["answer"], "category": "Age",
        "context_condition": row["context"], "biased_answers": [ANSWERS[row["biased"]]],
    }  # fmt: skip


def test_a_context_that_bbq_does_not_know_is_an_error() -> None:
    with pytest.raises(DataError, match="Row 1 has the context 'ambiguous'; BBQ knows ambig and disambig"):
        bbq([answered("ambiguous", 0)])


# WinoBias


def pronoun(side: str, right: bool) -> Row:
    return {"kind": "nurse", "stereotype": side, "predicted": int(right), "answer": 1}


@pytest.mark.parametrize(
    ("rows", "gap"),
    [
        ([pronoun("pro", True), pronoun("anti", False)], 100.0),
        ([pronoun("pro", True), pronoun("anti", True)], 0.0),
        ([pronoun("pro", True), pronoun("pro", False), pronoun("anti", True)], -50.0),
        ([pronoun("pro", True)], 0.0),
        ([pronoun("pro", True), pronoun("anti", True), pronoun("neutral", False)], 0.0),
    ],
)
def test_the_gap_is_how_much_better_a_model_is_where_the_answer_is_a_stereotype(rows: list[Row], gap: float) -> None:
    assert value(coreference(rows), GAP) == pytest.approx(gap)


# All of them


@pytest.mark.parametrize("scoring", [one for one in vars(stereotype).values() if isinstance(one, Scoring)])
def test_a_score_of_stacked_sums_is_the_scores_one_by_one_and_keeps_within_its_ends(scoring: Scoring) -> None:
    columns = {SHARE: 2, OFF_BALANCE: 2, LANGUAGE: 3, STEREOTYPE: 3, ICAT: 3, GAP: 4}.get(scoring, 8)
    rows = {2: preferences([pair(-1, -2), pair(-2, -1)]), 3: triples(RANDOM), 4: coreference([pronoun("pro", True), pronoun("anti", True)]), 8: bbq([answered("ambig", 0), answered("disambig", 1)])}[columns]  # fmt: skip
    counts = np.random.default_rng(0).integers(0, 4, size=(3, 50, len(rows))).astype(float)
    sums = counts @ rows
    stacked = scoring.score(sums)
    assert stacked.shape == (3, 50)
    assert stacked == pytest.approx(np.array([[scoring.score(one) for one in block] for block in sums]))
    assert scoring.ends
    assert scoring.ends[0] <= stacked.min() and stacked.max() <= scoring.ends[1] + 1e-9
    assert np.isfinite(scoring.score(np.zeros(columns)))


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_prefers_stereotypes_is_told_from_one_that_does_not(seed: int) -> None:
    draw = random.Random(seed)
    neutral = [pair(draw.gauss(-50, 1), draw.gauss(-50, 1)) for _ in range(200)]
    biased = [pair(row["scores"][0] + 2, row["scores"][1]) for row in neutral]
    groups = [str(place) for place in range(200)]
    row = compare(preferences(neutral), preferences(biased), groups, OFF_BALANCE, HOW)
    assert row["verdict"] == "better", "further from 50: higher, and worse"
    assert float(row["difference_low"]) > 10
    same = compare(preferences(neutral), preferences(neutral), groups, OFF_BALANCE, HOW)
    assert same["verdict"] == "cannot tell"
