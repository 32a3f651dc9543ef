"""Each measure of the registry counts what its card says, and a verdict knows which direction is good."""

import json
from pathlib import Path

import numpy as np
import pytest

from tasks.compare import Columns, main
from tasks.errors import DataError, LuthierError
from tasks.metrics import match
from tasks.metrics.compare import LOWER_MEAN, MEAN, Measured, Resampling, Scoring, compare, mean
from tasks.metrics.identity import MEASURES, card
from tasks.metrics.judged import judge
from tasks.metrics.significance import judged
from tasks.metrics.texts import Texts

HOW = Resampling(seed=17, resamples=1000, confidence=0.95)
TEXTS = Texts(["one two three four", ""], ["one two three four", "five"], ["Two of them met.", "Ann left."])


@pytest.mark.parametrize("key", MEASURES)
def test_every_measure_has_a_card_and_statistics_of_its_own_name(key: str) -> None:
    measure = MEASURES[key]
    found = measure.statistics(TEXTS)[key]
    assert found.shape[0] == 2
    assert np.isfinite(measure.scoring.score(found.sum(axis=0)))
    assert {"label", "what", "scale", "library", "better", "judged"} <= set(card(key))
    assert card(key)["judged"] == measure.judged == (measure.better is not None)


@pytest.mark.parametrize("key", MEASURES)
def test_a_measure_says_whether_it_reads_inputs(key: str) -> None:
    blind = Texts(TEXTS.outputs, TEXTS.targets, None)
    if MEASURES[key].needs_input:
        with pytest.raises(DataError, match="name that column by --input"):
            MEASURES[key].statistics(blind)
    else:
        assert MEASURES[key].statistics(blind)[key].tolist() == MEASURES[key].statistics(TEXTS)[key].tolist()


def test_texts_of_different_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="differ in number"):
        Texts(["a", "b"], ["a"], None)


@pytest.mark.parametrize(
    ("output", "target", "f1"),
    [
        ("The cat sat.", "a cat sat", 1.0),
        ("in the year 1912", "1912", 0.5),
        ("dog dog cat", "dog", 0.5),
        ("", "", 0.0),
        ("the", "a", 0.0),
        ("U.S.A. (today)!", "usa today", 1.0),
        ("\u201cna\u00efve\u201d", "na\u00efve", 1.0),
    ],
)
def test_token_f1_is_squads(output: str, target: str, f1: float) -> None:
    assert match.token_f1(output, target) == pytest.approx(f1)


@pytest.mark.parametrize(
    ("output", "given", "copied"),
    [
        ("the old mill by the river", "the old mill by the river was closed", (6, 6)),
        ("the old mill by a river", "the old mill by the river was closed", (4, 6)),
        ("the old mill near the river", "the old mill by the river was closed", (0, 6)),
        ("One two three four. X five six seven eight!", "five six seven eight nine one two three four", (8, 9)),
        ("one two three", "one two three", (0, 3)),
        ("", "one", (0, 0)),
    ],
)
def test_words_are_copied_where_four_of_them_follow_each_other_in_the_input(
    output: str, given: str, copied: tuple[int, int]
) -> None:
    share, words = copied
    assert statistics_of("copy_rate", output, given) == [100.0 * share, words]


def statistics_of(key: str, output: str, given: str) -> list[float]:
    row: list[float] = MEASURES[key].statistics(Texts([output], [""], [given]))[key][0].tolist()
    return row


def test_what_an_output_says_twice_and_what_is_empty_is_counted() -> None:
    assert statistics_of("repetition", "go on and on. Go on and on! Go on", "") == [300.0, 7.0]
    assert statistics_of("repetition", "go on", "") == [0.0, 0.0]
    assert [statistics_of("empty", output, "")[0] for output in ("", " \n", ".")] == [100.0, 100.0, 0.0]


def test_where_lower_is_better_only_the_verdict_is_turned() -> None:
    values = np.random.default_rng(4).uniform(40, 60, size=50)
    groups = [str(i) for i in range(50)]
    for shift, verdict in ((-9, "better"), (9, "worse")):
        base, tuned = match.means(values), match.means(values + shift)
        row, other = (compare(base, tuned, groups, scoring, HOW) for scoring in (LOWER_MEAN, MEAN))
        assert row["difference"] == shift
        assert row | {"verdict": ""} == other | {"verdict": ""}
        assert row["verdict"] == verdict != other["verdict"]
        judged = judge({"m": Measured(base, tuned, LOWER_MEAN)}, groups, HOW)["m"]
        assert (judged["difference"], judged["verdict"]) == (shift, verdict)


def test_where_neither_direction_is_good_nothing_isjudged() -> None:
    values = np.random.default_rng(4).uniform(40, 60, size=50)
    base, tuned, groups = match.means(values), match.means(values + 9), [str(i) for i in range(50)]
    neither = Scoring(mean, None, better=None)
    assert compare(base, tuned, groups, neither, HOW)["verdict"] == "not judged"
    judged = judge({"m": Measured(base, tuned, neither)}, groups, HOW, margin=99.0)["m"]
    assert (judged["verdict"], judged["groups_needed"]) == ("not judged", None)


@pytest.mark.parametrize(("base", "tuned", "holds"), [(40.0, 20.0, True), (20.0, 40.0, False), (20.0, 20.0, False)])
def test_the_gate_lets_a_model_pass_that_makes_up_less(base: float, tuned: float, holds: bool) -> None:
    values = [match.means(np.full(60, value) + np.arange(60) % 2) for value in (base, tuned)]
    row = compare(*values, [str(i) for i in range(60)], LOWER_MEAN, HOW)
    check = judged("summarise.unsupported", row, MEASURES["unsupported"].scoring)
    assert bool(check.holds) is holds


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two models' summaries of which one makes up a name and a number every time."""
    rows = [
        {
            "read": f"Tom and Ann met in Leeds on day {n}.", "wanted": f"They met on day {n}.",
            "old": f"Bob met Ann in Leeds {n + 1000} times.", "new": f"Tom met Ann in Leeds on day {n}.",
        }
        for n in range(12)
    ]  # fmt: skip
    path = tmp_path / "outputs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_compare_says_that_making_up_less_is_better(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = Columns(reference="wanted", a="old", b="new", group=None, input="read")
    main(table, columns, ["unsupported", "facts"], HOW, None, as_json=True)
    found = json.loads(capsys.readouterr().out)
    row = found["metrics"]["unsupported"]
    assert (row["a"], row["b"], row["difference"], row["verdict"]) == (50.0, 0.0, -50.0, "better")
    assert found["metrics"]["facts"]["verdict"] == "not judged"
    assert found["columns"]["input"] == "read"


def test_without_inputs_compare_leaves_out_what_needs_them_unless_it_is_named(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = Columns(reference="wanted", a="old", b="new", group=None)
    main(table, columns, [], HOW, None, as_json=True)
    found = json.loads(capsys.readouterr().out)["metrics"]
    assert set(MEASURES) - set(found) == {"unsupported", "facts", "copy_rate"}
    with pytest.raises(LuthierError, match="'unsupported' compares an output with what the models read"):
        main(table, columns, ["rouge1", "unsupported"], HOW, None, as_json=True)
