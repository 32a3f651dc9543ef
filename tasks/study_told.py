"""A study's answer as one row of plain values, which its page, its plot and MLflow's runs are made of."""

from collections.abc import Mapping, Sequence
from typing import Any

from tasks.data.files import Row
from tasks.evaluate import Evaluate
from tasks.metrics.curve import How, Scored, curve
from tasks.metrics.identity import MEASURES, card
from tasks.metrics.spread import Trained, spread
from tasks.report.sentences import title
from tasks.report.study_sentences import also, answer, best_rate, seeds_move
from tasks.report.study_sentences import missing as lacking
from tasks.study_points import Examples, Grid
from tasks.study_results import Result, counted, groups_of

QUESTIONS = {
    "examples": "how many examples do I need?",
    "grid": "which learning rate, and how much does the seed change?",
}


def told_of(
    study: Examples | Grid, params: Mapping[str, Any], results: Sequence[Result], missing: Sequence[Row]
) -> Row:
    """Everything that the study says.

    Args:
        study: what was asked for.
        params: params.yaml of the study's own workspace.
        results: two at least, made alike.
        missing: {label, why} of the other points.
    """
    wanted = Evaluate.model_validate(params["evaluate"])
    section, _, key = wanted.primary.partition(".")
    groups, base = groups_of(results[0].base, wanted.primary), counted(results[0].base, wanted.primary)
    how = How(MEASURES[key].scoring, wanted.resampling, wanted.margin, wanted.seed_spread.get(wanted.primary))
    name = f"{card(key)['label']} on {title(section)}"
    if study.kind == "examples":
        told = curve([_scored(one, wanted.primary) for one in results], base, groups, how)
        said = [answer(told, name, how.margin), *also(told, name)]
        told["enough"] = next(row["records"] for row in told["lines"] if row["wordings"] == told["best"])
    else:
        rate = float(params["finetune"]["optimizer"]["learning_rate"])
        told = spread([_trained(one, wanted.primary) for one in results], groups, how, rate)
        said = [best_rate(told, name), *seeds_move(told, wanted.primary, name)]
    said += lacking(len(missing), len(missing) + len(results))
    return told | {
        "kind": study.kind,
        "question": QUESTIONS[study.kind],
        "sentence": said[0],
        "more": said[1:],
        "metric": card(key) | {"key": key, "section": section, "primary": wanted.primary},
        "confidence": wanted.confidence,
        "margin": wanted.margin,
        "n": len(groups),
        "groups": len(set(groups)),
        "test_sha256": results[0].test,
        "trained": len(results),
        "missing": list(missing),
        "notes": notes(study, params, results, how),
    }


def _scored(one: Result, primary: str) -> Scored:
    return Scored(
        one.label, one.facts["records"], one.facts["wordings"], counted(one.tuned, primary), one.trained["tokens"],
        one.seconds,
    )  # fmt: skip


def _trained(one: Result, primary: str) -> Trained:
    return Trained(one.label, one.facts["seed"], one.facts["learning_rate"], counted(one.tuned, primary))


def notes(study: Examples | Grid, params: Mapping[str, Any], results: Sequence[Result], how: How) -> list[str]:
    """How the numbers were made, and what they do not hold."""
    sure = f"{how.resampling.confidence * 100:g}%"
    said = [
        f"All points answered the same test examples (sha256 of the split {results[0].test[:12]}), and their cards "
        "agree in all else that moves a score.",
        f"Intervals hold {sure}: {how.resampling.resamples:,} resamples of groups, the same draws for both sides.",
    ]
    if study.kind == "examples":
        epochs = params["finetune"]["optimizer"]["epochs"]
        said += [
            "Records are counted without replay. A smaller set lies inside every larger one; each part of the mixture "
            "keeps its proportion.",
            f"Each set is trained on for {epochs} epoch{'s' if epochs != 1 else ''}, and each wording makes an example "
            "of its own: a larger set, or more wordings, is also a longer training.",
            "Each pair's interval is widened by what another seed changes."
            if how.seed_spread
            else "Each point is one training. What another seed would change is not in the intervals: the DAG "
            "study_grid measures it, and evaluate.seed_spread in params.yaml puts it in.",
        ]
    else:
        said.append(
            "A rate is compared with the present one seed by seed, example by example; the interval holds what "
            "examples and what seeds leave open, for all rates together (Bonferroni)."
        )
    return said + _unlike(results)


def _unlike(results: Sequence[Result]) -> list[str]:
    """What differs between the points beside what the study varies."""
    shares = [one.mixture["replay_share"] for one in results]
    said = []
    if max(shares) - min(shares) > 0.03:
        said.append(f"The share of replay differs between the points: {min(shares):.2f} to {max(shares):.2f}.")
    precisions = sorted({str(one.trained["precision"]) for one in results if "precision" in one.trained})
    if len(precisions) > 1:
        said.append(f"The precision that was measured as faster differs between the points: {', '.join(precisions)}.")
    outputs = [[row["output"] for row in one.base] for one in results]
    changed = max(sum(a != b for a, b in zip(outputs[0], other, strict=True)) for other in outputs)
    if changed:
        said.append(f"The base model's answers differ between the points in up to {changed} of {len(outputs[0])}.")
    return said
