"""All comparisons of one evaluation judged together, so that the more is asked the surer an answer has to be.

The primary metric was named before anybody looked and is judged alone. Every other verdict goes by a p value that is
adjusted for all the others of its table (Holm 1979). A difference that is no larger than the noise, what merely asking
again in other batches changes, is no difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.metrics.compare import Draws, Measured, Resampling, resample, row_of
from tasks.metrics.judged import P_DECIMALS, groups_needed, holm, more, p_of, verdict_of

Row = dict[str, Any]
Results = dict[str, dict[str, Row]]  # section (a family, a suite) -> metric -> base, tuned, difference, verdict ...
Key = tuple[str, str]  # section, metric


@dataclass(frozen=True)
class Compared:
    """Two models' answers to the same examples, counted."""

    measured: dict[str, Measured]
    """By metric, over the same n examples."""
    groups: Sequence[str]
    """n names; examples of one name are drawn together."""
    more: dict[str, Row] = field(default_factory=dict)
    """By metric: what else its row says (chance, what the targets themselves score)."""


@dataclass(frozen=True)
class Judging:
    """What a verdict has to withstand."""

    resampling: Resampling
    primary: Key
    """Judged alone: named before looking."""
    margin: float
    """Points of a percentage: a difference that is surely no larger does not matter."""
    noise: Mapping[Key, float]
    """By section and metric: what asking again changes, in the metric's scale."""


def judge_all(sections: Mapping[str, Compared], judging: Judging) -> Results:
    """Rows of every section and metric, as `judged.judge` has them, with `noise` where it is known.

    Args:
        sections: of one table.
        judging: seeds, margins, noise.
    """
    drawn = {name: resample(one.measured, one.groups, judging.resampling) for name, one in sections.items()}
    tests = {
        (name, key): p_of(one, drawn[name][key])
        for name, section in sections.items()
        for key, one in section.measured.items()
        if one.scoring.better is not None
    }
    adjusted = holm({at: p for at, (_, p) in tests.items() if at != judging.primary})  # the primary stands alone
    results: Results = {name: {} for name in sections}
    for name, section in sections.items():
        for key, one in section.measured.items():
            test, p = tests.get((name, key), (None, None))
            holds = {"test": test, "p": _rounded(p), "p_holm": _rounded(adjusted.get((name, key), p))}
            row = row_of(drawn[name][key], one.scoring, judging.resampling) | holds
            results[name][key] = _settled(row, one, drawn[name][key], (name, key), judging) | section.more.get(key, {})
    return results


def _rounded(p: float | None) -> float | None:
    return None if p is None else round(p, P_DECIMALS)


def _settled(row: Row, one: Measured, draws: Draws, at: Key, judging: Judging) -> Row:
    """The row with its verdict."""
    row |= more(draws, one, judging.resampling) | {"groups_needed": None}
    if row["p"] is None:
        return row
    margin = judging.margin if one.scoring.ends == (0.0, 100.0) else None
    verdict = verdict_of(row, row["p_holm"], one.scoring, judging.resampling, margin)
    noise = judging.noise.get(at)
    if noise is not None:
        row["noise"] = round(noise, 4)
        verdict = "cannot tell" if verdict in ("better", "worse") and abs(row["difference"]) <= noise else verdict
    return row | {"verdict": verdict, "groups_needed": groups_needed(row) if verdict == "cannot tell" else None}
