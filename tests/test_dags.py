"""The DAG files as Airflow reads them: in a process of their own, with a home of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.orchestrator import DEVICE

ROOT = Path(__file__).resolve().parent.parent
SCHEDULE = yaml.safe_load((ROOT / "dags/schedule.yaml").read_text())
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

def names_of(assets):
    return [] if assets is None else [assets.name] if hasattr(assets, "name") else [
        name for part in assets.objects for name in names_of(part)
    ]

def describe(dag):
    tasks = dag.topological_sort()
    return {
        "tasks": [task.task_id for task in tasks],
        "commands": [getattr(task, "bash_command", None) or task.partial_kwargs["bash_command"]
                     for task in tasks if task.task_type == "Command"],
        "env": [task.env for task in tasks if hasattr(task, "env")],
        "pools": {task.task_id: task.pool for task in tasks},
        "queues": {task.task_id: task.queue for task in tasks},
        "retries": {task.task_id: task.retries for task in tasks if task.task_type == "Command"},
        "rules": sorted({str(task.trigger_rule.value) for task in tasks}),
        "late": [alert.interval.total_seconds() for alert in dag.deadline or []],
        "told": bool(dag.has_on_failure_callback),
        "cron": str(getattr(getattr(dag.timetable, "timetable", dag.timetable), "expression", "")),
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in tasks if task.outlets},
        "timeouts": all(task.execution_timeout or getattr(task, "response_timeout", None) for task in tasks),
        "approval": [[t.task_id, t.defaults, [u["id"] for u in t.assigned_users], t.response_timeout.total_seconds()]
                     for t in tasks if hasattr(t, "assigned_users")],
        "assets": names_of(dag.timetable.asset_condition),
        "max_active_runs": dag.max_active_runs,
        "paused": dag.is_paused_upon_creation,
        "doc": dag.doc_md,
        "params": {name: {"description": dag.params.get_param(name).description, **dag.params.get_param(name).schema}
                   for name in dag.params},
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
        assert line.endswith(f"; exec python -m tasks.workspace {stage}")


def test_what_waits_for_a_device_has_the_queue_of_those_workers_that_have_one(read: dict[str, Any]) -> None:
    for name, dag in read["dags"].items():
        for task, pool in dag["pools"].items():
            assert (dag["queues"][task] == DEVICE) == (pool == DEVICE), (name, task)


def test_several_runs_are_side_by_side_and_only_what_needs_a_device_waits_for_one(read: dict[str, Any]) -> None:
    assert read["dags"]["finetune_pipeline"]["max_active_runs"] == SCHEDULE["pipeline"]["most_runs"] > 1
    waits = {(name, task) for name, dag in read["dags"].items() for task, pool in dag["pools"].items() if pool == DEVICE}
    assert waits >= {("finetune_pipeline", "finetune"), ("finetune_pipeline", "predict"), ("batch_inference", "answer")}
    assert not {task for _, task in waits} & {"fetch", "validate", "expand", "register", "gate", "promote", "rollback"}


def test_a_stage_that_dvc_skips_keeps_no_later_one_from_running(read: dict[str, Any]) -> None:
    assert read["dags"]["finetune_pipeline"]["rules"] == ["none_failed"]


def test_every_command_is_tried_again_where_that_may_help_and_every_dag_tells_of_its_failure(
    read: dict[str, Any],
) -> None:
    for name, dag in read["dags"].items():
        assert set(dag["retries"].values()) == {SCHEDULE["retries"]["count"]}, name
        assert dag["told"], name
    assert read["dags"]["finetune_pipeline"]["late"] == [SCHEDULE["pipeline"]["deadline_h"] * 3600]


def test_a_named_person_is_asked_before_the_alias_moves_and_silence_is_a_no(read: dict[str, Any]) -> None:
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())["promote"]
    promotion = read["dags"]["promote_model"]
    assert promotion["tasks"] == ["gate", "approve", "promote", "reject"]
    assert promotion["approval"] == [["approve", ["Reject"], asked["approvers"], asked["answer_within_h"] * 3600]]
    assert promotion["max_active_runs"] > 1  # who is not answered keeps nobody from being asked


def test_raw_data_starts_the_pipeline_and_a_candidate_starts_the_promotion(read: dict[str, Any]) -> None:
    dags = read["dags"]
    assert dags["watch_raw_data"]["outlets"] == {"watch": ["raw"]}
    assert dags["finetune_pipeline"]["assets"] == ["raw"]
    assert dags["finetune_pipeline"]["cron"] == SCHEDULE["pipeline"]["cron"]  # whichever comes first
    assert dags["watch_raw_data"]["cron"] == SCHEDULE["watch"]["cron"]
    assert dags["finetune_pipeline"]["outlets"] == {"register": ["candidate"]}
    assert dags["promote_model"]["assets"] == ["candidate"]


def test_the_form_changes_keys_that_params_yaml_has_and_every_field_is_told_and_bounded(read: dict[str, Any]) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    form = read["dags"]["finetune_pipeline"]["params"]
    assert sum("." in name for name in form) >= 5
    for name, field in form.items():
        here = params
        for part in name.split(".") if "." in name else ():
            here = here[part]
        assert field["title"] and field["description"]
        if name != "more":
            (bounds,) = field.get("allOf", [{}])
            assert set(field) & {"enum"} or set(bounds) & {"maximum", "maxLength"}, name
            # Airflow's page would silently type the nearest bound over what a person typed, and drops the e of 5e-5.
            assert not set(field) & {"minimum", "maximum"}, name


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
    names |= {"study_examples", "study_grid"}
    assert set(read["dags"]) == names
    for dag in read["dags"].values():
        assert len(dag["doc"]) > 150
        assert dag["timeouts"]


def test_a_dag_file_stays_small() -> None:
    for file in (ROOT / "dags").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 55, file
