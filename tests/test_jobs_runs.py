"""Stages of a run that jobs do, with nothing shared but a bare git repository and DVC's remote: docker/job.sh as it is."""

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.session import get_session

from tasks.runs.asked import slug_of
from tasks.workspace import folder_of
from tests import kubernetes_api, small, toys
from tests.launches import ROOT, Site, launch, site, until
from tests.test_hand_over import BRANCH, MAY_DIFFER, lock
from tests.workers import Workers, flip, objects, workers
from tests.workspaces import call, commit, ended, write

pytestmark = pytest.mark.service
SECRET = "a-token-that-nobody-may-see"  # noqa: S105


def with_launch(root: Path, kind: str) -> Path:
    """A toy project whose finetune is done elsewhere."""
    section = launch(kind, **{kind: {"secret": "luthier-job"}})
    (root / "params.yaml").open("a").write(yaml.safe_dump({"launch": section}))
    commit(root, "done elsewhere")
    return root


@pytest.fixture(params=["kubernetes", "sagemaker"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    with site(request.param, tmp_path / "site", None) as made:
        secret = {"LUTHIER_GIT_TOKEN": SECRET, "GIT_TRACE": str(tmp_path / "trace")}  # git of the job says what it is called for
        if made.kind == "kubernetes":
            made.api.secrets["luthier-job"] = secret
        else:
            vault = get_session().create_client("secretsmanager", endpoint_url=made.api.url, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106
            vault.create_secret(Name="luthier-job", SecretString=json.dumps(secret))
        yield made


@pytest.fixture
def both(there: Site, tmp_path: Path) -> Workers:
    """Two workers of a run, of which one has done fetch and validate."""
    root = with_launch(write(tmp_path / "here"), there.kind)
    env = {**there.env, "MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "LUTHIER_LAUNCHER": ""}
    made = workers(root, tmp_path, **env)
    shutil.copytree(root / "given", made.a.root / "given")
    made.a.step("validate --all", LUTHIER_LAUNCHER="local")
    return made


def alone(both: Workers, where: Path) -> dict[str, Any]:
    """What dvc.lock says where one machine does all of it."""
    call(where, "git", "clone", "--quiet", str(both.origin), "alone")
    shutil.copytree(both.a.root / "given", where / "alone/given")
    call(where / "alone", sys.executable, "-m", "dvc", "repro", "--quiet")
    stages: dict[str, Any] = yaml.safe_load((where / "alone/dvc.lock").read_text())["stages"]
    return stages


@pytest.mark.long
def test_a_job_does_a_stage_and_the_result_is_that_of_one_machine(there: Site, both: Workers, tmp_path: Path) -> None:
    said = both.a.step("finetune")
    assert "Running stage 'finetune'" in said and "finetune is taken over" in said and SECRET not in said
    assert (folder_of(both.a.root, slug_of("d/r")) / "models/tuned.json").is_file()
    assert lock(both.origin) == lock(both.a.root) == alone(both, tmp_path)
    assert SECRET not in json.dumps(there.api.submitted)
    trace = (tmp_path / "trace").read_text()  # so the job had the secret
    assert "clone" in trace and SECRET not in trace
    both.b.step("finetune", status=99)  # nothing to do, so no job
    assert there.submitted == 1


TWO = {"launch.nodes": 2}


@pytest.mark.long
def test_two_machines_share_a_stage_and_the_first_alone_hands_it_over(there: Site, both: Workers, tmp_path: Path) -> None:
    both.a.step("validate --all", run="d/two", sets=TWO, LUTHIER_LAUNCHER="local")
    before = set(objects(both.store))
    said = both.a.step("finetune", run="d/two")
    assert "Running stage 'finetune'" in said and "finetune is taken over" in said and SECRET not in said
    assert said.count("workspace .luthier/runs/") == 3  # of the task, and of two machines
    branch = f"runs/{slug_of('d/two')}"
    assert yaml.safe_load(call(both.origin, "git", "show", f"{branch}:dvc.lock"))["stages"] == alone(both, tmp_path)
    assert call(both.origin, "git", "log", "--format=%s", branch).count("finetune is done") == 1
    assert len(set(objects(both.store)) - before) == 1
    assert there.submitted == 1


@pytest.mark.long
def test_a_stage_that_is_done_when_its_machines_begin_is_skipped_and_none_waits(there: Site, both: Workers) -> None:
    both.a.step("validate --all", run="d/two", sets=TWO, LUTHIER_LAUNCHER="local")
    if there.kind == "kubernetes":
        there.api.waits = {"phase": "Pending", "conditions": []}
    else:
        there.api.held = True
    attempt = both.a.started("finetune", run="d/two")
    until(lambda: there.submitted)
    both.b.step("finetune", run="d/two", LUTHIER_LAUNCHER="local")
    there.api.waits, there.api.held = None, False
    assert "Stage 'finetune' didn't change" in ended(attempt, 99)
    assert there.submitted == 1


@pytest.mark.long
def test_killed_with_its_job_under_way_another_worker_takes_what_that_made(there: Site, both: Workers) -> None:
    attempt = both.a.started("finetune")
    until(lambda: there.submitted)
    attempt.kill()
    attempt.wait()
    assert "goes on with job" in both.b.step("finetune")
    both.a.step("finetune", status=99)
    assert there.submitted == 1


ON_KUBERNETES = pytest.mark.parametrize("there", ["kubernetes"], indirect=True)  # what follows is of no launcher


@pytest.mark.long
@ON_KUBERNETES
def test_bytes_that_were_changed_on_their_way_are_not_taken(there: Site, both: Workers) -> None:
    before = set(objects(both.store))
    attempt = both.a.started("finetune")
    until(lambda: there.submitted)
    attempt.kill()
    attempt.wait()
    made = until(lambda: set(objects(both.store)) - before)
    until(lambda: "finetune" in lock(both.origin))
    for path in made:
        flip(path)
    said = both.b.step("finetune", status=1)
    assert "models/tuned.json is not there with the bytes that dvc.lock names" in said


@pytest.mark.long
@ON_KUBERNETES
def test_what_a_job_needs_is_asked_for_before_it_is_submitted(there: Site, both: Workers) -> None:
    assert "LUTHIER_GIT_REMOTE" in both.a.step("finetune", status=1, LUTHIER_GIT_REMOTE="")
    assert "MLFLOW_TRACKING_URI is not set" in both.a.step("finetune", status=1, MLFLOW_TRACKING_URI="")
    assert "--all does every stage here" in both.a.step("finetune --all", status=1)
    assert there.submitted == 0
    assert "Running stage 'finetune'" in both.a.step("finetune", LUTHIER_LAUNCHER="local")
    assert there.submitted == 0


class Doorman(BaseHTTPRequestHandler):
    """Lets nobody in, and remembers who asked."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.long
def test_a_token_reaches_git_and_no_output_and_a_repository_that_lets_nobody_in_is_an_outage(tmp_path: Path) -> None:
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Doorman,), {"asked": asked}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = {
        "LUTHIER_WORK": str(tmp_path / "work"), "LUTHIER_GIT_URL": f"http://127.0.0.1:{server.server_port}/team/project.git",
        "LUTHIER_BRANCH": "runs/x", "LUTHIER_GIT_TOKEN": SECRET, "PATH": "/usr/bin:/bin", "no_proxy": "*",
    }  # fmt: skip
    done = subprocess.run(["sh", str(ROOT / "docker/job.sh"), "finetune"], env=told, capture_output=True, text=True, check=False)
    server.shutdown()
    server.server_close()
    assert done.returncode == 75 and "runs/x of http://127.0.0.1" in done.stderr
    assert "Basic " + base64.b64encode(f"luthier:{SECRET}".encode()).decode() in asked
    assert SECRET not in done.stdout + done.stderr


@contextmanager
def real(root: Path, tmp_path: Path) -> Iterator[tuple[Site, Workers]]:
    """A cluster, and two workers on a small project, whose data the first has."""
    tracking = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    with site("kubernetes", tmp_path / "site", None) as cluster:
        both = workers(root, tmp_path, **tracking, **cluster.env)
        for name in ("toy", "data"):  # what git does not have
            shutil.copytree(root / name, both.a.root / name, dirs_exist_ok=True)
        yield cluster, both


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.nightly
def test_finetune_and_predict_of_a_real_pipeline_by_jobs_come_to_what_one_machine_makes(tmp_path: Path) -> None:
    root = small.write(tmp_path / "here", launch=launch("kubernetes"))
    with real(root, tmp_path) as (cluster, both):
        stages = list(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])
        for name in stages:
            assert f"Running stage '{name}'" in both.a.step(name)
        asked = [body["spec"]["template"]["spec"]["containers"][0]["command"] for body in cluster.api.submitted]
        assert asked == [["luthier-job", "finetune"], ["luthier-job", "predict"]]
        both.a.step("register")
    small.call(root, "dvc", "repro", "--quiet", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'alone.db'}")
    here = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    bytes_of = [
        {out["path"]: out["md5"] for stage in one.values() for out in stage["outs"]} for one in (lock(both.origin), here)
    ]
    assert list(bytes_of[0]) == list(bytes_of[1])
    assert {path for path in bytes_of[0] if bytes_of[0][path] != bytes_of[1][path]} <= MAY_DIFFER
    assert BRANCH in call(both.origin, "git", "branch", "--list", BRANCH)


LONGER = toys.PARAMS["optimizer"] | {"epochs": 30, "learning_rate": 1e-3, "log_every": 1}


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.nightly
def test_a_real_training_by_two_machines_of_which_one_is_lost_and_then_none(tmp_path: Path) -> None:
    root = small.write(tmp_path / "here", launch=launch("kubernetes", nodes=2), finetune={"optimizer": LONGER})
    with real(root, tmp_path) as (cluster, both):
        both.a.step("expand --all", LUTHIER_LAUNCHER="local")
        attempt = both.a.started("finetune")
        until(lambda: list(cluster.api.folder.glob("*/work/project/.luthier/runs/*/.luthier/training/*/step-*")), 300)
        pods = cluster.api.pods_of(cluster.api.submitted[0]["metadata"]["name"])
        cluster.api.lose(pods[1])
        assert "Of its machines, number 1 failed." in ended(attempt, 75)
        assert not [process for pod in pods for process in kubernetes_api.processes_of(pod)]
        said = both.a.step("finetune")
        assert "finetune is taken over" in said and cluster.submitted == 2
        there = lock(both.origin)["finetune"]["outs"]
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["finetune"]["processes"] = 2
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    small.call(root, "dvc", "repro", "--quiet", "finetune", MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'alone.db'}")
    here = yaml.safe_load((root / "dvc.lock").read_text())["stages"]["finetune"]["outs"]
    assert [out["path"] for out in there] == [out["path"] for out in here]
    assert {one["path"] for one, other in zip(there, here, strict=True) if one["md5"] != other["md5"]} <= MAY_DIFFER
