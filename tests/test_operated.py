"""A part of `python -m tests.operated`: one run with kills of every kind, three runs at once, an outage of MLflow."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import operated_outage
from tests.operated_ground import STAGES, Operated, processes_of
from tests.operated_kills import LONGER, finetune, one_run, reference
from tests.operated_together import SEEDS, rounds

pytestmark = [pytest.mark.service, pytest.mark.long]
SEED = 11
PLAN = {"fetch": "dvc", "finetune": "scheduler", "predict": "task", "register": "runner"}


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """A project in operation."""
    folder = tmp_path_factory.mktemp("operated")
    with Operated.begin(folder, own_mlflow=True, finetune=finetune(**LONGER)) as operated:
        yield operated


@pytest.mark.nightly
def test_a_run_ends_as_if_nothing_had_happened_whatever_of_it_is_killed(operated: Operated, tmp_path: Path) -> None:
    expected = reference(tmp_path / "reference", [SEED], finetune(**LONGER))
    assert set(PLAN) <= set(STAGES)
    assert one_run(operated, PLAN, SEED, expected[SEED], versions=1) == []
    assert operated.watch.looks > 20
    assert not [one for one in operated.root.glob(".luthier/runs/*") if processes_of(str(one))]


@pytest.mark.nightly
def test_three_runs_at_once_mix_nothing_and_show_no_lock(operated: Operated) -> None:
    before = len(operated.versions())
    assert rounds(operated, 1, before=before) == []
    assert len(operated.versions()) == before + len(SEEDS)


def test_a_mute_mlflow_costs_a_training_next_to_nothing_and_no_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operated_outage, "AWAY_S", 6.0)
    # Stopped, not killed: on busy cores a server takes longer to start than this training takes.
    plain, away = (operated_outage.one(tmp_path / kind, kind, epochs=14) for kind in ("undisturbed", "stopped"))
    assert plain.wrong == away.wrong == []
    assert away.inside_s + away.sender_s - plain.inside_s - plain.sender_s < operated_outage.MOST_S
