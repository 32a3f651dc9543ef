"""A run goes from worker to worker: a git remote carries its branch, a DVC remote its bytes, and nothing else does."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.runs import left
from tasks.runs.asked import slug_of
from tasks.workspace import folder_of
from tests import small
from tests.workers import Workers, flip, objects, workers
from tests.workspaces import call, write

pytestmark = pytest.mark.service
BRANCH = f"runs/{slug_of('d/r')}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("toy") / "here")


@pytest.fixture
def both(toy: Path, tmp_path: Path) -> Workers:
    """Two workers of the toy project; the table is on A alone."""
    root = Path(shutil.copytree(toy, tmp_path / "here", symlinks=True))
    made = workers(root, tmp_path)
    shutil.copytree(root / "given", made.a.root / "given")
    return made


def lock(root: Path) -> dict[str, Any]:
    """What dvc.lock says of each stage, of a run's branch in a repository."""
    stages: dict[str, Any] = yaml.safe_load(call(root, "git", "show", f"{BRANCH}:dvc.lock"))["stages"]
    return stages


def test_stages_alternate_and_the_result_is_that_of_one_machine(both: Workers, tmp_path: Path) -> None:
    both.a.step("fetch", sets={"finetune.seed": 3})
    assert "Running stage 'validate'" in both.b.step("validate")  # B was never told of the seed, nor has the table
    assert "Running stage 'finetune'" in both.a.step("finetune")
    both.b.step("finetune", status=99)
    made = folder_of(both.b.root, slug_of("d/r")) / "models/tuned.json"
    call(tmp_path, "git", "clone", "--quiet", str(both.origin), "alone")
    alone = tmp_path / "alone"
    shutil.copytree(both.a.root / "given", alone / "given")
    (alone / "params.yaml").write_text((alone / "params.yaml").read_text().replace("seed: 17 ", "seed: 3 "))
    call(alone, sys.executable, "-m", "dvc", "repro", "--quiet")
    assert made.read_bytes() == (alone / "models/tuned.json").read_bytes()
    assert lock(both.origin) == yaml.safe_load((alone / "dvc.lock").read_text())["stages"]


def test_bytes_that_the_remote_changed_are_refused(both: Workers) -> None:
    both.a.step("fetch")
    (stored,) = objects(both.store)
    flip(stored)
    said = both.b.step("validate", status=1)
    assert "luthier: workspace: validate needs data/raw, which fetch made, and neither DVC's cache nor its remote" in said
    assert not (folder_of(both.b.root, slug_of("d/r")) / "data/raw/table.csv").exists()
    flip(stored)
    both.b.step("validate")  # mended, it goes on


@pytest.mark.long
def test_bytes_that_the_remote_lost_are_said_to_be_missing(both: Workers) -> None:
    both.a.step("fetch")
    (stored,) = objects(both.store)
    stored.unlink()
    said = both.b.step("validate", status=1)
    assert "luthier: workspace:" in said and "failed to transfer" in said
    both.a.step("validate")  # A has them still


@pytest.mark.long
def test_a_worker_that_lost_its_disk_goes_on(both: Workers) -> None:
    both.a.step("fetch")
    both.a.step("validate")
    both.a.forget()
    assert "Running stage 'finetune'" in both.a.step("finetune")
    assert lock(both.a.root) == lock(both.origin)


def test_of_two_that_run_the_same_stage_one_wins_and_the_other_goes_on_from_there(both: Workers) -> None:
    both.a.step("fetch")
    before = call(both.origin, "git", "rev-parse", BRANCH)
    tasks = [both.a.started("validate"), both.b.started("validate")]
    said = [task.communicate(timeout=300)[0] for task in tasks]
    statuses = sorted(task.returncode for task in tasks)
    # 99: the second began after the first had ended; twice 0: both came to the very same commit, in the same second
    assert statuses in ([0, 75], [0, 99], [0, 0]), said
    if 75 in statuses:
        assert any(f"another worker went on with {BRANCH} meanwhile: this attempt ends here." in text for text in said)
    assert call(both.origin, "git", "rev-list", "--count", f"{before.strip()}..{BRANCH}").strip() == "1"
    for worker in (both.a, both.b):  # tried again, the loser takes what the winner made
        worker.step("validate", status=99)
        assert call(worker.root, "git", "rev-parse", BRANCH) == call(both.origin, "git", "rev-parse", BRANCH)
    both.b.step("finetune")
    both.a.step("finetune", status=99)


@pytest.mark.long
def test_of_two_that_begin_a_run_one_pins_it(both: Workers) -> None:
    shutil.copytree(both.a.root / "given", both.b.root / "given")
    (both.b.root / "toy.py").write_text((both.b.root / "toy.py").read_text().replace("'one'", "'two'"))
    tasks = [both.a.started("fetch"), both.b.started("fetch")]
    said = [task.communicate(timeout=300)[0] for task in tasks]
    assert {task.returncode for task in tasks} <= {0, 75, 99}, said
    for worker in (both.a, both.b):
        worker.step("fetch", status=99)
    assert len({call(where, "git", "rev-parse", BRANCH) for where in (both.a.root, both.b.root, both.origin)}) == 1


@pytest.mark.long
def test_a_worker_whose_commit_never_arrived_sends_it_when_it_is_tried_again(both: Workers) -> None:
    both.a.step("fetch")
    away = both.origin.rename(both.origin.with_name("away"))
    said = both.a.step("validate", status=75)
    assert "the git remote 'origin', which LUTHIER_GIT_REMOTE names, does not answer" in said
    away.rename(both.origin)
    both.a.step("validate")
    hook = both.origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    both.a.step("finetune", status=1)  # refused for good
    hook.unlink()
    both.a.step("finetune", status=99)
    both.b.step("finetune", status=99)


@pytest.mark.long
def test_a_step_that_is_done_does_not_fail_for_what_others_left(
    both: Workers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both.a.step("fetch")
    both.origin.rename(both.origin.with_name("away"))
    monkeypatch.setenv("LUTHIER_GIT_REMOTE", "origin")
    assert left.tidy(both.a.root) == []
    assert "worktrees of runs that ended elsewhere stay for now: the git remote 'origin'" in capsys.readouterr().out


@pytest.mark.long
def test_a_run_that_goes_on_elsewhere_does_not_begin_at_a_stale_place(both: Workers) -> None:
    both.a.step("fetch")
    shutil.rmtree(folder_of(both.a.root, slug_of("d/r")))  # the worktree, not the clone
    both.b.step("validate")
    assert "Running stage 'finetune'" in both.a.step("finetune")


@pytest.mark.long
def test_killed_between_the_other_s_branch_and_its_bytes_the_next_attempt_gets_both(both: Workers) -> None:
    both.a.step("fetch")
    both.b.step("validate")
    code = (
        "import os, sys; from pathlib import Path; from tasks.runs import place; from tasks.runs.asked import Asked; "
        "place.dvc = lambda *told: os._exit(9); place.made(Path.cwd(), Asked('d/r'))"
    )
    with pytest.raises(AssertionError, match=": 9\n"):
        call(both.a.root, sys.executable, "-c", code, **both.a.env)
    assert "Running stage 'finetune'" in both.a.step("finetune")


@pytest.mark.long
def test_a_remote_that_git_does_not_know_and_a_dvc_without_one_are_said_so(both: Workers) -> None:
    said = both.a.step("fetch", status=1, LUTHIER_GIT_REMOTE="upstream")
    assert "LUTHIER_GIT_REMOTE is 'upstream', and git's remotes here are: origin." in said
    call(both.a.root, sys.executable, "-m", "dvc", "remote", "remove", "store")
    said = both.a.step("fetch", "d/other", status=1)
    assert "remote" in said and "luthier: workspace:" in said


@pytest.mark.long
def test_a_folder_that_is_named_by_a_relative_path_is_the_same_for_every_run(both: Workers) -> None:
    for worker in (both.a, both.b):
        call(worker.root, sys.executable, "-m", "dvc", "remote", "modify", "--local", "store", "url", "../store")
    both.a.step("fetch")
    assert objects(both.store)
    both.b.step("validate")


MAY_DIFFER = {  # ids and clocks
    "models/training_run.json", "reports/efficiency.json", "reports/evaluation.json", "reports/report.html",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.nightly
def test_a_real_pipeline_alternates_between_two_workers_and_comes_to_what_one_machine_makes(tmp_path: Path) -> None:
    root = small.write(tmp_path / "here")
    both = workers(root, tmp_path, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name in ("toy", "data"):  # what git does not have
        shutil.copytree(root / name, both.a.root / name, dirs_exist_ok=True)
    stages = list(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])
    for number, name in enumerate(stages):
        assert f"Running stage '{name}'" in (both.a, both.b)[number % 2].step(name)
    both.b.step("register")
    places = [folder_of(worker.root, slug_of("d/r")) for worker in (both.a, both.b)]
    assert [place.exists() for place in places] == [True, False]
    both.a.step("fetch", "d/other", status=99)  # the same bytes; and behind it, what is over is removed
    assert not places[0].exists() and folder_of(both.a.root, slug_of("d/other")).exists()
    both.a.step("register")  # the same version, made by the same run
    small.call(root, "dvc", "repro", "--quiet", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'alone.db'}")
    alone = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    made = lock(both.origin)
    assert list(made) == stages
    bytes_of = [
        {out["path"]: out["md5"] for stage in one.values() for out in stage["outs"]} for one in (made, alone)
    ]
    differ = {path for path in bytes_of[0] if bytes_of[0][path] != bytes_of[1][path]}
    assert differ <= MAY_DIFFER
