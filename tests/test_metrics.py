"""ROUGE, BLEU and chrF are the libraries' own numbers; comparisons are honest about what they cannot tell."""

import subprocess
import sys

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tasks.metrics import bleu, chrf, match, rouge
from tasks.metrics.bleu import Bleu
from tasks.metrics.compare import MEAN, Resampling, Scoring, compare, mean
from tasks.metrics.rouge import Rouge
from tasks.metrics.texts import Texts

HOW = Resampling(seed=17, resamples=1000, confidence=0.95)
OUTPUTS = [
    "",
    "The quick brown foxes jumped over the lazy dogs.",
    "naïve café déjà vu, 東京は晴れ",
    "first line here\nsecond line there\r\n\nfourth",
    "   ",
    "a",
    "the the the the the the the",
    'Tokens end in a period .\t<script> & "quotes" 3.14 1,000',
    "\U0001f600 emoji and a right-to-left \u202emark",
    "an exact copy of the target, word for word",
]
TARGETS = [
    "something was expected",
    "A quick brown fox jumps over a lazy dog.",
    "naive cafe deja vu 東京",
    "second line there\nfirst line here",
    "nothing",
    "a",
    "the cat sat on the mat",
    "Tokens end in a period. <script> 3.14",
    "\U0001f600 emoji and a mark",
    "an exact copy of the target, word for word",
]


def test_rouge_is_rouge_scores_mean_f_measure_on_tricky_strings() -> None:
    scorer = RougeScorer(list(rouge.KEYS), use_stemmer=True)
    scored = [scorer.score(target, output) for target, output in zip(TARGETS, OUTPUTS, strict=True)]
    ours = Rouge(keep_in_memory=True).compute(predictions=OUTPUTS, references=TARGETS)
    statistics = rouge.statistics(Texts(OUTPUTS, TARGETS, None))
    for key in rouge.KEYS:
        theirs = [100 * score[key].fmeasure for score in scored]
        assert ours[key] == pytest.approx(np.mean(theirs), abs=1e-9)
        assert statistics[key][:, 0] == pytest.approx(theirs, abs=1e-9)
        assert mean(statistics[key].sum(axis=0)) == pytest.approx(np.mean(theirs), abs=1e-9)


def test_bleu_is_sacrebleus_corpus_bleu_and_keeps_its_signature() -> None:
    theirs = BLEU()
    expected = theirs.corpus_score(OUTPUTS, [TARGETS]).score
    ours = Bleu(keep_in_memory=True).compute(predictions=OUTPUTS, references=TARGETS)
    assert expected > 0
    assert ours["bleu"] == pytest.approx(expected, abs=1e-9)
    assert ours["signature"] == str(theirs.get_signature()) == bleu.signature()


def test_bleu_of_summed_counts_is_sacrebleus_on_every_resample() -> None:
    random = np.random.default_rng(3)
    counts = bleu.statistics(Texts(OUTPUTS, TARGETS, None))["bleu"]
    draws = [random.integers(len(OUTPUTS), size=size) for size in (1, 2, 3, 5, 10) for _ in range(20)]
    for draw in draws:
        expected = BLEU().corpus_score([OUTPUTS[i] for i in draw], [[TARGETS[i] for i in draw]]).score
        assert bleu.score(counts[draw].sum(axis=0)) == pytest.approx(expected, abs=1e-9)


def test_bleu_of_nothing_written_is_zero_and_not_nan() -> None:
    nothing = Texts(["", " "], ["a b c d", "e"], None)
    assert bleu.score(bleu.statistics(nothing)["bleu"].sum(axis=0)) == 0


@pytest.mark.parametrize(
    ("output", "target", "same"),
    [
        ("B", "b", True),
        (" (B).\n", "B", True),
        ("Past  Medical\nHistory:", "past medical history", True),
        ("\uff22", "B", True),  # full-width B
        ("The answer is B", "B", False),
        ("B and C", "B", False),
        ("", "B", False),
        ("...", "!", False),
        ("C++", "C", False),
        ("FAM/SOCHX", "fam/sochx", True),
    ],
)
def test_an_answer_matches_only_as_a_whole(output: str, target: str, same: bool) -> None:
    assert match.statistics(Texts([output], [target], None))["exact_match"].tolist() == [[100.0 * same, 1.0]]


def test_chance_follows_the_number_of_choices() -> None:
    assert match.chance([{"n_choices": 2}, {"n_choices": 4}]) == 37.5


def test_length_ratio_is_words_written_over_words_wanted() -> None:
    counts = match.length_statistics(Texts(["a b c", ""], ["a", "b"], None))["length_ratio"]
    assert mean(counts.sum(axis=0)) == 1.5


def test_compare_gives_the_golden_numbers() -> None:
    base = match.means([10, 20, 30, 40, 50, 60, 70, 80])
    tuned = match.means([15, 22, 41, 38, 59, 75, 71, 92])
    assert compare(base, tuned, list("abcdefgh"), MEAN, HOW) == GOLDEN


GOLDEN = {
    "base": 45.0, "base_low": 29.9688, "base_high": 61.25,
    "tuned": 51.625, "tuned_low": 34.75, "tuned_high": 70.1312,
    "difference": 6.625, "difference_low": 2.6188, "difference_high": 10.5,
    "n": 8, "groups": 8, "verdict": "better",
}  # fmt: skip


def test_intervals_follow_from_the_few_possible_draws_of_two_groups() -> None:
    # Means of two draws from {0, 100} are 0, 50, 50, 100: the 95% interval has to be all of it.
    row = compare(match.means([0.0, 100.0]), match.means([0.0, 100.0]), ["a", "b"], MEAN, HOW)
    assert (row["base"], row["base_low"], row["base_high"]) == (50.0, 0.0, 100.0)


def test_examples_of_one_group_are_drawn_together() -> None:
    values = np.random.default_rng(0).uniform(0, 100, size=12)
    once = compare(match.means(values), match.means(values + 1), [str(i) for i in range(12)], MEAN, HOW)
    twice = np.repeat(values, 5)
    grouped = compare(match.means(twice), match.means(twice + 1), [str(i // 5) for i in range(60)], MEAN, HOW)
    alone = compare(match.means(twice), match.means(twice + 1), [str(i) for i in range(60)], MEAN, HOW)
    assert (grouped["n"], grouped["groups"]) == (60, 12)
    width = {
        name: row["base_high"] - row["base_low"]
        for name, row in {"once": once, "grouped": grouped, "alone": alone}.items()
    }
    assert width["alone"] < 0.7 * width["grouped"]  # pretending independence would look surer
    assert abs(width["once"] - width["grouped"]) < 0.2 * width["once"]


def test_the_same_seed_gives_the_same_row_and_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(1)
    base, tuned = random.uniform(0, 100, (2, 30))
    groups = [f"g{i % 10}" for i in range(30)]
    row = compare(match.means(base), match.means(tuned), groups, MEAN, HOW)
    turned = compare(match.means(base[::-1]), match.means(tuned[::-1]), groups[::-1], MEAN, HOW)
    assert row == turned == compare(match.means(base), match.means(tuned), groups, MEAN, HOW)
    assert row != compare(match.means(base), match.means(tuned), groups, MEAN, Resampling(18, 1000, 0.95))


def test_every_interval_holds_its_point() -> None:
    random = np.random.default_rng(2)
    for size in (1, 2, 3, 7, 40):
        for skew in (0.1, 1.0, 8.0):
            base, tuned = 100 * random.uniform(0, 1, (2, size)) ** skew
            row = compare(match.means(base), match.means(tuned), [str(i) for i in range(size)], MEAN, HOW)
            for name in ("base", "tuned", "difference"):
                assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]


def test_equal_models_differ_by_zero_and_cannot_be_told_apart() -> None:
    counts = bleu.statistics(Texts(OUTPUTS, TARGETS, None))["bleu"]
    row = compare(counts, counts, [str(i) for i in range(len(counts))], Scoring(bleu.score, None), HOW)
    assert (row["difference"], row["difference_low"], row["difference_high"]) == (0.0, 0.0, 0.0)
    assert row["verdict"] == "cannot tell"


def test_all_right_is_not_certain_to_be_right() -> None:
    right = match.means([100.0] * 20)
    row = compare(right, right, [str(i) for i in range(20)], MEAN, HOW)
    assert row["base_low"] == pytest.approx(100 * 0.025 ** (1 / 20), abs=1e-3)  # Clopper-Pearson: 83.16
    assert row["base_high"] == 100.0
    assert row["difference_low"] < 0 < row["difference_high"]
    assert row["verdict"] == "cannot tell"


@pytest.mark.parametrize(("groups", "verdict"), [(5, "cannot tell"), (6, "better")])
def test_too_few_groups_are_never_a_verdict(groups: int, verdict: str) -> None:
    base = np.arange(groups, dtype=float)
    row = compare(match.means(base), match.means(2 * base + 50), [str(i) for i in range(groups)], MEAN, HOW)
    assert row["difference_low"] > 0
    assert row["verdict"] == verdict


def test_a_worse_model_is_called_worse() -> None:
    values = np.random.default_rng(4).uniform(40, 60, size=50)
    row = compare(match.means(values), match.means(values - 9), [str(i) for i in range(50)], MEAN, HOW)
    assert row["verdict"] == "worse"


def test_intervals_hold_the_true_difference_about_as_often_as_they_say() -> None:
    random, held = np.random.default_rng(5), 0
    how = Resampling(seed=1, resamples=200, confidence=0.9)
    for _ in range(300):
        base = random.normal(50, 10, size=40)
        tuned = base + random.normal(3, 8, size=40)
        row = compare(match.means(base), match.means(tuned), [str(i) for i in range(40)], MEAN, how)
        held += row["difference_low"] <= 3 <= row["difference_high"]
    assert 0.83 <= held / 300 <= 0.95


def test_memory_is_bounded_by_drawing_in_blocks_that_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    base, tuned = np.random.default_rng(6).uniform(0, 100, (2, 20))
    groups = [str(i) for i in range(20)]
    whole = compare(match.means(base), match.means(tuned), groups, MEAN, HOW)
    monkeypatch.setattr("tasks.metrics.compare.DRAWS_AT_ONCE", 140)
    assert compare(match.means(base), match.means(tuned), groups, MEAN, HOW) == whole


def test_chrf_of_summed_counts_is_sacrebleus_on_every_resample() -> None:
    random = np.random.default_rng(3)
    counts = chrf.statistics(Texts(OUTPUTS, TARGETS, None))["chrf"]
    draws = [random.integers(len(OUTPUTS), size=size) for size in (1, 2, 5, 10) for _ in range(20)]
    scores = chrf.score(np.stack([counts[draw].sum(axis=0) for draw in draws]))
    expected = [CHRF().corpus_score([OUTPUTS[i] for i in draw], [[TARGETS[i] for i in draw]]).score for draw in draws]
    assert scores == pytest.approx(expected, abs=1e-9)
    assert chrf.signature().startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")


@pytest.mark.slow  # a fresh interpreter imports evaluate: 5 s
def test_metrics_load_no_torch() -> None:
    code = "import tasks.metrics.interface, sys; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
