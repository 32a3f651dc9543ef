"""tasks/metrics/gate: the whole decision as a table; it fails closed."""

import math
from dataclasses import replace

import pytest

from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Evidence, Gate
from tasks.metrics.gate import decide, decide_outputs
from tests.invented import generations

GATE = Gate(primary="summarise.rouge1", min_examples=50, floors={}, may_forget=10.0, guards={})
SURE = {"base": 20.0, "tuned": 30.0, "difference": 10.0, "difference_low": 6.0, "difference_high": 14.0}
KEPT = {"suite": "piqa_0shot", "base": 60.0, "tuned": 58.0, "difference": -2.0, "low": -6.0, "high": 2.0, "n": 100}


def _evidence(version: int = 2, kept: float = 0.6, primary: dict[str, object] | None = None) -> Evidence:
    """A candidate that passes; `primary` overrides numbers of its primary metric."""
    rows = [row | {"family": "summarise"} for row in generations(kept, 60) if row["family"] == "summarise"]
    return Evidence(
        version=version,
        weights=f"weights-{version}",
        evaluated=f"weights-{version}",
        contract="contract",
        evaluated_contract="contract",
        stale=(),
        test="test-split",
        leaks_clean=True,
        critical=(),
        metrics={"summarise": {"rouge1": SURE | {"n": 60, "verdict": "better"} | (primary or {})}},
        forgetting=(KEPT,),
        resampling=Resampling(seed=17, resamples=400, confidence=0.95),
        generations=rows,
        choices=(),
        card={"alike": {"batch_size": 32}},
        rolled_back=None,
    )


def _with(**changes: object) -> Evidence:
    return replace(_evidence(), **changes)  # type: ignore[arg-type]


UNSURE = "insufficient evidence"
OVER_ZERO = {"difference": 2.0, "difference_low": -2.0, "difference_high": 6.0, "verdict": "cannot tell"}
WORSE = {"difference": -5.0, "difference_low": -8.0, "difference_high": -2.0, "verdict": "worse"}
FORGOT = KEPT | {"tuned": 40.0, "difference": -20.0, "low": -28.0, "high": -12.0}
NOISY = KEPT | {"tuned": 49.0, "difference": -11.0, "low": -22.0, "high": 1.0}
WIDE = KEPT | {"tuned": 56.0, "difference": -4.0, "low": -16.0, "high": 8.0}
BROKEN = KEPT | {"tuned": math.nan}
CASES = [
    ("the first that beats its base", _evidence(), None, "promote", "difference +10.00 [+6.00, +14.00]"),
    ("worse than its base", _evidence(primary=WORSE), None, "reject", "not better"),
    ("an interval over zero", _evidence(primary=OVER_ZERO), None, UNSURE, "about 240 examples"),
    ("too few examples", _evidence(primary={"n": 49}), None, UNSURE, "rests on 49 examples"),
    ("a primary of NaN", _evidence(primary={"tuned": math.nan}), None, UNSURE, "no finite"),
    ("an interval that is NaN", _evidence(primary={"difference_low": math.nan}), None, UNSURE, ""),
    ("no metrics", _with(metrics={}), None, UNSURE, "no finite summarise.rouge1"),
    ("leaks", _with(leaks_clean=False), None, "reject", "names leaks"),
    ("no leak certificate", _with(leaks_clean=None), None, UNSURE, "no leak certificate"),
    ("other weights evaluated", _with(evaluated="others"), None, "reject", "another set of weights"),
    ("unknown weights evaluated", _with(evaluated=None), None, UNSURE, "which set of weights it was evaluated"),
    ("leaks beside a sure gain", _with(leaks_clean=False), None, "reject", "names leaks"),
    ("critical data findings", _with(critical=("xsum: expect_x (9 rows break it)",)), None, "reject", "expect_x (9 rows"),
    ("no validation report", _with(critical=None), None, UNSURE, "no validation report"),
    ("another contract evaluated", _with(contract="other"), None, "reject", "another prompt contract (other) than"),
    ("unknown contract evaluated", _with(evaluated_contract=None), None, UNSURE, "which prompt contract it was evaluated"),
    ("no weights delivered", _with(weights=None), None, UNSURE, "which set of weights it is delivered"),
    ("evidence of another version", _with(stale=("the metrics are of another test split",)), None, UNSURE, "another test split"),
    ("a general ability lost", _with(forgetting=(KEPT, FORGOT)), None, "reject", "surely worse by over 10"),
    ("a loss that may be over the budget", _with(forgetting=(NOISY,)), None, UNSURE, "[-22.00, +1.00]"),
    ("a loss that more questions would tell", _with(forgetting=(WIDE,)), None, UNSURE, "about 400 examples would tell"),
    ("a suite that is NaN", _with(forgetting=(BROKEN,)), None, UNSURE, "piqa_0shot has no finite accuracy"),
    ("no general suite", _with(forgetting=()), None, UNSURE, "No general suite was asked"),
    ("rolled back once", _with(rolled_back="it swears"), None, "reject", "it swears"),
    ("better than the champion", _evidence(), _evidence(1, kept=0.4), "promote", "Champion (version 1)"),
    ("worse than the champion", _evidence(kept=0.4), _evidence(1, kept=0.7), "reject", "not better"),
    ("much like the champion", _evidence(kept=0.6), _evidence(1, kept=0.601), UNSURE, "cannot tell"),
    ("the champion's weights", _evidence(), _with(version=1), "reject", "same weights"),
    ("scored on other data", _evidence(), _with(version=1, weights="o", test="x"), UNSURE, "other data"),
    ("scored in another way", _evidence(), _with(version=1, weights="o", card={"alike": {"batch_size": 1}}), UNSURE, "another way (batch_size: 32, not 1)"),
    ("other examples", _evidence(), replace(_evidence(1), generations=()), UNSURE, "same examples"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("challenger", "champion", "verdict", "told"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_the_gate(challenger: Evidence, champion: Evidence | None, verdict: str, told: str) -> None:
    decision = decide(challenger, champion, GATE)
    assert decision.verdict == verdict
    assert told in decision.reason


def _facts(low: float, high: float, **more: float) -> dict[str, object]:
    """Unsupported facts, which are better when fewer."""
    row = {"base": 10.0, "tuned": 12.0, "difference": 2.0, "difference_low": low, "difference_high": high, "n": 60}
    return _evidence().metrics["summarise"] | {"unsupported": row | more}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("low", "high", "verdict", "told"),
    [
        (1.0, 4.9, "promote", "worse by at most 4.90, 5 allowed"),
        (-3.0, -1.0, "promote", "worse by at most 0.00"),
        (5.1, 40.0, "reject", "surely worse by over 5, which is refused"),
        (-2.0, 6.0, UNSURE, "about 107 examples would tell"),
        (4.0, 40.0, UNSURE, "cannot be told."),
        (math.nan, 4.0, UNSURE, "no finite summarise.unsupported"),
    ],
)
def test_a_guard_holds_where_the_loss_is_surely_no_larger_than_allowed(
    low: float, high: float, verdict: str, told: str
) -> None:
    gate = replace(GATE, guards={"summarise.unsupported": 5.0})
    decision = decide(_with(metrics={"summarise": _facts(low, high)}), None, gate)
    assert decision.verdict == verdict
    assert told in " ".join(check.sentence for check in decision.checks)


def test_a_guard_that_nobody_measured_does_not_hold() -> None:
    gate = replace(GATE, guards={"outputs_harm.toxic": 2.0})
    assert decide(_evidence(), None, gate).verdict == UNSURE


@pytest.mark.parametrize(
    ("metric", "floor", "verdict"),
    [
        ("rouge1", 25.0, "promote"),
        ("rouge1", 27.0, UNSURE),
        ("rouge1", 35.0, "reject"),
        ("unsupported", 16.0, "promote"),
        ("unsupported", 12.0, UNSURE),
        ("unsupported", 8.0, "reject"),
    ],
)
def test_a_floor_has_to_be_reached_surely(metric: str, floor: float, verdict: str) -> None:
    table = _facts(-1.0, 1.0, tuned_low=9.0, tuned_high=15.0)
    table["rouge1"] |= {"tuned_low": 26.0, "tuned_high": 34.0}  # type: ignore[operator]
    gate = replace(GATE, floors={f"summarise.{metric}": floor})
    assert decide(_with(metrics={"summarise": table}), None, gate).verdict == verdict


def test_a_floor_without_an_interval_is_not_reached() -> None:
    assert decide(_evidence(), None, replace(GATE, floors={"summarise.rouge1": 1.0})).verdict == UNSURE


def test_a_guard_holds_against_the_champion_too() -> None:
    def wrote(evidence: Evidence, invents: bool) -> Evidence:
        said = " In 2099 it cost 77 pounds." if invents else ""
        return replace(evidence, generations=[row | {"output": row["output"] + said} for row in evidence.generations])

    gate = replace(GATE, guards={"summarise.unsupported": 5.0})
    good = {"base": 50.0, "tuned": 40.0, "difference": -10.0, "difference_low": -12.0, "difference_high": -8.0, "n": 60}
    ours = _with(
        metrics={"summarise": _evidence().metrics["summarise"] | {"unsupported": good}}
    )  # better than its base
    assert decide(ours, wrote(_evidence(1, kept=0.4), False), gate).verdict == "promote"
    decision = decide(wrote(ours, True), wrote(_evidence(1, kept=0.4), False), gate)
    assert decision.verdict == "reject"
    assert "summarise.unsupported against version 1" in decision.reason


def test_a_contract_or_base_of_its_own_does_not_keep_a_champion_from_being_compared() -> None:
    alike = {"batch_size": 32, "contract_sha256": "old", "base_sha256": "old"}
    assert decide(_evidence(), replace(_evidence(1, kept=0.4), card={"alike": alike}), GATE).verdict == "promote"


def test_outputs_made_elsewhere_are_judged_by_what_outputs_show() -> None:
    gate = replace(GATE, guards={"summarise.unsupported": 5.0, "outputs_harm.toxic": 2.0})
    assert decide_outputs({"summarise": _facts(1.0, 4.0)}, gate).verdict == "promote"
    assert decide_outputs({"summarise": _facts(6.0, 8.0)}, gate).verdict == "reject"
    assert decide_outputs({"summarise": _evidence().metrics["summarise"]}, gate).verdict == UNSURE
    assert decide_outputs({}, gate).verdict == UNSURE


def test_a_champion_that_beats_by_accuracy_is_compared_on_what_was_chosen() -> None:
    def chosen(right: int) -> list[dict[str, object]]:
        row = {"suite": "piqa", "shots": 0, "answer": 1}
        return [row | {"id": f"{i:03d}", "group": f"{i}", "predicted": int(i < right)} for i in range(100)]

    gate = replace(GATE, primary="piqa_0shot.accuracy")
    metrics = {"piqa_0shot": {"accuracy": SURE | {"n": 100, "verdict": "better"}}}
    theirs = _with(version=1, weights="other", choices=chosen(50))
    decision = decide(_with(metrics=metrics, choices=chosen(80)), theirs, gate)
    assert decision.verdict == "promote"
    assert "50.00, this 80.00" in decision.reason
