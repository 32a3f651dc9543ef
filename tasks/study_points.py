"""The points of a study, as data: what each trains on or with, and the overrides of params.yaml that make it so.

    examples: so many records x so many wordings. A smaller set lies inside every larger one, because `take` gives the
              records of the lowest rank; dev and test splits hang on neither and stay the same to the byte.
    grid:     so many seeds x learning rates, the present rate among them.

Records are shared out over the parts of the mixture by Webster's method: parts keep their proportion, their sum is
what was asked for, and no part ever shrinks while the sum grows. Parts with replay: true are not counted: they follow
by `expand.replay_share`. Truth: Balinski and Young, Fair Representation (1982), ch. 4.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from tasks.errors import LuthierError
from tasks.params import Section
from tasks.prompts.declared import Expand, Mix
from tasks.prompts.mixing import choose
from tasks.prompts.templates import load_family

Overrides = dict[str, Any]  # of params.yaml, by dotted key
QUICK: Overrides = {"predict.suites": [], "predict.perturbed.examples": 0, "predict.repeated": 0}


class Examples(Section):
    """How many records does it take, in how many wordings?"""

    kind: Literal["examples"]
    sizes: list[Annotated[int, Field(ge=1)]]
    """Training records, replay aside; sizes of what there is or more become one point with all of them."""
    every_record: bool
    """A point with all there are, too."""
    wordings: list[Annotated[int, Field(ge=1)]]
    """Templates that each training record is rendered with."""
    every_wording: bool
    """All that may be trained on, too."""
    suites: bool
    """Ask the general suites and the perturbed examples at each point, which takes longer and decides nothing."""


class Grid(Section):
    """Which learning rate, and how much does the seed alone change?"""

    kind: Literal["grid"]
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    learning_rates: list[Annotated[float, Field(gt=0, le=1)]]
    """The present one is added."""
    suites: bool
    """As above."""


Study = Annotated[Examples | Grid, Field(discriminator="kind")]


@dataclass(frozen=True)
class Point:
    """One training of a study."""

    label: str
    """Such as "250 records, 3 wordings": its name in Airflow, in MLflow and in its run's name."""
    facts: dict[str, int | float]
    """records and wordings, or seed and learning_rate."""
    overrides: Overrides

    def environment(self, run: str, revision: str) -> dict[str, str]:
        """What `python -m tasks.workspace` is told of it; Airflow maps over these."""
        return {
            "LUTHIER_RUN": f"{run}/{self.label}",
            "LUTHIER_REVISION": revision,
            "LUTHIER_SET": json.dumps(self.overrides),
            "LUTHIER_POINT": self.label,
            "LUTHIER_FACTS": json.dumps(self.facts),
        }


@dataclass(frozen=True)
class Available:
    """What a mixture could train on."""

    records: list[int]
    """Of each part without replay, in the mixture's order, in the proportion that its weights ask for."""
    replay: list[int]
    """Of each part with replay."""
    seen: dict[str, int]
    """Wordings that may be trained on, by family."""


def available(valid: Path, params: Expand) -> Available:
    """Count the training records that the mixture could take, were no part limited by `take`.

    Args:
        valid: data/valid.
        params: section expand.
    """

    def counts(parts: Sequence[Mix]) -> list[int]:
        free = [
            mix.model_copy(update={"replay": False, "wordings": 1, "take": mix.take.model_copy(update={"train": None})})
            for mix in parts
        ]
        whole = params.model_copy(update={"mixture": free, "replay_share": 0.0})
        return [part.counts["train"] for part in choose(valid, whole)] if free else []

    own = [mix for mix in params.mixture if not mix.replay]
    replay = [mix for mix in params.mixture if mix.replay]
    seen = {mix.family: len(load_family(mix.family).templates) - params.held_out_wordings for mix in params.mixture}
    return Available(counts(own), counts(replay), seen)


def shared_out(total: int, parts: Sequence[int]) -> list[int]:
    """`total` records over parts of these sizes, in proportion (Webster); at most all of each.

    Args:
        total: at most the sum of `parts`.
        parts: records of each.
    """
    part = np.repeat(np.arange(len(parts)), parts)
    claims = np.concatenate([count / (2.0 * np.arange(count) + 1.0) for count in parts])
    chosen = np.argsort(-claims, kind="stable")[:total]
    return [int(count) for count in np.bincount(part[chosen], minlength=len(parts))]


def points_of(study: Examples | Grid, params: Mapping[str, Any], valid: Path) -> list[Point]:
    """The points, smallest first.

    Args:
        study: what was asked for.
        params: params.yaml.
        valid: data/valid.

    Raises:
        LuthierError: nothing is left to compare.
    """
    if isinstance(study, Grid):
        points = grid_points(study, float(params["finetune"]["optimizer"]["learning_rate"]))
    else:
        expand = Expand.model_validate(params["expand"])
        points = example_points(study, expand, available(valid, expand))
    if len(points) < 2:
        raise LuthierError(f"the study has {len(points)} point: name two sizes, wordings, seeds or rates at least.")
    return points


def example_points(study: Examples, params: Expand, there: Available) -> list[Point]:
    """Records x wordings, fewest wordings first."""
    most = max(there.seen[mix.family] for mix in params.mixture if not mix.replay)
    wordings = sorted({min(count, most) for count in study.wordings} | ({most} if study.every_wording else set()))
    points = []
    for count in wordings:
        all_there = limit_of(params, there, count)
        asked = {min(size, all_there) for size in study.sizes} | ({all_there} if study.every_record else set())
        points += [_example_point(records, count, params, there, study.suites) for records in sorted(asked)]
    return points


def limit_of(params: Expand, there: Available, wordings: int) -> int:
    """Most records, replay aside, that leave the share of replay what params.yaml says.

    Raises:
        LuthierError: there is none.
    """
    total, share = sum(there.records), params.replay_share
    if share:
        own = [min(wordings, there.seen[mix.family]) for mix in params.mixture if not mix.replay]
        again = [min(wordings, there.seen[mix.family]) for mix in params.mixture if mix.replay]
        total = min(total, math.floor((sum(there.replay) * min(again) + 0.5) * (1 - share) / share / max(own)))
    if total < 1:
        raise LuthierError("the mixture has no training record: see reports/validation.json and expand.mixture.")
    return total


def _example_point(records: int, wordings: int, params: Expand, there: Available, suites: bool) -> Point:
    own, replay = iter(shared_out(records, there.records)), iter(there.replay)
    overrides: Overrides = {}
    for place, mix in enumerate(params.mixture):
        overrides[f"expand.mixture.{place}.take.train"] = next(replay if mix.replay else own)
        overrides[f"expand.mixture.{place}.wordings"] = min(wordings, there.seen[mix.family])
    label = f"{records:,} record{'s' if records > 1 else ''}, {wordings} wording{'s' if wordings > 1 else ''}"
    facts: dict[str, int | float] = {"records": records, "wordings": wordings}
    return Point(label, facts, overrides | ({} if suites else QUICK))


def grid_points(study: Grid, present: float) -> list[Point]:
    """Seeds x learning rates, seed by seed, so that a study that is stopped early can compare rates."""
    rates = sorted({*study.learning_rates, present})
    return [
        Point(
            f"learning rate {rate:g}, seed {seed}",
            {"seed": seed, "learning_rate": rate},
            {"finetune.seed": seed, "finetune.optimizer.learning_rate": rate} | ({} if study.suites else QUICK),
        )
        for seed in dict.fromkeys(study.seeds)
        for rate in rates
    ]
