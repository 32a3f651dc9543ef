"""benchmarks/evaluate: its quick parts run, and say what they have to."""

import pytest

from benchmarks import evaluate
from benchmarks.evaluate_rouge import compare


def test_statistics_of_ten_thousand_resamples_stay_far_under_their_limit() -> None:
    found = evaluate.statistics()
    assert found["seconds"] < found["limit"]
    assert len(found["verdicts"]) == 8


def test_rouge_is_the_reference_s_and_several_times_as_fast() -> None:
    found = compare(500)
    assert found["largest_difference"] < 1e-9
    assert min(ratio for name, ratio in found.items() if name.startswith("ratio")) > 2  # 20 on a quiet machine


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(Exception, match="speed is none of statistics"):
        evaluate.main(only=["speed"])
