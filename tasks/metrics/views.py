"""HELM's views on the user's own scenario: robustness, fairness, bias and harm (Liang et al. 2022).

Robustness and fairness: the same examples with slips, in lower case, in another dialect, about other people. What is
told is how much a model's score changes with them, paired, beside the share of answers that changed at all. Examples of
all families are taken together, each by the first metric of its family that is a mean over examples.
Bias and harm: what the outputs mention, and what of them a classifier holds toxic, beside what the targets do.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tasks.data.bias.lexicon import Lexicon, load_lexicon
from tasks.metrics import safety
from tasks.metrics.compare import DECIMALS, LOWER_MEAN, MEAN, Matrix, Measured, Resampling, compare
from tasks.metrics.identity import MEASURES
from tasks.metrics.noise import paired
from tasks.metrics.texts import Texts, blocks
from tasks.metrics.together import Compared

Row = dict[str, Any]
VIEWS = {"typos": "robustness", "lower_case": "robustness"}  # the other kinds are about fairness


def perturbed(
    models: Mapping[str, Mapping[str, Sequence[Row]]], metrics: Mapping[str, Sequence[str]], resampling: Resampling
) -> list[Row]:
    """A row a kind of perturbation.

    Args:
        models: base and tuned: rows of generations and of perturbed.
        metrics: of each family.
        resampling: seed, number and confidence.

    Returns:
        {kind, view, n, metric, base, tuned, changed}: base and tuned are rows of `compare`, in which "base" is the
        score on the examples as they are, "tuned" that on the perturbed ones.
    """
    kinds = dict.fromkeys(row["perturbation"] for row in models["base"]["perturbed"])
    first = {name: paired(model["generations"], model["perturbed"]) for name, model in models.items()}
    rows = []
    for kind in kinds:
        row: Row = {"kind": kind, "view": VIEWS.get(kind, "fairness"), "changed": {}}
        for name, model in models.items():
            after = [one for one in model["perturbed"] if one["perturbation"] == kind]
            before = paired(first[name], after)
            scores = _own_scores(before, metrics), _own_scores(after, metrics)
            row[name] = compare(*scores, [one["group"] for one in after], MEAN, resampling)
            others = safety.changed([one["output"] for one in before], [one["output"] for one in after])
            row["changed"][name] = round(float(MEAN.score(others.sum(axis=0))), DECIMALS)
            row["n"] = len(after)
        rows.append(row)
    return rows


def own_metric(keys: Sequence[str]) -> str | None:
    """The first metric of a family that is a mean over examples, and better when higher."""
    fit = (key for key in keys if MEASURES[key].better == "higher" and MEASURES[key].scoring.ends is not None)
    return next(fit, None)


def _own_scores(rows: Sequence[Row], metrics: Mapping[str, Sequence[str]]) -> Matrix:
    """(n, 2): each example's score by its family's own metric, and 1; 0 and 0 where it has none."""
    matrix = np.zeros((len(rows), 2))
    for family, keys in metrics.items():
        places = [place for place, row in enumerate(rows) if row["family"] == family]
        if places and (key := own_metric(keys)):
            matrix[places] = MEASURES[key].statistics(Texts.of([rows[place] for place in places]))[key]
    return matrix


def safety_sections(base: Sequence[Row], tuned: Sequence[Row]) -> dict[str, Compared]:
    """Harm and bias of all outputs, ready to be judged; each row says what the targets themselves score."""
    gender = load_lexicon("gender")
    spread = replace(safety.even(len(gender.groups)), better="lower")
    beside = replace(safety.associated(len(gender.groups)), better=None)
    looks = [[_looked(texts, gender) for texts in _told(*block).values()] for block in blocks(base, tuned)]
    toxic, mentioned, together = (
        [np.concatenate([own[side][look] for own in looks]) for side in range(3)] for look in range(3)
    )
    groups = [sys.intern(row["group"]) for row in base]
    harm = Compared(
        {"toxic": Measured(toxic[0], toxic[1], LOWER_MEAN)}, groups, {"toxic": _targets(toxic[2], LOWER_MEAN)}
    )
    bias = Compared(
        {
            "gender_mentions": Measured(mentioned[0], mentioned[1], spread),
            "gender_professions": Measured(together[0], together[1], beside),
        },
        groups,
        {"gender_mentions": _targets(mentioned[2], spread), "gender_professions": _targets(together[2], beside)},
    )  # fmt: skip
    return {"outputs_harm": harm, "outputs_bias": bias}


def _targets(statistics: Matrix, scoring: Any) -> Row:
    return {"targets": round(float(scoring.score(statistics.sum(axis=0, dtype=np.float64))), DECIMALS)}


def _told(base: Sequence[Row], tuned: Sequence[Row]) -> dict[str, list[str]]:
    """Outputs of both, and targets."""
    return {
        "base": [row["output"] for row in base],
        "tuned": [row["output"] for row in tuned],
        "targets": [row["target"] for row in base],
    }


def _looked(texts: Sequence[str], gender: Lexicon) -> tuple[Matrix, Matrix, Matrix]:
    """Whether texts are toxic, whom they mention, and beside which words: whole numbers, which single floats hold."""
    return (
        safety.toxicity(texts)["toxic"].astype(np.float32),
        safety.representation_statistics(texts, gender).astype(np.float32),
        safety.association_statistics(texts, gender).astype(np.float32),
    )


def mentions(base: Sequence[Row], tuned: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Of outputs and targets: how often each gender is mentioned."""
    gender = load_lexicon("gender")
    counted = {name: Counter(dict.fromkeys(gender.groups, 0)) for name in ("base", "tuned", "targets")}
    for block in blocks(base, tuned):
        for name, texts in _told(*block).items():
            counted[name].update(safety.representation(texts, gender))
    return {name: dict(own) for name, own in counted.items()}


def most_toxic(rows: Sequence[Row], count: int = 5) -> list[Row]:
    """The outputs that the classifier holds toxic, most probable first: {id, output, probability}."""
    each = [safety.toxicity([row["output"] for row in own])["toxicity"][:, 0] for (own,) in blocks(rows)]
    probability = np.concatenate(each) if each else np.zeros(0)
    order = np.argsort(-probability, kind="stable")[:count]
    return [
        {"id": rows[at]["id"], "output": rows[at]["output"], "probability": round(float(probability[at]), 1)}
        for at in map(int, order)
        if probability[at] >= 100.0 * safety.TOXIC
    ]
