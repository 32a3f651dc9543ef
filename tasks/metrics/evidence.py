"""What the gate looks at and what it says: the evidence of a model version, and a decision with its reasons."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.metrics.compare import Resampling

Row = Mapping[str, Any]
Verdict = Literal["promote", "reject", "insufficient evidence"]


@dataclass(frozen=True)
class Gate:
    """What is asked of a champion."""

    primary: str
    """The metric that decides, as family.metric or suite_Nshot.accuracy."""
    min_examples: int
    """Fewer held-out examples than this are no evidence."""
    floors: Mapping[str, float]
    """By metric: the score that the tuned model has to reach surely, in the metric's scale; of a metric that is better
    when lower, the most that it may have."""
    may_forget: float | None
    """Points of accuracy, 0..100, that a general suite may lose: each has to be surely less. None: nothing is asked."""
    guards: Mapping[str, float]
    """By metric (summarise.unsupported): points that it may be worse by; it has to be surely less."""


@dataclass(frozen=True)
class Evidence:
    """What is known of one model version."""

    version: int
    weights: str | None
    """sha256 of the tuned weights as they are delivered, from their bytes; None where they are not there."""
    evaluated: str | None
    """sha256 of the tuned weights that made the predictions; None where nobody wrote it down."""
    contract: str | None
    """sha256 of the prompt contract inside the delivered model."""
    evaluated_contract: str | None
    """sha256 of the prompt contract that the predictions were made under."""
    stale: Sequence[str]
    """What among the evidence is not of this version, as clauses."""
    test: str
    """sha256 of the test examples."""
    leaks_clean: bool | None
    """What the leak certificate says."""
    critical: Sequence[str] | None
    """Critical rules that the data break; None where nobody validated them."""
    metrics: Mapping[str, Mapping[str, Row]]
    """Base against tuned: family or suite, metric, row."""
    forgetting: Sequence[Row] | None
    """A row a general suite with its loss (`tasks.metrics.forgetting.budget`); None where nobody asked."""
    resampling: Resampling
    """How its intervals were made."""
    generations: Sequence[Row]
    """What it wrote for the test examples."""
    choices: Sequence[Row]
    """What it chose in the suites."""
    card: Row
    """What its numbers were made with."""
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

    @classmethod
    def of(cls, checks: Iterable[Check]) -> "Decision":
        """Promote where every check holds, reject where one is known to fail, else the evidence is insufficient."""
        told = tuple(checks)
        holds = [check.holds for check in told]
        if told and all(holds):
            return cls("promote", told)
        return cls("reject" if False in holds else "insufficient evidence", told)

    @property
    def reason(self) -> str:
        """The sentences that decided: all of them for a promotion, else those that do not hold."""
        return " ".join(c.sentence for c in self.checks if self.verdict == "promote" or not c.holds)
