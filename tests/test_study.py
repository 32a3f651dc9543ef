"""Studies: sizes lie inside each other, nothing but training differs, and the answer says no more than the numbers do."""

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st

from tasks import evaluate, expand
from tasks.data.files import Row, read_rows, sha256_of, write_json, write_rows
from tasks.errors import DataError, LuthierError, ParamsError
from tasks.metrics.compare import LOWER_MEAN, MEAN, Matrix, Resampling, Scoring
from tasks.metrics.curve import How, Scored, compared, curve
from tasks.metrics.spread import Trained, spread
from tasks.prompts.declared import Expand
from tasks.report.study_page import page, plot
from tasks.report.study_plot import curve_drawing
from tasks.report.study_sentences import also, answer, best_rate, seeds_move
from tasks.runs.changed import changed
from tasks.study import asked_study, child_of, parent_of, written
from tasks.study_points import Available, Examples, Grid, available, example_points, grid_points, points_of, shared_out
from tasks.study_results import Result, counted, read_result, require_same_test
from tasks.study_told import told_of
from tasks.tracking import start_run
from tasks.tracking.server import client
from tasks.tracking.studies import log_study, seconds_of
from tests.invented import PARAMS, how, write_run
from tests.test_expand import OUT, grouping, records, section
from tests.trained import WIRING

HOW = How(MEAN, Resampling(17, 1000, 0.95), 1.0, None)
METRIC = "ROUGE-1 on summarise"


def asked(**changes: Any) -> Examples:
    return Examples.model_validate(
        {"kind": "examples", "sizes": [20, 50], "every_record": True, "wordings": [1, 3], "every_wording": True}
        | {"suites": False}
        | changes
    )


# --- points -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(sum), st.data())
def test_parts_keep_their_proportion_and_none_shrinks_while_the_sum_grows(parts: list[int], data: Any) -> None:
    total = data.draw(st.integers(0, sum(parts) - 1))
    smaller, larger = shared_out(total, parts), shared_out(total + 1, parts)
    assert sum(smaller) == total
    assert sum(larger) == total + 1
    assert all(a <= b <= whole for a, b, whole in zip(smaller, larger, parts, strict=True))
    assert shared_out(sum(parts), parts) == parts
    assert all(abs(got - total * whole / sum(parts)) <= len(parts) for got, whole in zip(smaller, parts, strict=True))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Valid records of two sources, one of which is replayed, and the params that mix them."""
    monkeypatch.chdir(tmp_path)
    OUT[1].mkdir(parents=True)
    write_json(OUT[1] / "manifest.json", {"sources": {}})
    for name, numbers in (("mine", range(160)), ("other", range(1000, 1100)), ("general", range(2000, 2300))):
        write_rows(OUT[0] / f"{name}.jsonl", records(numbers))
    mixture = [
        section(source=name, replay=name == "general", wordings=1)["mixture"][0] | more
        for name, more in (
            ("mine", {}),
            ("other", {"family": "title", "fields": {"text": "document", "title": "summary"}}),
            ("general", {}),
        )
    ]
    return {
        "expand": section(sources=dict.fromkeys(("mine", "other", "general"), grouping()))
        | {"replay_share": 0.2, "mixture": mixture}
    }


def test_smaller_sets_lie_inside_larger_ones_and_the_other_splits_are_the_same_to_the_byte(
    project: dict[str, Any],
) -> None:
    text, ids, held = yaml.safe_dump(project), {}, set()
    points = points_of(asked(), project, OUT[0])
    assert [point.label for point in points][:3] == [
        "20 records, 1 wording",
        "50 records, 1 wording",
        "154 records, 1 wording",
    ]
    assert len({json.dumps(point.overrides) for point in points}) == len(points) == 9
    for point in points:
        Path("params.yaml").write_text(
            changed(text, {k: v for k, v in point.overrides.items() if k.startswith("expand.")})
        )
        expand.main(*OUT)
        rows = [row for row in read_rows(OUT[2] / "train.jsonl") if not row["record"].startswith("general/")]
        ids[point.facts["records"], point.facts["wordings"]] = {row["record"] for row in rows}
        assert len(ids[point.facts["records"], point.facts["wordings"]]) == point.facts["records"]
        assert len(rows) == point.facts["records"] * point.facts["wordings"]
        held.add(tuple(sha256_of(OUT[2] / f"{split}.jsonl") for split in ("dev", "test")))
    assert len(held) == 1
    sizes = sorted({size for size, _ in ids})
    for wordings in (1, 3, 8):
        assert all(ids[a, wordings] < ids[b, wordings] for a, b in itertools.pairwise(sizes))
        assert all(ids[size, wordings] == ids[size, 1] for size in sizes)


def test_sizes_and_wordings_beyond_what_there_is_become_one_point(project: dict[str, Any]) -> None:
    params = Expand.model_validate(project["expand"])
    there = available(OUT[0], params)
    assert there.seen == {"summarise": 8, "title": 8}
    points = example_points(asked(sizes=[40, 5000, 9000], wordings=[2, 20, 30]), params, there)
    whole = sum(there.records)
    assert [tuple(point.facts.values()) for point in points] == [(40, 2), (whole, 2), (40, 8), (whole, 8)]


def test_all_records_are_as_many_as_the_share_of_replay_allows(project: dict[str, Any]) -> None:
    params = Expand.model_validate(project["expand"])
    few = Available([100, 60], [20], {"summarise": 8, "title": 8})
    points = example_points(asked(sizes=[], wordings=[1], every_wording=False), params, few)
    assert points[-1].facts["records"] == 82  # round(0.2 / 0.8 * 82) == 20
    with pytest.raises(LuthierError, match="1 point"):
        points_of(asked(sizes=[], wordings=[1], every_wording=False), project, OUT[0])


def test_a_grid_holds_the_present_rate_and_every_seed_once() -> None:
    points = grid_points(Grid(kind="grid", seeds=[1, 2, 1], learning_rates=[3e-3], suites=True), 1e-3)
    assert [tuple(point.facts.values()) for point in points] == [(1, 1e-3), (1, 3e-3), (2, 1e-3), (2, 3e-3)]
    assert points[1].overrides == {"finetune.seed": 1, "finetune.optimizer.learning_rate": 3e-3}
    told = points[1].environment("study_grid/run", "abc")
    assert told["LUTHIER_RUN"] == "study_grid/run/learning rate 0.003, seed 1"
    assert all(isinstance(value, str) for value in told.values())


def test_a_form_that_says_no_study_is_refused_by_name() -> None:
    with pytest.raises(LuthierError, match="sizes"):
        asked_study('{"kind": "examples", "sizes": [0]}')
    with pytest.raises(LuthierError, match="kind"):
        asked_study('{"sizes": [10]}')


# --- the curve --------------------------------------------------------------------------------------------------------


def outputs(mean: float, noise: float = 2.0, n: int = 60, seed: int = 0) -> Matrix:
    """Statistics of n examples whose difficulty all models share."""
    shared, own = np.random.default_rng(5).normal(0, 12, n), np.random.default_rng([seed, int(mean * 100) + 10_000])
    return np.stack([np.clip(40 + mean + shared + own.normal(0, noise, n), 0, 100), np.ones(n)], axis=1)


def line(means: Mapping[int, float], wordings: int = 1, noise: float = 2.0, n: int = 60) -> list[Scored]:
    return [
        Scored(f"{size} records, {wordings} wordings", size, wordings, outputs(mean, noise, n), size * 100, size / 10)
        for size, mean in means.items()
    ]


def told(points: Sequence[Scored], how: How = HOW, n: int = 60, noise: float = 2.0) -> Row:
    return curve(points, outputs(-10.0, noise, n), [f"group {number}" for number in range(n)], how)


def test_a_size_is_enough_when_more_gain_surely_less_than_the_margin() -> None:
    found = told(line({100: -5.0, 250: -2.0, 500: 1.0, 1000: 1.1}, noise=1.0))
    sentence = answer(found, METRIC, 1.0)
    assert sentence.startswith("500 records are enough: from 500 to 1,000 records ROUGE-1 on summarise changes by +0.")
    assert sentence.endswith("surely less than the margin of 1.0.")
    pair = found["lines"][0]["pair"]
    assert pair["difference_high"] < 1.0


def test_a_curve_that_still_rises_is_not_enough() -> None:
    sentence = answer(told(line({100: -5.0, 250: -2.0, 500: 1.0, 1000: 5.0}, noise=1.0)), METRIC, 1.0)
    assert sentence.startswith("Not enough yet: from 500 to 1,000 records")
    assert "the curve still rises at 1,000" in sentence


def test_what_else_is_said_repeats_nothing_and_names_the_price() -> None:
    enough_ = also(told(line({100: -5.0, 250: -2.0, 500: 1.0, 1000: 1.1}, noise=1.0)), METRIC)
    assert enough_[0].startswith("The last step that surely helped: from 250 to 500 records, by +")
    assert "tokens and" in enough_[1]
    rising = also(told(line({100: -5.0, 250: -2.0, 500: 1.0, 1000: 5.0}, noise=1.0)), METRIC)
    assert not any("The last step" in sentence for sentence in rising)
    nothing = also(told(line({100: -10.0, 250: -10.05}, noise=0.3), noise=0.3), METRIC)
    assert nothing == ["No point is surely better than the base model, so a point gained has no price."]


def test_what_noise_hides_is_said_to_be_unknown_with_what_could_be_told() -> None:
    found = told(line({100: -5.0, 250: 0.0, 500: 0.8}, noise=12.0), noise=12.0)
    sentence = answer(found, METRIC, 1.0)
    assert sentence.startswith("Cannot tell how many records are enough: from 250 to 500 records")
    assert f"n = 60 test examples tell differences of {found['lines'][0]['pair']['detectable']:.1f} points" in sentence


def test_records_that_do_not_help_are_not_called_enough() -> None:
    sentence = answer(told(line({100: -10.0, 250: -10.05}, noise=0.3), noise=0.3), METRIC, 1.0)
    assert sentence.startswith("More records do not help: from 100 to 250")


def test_where_less_is_better_a_falling_score_is_a_gain() -> None:
    how = How(LOWER_MEAN, HOW.resampling, 1.0, None)
    falling = told(line({100: 5.0, 250: 1.0}, noise=1.0), how)
    assert answer(falling, METRIC, 1.0).startswith("Not enough yet")
    assert all(row["verdict"] == "worse" for row in falling["points"])
    rising = told(line({100: 1.0, 250: 5.0}, noise=1.0), how)
    assert rising["lines"][0]["records"] == 100


def test_too_few_groups_decide_nothing() -> None:
    found = told(line({100: -5.0, 250: -2.0}, noise=0.1, n=4), n=4)
    assert found["lines"][0]["verdict"] == "cannot tell"


def test_what_other_seeds_change_widens_every_pair() -> None:
    points = line({100: -5.0, 250: 0.0, 500: 0.2}, noise=1.0)
    wide = How(MEAN, HOW.resampling, 1.0, 1.5)
    narrow_row, wide_row = (
        compared([(points[1], points[2])], [str(n) for n in range(60)], how)[0] for how in (HOW, wide)
    )
    assert wide_row["difference"] == narrow_row["difference"]
    assert wide_row["difference_high"] - wide_row["difference"] == pytest.approx(
        np.hypot(narrow_row["difference_high"] - narrow_row["difference"], 1.959964 * np.sqrt(2) * 1.5), abs=1e-3
    )
    assert told(points, HOW)["lines"][0]["verdict"] == "enough"
    assert told(points, wide)["lines"][0]["verdict"] == "cannot tell"


def test_a_point_costs_what_it_gained_and_no_price_stands_where_nothing_surely_was() -> None:
    found = told(line({100: -10.0, 250: 0.0}, noise=1.0))
    none, paid = found["points"]
    assert none["tokens_per_point"] is None
    assert paid["tokens_per_point"] == pytest.approx(25_000 / paid["gain"], rel=0.01)
    assert paid["seconds_per_point"] == pytest.approx(25 / paid["gain"], abs=0.1)


def test_neighbours_are_compared_in_records_and_in_wordings_and_adjusted_together() -> None:
    found = told([*line({100: -5.0, 250: 0.0}, 1), *line({100: -4.0, 250: 1.0}, 3)])
    moves = [(row["records"], row["wordings"]) for row in found["pairs"]]
    assert moves == [([100, 250], [1, 1]), ([100, 250], [3, 3]), ([100, 100], [1, 3]), ([250, 250], [1, 3])]
    assert all(row["p_holm"] >= row["p"] for row in found["pairs"])
    assert found["best"] == 3


# --- the grid ---------------------------------------------------------------------------------------------------------


def grid(means: Mapping[float, Sequence[float]], scoring: Scoring = MEAN) -> Row:
    trainings = [
        Trained(f"{rate} {seed}", seed, rate, outputs(mean, 1.0, seed=seed))
        for rate, own in means.items()
        for seed, mean in enumerate(own)
    ]
    return spread(trainings, [str(number) for number in range(60)], How(scoring, HOW.resampling, 1.0, None), 1e-3)


def test_a_rate_that_every_seed_likes_is_surely_better() -> None:
    found = grid({3e-4: [-3, -3.2, -2.9], 1e-3: [0, 0.3, -0.2], 3e-3: [4, 4.2, 4.1]})
    assert found["best"] == 3e-3
    assert [row.get("verdict") for row in found["rates"]] == ["worse", None, "better"]
    assert best_rate(found, METRIC).startswith("Learning rate 0.003 scores best: ROUGE-1 on summarise 41.6 on average")
    assert "surely better than the present 0.001: +4" in best_rate(found, METRIC)


def test_a_difference_that_hangs_on_the_seed_cannot_be_told() -> None:
    found = grid({1e-3: [0, 2, -2], 3e-3: [6, -3, 2]})
    row = found["rates"][1]
    assert row["verdict"] == "cannot tell"
    assert row["difference_low"] < -5 < 5 < row["difference_high"]  # Student's with two degrees of freedom
    assert "cannot be told" in best_rate(found, METRIC)


def test_mean_and_deviation_are_over_seeds() -> None:
    found = grid({1e-3: [0, 2, 4]})
    row = found["rates"][0]
    assert row["mean"] == pytest.approx(np.mean(list(row["scores"].values())), abs=1e-3)
    assert row["deviation"] == pytest.approx(np.std(list(row["scores"].values()), ddof=1), abs=1e-3)
    assert f"{{summarise.rouge1: {row['deviation']:.2f}}}" in seeds_move(found, "summarise.rouge1", METRIC)[0]


def test_one_seed_has_no_deviation_and_decides_nothing() -> None:
    found = grid({1e-3: [0], 3e-3: [20]})
    assert found["deviation"] is None
    assert "too few trainings" in best_rate(found, METRIC)
    assert "two seeds" in seeds_move(found, "summarise.rouge1", METRIC)[0]


# --- results ----------------------------------------------------------------------------------------------------------


def written_point(
    root: Path, tuned: float, monkeypatch: pytest.MonkeyPatch, locked: Mapping[str, Any] | None = None
) -> Path:
    """A point's workspace as the stages leave it: invented predictions, their real evaluation, a lock."""
    root.mkdir(parents=True)
    monkeypatch.chdir(root)
    arguments = write_run(root, 0.3, tuned, examples=60)
    evaluate.main(*(Path(argument) for argument in arguments))
    (root / "dvc.yaml").write_text(
        yaml.safe_dump({"stages": WIRING | {"expand": {"outs": ["data/examples", "reports/mixture.json"]}}})
    )
    write_json(
        root / "models/training_run.json", {"run_id": f"{int(tuned * 100):032d}", "tokens": 4000, "precision": "fp32"}
    )
    write_json(root / "reports/mixture.json", {"examples": {"train": 60}, "replay_share": 0.29})
    stages = {
        "finetune": {
            "outs": [{"path": "models/tuned", "md5": "a"}],
            "params": {"params.yaml": {"finetune": {"seed": 3}}},
        },
        "evaluate": {"deps": [{"path": "models/tuned", "md5": "a"}]},
    }
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages | (locked or {})}))
    return root


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """Three points, each better than the one before."""
    made = []
    for records_, tuned in ((100, 0.35), (250, 0.6), (500, 0.62)):
        folder = written_point(tmp_path / str(records_), tuned, monkeypatch)
        facts = {"records": records_, "wordings": 1}
        made.append(read_result(folder, f"{records_} records, 1 wording", facts, {"finetune.seed": 3}))
    return made


def all_told(results: Sequence[Result], **more: Any) -> Row:
    params = {"evaluate": PARAMS, "finetune": {"optimizer": {"epochs": 1, "learning_rate": 1e-3}}}
    return told_of(asked(), params, results, more.get("missing", []))


def test_a_point_without_its_own_evaluation_is_missing_and_says_how_far_it_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written_point(
        tmp_path / "a", 0.5, monkeypatch, {"evaluate": {"deps": [{"path": "models/tuned", "md5": "b"}]}}
    )
    with pytest.raises(DataError, match="its evaluate is older than its models/tuned"):
        read_result(folder, "a", {}, {})
    with pytest.raises(DataError, match=r"made with finetune\.seed: 3, and the study's is 4"):
        read_result(written_point(tmp_path / "b", 0.5, monkeypatch), "b", {}, {"finetune.seed": 4})
    (folder / "dvc.lock").write_text(yaml.safe_dump({"stages": {"fetch": {}, "validate": {}}}))
    with pytest.raises(DataError, match="it came as far as validate"):
        read_result(folder, "a", {}, {})
    (folder / "dvc.lock").unlink()
    with pytest.raises(DataError, match="no stage of it ended"):
        read_result(folder, "a", {}, {})


def test_what_a_training_took_is_what_its_run_took_wherever_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with start_run("finetune", {}, {}, {}, "key") as run:
        time.sleep(0.3)
    assert 0.3 <= (seconds_of(run.run_id) or 0) < 30
    assert seconds_of("0" * 32) is None


def test_points_with_another_test_split_are_not_compared(results: list[Result]) -> None:
    require_same_test(results)
    other = replace(results[1], cards=results[1].cards | {"sha256": {"test": "f" * 64}})
    with pytest.raises(DataError, match=r"the test split of '250 records, 1 wording' is not that of '100 records"):
        require_same_test([results[0], other])
    batches = results[1].cards["alike"] | {"batch_size": 4}
    with pytest.raises(DataError, match="batch_size: 32, not 4"):
        require_same_test([results[0], replace(results[1], cards=results[1].cards | {"alike": batches})])


def test_a_primary_metric_of_no_family_is_refused_with_those_there_are(results: list[Result]) -> None:
    with pytest.raises(ParamsError, match="the families here are summarise, section"):
        counted(results[0].tuned, "mmlu_0shot.accuracy")


def test_the_scores_of_a_study_are_those_of_its_evaluations(results: list[Result]) -> None:
    for row, one in zip(all_told(results)["points"], results, strict=True):
        evaluated = one.metrics["summarise"]["rouge1"]
        assert [row["score"], row["gain"], row["gain_low"], row["gain_high"]] == [
            evaluated[name] for name in ("tuned", "difference", "difference_low", "difference_high")
        ]


def test_what_differs_beside_what_is_varied_is_said(results: list[Result]) -> None:
    assert not any("differ" in note for note in all_told(results)["notes"][2:])
    share = replace(results[1], mixture=results[1].mixture | {"replay_share": 0.1})
    answers = [row | {"output": "another"} for row in results[2].base[:7]] + results[2].base[7:]
    notes = " ".join(all_told([results[0], share, replace(results[2], base=answers)])["notes"])
    assert "share of replay differs between the points: 0.10 to 0.29" in notes
    assert "answers differ between the points in up to 7 of 90" in notes


def test_no_suite_asked_means_no_choices_and_still_an_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = write_run(tmp_path)
    for model in ("base", "tuned"):
        for name in ("choices", "repeated_choices", "perturbed", "repeated"):
            (tmp_path / f"predictions/{model}/{name}.jsonl").write_text("")
    evaluate.main(*(Path(argument) for argument in arguments))
    assert not [name for name in json.loads(Path("reports/metrics.json").read_text()) if name.endswith("shot")]
    write_json(Path("predictions/how.json"), how() | {"suites": [{"suite": "mmlu"}]})
    with pytest.raises(DataError, match=r"choices\.jsonl is empty"):
        evaluate.main(*(Path(argument) for argument in arguments))


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_answers_first_asks_no_host_and_shows_what_is_missing_as_text(results: list[Result]) -> None:
    found = all_told(results, missing=[{"label": "1,000 records", "why": "<script>alert(1)</script>"}])
    html = page(found)
    shown = Page(html)
    assert shown.open == []
    assert found["sentence"].replace("-", "\N{MINUS SIGN}")[:40] in shown.text.replace("-", "\N{MINUS SIGN}")
    assert "1 of 4 points is missing" in shown.text
    assert "<script>alert(1)</script>" in shown.text
    assert not {"script", "img", "iframe"} & {tag for tag, _ in shown.tags}
    assert not [given for _, given in shown.tags if str(given.get("href", "#")).startswith("http")]
    assert page(found) == html


def test_every_point_of_the_plot_stands_where_its_score_is(results: list[Result]) -> None:
    found = all_told(results)
    dots = curve_drawing(found)["lines"][0]["dots"]
    assert [dot["x"] for dot in dots] == sorted(dot["x"] for dot in dots)
    assert dots[0]["y"] > dots[1]["y"]  # a higher score stands higher
    assert all(dot["high"] < dot["y"] < dot["low"] for dot in dots)
    assert ElementTree.fromstring(plot(found)).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314


def test_names_of_lines_never_stand_on_each_other() -> None:
    lines = [one for count in (1, 3, 8) for one in line({100: -5.0, 250: 0.01 * count}, count)]
    drawing = curve_drawing(told(lines))
    heights = sorted([row["name_y"] for row in drawing["lines"]] + [drawing["base"]["name_y"]])
    assert all(b - a >= 13.9 for a, b in itertools.pairwise(heights))


def test_a_grid_is_drawn_with_every_seed_and_the_page_holds_its_verdict(results: list[Result]) -> None:
    seeds = [
        replace(one, label=f"{rate} {seed}", facts={"seed": seed, "learning_rate": rate})
        for rate, one in ((1e-3, results[0]), (3e-3, results[1]))
        for seed in (1, 2)
    ]
    params = {"evaluate": PARAMS, "finetune": {"optimizer": {"epochs": 1, "learning_rate": 1e-3}}}
    found = told_of(Grid(kind="grid", seeds=[1, 2], learning_rates=[3e-3], suites=False), params, seeds, [])
    assert found["sentence"].startswith("Learning rate 0.003 scores best")
    shown = Page(page(found))
    assert "surely better than the present 0.001" in shown.text
    assert sum(given.get("class") == "seed" for _, given in shown.tags) == 4


# --- MLflow -----------------------------------------------------------------------------------------------------------


def test_collected_twice_a_study_is_one_run_with_one_below_it_for_each_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: list[Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = all_told(results)
    files = written(found, tmp_path / "study")
    ids = [
        log_study(
            parent_of("study_examples/r", asked(), found, files),
            [child_of("study_examples/r", one, found) for one in own],
        )
        for own in (results[:2], results, results)  # killed after two, then whole, then again
    ]
    assert len(set(ids)) == 1
    mlflow = client()
    where = mlflow.get_experiment_by_name("luthier").experiment_id
    children = mlflow.search_runs([where], f"tags.`mlflow.parentRunId` = '{ids[0]}'")
    assert sorted(run.info.run_name for run in children) == sorted(one.label for one in results)
    assert len(mlflow.search_runs([where])) == 4
    for run in children:
        assert run.info.status == "FINISHED"
        one = next(one for one in results if one.label == run.info.run_name)
        assert run.data.tags["luthier.training_run"] == one.trained["run_id"]
        assert run.data.params["records"] == str(one.facts["records"])
        for name in ("tuned", "difference_low", "difference_high"):
            history = mlflow.get_metric_history(run.info.run_id, f"summarise.rouge1.{name}")
            assert [point.value for point in history] == [one.metrics["summarise"]["rouge1"][name]]
        assert run.data.metrics["cost.tokens"] == 4000
    curve_ = mlflow.get_metric_history(ids[0], "summarise.rouge1.wordings_1")
    assert [(point.step, point.value) for point in curve_] == [
        (row["records"], row["score"]) for row in found["points"]
    ]
    assert {file.path for file in mlflow.list_artifacts(ids[0], "study")} == {
        "study/study.html",
        "study/study.svg",
        "study/study.json",
    }
    assert found["sentence"] in mlflow.get_run(ids[0]).data.tags["mlflow.note.content"]
