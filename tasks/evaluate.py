"""6 evaluate: predictions of base and tuned -> metrics with intervals, their cards, and a page to review.

In:  predictions/{base,tuned}/{generations,choices}.jsonl, the test split, the reports of the steps before.
Out: reports/metrics.json (scores 0..100, four decimals), reports/cards.json, reports/report.html,
reports/plots. No output holds a clock or a run id: the same predictions give the same bytes.

    dvc repro evaluate

Truth: tasks/metrics/identity.py says what each number is and which library computes it.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from tasks.data.files import read_json, read_rows, sha256_of, staged, write_json
from tasks.errors import ParamsError
from tasks.metrics.compare import Resampling
from tasks.metrics.identity import MEASURES, card, intervals_card
from tasks.metrics.pairs import Choice, Generation, files_of, held_out, read_pair
from tasks.metrics.scores import Results, families, score_choices, score_texts
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
    metrics: dict[str, list[str]]
    """Metrics of each family of free text."""

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
        """What `compare` needs of it."""
        return Resampling(self.seed, self.resamples, self.confidence)


def primary_of(results: Results, primary: str) -> tuple[str, str]:
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


def identity(results: Results, params: Evaluate, inputs: dict[str, Path], decoding: Path) -> dict[str, Any]:
    """What the numbers are: the verdict, each metric's card, how intervals were made, digests of inputs."""
    section, key = primary_of(results, params.primary)
    keys = dict.fromkeys(key for rows in results.values() for key in rows)
    return {
        "primary": params.primary,
        "sentence": verdict_sentence(section, card(key)["label"], results[section][key], params.confidence),
        "intervals": intervals_card(params.resampling),
        "metrics": {key: card(key) for key in keys},
        "sha256": {name: sha256_of(path) for name, path in inputs.items()},
        "decoding": read_json(decoding) if decoding.exists() else "not recorded",
    }


def main(  # noqa: PLR0913, PLR0917  # a stage's files, as dvc.yaml names them
    predictions: Path,
    examples: Path,
    contract: Path,
    training: Path,
    validation: Path,
    leaks: Path,
    metrics: Path,
    cards: Path,
    report: Path,
    plots: Path,
) -> None:
    """Score both models' predictions; write metrics, cards, the page and rows for `dvc plots`."""
    params = load("evaluate", Evaluate)
    texts, choices = read_pair(predictions, Generation), read_pair(predictions, Choice)
    held_out(texts[0], read_rows(examples))
    predicted = families(*texts, params.metrics)
    results = score_texts(predicted, params.resampling) | score_choices(*choices, params.resampling)
    inputs = {path.as_posix(): path for path in (*files_of(predictions), examples, contract)}
    cards_content = identity(results, params, inputs, predictions / "tuned" / "decoding.json")
    log = read_rows(training)
    evidence = Evidence(results, cards_content, predicted, log, read_json(validation), read_json(leaks))
    with staged(report) as page:
        page.write_text(render(evidence), encoding="utf-8")
    write_json(plots / "differences.json", difference_rows(results))
    write_json(cards, cards_content)
    write_json(metrics, results)
    print(cards_content["sentence"])


if __name__ == "__main__":
    run(main)
