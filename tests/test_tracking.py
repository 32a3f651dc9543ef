"""tasks/tracking: where runs go, what they hold, and how an outage is told."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from tasks import tracking
from tasks.errors import TrackingError
from tasks.tracking import evidence, registry, runs, server, spool

LIMIT_S = 30


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def mute_server() -> Iterator[str]:
    """Something that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def _losses(run_id: str) -> list[float]:
    return [point.value for point in server.client().get_metric_history(run_id, "loss")]


def python_in(code: str, argument: str, folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, argument]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _told(uri: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, float]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracking.check()
    return str(caught.value), time.monotonic() - started


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, tasks.tracking.registry; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_that_is_not_there_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        told, seconds = _told(f"http://127.0.0.1:{taken.getsockname()[1]}", monkeypatch)
    assert seconds < 2
    assert "does not answer" in told
    assert "MLFLOW_TRACKING_URI" in told


def test_a_server_that_hangs_is_told_within_30_s(mute_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told, seconds = _told(mute_server, monkeypatch)
    assert "timed out" in told
    assert seconds < LIMIT_S


def test_a_password_in_the_address_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = _told("http://me:hunter2@127.0.0.1:9", monkeypatch)
    assert "hunter2" not in told


def test_a_login_in_the_address_leads_to_the_server_and_stands_in_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as answers:
        threading.Thread(target=answers.serve_forever, daemon=True).start()
        address = f"http://me:hunt%2Fer2@127.0.0.1:{answers.server_port}"
        server._ask_health(address)  # which answers 404: it is for mlflow to say what that means
        answers.shutdown()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert registry.page(registry.Version("luthier", 3, "", {})) == (
        f"http://127.0.0.1:{answers.server_port}/#/models/luthier/versions/3"
    )


def test_a_file_that_is_no_database_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.db").write_text("not a database, but long enough to be taken for one" * 100)
    told, seconds = _told(f"sqlite:///{tmp_path}/broken.db", monkeypatch)
    assert "not a database" in told
    assert seconds < 2


def test_a_run_holds_params_metrics_over_time_and_digests(tmp_path: Path) -> None:
    params = {"learning_rate": 0.1, "model": {"name": "tiny", "hf_token": "hf_abc", "max_new_tokens": 8}}
    with tracking.start_run("finetune", params, {"family": "causal"}, {"train": "ab" * 32}, "k1") as run:
        run.log({"loss": 2.0}, 1)
        run.log({"loss": 1.0}, 2)
    found = server.client().get_run(run.run_id)
    assert found.info.status == "FINISHED"
    assert found.data.params["model.max_new_tokens"] == "8"
    assert "hf_abc" not in found.data.params.values()
    assert found.data.tags["data.train"] == "ab" * 32
    assert _losses(run.run_id) == [2.0, 1.0]
    assert found.info.artifact_uri.startswith(f"file://{tmp_path}/mlruns/")
    assert (tmp_path / "mlflow.db").is_file()


@pytest.mark.parametrize(("raised", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")])
def test_a_run_that_breaks_off_says_how(raised: type[BaseException], status: str) -> None:
    with pytest.raises(raised), tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        raise raised
    assert server.client().get_run(run.run_id).info.status == status


def test_trainings_that_begin_at_once_on_the_same_data_all_hold_it(tmp_path: Path) -> None:
    """MLflow keeps a dataset once for all runs, and its database refuses who is second to write it."""
    data = {f"data{number}": f"{number:064x}" for number in range(20)}
    server.experiment()
    begin = "import sys, tasks.tracking.server; from tasks.tracking import runs; tasks.tracking.server.client(); print(flush=True); input();"
    begin += f"runs.obtain_run('a', {{}}, {{'k': sys.argv[1]}}, {data!r}, 'k')"
    begun = [python_in(begin, str(number), tmp_path) for number in range(4)]
    for process in begun:
        assert process.stdout is not None and process.stdout.readline() == "\n"  # mlflow is imported
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait(timeout=LIMIT_S) for process in begun] == [0] * 4
    found = server.client().search_runs([server.experiment()])
    assert [len(run.inputs.dataset_inputs) for run in found] == [20] * 4


def test_a_metric_that_is_not_finite_is_refused() -> None:
    with pytest.raises(TrackingError, match="'loss' is nan at step 3"):
        runs.Run("any").log({"loss": float("nan")}, 3)


def test_a_file_is_kept_as_it_was_when_it_was_logged(tmp_path: Path) -> None:
    (tmp_path / "xray.txt").write_text("as it was")
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        run.log_file(tmp_path / "xray.txt", "labels")
        (tmp_path / "xray.txt").write_text("as it is now")
    kept = evidence.fetch_files(run.run_id, "labels", tmp_path)
    assert (kept / "xray.txt").read_text() == "as it was"


def test_a_file_that_cannot_be_kept_is_told_and_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlruns").write_text("no folder")
    (tmp_path / "xray.txt").write_text("text")
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        run.log_file(tmp_path / "xray.txt", "labels")
        run.log({"loss": 2.0}, 1)
    assert "xray.txt is not kept with the MLflow run" in capsys.readouterr().err
    assert _losses(run.run_id) == [2.0]
    assert server.client().get_run(run.run_id).info.status == "FINISHED"


def test_the_machine_s_load_is_sampled_and_goes_on_where_it_stood(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    tracking.check()
    for _ in range(2):
        with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
            time.sleep(1)
    capture = capfd.readouterr()
    assert capture.out + capture.err == ""
    found = server.client().get_metric_history(run.run_id, "system/system_memory_usage_megabytes")
    assert all(point.value > 0 for point in found)
    assert [point.step for point in found] == list(range(len(found)))
    assert len(found) > 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("luthier")]


def test_mlflow_says_nothing_of_its_own_though_another_imported_it_first(tmp_path: Path) -> None:
    program = "import mlflow; from tasks import tracking; tracking.check()"
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/new.db"}
    environment.pop("MLFLOW_LOGGING_LEVEL", None)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout + done.stderr == ""


def test_a_monitor_that_breaks_stops_no_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        monkeypatch.setattr(psutil, "cpu_percent", lambda: 1 / 0)
        time.sleep(0.5)
        run.log({"loss": 2.0}, 1)
    assert "the machine's load is not logged any more: ZeroDivisionError" in capsys.readouterr().err
    assert _losses(run.run_id) == [2.0]


def test_what_waits_is_bounded_and_what_is_lost_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spool, "MOST_WAITING", 3)
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        for step in range(5):
            run.log({"loss": float(step)}, step)
    assert run.lost
    assert capsys.readouterr().err.count("'register' fills in what is missing") == 1
    assert _losses(run.run_id) == [0.0, 1.0, 2.0]
    log = [{"step": step, "loss": float(step)} for step in range(5)]
    evidence.training_run(run.run_id, {}, {}, {}, log)
    assert _losses(run.run_id) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_secret_is_hidden_and_a_number_of_tokens_is_not() -> None:
    flat = runs.flattened({"api_key": "k", "db": {"url": "s3://u:p@host/x"}, "max_tokens": 5})
    assert flat == {"api_key": "(hidden)", "db.url": "s3://(hidden)@host/x", "max_tokens": "5"}


def test_a_training_of_another_store_is_made_anew_once_and_says_so() -> None:
    log = [{"step": 1, "steps": 2, "loss": 2.0}, {"step": 2, "steps": 2, "loss": 1.5, "dev_loss": 1.4}]
    made = [evidence.training_run("a" * 32, {"rank": 8}, {}, {}, log) for _ in range(2)]
    found = server.client().get_run(made[0])
    assert made[0] == made[1]
    assert found.data.tags[evidence.TRAINED_AS] == "a" * 32
    assert _losses(made[0]) == [2.0, 1.5]
    assert found.info.status == "FINISHED"


def test_points_that_an_outage_swallowed_are_filled_in() -> None:
    with tracking.start_run("finetune", {}, {}, {}, "k1") as run:
        run.log({"loss": 2.0}, 1)
    log = [{"step": 1, "steps": 2, "loss": 2.0}, {"step": 2, "steps": 2, "loss": 1.5}]
    assert evidence.training_run(run.run_id, {}, {}, {}, log) == run.run_id
    assert _losses(run.run_id) == [2.0, 1.5]
