"""How much a score moves when nothing but the training's seed changes: `luthier noise`.

    for seed in 1 2 3; do dvc exp run --queue -S finetune.seed=$seed; done && dvc exp run --run-all
    luthier noise

Trainings that differ in their seed alone are told from the others by their parameters. What is printed may be put into
`evaluate.seed_spread` of params.yaml: from then on a difference that is smaller than twice its spread is none.
"""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tasks.errors import LuthierError
from tasks.params import PARAMS

Row = Mapping[str, Any]
SEED = "finetune.seed"
ABOUT = {"Experiment", "rev", "typ", "Created", "parent", "State", "Executor"}  # what DVC says of an experiment itself
FEWEST = 3  # seeds: two have a distance and no spread


def spread(experiments: Sequence[Row]) -> dict[str, tuple[int, float, float]]:
    """By score: seeds, mean and standard deviation, over the largest set of trainings that differ in their seed alone.

    Args:
        experiments: rows {params: {name: value}, scores: {name: value}}.

    Raises:
        LuthierError: there are not enough of them.
    """
    alike: dict[tuple[Any, ...], dict[Any, Mapping[str, float]]] = defaultdict(dict)
    for row in experiments:
        rest = tuple(sorted((name, str(value)) for name, value in row["params"].items() if name != SEED))
        alike[rest][row["params"].get(SEED)] = row["scores"]
    most = max(alike.values(), key=len, default={})
    if len(most) < FEWEST:
        raise LuthierError(
            f"there are {len(most)} trainings that differ in {SEED} alone, and {FEWEST} are needed: "
            "dvc exp run --queue -S finetune.seed=1,2,3, then dvc exp run --run-all."
        )
    names = set.intersection(*(set(scores) for scores in most.values()))
    found = {name: [float(scores[name]) for scores in most.values()] for name in sorted(names)}
    return {name: (len(own), statistics.fmean(own), statistics.stdev(own)) for name, own in found.items()}


def experiments_here() -> list[Row]:
    """All experiments of this checkout that DVC knows, with their scores.

    DVC puts parameters, scores and digests of files into one row. What params.yaml has is a parameter, any other number
    is a score, and a digest has to be alike as a parameter has.
    """
    from dvc.api import exp_show  # noqa: PLC0415  # seconds to import

    known = set(_flat(yaml.safe_load(PARAMS.read_text(encoding="utf-8"))))
    rows: list[Row] = []
    for one in exp_show():
        told = {name: value for name, value in one.items() if name not in ABOUT}
        scores = {name: value for name, value in told.items() if name not in known and isinstance(value, float)}
        if one["Experiment"] and scores:
            rows.append({"params": {name: told[name] for name in told.keys() - scores.keys()}, "scores": scores})
    return rows


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{above}.{key}".lstrip(".")
        flat |= _flat(value, name) if isinstance(value, Mapping) else {name: value}
    return flat


def show(found: Mapping[str, tuple[int, float, float]], console: Console) -> None:
    """Print a line a score."""
    table = Table("score", *(Column(name, justify="right") for name in ("seeds", "mean", "standard deviation")))
    for name, (seeds, mean, deviation) in found.items():
        table.add_row(name, f"{seeds}", f"{mean:.2f}", f"{deviation:.3f}")
    console.print(table)
    console.print(Text("A score's deviation may go into evaluate.seed_spread: twice it is then no difference."))


def main() -> None:
    """Look through the experiments and print."""
    show(spread(experiments_here()), Console(highlight=False))
