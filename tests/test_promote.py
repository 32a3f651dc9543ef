"""tasks/promote and rollback: the decision as a table, and what it does to a real registry."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import promote, register, rollback
from tasks.data.files import read_json
from tasks.errors import TrackingError
from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Evidence, Gate
from tasks.metrics.gate import decide
from tasks.tracking import registry
from tests.invented import generations
from tests.trained import write_project, write_scores

GATE = Gate(primary="summarise.rouge1", min_examples=50, max_suite_drop=10.0, guards={})
SURE = {"base": 20.0, "tuned": 30.0, "difference": 10.0, "difference_low": 6.0, "difference_high": 14.0}
KEPT = {"base": 60.0, "tuned": 58.0, "difference": -2.0, "difference_low": -6.0, "difference_high": 2.0}


def _evidence(version: int = 2, kept: float = 0.6, primary: dict[str, object] | None = None) -> Evidence:
    """A candidate that passes; `primary` overrides numbers of its primary metric."""
    rows = [row | {"family": "summarise"} for row in generations(kept, 60) if row["family"] == "summarise"]
    return Evidence(
        version=version,
        weights=f"weights-{version}",
        evaluated=f"weights-{version}",
        test="test-split",
        leaks_clean=True,
        metrics={
            "summarise": {"rouge1": SURE | {"n": 60, "verdict": "better"} | (primary or {})},
            "piqa_0shot": {"accuracy": KEPT | {"n": 100, "verdict": "cannot tell"}},
        },
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
FORGOT = {
    "piqa_0shot": {
        "accuracy": KEPT
        | {"difference": -20.0, "difference_low": -28.0, "difference_high": -12.0, "n": 100, "verdict": "worse"}
    }
}
NOISE = {"difference": -11.0, "difference_low": -22.0, "difference_high": 1.0, "n": 60, "verdict": "cannot tell"}
NOISY = {"piqa_0shot": {"accuracy": KEPT | NOISE}}
BROKEN = {"piqa_0shot": {"accuracy": KEPT | {"tuned": math.nan, "n": 100, "verdict": "cannot tell"}}}
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
    ("other weights evaluated", _with(evaluated="others"), None, "reject", "are not the evaluated ones"),
    ("unknown weights evaluated", _with(evaluated=None), None, UNSURE, "not recorded"),
    ("a general ability lost", _with(metrics=_evidence().metrics | FORGOT), None, "reject", "a loss that is surely over 10"),
    ("a loss that may be noise", _with(metrics=_evidence().metrics | NOISY), None, "promote", "[-22.00, +1.00]"),
    ("a suite that is NaN", _with(metrics=_evidence().metrics | BROKEN), None, UNSURE, "piqa"),
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


def test_a_gain_that_is_paid_for_with_invented_facts_is_refused() -> None:
    def with_facts(low: float, high: float) -> Evidence:
        row = {"base": 10.0, "tuned": 40.0, "difference": 30.0, "difference_low": low, "difference_high": high, "n": 60}
        return _with(metrics={"summarise": _evidence().metrics["summarise"] | {"unsupported": row}})

    gate = replace(GATE, guards={"summarise.unsupported": 5.0})
    assert decide(with_facts(20.0, 40.0), None, gate).verdict == "reject"
    assert "summarise.unsupported: 10.00 to 40.00" in decide(with_facts(20.0, 40.0), None, gate).reason
    assert decide(with_facts(1.0, 40.0), None, gate).verdict == "promote"
    assert decide(_evidence(), None, gate).verdict == UNSURE  # nobody looked


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


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose tuned model is registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_project(tmp_path)
    register.main()
    return tmp_path


def _other_model(project: Path, tuned: float) -> None:
    """Another adapter, with this share of the target's words, as the challenger."""
    card = project / "models/tuned/README.md"
    card.write_text(f"trained again, {tuned}")  # another digest of the folder
    write_scores(project, 0.3, tuned)
    register.main()


def _champion() -> int | None:
    found = registry.get_version("luthier", "champion")
    return found.number if found else None


def test_promotion_and_rollback_leave_their_trace(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promote.main()
    first = read_json(promote.OUTCOME)
    assert (first["version"], first["alias"], first["verdict"]) == (1, "champion", "promote")
    promote.main()
    assert read_json(promote.OUTCOME)["verdict"] == "already champion"

    _other_model(project, 0.4)  # worse than the champion's 0.6
    promote.main()
    assert read_json(promote.OUTCOME)["verdict"] == "reject"
    assert _champion() == 1

    _other_model(project, 0.9)
    promote.main()
    assert _champion() == 3
    tags = registry.get_version("luthier", "3").tags  # type: ignore[union-attr]
    assert tags["luthier.previous_champion"] == "1"
    assert "Champion (version 1) has summarise.rouge1" in tags["luthier.reason"]
    assert tags["luthier.promoted_at"].endswith("+00:00")

    rollback.main("it answers in capitals")
    assert _champion() == 1
    promote.main()
    assert "rolled back once: it answers in capitals" in read_json(promote.OUTCOME)["reason"]
    assert _champion() == 1
    with pytest.raises(TrackingError, match="none to go back to"):
        rollback.main("again")


def test_a_champion_that_moved_meanwhile_is_not_overwritten(project: Path) -> None:
    version = registry.get_version("luthier", "challenger")
    assert version is not None
    registry.set_alias("champion", version)  # somebody else, after we looked and found none
    with pytest.raises(TrackingError, match="at version 1 and not at no version"):
        registry.move_alias("champion", version, expected=None)


def test_missing_evidence_is_an_error(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(edit: Callable[[Path], object]) -> None:
        (cards,) = project.glob("mlruns/*/artifacts/evidence/*/cards.json")
        edit(cards)

    lose(lambda cards: cards.write_text(json.dumps({"intervals": {}})))
    with pytest.raises(TrackingError, match="lacks"):
        promote.main()
    lose(Path.unlink)
    with pytest.raises(TrackingError, match="lacks"):
        promote.main()


def test_no_challenger_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sections = {"register": {"model": "luthier"}, "promote": GATE.__dict__}
    (tmp_path / "params.yaml").write_text(json.dumps(sections))
    with pytest.raises(TrackingError, match=r"has no challenger: run 'python -m tasks\.register' first"):
        promote.main()
    with pytest.raises(TrackingError, match="nothing to go back from"):
        rollback.main("why not")
