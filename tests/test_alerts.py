"""An alert is told everywhere, and no webhook can fail or hold up a task. What Airflow calls: test_observed.py."""

import importlib.util
import json
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import ModuleType

import pytest

from tests.listening import listening

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "T0P-s3cret"  # noqa: S105


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """dags/tell.py in a checkout of its own, with no webhook."""
    monkeypatch.delenv("LUTHIER_ALERT_URL", raising=False)
    (tmp_path / "dags").mkdir()
    copy = shutil.copy(ROOT / "dags/tell.py", tmp_path / "dags")
    spec = importlib.util.spec_from_file_location("tell", copy)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(module: ModuleType) -> list[dict[str, object]]:
    """What its file holds."""
    return [json.loads(line) for line in module.FILE.read_text().splitlines()]


@contextmanager
def dripping() -> Iterator[str]:
    """The address of a server that sends one byte of its answer now and then, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            try:
                while True:
                    connection.sendall(b"H")
                    time.sleep(0.2)
            except OSError:  # the client is gone
                connection.close()

        Thread(target=drip, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_an_alert_is_a_line_in_the_log_a_line_in_the_file_and_a_post(
    told: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with listening() as (url, received):
        monkeypatch.setenv("LUTHIER_ALERT_URL", f"{url}/hook")
        told.tell("late", "d: run r is 90 s late", dag="d", run="r", late_s=90)
    (path, body), (line,) = *received, lines(told)
    assert path == "/hook"
    assert body == line
    assert body | {"at": ""} == {"text": "d: run r is 90 s late", "kind": "late", "at": "", "dag": "d", "run": "r", "late_s": 90}
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "d: run r is 90 s late")]


def test_without_an_address_nothing_is_sent(told: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    told.tell("late", "late")
    assert len(lines(told)) == 1
    assert [record.message for record in caplog.records] == ["late"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no-such-host.invalid", "ftp://127.0.0.1", "http://a:b@[", "file:///etc/hosts"])
def test_an_address_that_nobody_answers_costs_a_warning_and_its_token_is_not_in_it(
    told: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    monkeypatch.setenv("LUTHIER_ALERT_URL", f"{address}/{TOKEN}")
    start = time.monotonic()
    told.tell("late", "late")
    assert time.monotonic() - start < told.ANSWER_S + 1
    assert len(lines(told)) == 1
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert TOKEN not in caplog.text


def test_a_webhook_that_refuses_is_said_to_refuse(
    told: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with listening(status=503) as (url, received):
        monkeypatch.setenv("LUTHIER_ALERT_URL", f"{url}/{TOKEN}")
        told.tell("late", "late")
    assert len(received) == 1
    assert "did not take the alert (status 503)" in caplog.text
    assert TOKEN not in caplog.text


def test_a_webhook_that_never_ends_its_answer_holds_a_task_up_for_three_seconds(
    told: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with dripping() as url:
        monkeypatch.setenv("LUTHIER_ALERT_URL", url)
        start = time.monotonic()
        told.tell("late", "late")
        assert told.ANSWER_S <= time.monotonic() - start < told.ANSWER_S + 1
    assert "did not answer in 3.0 s" in caplog.text


def test_a_disk_that_takes_no_line_keeps_nobody_from_being_told(
    told: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told.FILE.parent.write_text("a file where the folder should be")
    with listening() as (url, received):
        monkeypatch.setenv("LUTHIER_ALERT_URL", url)
        told.tell("late", "late")
    assert [body["text"] for _, body in received] == ["late"]
    assert "the alert is not in" in caplog.text


def test_alerts_at_once_do_not_mix_their_lines(told: ModuleType) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: told.tell("late", "x" * 5000, number=number), range(100)))
    assert sorted(line["number"] for line in lines(told)) == list(range(100))  # type: ignore[type-var]
