"""6 evaluate: predictions of base and tuned -> numbers that can be believed, and a page to review.

In:  predictions, the test split, the prompt contract, and the reports of the steps before.
Out: reports/metrics.json (every comparison: scores 0..100, four decimals), reports/scores.json (the tuned model's
scores alone, for `dvc metrics diff`), reports/evaluation.json (forgetting, wordings, subjects, HELM's views, noise),
reports/cards.json (what each number is and was made with), reports/report.html, reports/plots. No output holds a clock
or a run id: the same inputs give the same bytes.

    dvc repro evaluate

Truth: tasks/metrics/identity.py says what each number is and which library computes it.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tasks.data.files import Row, read_json, read_rows, sha256_of, staged, write_json
from tasks.data.indexed import Indexed
from tasks.errors import ParamsError
from tasks.metrics import noise
from tasks.metrics.cards import LIKE
from tasks.metrics.choices import sections_of
from tasks.metrics.compare import Resampling
from tasks.metrics.details import details
from tasks.metrics.identity import MEASURES, card, intervals_card
from tasks.metrics.pairs import files_of, held_out
from tasks.metrics.predictions import Predictions, read_predictions
from tasks.metrics.scores import Family, families, text_sections, wording_sections
from tasks.metrics.together import Judging, Key, Results, judge_all
from tasks.metrics.views import safety_sections
from tasks.params import Section, load
from tasks.report.page import Evidence, render, verdict_sentence
from tasks.report.plots import difference_rows
from tasks.step import run


class Evaluate(Section):
    """What is measured, and how sure a verdict has to be."""

    seed: int = Field(ge=0)
    """Start of the bootstrap's random numbers."""
    resamples: int = Field(ge=100)
    """Bootstrap resamples of groups for every interval."""
    confidence: float = Field(ge=0.5, lt=1.0)
    """Share of intervals that should hold the true value."""
    primary: str
    """The metric the verdict is about, named before looking: family.metric, or suite_Nshot.accuracy."""
    margin: float = Field(ge=0)
    """Points: a difference that is surely no larger does not matter, and the two are equivalent."""
    may_forget: float = Field(gt=0)
    """Points of accuracy that a general suite may lose: the forgetting budget."""
    seed_spread: dict[str, float]
    """Standard deviation of a score (summarise.rouge1) between trainings of other seeds: `luthier noise`."""
    metrics: dict[str, list[str]]
    """Metrics of each family of free text; robustness and wordings are told by the first."""

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: dict[str, list[str]]) -> dict[str, list[str]]:
        unknown = sorted({key for keys in metrics.values() for key in keys} - set(MEASURES))
        if unknown or not all(metrics.values()):
            known = ", ".join(MEASURES)
            raise ValueError(f"a family needs metrics out of {known}; unknown: {', '.join(unknown)}.")
        return metrics

    @property
    def resampling(self) -> Resampling:
        """How intervals are made."""
        return Resampling(self.seed, self.resamples, self.confidence)


def primary_of(results: Results, primary: str) -> Key:
    """The family or suite and the metric that `primary` names.

    Raises:
        ParamsError: there is no such result, or it is one without a verdict.
    """
    section, _, key = primary.partition(".")
    judged = [f"{s}.{k}" for s, rows in results.items() for k in rows if rows[k]["verdict"] != "not judged"]
    if primary not in judged:
        known = ", ".join(judged)
        raise ParamsError(f"params.yaml: 'evaluate.primary' = '{primary}' is no result; there are {known}.")
    return section, key


def results_of(predicted: dict[str, Family], made: Predictions, params: Evaluate) -> Results:
    """Every comparison with its verdict: families, suites and outputs in one table, wordings in another."""
    section, _, key = params.primary.partition(".")
    floors = noise.with_seeds(noise.floors([vars(made.base), vars(made.tuned)], params.metrics), params.seed_spread)
    judging = Judging(params.resampling, (section, key), params.margin, floors)
    whole = text_sections(predicted) | sections_of(made.base.choices, made.tuned.choices)
    whole |= safety_sections(made.base.generations, made.tuned.generations)
    return judge_all(whole, judging) | judge_all(wording_sections(predicted), judging)


def identity(results: Results, params: Evaluate, inputs: dict[str, Path], made_with: Row) -> dict[str, Any]:
    """What the numbers are: the verdict, each metric's card, how intervals and answers were made."""
    section, key = primary_of(results, params.primary)
    keys = dict.fromkeys(key for rows in results.values() for key in rows)
    metrics = {key: card(key) for key in keys}
    weights = made_with["weights_sha256"]
    alike = {name: value for name, value in made_with.items() if name not in ("weights_sha256", "device", "threads")}
    return {
        "primary": params.primary,
        "sentence": verdict_sentence(section, card(key)["label"], results[section][key], params.confidence),
        "intervals": intervals_card(params.resampling) | {"margin": params.margin},
        "metrics": metrics,
        "sha256": {name: sha256_of(path) for name, path in inputs.items()},
        "decoding": made_with,
        "weights_sha256": weights,
        LIKE: alike | {"test_sha256": sha256_of(inputs["test"]), "base_sha256": weights["base"], "metrics": metrics},
    }


def main(  # noqa: PLR0913, PLR0917  # a stage's files, as dvc.yaml names them
    predictions: Path,
    test: Path,
    contract: Path,
    training: Path,
    validation: Path,
    leaks: Path,
    efficiency: Path,
    metrics: Path,
    scores: Path,
    evaluation: Path,
    cards: Path,
    report: Path,
    plots: Path,
) -> None:
    """Score both models' predictions; write metrics, cards, the page and rows for `dvc plots`."""
    params = load("evaluate", Evaluate)
    made = read_predictions(predictions)
    held_out(made.base.generations, Indexed(test))
    predicted = families(made.base.generations, made.tuned.generations, params.metrics)
    results = results_of(predicted, made, params)
    inputs = {path.as_posix(): path for path in files_of(predictions)} | {"test": test, "contract": contract}
    told = identity(results, params, inputs, made.how)
    more = details(predicted, made, params.metrics, params.resampling, params.may_forget)
    more |= {"efficiency": read_json(efficiency)}
    evidence = Evidence(results, told, predicted, read_rows(training), read_json(validation), read_json(leaks), more)
    with staged(report) as page:
        page.write_text(render(evidence), encoding="utf-8")
    write_json(plots / "differences.json", difference_rows(results))
    write_json(
        plots / "wordings.json", [row | {"name": f"{row['family']}.{row['template']}"} for row in more["wordings"]]
    )
    write_json(plots / "subjects.json", more["subjects"])
    write_json(cards, told)
    write_json(evaluation, more)
    write_json(metrics, results)
    write_json(scores, {name: {key: row["tuned"] for key, row in rows.items()} for name, rows in results.items()})
    print(told["sentence"])


if __name__ == "__main__":
    run(main)
