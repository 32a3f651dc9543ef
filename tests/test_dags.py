"""The DAG files as Airflow reads them: in a process of their own, with a home of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.orchestrator import WORKSPACE

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "pandas", "numpy", "transformers", "mlflow", "great_expectations", "datasets", "tasks"}

READ = """
import importlib, json, sys, time
import airflow.sdk, airflow.providers.standard.operators.bash  # what Airflow itself costs
import airflow.providers.standard.operators.hitl
before, start = set(sys.modules), time.monotonic()
sys.path.append(sys.argv[1])
names = sys.argv[2].split(",")
modules = {name: importlib.import_module(name) for name in names}
seconds = time.monotonic() - start

def describe(dag):
    tasks = dag.topological_sort()
    return {
        "tasks": [task.task_id for task in tasks],
        "commands": [task.bash_command for task in tasks if hasattr(task, "bash_command")],
        "env": [task.env for task in tasks if hasattr(task, "bash_command")],
        "pools": sorted({task.pool for task in tasks}),
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in tasks if task.outlets},
        "timeouts": all(task.execution_timeout or task.response_timeout for task in tasks),
        "approval": [[t.task_id, t.defaults, [u["id"] for u in t.assigned_users], t.response_timeout.total_seconds()]
                     for t in tasks if hasattr(t, "assigned_users")],
        "schedule": str(getattr(dag.schedule, "name", dag.schedule)),
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "doc": dag.doc_md,
        "params": dag.params.dump() if not dag.params else {k: p.schema for k, p in dag.params.items()},
    }

json.dump({
    "seconds": seconds,
    "imported": sorted({name.partition(".")[0] for name in set(sys.modules) - before}),
    "dags": {name: describe(module.dag) for name, module in modules.items() if hasattr(module, "dag")},
}, open(sys.argv[3], "w"))
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one reading of dags/ found."""
    home = tmp_path_factory.mktemp("airflow")
    names = ",".join(sorted(file.stem for file in (ROOT / "dags").glob("*.py")))
    settings = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
    subprocess.run(
        [sys.executable, "-c", READ, ROOT / "dags", names, home / "read.json"],
        env=settings | {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        cwd=home,
        check=True,
    )
    found: dict[str, Any] = json.loads((home / "read.json").read_text())
    return found


def test_reading_the_dags_imports_no_heavy_library_and_nothing_of_the_steps(read: dict[str, Any]) -> None:
    assert not set(read["imported"]) & HEAVY


def test_reading_the_dags_takes_less_than_a_second_beyond_airflow(read: dict[str, Any]) -> None:
    assert read["seconds"] < 1


def test_the_pipeline_runs_the_stages_of_dvc_yaml_in_order_and_then_registers(read: dict[str, Any]) -> None:
    stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    pipeline = read["dags"]["finetune_pipeline"]
    assert pipeline["tasks"] == [*stages, "register"]
    for stage, line in zip(stages, pipeline["commands"], strict=False):
        assert line.endswith(f"; exec dvc repro --single-item {stage}")


def test_one_pipeline_run_at_a_time_uses_the_checkout(read: dict[str, Any]) -> None:
    assert read["dags"]["finetune_pipeline"]["max_active_runs"] == 1
    for name in ("finetune_pipeline", "watch_raw_data"):
        assert read["dags"][name]["pools"] == [WORKSPACE]  # the one that services.up makes
    for name in ("rollback_model", "batch_inference"):  # going back, and answering, wait for no training
        assert read["dags"][name]["pools"] == ["default_pool"]


def test_a_named_person_is_asked_before_the_alias_moves_and_silence_is_a_no(read: dict[str, Any]) -> None:
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())["promote"]
    promotion = read["dags"]["promote_model"]
    assert promotion["tasks"] == ["gate", "approve", "promote", "reject"]
    assert promotion["approval"] == [["approve", ["Reject"], asked["approvers"], asked["answer_within_h"] * 3600]]
    assert promotion["max_active_runs"] > 1  # who is not answered keeps nobody from being asked


def test_raw_data_starts_the_pipeline_and_a_candidate_starts_the_promotion(read: dict[str, Any]) -> None:
    dags = read["dags"]
    assert dags["watch_raw_data"]["outlets"] == {"watch": ["raw"]}
    assert dags["finetune_pipeline"]["schedule"] == "raw"
    assert dags["finetune_pipeline"]["outlets"] == {"register": ["candidate"]}
    assert dags["promote_model"]["schedule"] == "candidate"


def test_only_the_watcher_which_starts_training_by_itself_is_off_at_first(read: dict[str, Any]) -> None:
    assert [name for name, dag in read["dags"].items() if dag["paused"]] == ["watch_raw_data"]


def test_no_command_is_a_template_and_typed_text_is_passed_by_environment(read: dict[str, Any]) -> None:
    for dag in read["dags"].values():
        assert not any("{{" in line or "{%" in line for line in dag["commands"])
    rollback = read["dags"]["rollback_model"]
    assert 'exec python -m tasks.rollback --reason="$REASON"' in rollback["commands"][0]
    assert rollback["env"][0]["REASON"] == "{{ params.reason }}"
    assert rollback["params"]["reason"]["minLength"] > 0


def test_every_dag_says_what_it_does_and_every_task_may_run_out_of_time(read: dict[str, Any]) -> None:
    names = {"finetune_pipeline", "watch_raw_data", "promote_model", "rollback_model", "batch_inference"}
    assert set(read["dags"]) == names
    for dag in read["dags"].values():
        assert len(dag["doc"]) > 150
        assert dag["timeouts"]


def test_a_dag_file_stays_small() -> None:
    for file in (ROOT / "dags").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 55, file
