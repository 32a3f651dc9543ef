"""A handful of the fault board, delivered on every test run; `make faults` delivers all of them."""

import dataclasses
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults import kills
from tests.faults.damage import damaged
from tests.faults.ground import Finding, Ground
from tests.faults.machine import asked_to_stop, second_writer
from tests.faults.meaning import not_a_number
from tests.faults.strike import Strike


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground(tmp_path_factory.mktemp("faults")) as made:
        yield made


def good(finding: Finding) -> bool:
    assert finding.verdict == "good", finding
    return True


def test_a_training_killed_between_the_parts_of_a_step_ends_with_the_same_bytes(ground: Ground) -> None:
    whole = ground.case()
    strike = kills.steps(whole.events)["between the parts of a step"]
    assert good(kills.killed(ground, whole, "parts", [strike], "A1"))


def test_a_training_killed_in_two_saves_and_while_the_model_is_written_ends_with_the_same_bytes(
    ground: Ground,
) -> None:
    whole = ground.case("seq2seq", "full")
    saving = kills.save(whole.events)
    strikes = [saving["torn optimizer"], saving["fsync training/.step-00000009.partial/manifest.json"]]
    assert good(kills.killed(ground, whole, "saves", [*strikes, Strike("rename tuned")], "A2"))


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_gone_on_from(ground: Ground) -> None:
    assert good(damaged(ground, ground.case(), "optimizer.safetensors", "a bit flipped"))


def test_sigterm_ends_it_within_seconds_at_a_step_s_end_with_try_again(ground: Ground) -> None:
    assert good(asked_to_stop(ground, "term", 75))


def test_a_second_training_in_the_same_checkout_is_refused_and_the_first_goes_on(ground: Ground) -> None:
    assert good(second_writer(ground))


def test_weights_that_are_no_numbers_stop_it_at_once_and_the_last_checkpoint_stays(ground: Ground) -> None:
    assert good(not_a_number(ground))


def test_a_fault_that_was_not_delivered_is_no_success(ground: Ground) -> None:
    never = kills.killed(ground, ground.case(), "never", [Strike("a step that never comes")], "A1")
    assert never.proof == ""
    assert never.verdict == "not delivered"


def test_other_weights_another_log_or_a_point_logged_twice_are_noticed(ground: Ground) -> None:
    case = ground.case()
    folder = case.template.parent / "tried" / case.name / "undisturbed/project"
    assert case.wrong(folder) == []
    assert dataclasses.replace(case, tuned="").wrong(folder) == ["other weights"]
    (folder / ".luthier/training/left").mkdir()
    assert dataclasses.replace(case, log=b"").wrong(folder) == ["another training log", "left behind: left"]
    (folder / ".luthier/training/left").rmdir()
    spoil(folder, "update metrics set value = value + 1 where key = 'loss' and step = 4")
    assert case.wrong(folder) == ["loss of step 4 differs"]
    spoil(
        folder,
        "insert into metrics select key, value, timestamp + 1, run_uuid, step, is_nan from metrics where key = 'dev_loss' and step = 4",
    )
    assert "dev_loss of step 4 is logged twice" in case.wrong(folder)


def spoil(folder: Path, statement: str) -> None:
    """Change the MLflow store."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as store:
        store.execute(statement)
        store.commit()


def test_the_board_has_more_than_twenty_kill_points_of_both_families_and_methods(ground: Ground) -> None:
    events = ground.case().events
    points = [*kills.steps(events), *kills.save(events), *kills.finish(events)]
    assert len(points) > 60
    assert len(kills.few(ground.case("seq2seq", "full").events)) > 8
