"""tasks/tracking/journal and champion: of any number who move the alias, one wins; killed anywhere, a rerun converges."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import TrackingError
from tasks.tracking import champion, journal, registry, server
from tasks.tracking.champion import MovedError, current, move
from tests.killed import Counting
from tests.stores import STORES, store

NAME = "luthier"
THREADS, ROUNDS = 8, 50
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with store(getattr(request, "param", "sqlite"), tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        yield


def _model() -> tuple[str, str]:
    """A run and a logged model, by id."""
    run = server.client().create_run(server.experiment())
    model = server.client().create_logged_model(server.experiment(), NAME, run.info.run_id)
    server.client().finalize_logged_model(model.model_id, "READY")
    return run.info.run_id, model.model_id


def _versions(count: int) -> list[registry.Version]:
    """Versions of one logged model, found or made, as register makes them."""
    run_id, model_id = _model()
    tags = [{registry.IDENTITY: f"content {number}", "gated": "yes"} for number in range(count)]
    return [registry.add_version(NAME, run_id, model_id, "", one) for one in tags]


def _facts(by: str) -> dict[str, str]:
    return {"action": "promote", "by": by, "at": "now", "why": "it is better", "evidence": "e" * 64}


def _alias() -> registry.Version | None:
    return registry.get_version(NAME, "champion")


@pytest.mark.usefixtures("_store")
def test_the_alias_follows_the_journal_and_the_version_says_who_and_why() -> None:
    one, two = _versions(2)
    assert current(NAME) is journal.START
    first = move(one, journal.START, "k1", _facts("ann"))
    second = move(two, first, "k2", _facts("bob"))
    assert _alias() == registry.get_version(NAME, "2")
    tags = _alias().tags  # type: ignore[union-attr]
    assert (tags["luthier.promoted_by"], tags["luthier.previous_champion"]) == ("bob", "1")
    assert (tags["luthier.reason"], tags["luthier.promoted_on"]) == ("it is better", "e" * 64)
    assert [entry.champion for entry in journal.entries(NAME)] == [1, 2]
    assert move(two, first, "k2", _facts("bob")) == second  # carried out twice, moved once
    assert len(journal.entries(NAME)) == 2


@pytest.mark.usefixtures("_store")
def test_who_decided_on_another_champion_is_told_who_was_first() -> None:
    one, two, three = _versions(3)
    first = move(one, journal.START, "k1", _facts("ann"))
    move(two, first, "k2", _facts("bob"))
    with pytest.raises(MovedError, match="bob made version 2 champion first"):
        move(three, first, "k3", _facts("cleo"))
    assert _alias().number == 2  # type: ignore[union-attr]


@pytest.mark.usefixtures("_store")
def test_an_alias_moved_by_hand_goes_back_and_one_without_a_journal_is_refused() -> None:
    one, two = _versions(2)
    registry.set_alias("champion", two)
    with pytest.raises(TrackingError, match=r"no entry of 'luthier\.journal' says who put it there"):
        current(NAME)
    server.client().delete_registered_model_alias(NAME, "champion")
    move(one, journal.START, "k1", _facts("ann"))
    registry.set_alias("champion", two)
    assert current(NAME).champion == 1
    assert _alias().number == 1  # type: ignore[union-attr]


def _round(number: int, versions: list[registry.Version], head: journal.Entry) -> int:
    """Each thread promotes a version, all having seen `head`; the one that won."""
    start = threading.Barrier(THREADS)

    def one(version: registry.Version) -> int:
        start.wait()
        try:
            move(version, head, f"round {number} {version.number}", _facts(f"thread {version.number}"))
        except MovedError as error:
            assert "champion first" in str(error)
            return 0
        return version.number

    with ThreadPoolExecutor(THREADS) as pool:
        (winner,) = [number for number in pool.map(one, versions) if number]
    assert current(NAME).champion == winner
    return winner


def _race(rounds: int, lock: bool, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rounds in which THREADS promote a version each, all having seen one champion; the winners."""
    if not lock:  # as on machines that share no disk
        monkeypatch.setattr(champion, "locked", nullcontext)
    versions = _versions(THREADS)
    winners: list[int] = []
    told: list[tuple[int, str | None, bool]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            stands = _alias()
            if stands is not None:
                told.append((stands.number, stands.tags.get("gated"), bool(stands.tags.get("luthier.promoted_by"))))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        for number in range(rounds):
            winners.append(_round(number, versions, current(NAME)))
            assert _alias().number == winners[-1]  # type: ignore[union-attr]
    finally:
        ended.set()
        watcher.join()
    assert all(gated == "yes" and audited for _, gated, audited in told)
    assert len(told) >= rounds
    return winners


@pytest.mark.parametrize(
    ("rounds", "lock"),
    [(5, True), (5, False), pytest.param(ROUNDS, False, marks=[pytest.mark.long, pytest.mark.nightly])],
    ids=["one machine", "no disk in common", "no disk in common, fifty times"],
)
@pytest.mark.usefixtures("_store")
def test_of_eight_threads_that_promote_at_once_one_wins(
    rounds: int, lock: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    winners = _race(rounds, lock, monkeypatch)
    assert [entry.champion for entry in journal.entries(NAME)] == winners


@pytest.mark.service
@pytest.mark.long
@pytest.mark.parametrize("_store", STORES, indirect=True)
@pytest.mark.usefixtures("_store")
def test_they_race_over_a_server_too(monkeypatch: pytest.MonkeyPatch) -> None:
    winners = _race(5, False, monkeypatch)
    assert [entry.champion for entry in journal.entries(NAME)] == winners


@pytest.mark.long
def test_killed_after_any_write_to_the_registry_a_rerun_ends_where_an_undisturbed_run_does(tmp_path: Path) -> None:
    # A process of its own: one that forks must not have used torch.
    subprocess.run([sys.executable, "-m", "tests.killed_steps", "moves", tmp_path], check=True, cwd=ROOT)


@pytest.mark.usefixtures("_store")
def test_a_database_that_another_process_holds_for_a_while_is_waited_for(tmp_path: Path) -> None:
    (one,) = _versions(1)
    with closing(sqlite3.connect(tmp_path / "mlflow.db", check_same_thread=False)) as holding:
        holding.execute("BEGIN IMMEDIATE")
        threading.Timer(1.5, holding.rollback).start()
        started = time.monotonic()
        move(one, journal.START, "k1", _facts("ann"))
    assert time.monotonic() - started > 1
    assert _alias().number == 1  # type: ignore[union-attr]


@pytest.mark.usefixtures("_store")
def test_an_answer_that_is_lost_makes_no_second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    run_id, model_id = _model()

    class Losing(Counting):
        def __getattr__(self, name: str) -> Any:
            def lost(*args: Any, **kwargs: Any) -> Any:
                answer = getattr(self.client, name)(*args, **kwargs)
                if name == "create_model_version":
                    raise ConnectionError("the answer was lost")
                return answer

            return lost

    losing = Losing(server.client(), 0)
    monkeypatch.setattr(registry, "client", lambda: losing)
    made = [registry.add_version(NAME, run_id, model_id, "", {registry.IDENTITY: "lost"}) for _ in range(2)]
    assert made[0] == made[1]
    assert len(server.client().search_model_versions(f"name = '{NAME}'")) == 1


@pytest.mark.usefixtures("_store")
def test_eight_who_register_one_content_at_once_come_to_one_version() -> None:
    run_id, model_id = _model()
    start = threading.Barrier(THREADS)

    def register(_: int) -> int:
        start.wait()
        return registry.add_version(NAME, run_id, model_id, "", {registry.IDENTITY: "same"}).number

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = set(pool.map(register, range(THREADS)))
    registry.add_version(NAME, run_id, model_id, "", {registry.IDENTITY: "same"})  # whoever comes next
    left = {int(found.version) for found in server.client().search_model_versions(f"name = '{NAME}'")}
    assert len(numbers) == 1
    assert left == numbers
