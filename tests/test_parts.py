"""Parts of a stage: made by several workers at once, found by the stage, checked on arrival, and no bytes changed."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tasks.data.shards import SUFFIX, Shards
from tasks.locks import give_back, take
from tasks.runs.asked import slug_of
from tasks.runs.attempt import LOCKS
from tasks.runs.parts import FOLDER, Store, untouched
from tasks.workspace import folder_of
from tests import test_shards
from tests.workers import flip, workers
from tests.workspaces import call, commit, step, write

pytestmark = pytest.mark.service
ROOT = Path(__file__).resolve().parent.parent
SLUG = slug_of("d/r")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return write(tmp_path / "here")


def test_what_is_no_part_and_what_has_no_parts_are_said_so(toy: Path) -> None:
    assert "'4/2' is no part: write which of how many" in step(toy, "fetch --part 4/2", status=1)
    assert "'fetch' is not made in parts; what is: predict." in step(toy, "fetch --part 1/2", status=1)


def test_a_part_waits_while_a_stage_of_its_run_is_at_work(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (toy / LOCKS).mkdir(parents=True)
    held = take(toy / LOCKS / SLUG)
    assert held is not None
    said = step(toy, "fetch --part 1/2", status=75)
    assert "luthier: workspace: a stage of the run d/r is at work, by process" in said
    give_back(held)


@pytest.mark.long
def test_a_part_of_a_stage_that_has_nothing_to_do_has_nothing_to_do(toy: Path) -> None:
    step(toy, "finetune --all")
    here = folder_of(toy, SLUG)

    def asked() -> bool:
        return untouched(toy, here, "finetune")

    assert asked()
    text = (here / "params.yaml").read_text()
    (here / "params.yaml").write_text(text.replace("seed: 17 ", "seed: 18 "))
    assert not asked()
    call(here, sys.executable, "-m", "dvc", "repro", "--quiet")
    (here / "params.yaml").write_text(text)
    assert asked()  # run like this before
    (here / "toy.py").write_text((here / "toy.py").read_text() + "\n")
    assert not asked()


def test_shards_go_from_home_to_home_by_the_remote_and_a_flipped_bit_is_refused_by_name(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = workers(toy, tmp_path)
    monkeypatch.setenv("LUTHIER_GIT_REMOTE", "origin")
    a, b = (Store(worker.root, tmp_path / worker.root.name / FOLDER / SLUG, SLUG) for worker in (both.a, both.b))
    a.receive()  # nothing there
    made = Shards(a.folder)
    for key in ("k1", "k2", "k3"):
        made.put(key, {"seconds": 1}, [{"n": key}] * 50)
    a.send()
    stored = both.store / f"parts/{SLUG}/k2{SUFFIX}"
    flip(stored)
    b.receive()
    said = capsys.readouterr().out
    assert f"k2{SUFFIX} in DVC's remote has other bytes than were written: it is not used, and made again" in said
    assert sorted(path.name for path in b.folder.iterdir()) == [f"k1{SUFFIX}", f"k3{SUFFIX}"]
    assert Shards(b.folder).lines("k3") == made.lines("k3")
    Shards(b.folder).put("k2", {"seconds": 1}, [{"n": "k2"}] * 50)  # made again
    b.send()
    assert stored.read_bytes() == (a.folder / stored.name).read_bytes()
    b.clear()
    assert not list(stored.parent.iterdir()) and not b.folder.exists()
    monkeypatch.delenv("LUTHIER_GIT_REMOTE")
    a.send()
    assert not list(stored.parent.iterdir())  # one machine has no use for it


READ = """
import json, sys
sys.path.append(sys.argv[1])
from finetune_pipeline import dag
def described(task):
    mapped = task.task_type == "Command" and hasattr(task, "partial_kwargs")
    more = task.partial_kwargs if mapped else vars(task)
    return {
        "id": task.task_id, "pool": task.pool, "retries": task.retries,
        "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)), "limit": bool(task.execution_timeout), "before": sorted(task.upstream_task_ids), "env": more["env"],
        "lines": task.expand_input.value["bash_command"] if mapped else task.bash_command,
    }
print(json.dumps([described(task) for task in dag.topological_sort()]))
"""


def pipeline(root: Path, parts: int) -> list[dict[str, Any]]:
    """The tasks of the pipeline's DAG, as Airflow reads it with so many parts."""
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    schedule = root / "dags/schedule.yaml"
    schedule.write_text(schedule.read_text().replace("predict_parts: 1 ", f"predict_parts: {parts} "))
    assert f"predict_parts: {parts} " in schedule.read_text()
    said = call(
        root, sys.executable, "-c", READ, str(root / "dags"), AIRFLOW_HOME=str(root / "airflow"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
    )  # fmt: skip
    found: list[dict[str, Any]] = json.loads(said.splitlines()[-1])
    return found


@pytest.mark.long
def test_with_three_parts_the_pipeline_has_three_mapped_tasks_before_predict_and_with_one_none(tmp_path: Path) -> None:
    one = {task["id"]: task for task in pipeline(tmp_path / "one", 1)}
    three = {task["id"]: task for task in pipeline(tmp_path / "three", 3)}
    part, whole = three.pop("predict_part"), three["predict"]
    assert [line.rpartition("exec ")[2] for line in part["lines"]] == [
        f"python -m tasks.workspace predict --part {number}/3" for number in (1, 2, 3)
    ]
    assert part["before"] == ["finetune"] and whole["before"] == ["predict_part"]
    assert one["predict"]["before"] == ["finetune"]
    for name in ("pool", "retries", "rule", "limit", "env"):
        assert part[name] == whole[name], name
    whole["before"] = ["finetune"]
    assert three == one


def only_predict(root: Path) -> Path:
    """A project of this very code whose one stage is predict: its inputs, small and real, are in git."""
    test_shards.write(root, "causal")
    shutil.copytree(ROOT / "tasks", root / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    stage = {
        "cmd": f"python -m tasks.predict {' '.join(test_shards.ARGUMENTS)}", "params": ["predict"],
        "deps": list(test_shards.ARGUMENTS[:4]), "outs": list(test_shards.ARGUMENTS[4:]),
    }  # fmt: skip
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"predict": stage}}))
    (root / ".gitignore").write_text("/predictions\n/efficiency.json\n/.luthier\n__pycache__\n")
    call(root, "git", "init", "--quiet", "--initial-branch=main")
    call(root, sys.executable, "-m", "dvc", "init", "--quiet")
    commit(root, "predict alone")
    return root


@pytest.mark.slow
@pytest.mark.long
def test_two_homes_share_predict_and_come_to_the_bytes_of_one_machine(tmp_path: Path) -> None:
    both = workers(only_predict(tmp_path / "here"), tmp_path)
    both.b.step("predict --part 2/2")
    tip = call(both.origin, "git", "rev-parse", f"runs/{SLUG}")
    killed = both.a.started("predict --part 1/2")
    own, arrived = both.a.root / FOLDER / SLUG, len(list((both.store / "parts" / SLUG).iterdir()))
    until(lambda: len(list(own.glob("*.shard"))) > arrived)
    for process in [*psutil.Process(killed.pid).children(recursive=True), psutil.Process(killed.pid)]:
        process.send_signal(signal.SIGKILL)
    killed.wait()
    there = len(list(own.glob("*.shard")))
    said = both.a.step("predict --part 1/2")
    assert f"predict 1/2  {there - arrived} of " in said
    assert call(both.origin, "git", "rev-parse", f"runs/{SLUG}") == tip  # a part commits nothing
    stored = sorted((both.store / "parts" / SLUG).iterdir())
    of_b = {path.name for path in (both.b.root / FOLDER / SLUG).iterdir()}
    bad = next(path for path in stored if path.name not in of_b)  # that A made
    flip(bad)
    said = both.b.step("predict")  # B has its own, and A's by the remote
    assert f"{bad.name} in DVC's remote has other bytes than were written: it is not used, and made again" in said
    assert f"predict  {len(stored) - 1} of {len(stored)} shards were there" in said
    assert not list((both.store / "parts" / SLUG).iterdir()) and not (both.b.root / FOLDER / SLUG).exists()
    arguments = [*test_shards.ARGUMENTS[:4], str(tmp_path / "alone"), str(tmp_path / "cost.json")]
    call(tmp_path / "here", sys.executable, "-m", "tasks.predict", *arguments)
    made = sorted(path for path in (tmp_path / "alone").rglob("*.json*"))
    assert len(made) == 11
    for file in made:
        place = folder_of(both.b.root, SLUG) / "predictions" / file.relative_to(tmp_path / "alone")
        assert place.read_bytes() == file.read_bytes(), place
    both.a.step("predict", status=99)  # it is done


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 200
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)
