"""What stands behind the table of scores: forgetting, wordings, subjects, perturbations, calibration, noise."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.metrics import forgetting, noise, phrasing, safety, views
from tasks.metrics.calibration import reliability
from tasks.metrics.choices import by_subject, sections_of, suites_of
from tasks.metrics.compare import Resampling
from tasks.metrics.identity import MEASURES
from tasks.metrics.predictions import Predictions
from tasks.metrics.scores import Family

Row = dict[str, Any]


def details(
    predicted: Mapping[str, Family], made: Predictions, metrics: Mapping[str, Sequence[str]], resampling: Resampling,
    may_forget: float,
) -> Row:  # fmt: skip
    """Everything but the table of scores, as plain data.

    Args:
        predicted: families with their counts.
        made: all predictions.
        metrics: of each family.
        resampling: seed, number and confidence.
        may_forget: points of accuracy that a suite may lose.
    """
    base, tuned = made.base, made.tuned
    models = {"base": vars(base), "tuned": vars(tuned)}
    abilities = ([row for row in rows if row["measure"] == "accuracy"] for rows in (base.choices, tuned.choices))
    budget = forgetting.budget(sections_of(*abilities), resampling, may_forget)
    return {
        "forgetting": {"margin": may_forget, "verdict": forgetting.worst(budget), "suites": budget},
        "wordings": wordings(predicted, metrics, resampling),
        "phrasing": gaps(predicted, metrics, resampling),
        "subjects": subjects(base.choices, tuned.choices),
        "perturbed": views.perturbed(models, metrics, resampling) if base.perturbed else [],
        "mentions": views.mentions(base.generations, tuned.generations),
        "toxic": {name: views.most_toxic(model["generations"]) for name, model in models.items()},
        "calibration": calibration(base.choices, tuned.choices),
        "noise": noise.changed(models),
        "what": safety.WHAT,
    }


def wordings(
    predicted: Mapping[str, Family], metrics: Mapping[str, Sequence[str]], resampling: Resampling
) -> list[Row]:
    """Each family's wordings by its own metric, worst tuned score first."""
    rows = []
    for family, own in predicted.items():
        if key := views.own_metric(metrics[family]):
            found = phrasing.by_wording(own.said, *own.statistics[key], MEASURES[key].scoring, resampling)
            rows += [{"family": family, "metric": key} | row for row in found]
    return rows


def gaps(predicted: Mapping[str, Family], metrics: Mapping[str, Sequence[str]], resampling: Resampling) -> list[Row]:
    """Held-out minus seen wordings of each family, by its own metric."""
    rows = []
    for family, own in predicted.items():
        key = views.own_metric(metrics[family])
        if key and (row := phrasing.gap(own.said, *own.statistics[key], MEASURES[key].scoring, resampling)):
            rows.append({"family": family, "metric": key} | row)
    return rows


def subjects(base: Sequence[Row], tuned: Sequence[Row]) -> list[Row]:
    """Accuracy by subject, discipline or kind of bias: {suite, by, name, n, base, tuned}."""
    theirs = suites_of(tuned)
    rows = []
    for suite, ours in suites_of(base).items():
        if ours[0]["measure"] not in ("accuracy", "bbq"):
            continue
        for column in ("discipline", "subject"):
            other = by_subject(theirs[suite], column)
            rows += [
                {"suite": suite, "by": column, "name": name, "n": n, "base": score, "tuned": other[name][1]}
                for name, (n, score) in by_subject(ours, column).items()
            ]
    return rows


def calibration(base: Sequence[Row], tuned: Sequence[Row]) -> Row:
    """Of each suite with right answers the reliability diagram of both models."""
    theirs = suites_of(tuned)
    return {
        suite: {"base": reliability(ours), "tuned": reliability(theirs[suite])}
        for suite, ours in suites_of(base).items()
        if ours[0]["measure"] == "accuracy"
    }
