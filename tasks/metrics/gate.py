"""The gate: may this model become the champion? One pure decision, with every reason and number.

"promote": every check holds. "reject": at least one is known to fail. "insufficient evidence": none fails,
but something is missing, not comparable, or too small to tell.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tasks.metrics.compare import MEAN, Matrix, Resampling, Scoring, compare
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts

Row = Mapping[str, Any]
Verdict = Literal["promote", "reject", "insufficient evidence"]


@dataclass(frozen=True)
class Gate:
    """What is asked of a champion."""

    primary: str
    """The metric that decides, as family.metric or suite_Nshot.accuracy."""
    min_examples: int
    """Fewer held-out examples than this are no evidence."""
    max_suite_drop: float
    """Points of accuracy, 0..100: a general suite whose whole interval lies below this loss stops a promotion."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one model version."""

    version: int
    weights: str
    """sha256 of the tuned weights that are registered."""
    evaluated: str | None
    """sha256 of the tuned weights that made the predictions; None where nobody wrote it down."""
    test: str
    """sha256 of the test examples."""
    leaks_clean: bool | None
    """What the leak certificate says."""
    metrics: Mapping[str, Mapping[str, Row]]
    """Base against tuned: family or suite, metric, row."""
    resampling: Resampling
    """How its intervals were made."""
    generations: Sequence[Row]
    """What it wrote for the test examples."""
    choices: Sequence[Row]
    """What it chose in the suites."""
    rolled_back: str | None
    """Why it was taken back as champion once, if it was."""


@dataclass(frozen=True)
class Check:
    """One reason."""

    holds: bool | None
    """None: cannot be told."""
    sentence: str


@dataclass(frozen=True)
class Decision:
    """The verdict and all that it rests on."""

    verdict: Verdict
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str:
        """The sentences that decided: all of them for a promotion, else those that do not hold."""
        return " ".join(c.sentence for c in self.checks if self.verdict == "promote" or not c.holds)


def decide(challenger: Evidence, champion: Evidence | None, gate: Gate) -> Decision:
    """Judge a challenger against its own base and, where there is one, against the champion."""
    checks = [
        _same_weights(challenger),
        _clean(challenger),
        _not_rolled_back(challenger),
        *_beats_base(challenger, gate),
        *_suites(challenger, gate),
    ]
    if champion is not None:
        checks.append(_beats_champion(challenger, champion, gate))
    holds = [check.holds for check in checks]
    if all(holds):
        return Decision("promote", tuple(checks))
    return Decision("reject" if False in holds else "insufficient evidence", tuple(checks))


def _same_weights(model: Evidence) -> Check:
    if model.evaluated is None:
        return Check(None, "It is not recorded which weights made the predictions: run predict again.")
    told = "are" if model.evaluated == model.weights else f"({model.weights[:12]}) are not"
    said = f"The registered weights {told} the evaluated ones ({model.evaluated[:12]})."
    return Check(model.evaluated == model.weights, said)


def _clean(model: Evidence) -> Check:
    if model.leaks_clean is None:
        return Check(None, "There is no leak certificate: run expand again.")
    found = "is clean" if model.leaks_clean else "names leaks"
    return Check(model.leaks_clean, f"The leak certificate {found}.")


def _not_rolled_back(model: Evidence) -> Check:
    if model.rolled_back is None:
        return Check(True, "It was never rolled back.")
    return Check(False, f"It was rolled back once: {model.rolled_back}")


def _row(model: Evidence, primary: str) -> Row | None:
    section, _, key = primary.partition(".")
    row = model.metrics.get(section, {}).get(key)
    wanted = ("base", "tuned", "difference", "difference_low", "difference_high", "n")
    return row if row is not None and all(_number(row.get(name)) for name in wanted) else None


def _number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _beats_base(model: Evidence, gate: Gate) -> list[Check]:
    row = _row(model, gate.primary)
    if row is None:
        return [Check(None, f"There is no finite {gate.primary} of base and tuned among the metrics.")]
    enough = True if row["n"] >= gate.min_examples else None
    size = Check(enough, f"{gate.primary} rests on {row['n']} examples; {gate.min_examples} are asked for.")
    told = f"{gate.primary}: base {row['base']:.2f}, tuned {row['tuned']:.2f}"
    return [size, _judged(told, row, _scoring(gate.primary))]


def _scoring(primary: str) -> Scoring:
    """How the metric that decides comes out of its statistics; a suite's is the share of right answers."""
    key = primary.partition(".")[2]
    return MEASURES[key].scoring if key in MEASURES else MEAN


def _judged(told: str, row: Row, scoring: Scoring) -> Check:
    low, high, difference = (float(row[f"difference{end}"]) for end in ("_low", "_high", ""))
    told += f", difference {difference:+.2f} [{low:+.2f}, {high:+.2f}]"
    if scoring.better == "lower":  # from here on as a gain
        low, high, difference = -high, -low, -difference
    if row["verdict"] == "better" and low > 0:
        return Check(True, f"{told}.")
    if row["verdict"] == "worse" or high <= 0:
        return Check(False, f"{told}: not better.")
    return Check(None, f"{told}: cannot tell; {_needed(row['n'], low, high, difference)}.")


def _needed(n: int, low: float, high: float, difference: float) -> str:
    """An interval narrows with the root of n: how many examples would put it clear of this difference."""
    if difference <= 0:
        return "more examples are not expected to show it better"
    needed = math.ceil(n * ((high - low) / 2 / difference) ** 2)
    return f"about {needed} examples would tell a difference of that size"


def _suites(model: Evidence, gate: Gate) -> list[Check]:
    checks = []
    for suite in sorted(name for name, rows in model.metrics.items() if "accuracy" in rows):
        row = _row(model, f"{suite}.accuracy")
        if row is None:
            checks.append(Check(None, f"{suite} has no finite accuracy."))
            continue
        interval = f"[{row['difference_low']:+.2f}, {row['difference_high']:+.2f}]"
        told = f"{suite}: accuracy {row['base']:.2f} to {row['tuned']:.2f} {interval}, n = {row['n']}"
        refused = f"a loss that is surely over {gate.max_suite_drop:g} is refused"
        checks.append(Check(row["difference_high"] >= -gate.max_suite_drop, f"{told}; {refused}."))
    return checks


def _beats_champion(model: Evidence, champion: Evidence, gate: Gate) -> Check:
    who, key = f"Champion (version {champion.version})", gate.primary.partition(".")[2]
    if model.weights == champion.weights:
        return Check(False, f"{who} has the same weights.")
    if model.test != champion.test:
        return Check(None, f"{who} was scored on other data ({champion.test[:12]}, not {model.test[:12]}).")
    ours, theirs = _answers(model, gate.primary), _answers(champion, gate.primary)
    if not ours or [_asked(row) for row in ours] != [_asked(row) for row in theirs]:
        return Check(None, f"{who} did not answer the same examples for {gate.primary}.")
    scoring = _scoring(gate.primary)
    groups = [str(row["group"]) for row in ours]
    row = compare(_statistics(theirs, key), _statistics(ours, key), groups, scoring, model.resampling)
    return _judged(f"{who} has {gate.primary} {row['base']:.2f}, this {row['tuned']:.2f}", row, scoring)


def _asked(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("id", "target", "answer", "group"))


def _answers(model: Evidence, primary: str) -> list[Row]:
    """The rows that the primary metric is made of, in the order of their ids."""
    section, _, key = primary.partition(".")
    rows = [row for row in model.generations if row["family"] == section]
    if key == "accuracy":
        rows = [row for row in model.choices if f"{row['suite']}_{row['shots']}shot" == section]
    return sorted(rows, key=lambda row: str(row["id"]))


def _statistics(rows: Sequence[Row], key: str) -> Matrix:
    if key == "accuracy":
        return np.array([[100.0 * (row["predicted"] == row["answer"]), 1.0] for row in rows])
    return MEASURES[key].statistics(Texts.of(rows))[key]
