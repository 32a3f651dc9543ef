"""Seen from outside: alerts, OpenLineage, StatsD and Prometheus, from one real Airflow and MLflow with tiny DAGs.

Each is switched on by the setting that Airflow and MLflow have for it, exported before `luthier up`; off without.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tasks import services
from tasks.orchestrator import Airflow, password
from tests.listening import Received, listening

pytestmark = [pytest.mark.service, pytest.mark.long]
ROOT = Path(__file__).resolve().parent.parent

DAGS = """
from datetime import timedelta
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset
from alerts import deadline, on_failure

def tiny(name, line, hours=1, **kwargs):
    with DAG(name, schedule=None, is_paused_upon_creation=False, deadline=deadline(hours), on_failure_callback=on_failure):
        BashOperator(task_id="only", bash_command=line, **kwargs)

named, places = Asset("named"), [Asset(name, uri=f"file:///data/{name}") for name in ("raw", "out")]
tiny("works", "true", inlets=places[:1], outlets=[named, places[1]], env={"KEY": "to-be-seen-by-nobody"})
tiny("fails", "exit 3", retries=1, retry_delay=timedelta(0), on_failure_callback=on_failure)
tiny("killed", "kill -9 $PPID", on_failure_callback=on_failure)
tiny("late", "sleep 25", hours=3 / 3600)
tiny("early", "exit 3", hours=30 / 3600)
"""
NAMES = ("works", "fails", "killed", "late", "early")
HOOK = "/alert?token=T0P-s3cret"


@dataclass
class Seen:
    """What came out of one Airflow and one MLflow in which every DAG ran once."""

    root: Path
    runs: dict[str, str]
    states: dict[str, str]
    posts: Received
    statsd: list[str] = field(default_factory=list)

    def to(self, path: str) -> list[dict[str, Any]]:
        """Bodies that were posted to a path."""
        return [body for where, body in self.posts if where == path]

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """Alerts about a DAG."""
        return [body for body in self.to(HOOK) if body["dag"] == name]

    def events(self, name: str) -> list[dict[str, Any]]:
        """OpenLineage events of a job."""
        return [body for body in self.to("/lineage") if body["job"]["name"] == name]


def until(true: Callable[[], object], seconds: float = 90) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.3)


def logs(root: Path, below: str) -> str:
    """Everything in Airflow's logs below a folder."""
    return "".join(path.read_text() for path in (root / ".airflow/logs" / below).rglob("*") if path.is_file())


def counted(port: socket.socket, into: list[str]) -> None:
    """Keep every line of StatsD that reaches the socket."""
    try:
        while packet := port.recv(65536):
            into += packet.decode().splitlines()
    except OSError:
        return


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    root = tmp_path_factory.mktemp("checkout")
    (root / "dags").mkdir()
    for name in ("alerts.py", "tell.py"):
        shutil.copy(ROOT / "dags" / name, root / "dags")
    (root / "dags/tiny.py").write_text(DAGS)
    with pytest.MonkeyPatch.context() as patch, listening() as (url, posts), socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING", "OPENLINEAGE"))]:
            patch.delenv(name)
        for name, value in {
            "LUTHIER_ALERT_URL": url + HOOK,
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "http", "url": url, "endpoint": "lineage"}),
            "AIRFLOW__OPENLINEAGE__NAMESPACE": "luthier",
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(udp.getsockname()[1]),
            "MLFLOW_EXPOSE_PROMETHEUS": ".luthier/prometheus",
        }.items():
            patch.setenv(name, value)
        found = Seen(root, {}, {}, posts)
        Thread(target=counted, args=(udp, found.statsd), daemon=True).start()
        try:
            services.up(root)
            with Airflow(services.status(root)["api-server"].url, password(root)) as airflow:
                until(lambda: all(airflow.known(name) for name in NAMES))
                found.runs |= {name: airflow.trigger(name) for name in NAMES}
                until(lambda: all(airflow.state(*run) in ("success", "failed") for run in found.runs.items()))
                found.states |= {name: airflow.state(name, run) for name, run in found.runs.items()}
            until(lambda: found.alerts("late") and len(found.alerts("fails")) == 2 and found.alerts("killed"))
            until(lambda: "Callback executed" in logs(root, "executor_callbacks/early"))
            until(lambda: any(event["eventType"] == "COMPLETE" for event in found.events("works")))
            yield found
        finally:
            services.down(root)


def test_each_run_ended_as_its_dag_says(seen: Seen) -> None:
    """Observing changes nothing."""
    assert seen.states == {"works": "success", "late": "success", "fails": "failed", "killed": "failed", "early": "failed"}
    assert seen.alerts("works") == []


def test_a_late_run_is_told_once_while_it_still_runs(seen: Seen) -> None:
    (alert,) = seen.alerts("late")
    assert (alert["kind"], alert["state"], alert["run"]) == ("late", "running", seen.runs["late"])
    assert 0 <= alert["late_s"] < 22  # the task sleeps for 25 s and is due after 3
    assert f"run {alert['run']} is {alert['late_s']} s late (running; due" in alert["text"]
    assert alert["text"] in logs(seen.root, "executor_callbacks/late")


def test_a_run_that_failed_in_time_is_not_called_late(seen: Seen) -> None:
    assert [alert["kind"] for alert in seen.alerts("early")] == ["run failed"]


def test_a_failed_run_names_the_task_its_last_try_and_its_log(seen: Seen) -> None:
    task, run = sorted(seen.alerts("fails"), key=lambda alert: str(alert["kind"]), reverse=True)
    assert (task["kind"], run["kind"]) == ("task failed", "run failed")  # nothing of the first try, which was not the last
    for alert in (task, run):
        assert (alert["task"], alert["try"], alert["run"]) == ("only", 2, seen.runs["fails"])
        assert f"failed at task only, try 2 ({alert['why']}): {alert['log']}" in alert["text"]
        assert alert["log"].endswith("/tasks/only?try_number=2")
    assert "exit code 3" in task["why"]
    assert task["text"] in logs(seen.root, "dag_id=fails")


def test_a_task_whose_process_is_killed_is_told_of_by_its_dag(seen: Seen) -> None:
    (alert,) = seen.alerts("killed")
    assert (alert["kind"], alert["task"], alert["try"]) == ("run failed", "only", 1)


def test_every_alert_is_in_the_file_and_the_webhook_s_token_in_no_log(seen: Seen) -> None:
    lines = [json.loads(line) for line in (seen.root / ".luthier/alerts.jsonl").read_text().splitlines()]
    assert sorted(lines, key=str) == sorted(seen.to(HOOK), key=str)
    own = "".join(path.read_text() for path in (seen.root / ".luthier/logs").iterdir())
    everything = logs(seen.root, ".") + own
    assert "failed at task" in everything
    assert "T0P-s3cret" not in everything


def test_openlineage_gets_start_and_end_of_each_task_with_the_assets_that_have_a_place(seen: Seen) -> None:
    kinds = {name: [event["eventType"] for event in seen.events(f"{name}.only")] for name in ("works", "fails")}
    assert kinds == {"works": ["START", "COMPLETE"], "fails": ["START", "FAIL"] * 2}
    for event in seen.events("works.only"):
        assert [(data["namespace"], data["name"]) for data in event["inputs"]] == [("file", "/data/raw")]
        assert [(data["namespace"], data["name"]) for data in event["outputs"]] == [("file", "/data/out")]
        assert event["job"]["namespace"] == "luthier"
        assert event["job"]["facets"]["sourceCode"]["sourceCode"] == "true"
    assert "to-be-seen-by-nobody" not in json.dumps(seen.to("/lineage"))


def test_statsd_gets_airflow_s_counters_and_timers(seen: Seen) -> None:
    assert "airflow.scheduler_heartbeat:1|c" in seen.statsd
    assert "airflow.ti.finish.works.only.success:1|c" in seen.statsd
    assert "airflow.deadline_alerts.deadline_missed:1|c" in seen.statsd
    assert any(line.startswith("airflow.dagrun.duration.failed.fails:") and line.endswith("|ms") for line in seen.statsd)


def scraped(root: Path) -> httpx.Response:
    """What MLflow answers to Prometheus, after one request of its API."""
    url = services.status(root)["mlflow"].url
    httpx.get(f"{url}/api/2.0/mlflow/experiments/search?max_results=1", trust_env=False).raise_for_status()
    return httpx.get(f"{url}/metrics", trust_env=False)


def test_prometheus_reads_mlflow_s_requests_where_that_is_on(seen: Seen) -> None:
    answer = scraped(seen.root)
    assert answer.is_success
    assert 'mlflow_http_request_total{method="GET",status="200"} ' in answer.text
    assert list((seen.root / ".luthier/prometheus").iterdir())


def test_mlflow_exposes_nothing_where_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_EXPOSE_PROMETHEUS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    try:
        services.up(tmp_path, ["mlflow"])
        assert scraped(tmp_path).status_code == 404
    finally:
        services.down(tmp_path)


OFF = """
import sys
from airflow.observability.metrics.stats_utils import get_stats_factory
from airflow.providers.openlineage.plugins.openlineage import OpenLineageProviderPlugin as plugin
print(get_stats_factory().__name__, plugin.listeners, plugin.macros, {"statsd", "openlineage"} & set(sys.modules))
"""


def test_airflow_sends_nothing_and_loads_nothing_for_it_where_nothing_is_set(tmp_path: Path) -> None:
    settings = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "OPENLINEAGE"))}
    said = subprocess.run(
        [sys.executable, "-c", OFF],
        env=settings | {"AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert (said.stdout, said.stderr) == ("NoStatsLogger [] [] set()\n", "")
