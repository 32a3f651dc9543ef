"""What the gate looks at and what it says: the evidence of a model version, and a decision with its reasons."""

from collections.abc import Mapping, Sequence
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
    max_suite_drop: float
    """Points of accuracy, 0..100: a general suite whose whole interval lies below this loss stops a promotion."""
    guards: Mapping[str, float]
    """By metric (summarise.unsupported): points that it may be worse by; one that surely is more stops a promotion."""


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

    @property
    def reason(self) -> str:
        """The sentences that decided: all of them for a promotion, else those that do not hold."""
        return " ".join(c.sentence for c in self.checks if self.verdict == "promote" or not c.holds)
