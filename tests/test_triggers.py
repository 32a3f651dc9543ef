"""What starts the pipeline in a real Airflow, and what a run then is: cron, new data, events, backfills, the form.

python -m pytest tests/test_triggers.py     # one Airflow, about four minutes on two quiet cores
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import services
from tasks.data.files import sha256_of
from tasks.orchestrator import Airflow, ServiceError, password
from tasks.runs.asked import slug_of
from tests import small

pytestmark = [pytest.mark.service, pytest.mark.long, pytest.mark.slow]
DAG = "finetune_pipeline"
PATIENCE_S = 900  # other work may be on this machine
DAYS = timedelta(days=1)
NOW = datetime.now(UTC)
DUE = (NOW - timedelta(minutes=10)).replace(second=0, microsecond=0)  # Airflow 3.3 likes to make up for what it just missed


class Running:
    """A small project under a real Airflow."""

    def __init__(self, root: Path, api: Airflow) -> None:
        self.root, self.api = root, api

    def runs(self, dag: str = DAG) -> list[dict[str, Any]]:
        return list(self.api.call("GET", f"dags/{dag}/dagRuns", limit=100)["dag_runs"])

    def new_run(self, start: Callable[[], object], kind: str = "asset_triggered") -> str:
        """The run that something starts.

        By its kind: after a backfill Airflow makes up for the last time of the schedule as well, since it has begun.
        """
        before = {run["dag_run_id"] for run in self.runs()}
        start()
        found: list[str] = []

        def there() -> bool:
            names = [run["dag_run_id"] for run in self.runs()]
            found[:] = [name for name in names if name not in before and name.startswith(kind)]
            return bool(found)

        wait(there)
        assert len(found) == 1
        return found[0]

    def trigger(self, dag: str = DAG, **conf: Any) -> str:
        body = {"logical_date": None, "conf": conf}
        return str(self.api.call("POST", f"dags/{dag}/dagRuns", body)["dag_run_id"])

    def task(self, run: str, name: str, *states: str, dag: str = DAG) -> dict[str, Any]:
        """A task of a run, once it is in one of these states."""
        found: dict[str, Any] = {}

        def there() -> bool:
            found.update(next(task for task in self.api.tasks(dag, run) if task["task_id"] == name))
            ended = found["state"] in {"success", "failed", "skipped", "upstream_failed"} and found["state"] not in states
            assert not ended, f"{name} of {run} is {found['state']}:\n" + "\n".join(self.log(run, found, dag)[-30:])
            return found["state"] in states

        wait(there)
        return found

    def log(self, run: str, task: dict[str, Any], dag: str = DAG) -> list[str]:
        return self.api.log(dag, run, task)

    def states(self, run: str, dag: str = DAG) -> dict[str, str]:
        """The tasks' states of a run, once it has ended."""
        wait(lambda: self.api.state(dag, run) in {"success", "failed"})
        return {task["task_id"]: task["state"] for task in self.api.tasks(dag, run)}

    def stop(self, run: str) -> None:
        self.api.stop(DAG, run)

    def pins(self, run: str) -> str:
        """What a run's branch pins the table to."""
        text = small.call(self.root, "git", "show", f"{self.branch(run)}:params.yaml")
        return str(yaml.safe_load(text)["fetch"]["sources"]["articles"]["sha256"])

    def branch(self, run: str) -> str:
        return f"runs/{slug_of(f'{DAG}/{run}')}"

    def raw(self, run: str) -> str:
        """The sha256 of the raw bytes that a run works on."""
        return sha256_of(self.root / ".luthier" / self.branch(run) / "data/raw/articles/articles.csv")

    def raw_asset(self) -> int:
        assets = self.api.call("GET", "assets", name_pattern="raw")["assets"]
        return int(next(asset["id"] for asset in assets if asset["name"] == "raw"))


def wait(ready: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not ready():
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(1)


def at(days_ago: int, *commands: Callable[[], object]) -> None:
    """Do it as if it was so many days ago, as far as git knows."""
    when = (NOW - days_ago * DAYS).isoformat()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_COMMITTER_DATE", when)
        patch.setenv("GIT_AUTHOR_DATE", when)
        for command in commands:
            command()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Raw data of 40 articles three days ago, of 60 since; then Airflow."""
    root = tmp_path_factory.mktemp("triggers") / "small"

    def three_days_ago() -> None:
        small.write(root)
        schedule = yaml.safe_load((root / "dags/schedule.yaml").read_text())
        schedule["retries"] |= {"first_delay_s": 1, "longest_delay_s": 5}
        schedule["pipeline"]["cron"] = f"{DUE.minute} {DUE.hour} * * *"
        schedule["watch"]["cron"] = "0 0 1 1 *"  # else the schedule's own look may come first, and ours finds nothing new
        (root / "dags/schedule.yaml").write_text(yaml.safe_dump(schedule))
        small.write_table(root, 40, yaml.safe_load((root / "params.yaml").read_text()))
        small.call(root, "dvc", "repro", "--quiet", "fetch")
        small.commit(root, "forty articles")

    at(3, three_days_ago)
    small.write_table(root, 60, yaml.safe_load((root / "params.yaml").read_text()))
    small.commit(root, "sixty articles")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
            patch.delenv(name)
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody answers there
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        services.up(root)
        try:
            with Airflow(services.status(root)["api-server"].url, password(root)) as api:
                wait(lambda: api.known(DAG) and api.known("watch_raw_data"))
                yield Running(root, api)
        finally:
            services.down(root)


@pytest.fixture(scope="module")
def first(running: Running) -> str:
    """A run that was triggered by hand and ended well."""
    run = running.trigger()
    states = running.states(run)
    assert set(states.values()) == {"success"}, states
    return run


def test_nothing_runs_by_itself_when_airflow_starts(running: Running) -> None:
    time.sleep(20)
    assert running.runs() == []
    assert running.runs("watch_raw_data") == []


def test_a_value_out_of_bounds_is_refused_before_anything_starts(running: Running) -> None:
    for conf in ({"finetune.lora.rank": 0}, {"finetune.method": "magic"}, {"finetune.optimizer.learning_rate": 3}):
        with pytest.raises(ServiceError, match="400"):
            running.trigger(**conf)
    assert running.runs() == []


def test_with_nothing_new_every_task_is_skipped(running: Running, first: str) -> None:
    again = running.trigger()
    assert set(running.states(again).values()) == {"skipped"}
    assert running.api.state(DAG, again) == "success"
    assert running.pins(first) == running.pins(again) == sha256_of(running.root / "data/articles.csv")


def test_a_key_that_params_yaml_does_not_have_fails_at_once_and_is_not_tried_again(running: Running) -> None:
    run = running.trigger(more={"finetune.sed": 3})
    task = running.task(run, "fetch", "failed")
    assert task["try_number"] == 1
    said = "\n".join(running.log(run, task))
    assert "params.yaml has no 'finetune.sed': 'sed' is not there. Did you mean 'seed'?" in said
    assert running.states(run)["register"] == "upstream_failed"


def test_an_event_from_outside_starts_a_run_that_is_pinned_to_its_bytes(running: Running, first: str) -> None:
    small.write_table(running.root, 50)
    seen = sha256_of(running.root / "data/articles.csv")
    event = {"asset_id": running.raw_asset(), "extra": {"sources": {"articles": seen}}}
    told = running.new_run(lambda: running.api.call("POST", "assets/events", event))
    running.task(told, "fetch", "success")
    assert running.pins(told) == running.raw(told) == seen != running.pins(first)
    running.stop(told)
    small.write_table(running.root, 45)
    untold = running.new_run(lambda: running.api.call("POST", "assets/events", {"asset_id": running.raw_asset()}))
    running.task(untold, "fetch", "success")
    assert running.pins(untold) == running.raw(untold) == sha256_of(running.root / "data/articles.csv")
    running.stop(untold)
    assert running.pins(told) == seen


def test_the_watcher_sees_new_bytes_and_the_pipeline_runs_on_them(running: Running) -> None:
    small.write_table(running.root, 55)
    seen = sha256_of(running.root / "data/articles.csv")
    running.api.unpause("watch_raw_data")
    looked: list[str] = []
    run = running.new_run(lambda: looked.append(running.trigger("watch_raw_data")))
    running.task(looked[0], "watch", "success", dag="watch_raw_data")
    wait(lambda: running.api.triggered_by("watch_raw_data", looked[0]) == [(DAG, run)])
    running.task(run, "fetch", "success")
    assert running.pins(run) == running.raw(run) == seen
    running.stop(run)
    before = len(running.runs())
    again = running.trigger("watch_raw_data")
    running.task(again, "watch", "skipped", dag="watch_raw_data")
    time.sleep(10)
    assert len(running.runs()) == before


@contextmanager
def backfill(running: Running, days_ago: int) -> Iterator[str]:
    """The run that a backfill of one day makes; Airflow has one backfill of a DAG at a time."""
    day = DUE - days_ago * DAYS
    body = {
        "dag_id": DAG, "from_date": day.isoformat(), "to_date": day.isoformat(), "max_active_runs": 1,
        "reprocess_behavior": "none",
    }  # fmt: skip
    made: list[dict[str, Any]] = []

    def posted() -> bool:
        made[:] = filter(None, [running.api.call("POST", "backfills", body, allow=(503,))])  # 503: SQLite is busy
        return bool(made)

    run = running.new_run(lambda: wait(posted), "backfill")
    try:
        yield run
    finally:
        running.stop(run)
        running.api.call("PUT", f"backfills/{made[0]['id']}/cancel", allow=(409,))  # 409: it has ended


def test_a_backfill_takes_the_raw_data_of_its_time(running: Running) -> None:
    with backfill(running, 1) as run:
        running.task(run, "fetch", "skipped")  # out of DVC's cache
        lock = small.call(running.root, "git", "show", "HEAD~1:params.yaml")
        forty = yaml.safe_load(lock)["fetch"]["sources"]["articles"]["sha256"]
        assert running.pins(run) == running.raw(run) == forty != sha256_of(running.root / "data/articles.csv")
        running.task(run, "validate", "success")
        valid = running.root / ".luthier" / running.branch(run) / "data/valid/articles.jsonl"
        assert 30 < len(valid.read_text().splitlines()) <= 40


def test_a_backfill_of_a_time_without_raw_data_says_so_and_is_not_tried_again(running: Running) -> None:
    with backfill(running, 9) as run:
        task = running.task(run, "fetch", "failed")
        assert task["try_number"] == 1
        assert "there are no raw data of that time" in "\n".join(running.log(run, task))


def test_rows_that_are_all_invalid_are_never_tried_again(running: Running) -> None:
    table = running.root / "data/articles.csv"
    table.write_text("document,summary\n" + ",\n" * 60)
    run = running.new_run(lambda: running.api.call("POST", "assets/events", {"asset_id": running.raw_asset()}))
    task = running.task(run, "validate", "failed")
    assert task["try_number"] == 1
    assert "luthier: validate: " in "\n".join(running.log(run, task))
    assert (running.root / ".luthier" / running.branch(run)).is_dir()  # what failed stays


def test_a_source_that_does_not_answer_is_tried_again(running: Running) -> None:
    run = running.trigger(more={"fetch.sources.articles.url": "s3://nobody/articles.csv"})
    wait(lambda: running.task(run, "fetch", "up_for_retry", "queued", "running", "scheduled")["try_number"] > 1)
    task = next(task for task in running.api.tasks(DAG, run) if task["task_id"] == "fetch") | {"try_number": 1}
    said = "\n".join(running.log(run, task))
    assert "'s3://nobody/articles.csv' cannot be read" in said
    running.stop(run)


def test_runs_are_told_apart_and_none_touched_the_checkout(running: Running) -> None:
    assert small.call(running.root, "git", "status", "--porcelain") == ""
    branches = small.call(running.root, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads/runs").split()
    assert len(branches) == len(set(branches)) >= 6
