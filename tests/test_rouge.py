"""Fast ROUGE is `rouge_score`'s, to the ninth decimal, on anything that can be written; and it is fast."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer, lcs_ind

from benchmarks.evaluate_rouge import by_evaluate, by_luthier, invented
from tasks.metrics.rouge import KEYS, common_length, common_places, scores

EXAMPLES = Path(__file__).parents[1] / "data/examples/test.jsonl"
THEIRS = RougeScorer(list(KEYS), use_stemmer=True)


def theirs(outputs: list[str], targets: list[str]) -> list[list[float]]:
    scored = [THEIRS.score(target, output) for output, target in zip(outputs, targets, strict=True)]
    return [[100.0 * score[key].fmeasure for key in KEYS] for score in scored]


def assert_same(outputs: list[str], targets: list[str]) -> None:
    assert scores(outputs, targets) == pytest.approx(np.array(theirs(outputs, targets)).reshape(-1, 4), abs=1e-9)


PIECES = "the cat cats running runs ran a. \n \n\n - é 12 İ K ß"
FEW_WORDS = st.lists(st.sampled_from(PIECES.split(" ")), max_size=25).map(" ".join)
SAID = "the council said a new bridge over the river will open and the old one will close"


@settings(max_examples=300, deadline=None)
@given(st.one_of(FEW_WORDS, st.text(max_size=60)), st.one_of(FEW_WORDS, st.text(max_size=60)))
def test_of_any_two_texts_all_four_are_rouge_scores(output: str, target: str) -> None:
    assert_same([output], [target])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from("abcd"), max_size=80), st.lists(st.sampled_from("abcd"), max_size=80))
def test_the_common_sequence_is_the_one_that_rouge_score_walks_back_to(wanted: list[str], written: list[str]) -> None:
    assert sorted(common_places(wanted, written)) == lcs_ind(wanted, written)
    assert common_length(wanted, written) == len(lcs_ind(wanted, written))


def test_on_texts_of_many_lines_and_of_hundreds_of_words() -> None:
    draw = random.Random(3)
    words = SAID.split()
    texts = ["".join(draw.choice(words) + draw.choice("  \n") for _ in range(n)) for n in (0, 1, 2, 30, 300, 500)]
    outputs, targets = zip(*((one, other) for one in texts for other in texts), strict=True)
    assert_same(list(outputs), list(targets))


@pytest.mark.skipif(not EXAMPLES.exists(), reason="dvc repro expand writes the examples")
def test_on_the_examples_themselves() -> None:
    rows = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    assert_same([row["input"] for row in rows], [row["target"] for row in rows])


def test_no_pair_gives_no_row() -> None:
    assert scores([], []).shape == (0, 4)


@pytest.mark.skipif(not EXAMPLES.exists(), reason="dvc repro expand writes the examples")
def test_the_benchmark_finds_the_same_values_at_least_three_times_as_fast() -> None:
    assert len(set(zip(*invented(50), strict=True))) == 50
    pairs = invented(400)
    ours, found = by_luthier(*pairs)
    theirs, expected = by_evaluate(*pairs, aggregate=False)
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-9)
    assert theirs > 3 * ours
