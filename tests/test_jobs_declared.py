"""What params.yaml says of jobs, what they are named and told, and what is refused before anything is submitted."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from tasks.errors import ParamsError
from tasks.jobs.declared import Launch, declared
from tasks.jobs.elsewhere import chosen
from tasks.jobs.job import Order
from tasks.jobs.told import environment
from tasks.runs.asked import Asked
from tests.launches import ROOT, launch
from tests.workspaces import call, write

RUN = Asked("d/r")


def project(tmp_path: Path, section: dict[str, Any]) -> Path:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"launch": section}))
    return tmp_path


def test_the_project_s_own_section_is_whole_and_says_local() -> None:
    mine = declared(ROOT)
    assert mine and mine.launcher == "local" and chosen(ROOT, "finetune") is None


def test_params_from_before_there_was_a_section_are_done_here(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("finetune: {seed: 1}\n")
    assert declared(tmp_path) is None and chosen(tmp_path, "finetune", whole=True) is None


def test_only_the_named_stages_are_done_elsewhere_and_the_environment_can_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUTHIER_LAUNCHER", raising=False)
    place = project(tmp_path, launch("kubernetes", stages=["finetune"]))
    assert chosen(place, "finetune") and chosen(place, "predict") is None and chosen(place, "expand") is None
    with pytest.raises(ParamsError, match="--all does every stage here"):
        chosen(place, "evaluate", whole=True)
    monkeypatch.setenv("LUTHIER_LAUNCHER", "local")
    assert chosen(place, "finetune") is None and chosen(place, "evaluate", whole=True) is None
    monkeypatch.setenv("LUTHIER_LAUNCHER", "kubernetes")
    with pytest.raises(ParamsError, match="it may say local, or nothing"):
        chosen(place, "finetune")


@pytest.mark.parametrize(("kind", "changes", "said"), [
    ("kubernetes", {"image": None}, "the launcher kubernetes needs launch.image"),
    ("sagemaker", {"sagemaker": {"role": None}}, "the launcher sagemaker needs launch.sagemaker.role"),
    ("sagemaker", {"sagemaker": {"output": None}}, "needs launch.sagemaker.output"),
    ("kubernetes", {"kubernetes": {"user": 0}}, "launch.kubernetes.user"),
    ("kubernetes", {"kubernetes": {"memory": "16 gigabytes"}}, "launch.kubernetes.memory"),
    ("kubernetes", {"environment": {"GIT_TOKEN": "x"}}, "GIT_TOKEN is named like a secret"),
    ("kubernetes", {"stages": ["expand"]}, "launch.stages"),
    ("slurm", {}, "launch.launcher"),
    ("kubernetes", {"nodes": 0}, "launch.nodes"),
    ("kubernetes", {"nodes": 51}, "launch.nodes"),
    ("local", {"nodes": 2}, "launch.nodes is 2, and finetune is done by the worker, which is one machine"),
    ("kubernetes", {"nodes": 2, "stages": ["predict"]}, "launch.nodes is 2, and finetune is done by the worker"),
])  # fmt: skip
def test_what_a_launcher_cannot_do_without_is_asked_for_by_name(kind: str, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=re.escape(said)):
        declared(project(tmp_path, launch(kind, **changes)))


def test_several_machines_share_a_training_and_no_other_stage(tmp_path: Path) -> None:
    section = launch("kubernetes", nodes=3)
    assert [Launch.model_validate(section).machines(stage) for stage in ("finetune", "predict")] == [3, 1]
    del section["nodes"]  # as before there were several
    assert Launch.model_validate(section).machines("finetune") == 1


@pytest.mark.parametrize("stage", ["finetune", "predict"])
@pytest.mark.parametrize("number", [1, 99, 9999])
def test_a_name_is_one_that_both_launchers_take_and_says_which_run_it_is_of(stage: str, number: int) -> None:
    slug = "scheduled-2026-11-26-030000-of-a-very-long-dag-na-0a1b2c"
    name = Order("a" * 40, slug, stage, "b" * 40, number, {}).name
    assert re.fullmatch(r"[a-z0-9](-*[a-z0-9]){0,62}", name) and len(f"{name}-49") <= 63  # the last of its machines
    assert name.startswith("scheduled-2026-11-26-0300") and name.endswith(f"-{stage}-bbbbbbbbbb-{number}")


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project with all that a job needs."""
    root = write(tmp_path / "here")
    call(root, "git", "remote", "add", "origin", "https://git.test/team/project.git")
    (root / ".dvc/config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = s3://bucket/dvc\n    region = eu-west-1\n    verify = true\n")
    monkeypatch.setenv("LUTHIER_GIT_REMOTE", "origin")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.test")
    return root


def told(root: Path, **changes: Any) -> dict[str, str]:
    return environment(Launch.model_validate(launch("kubernetes", **changes)), root, root, RUN)


def test_a_job_is_told_where_everything_is_and_no_secret(ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert told(ready, environment={"AWS_ENDPOINT_URL": "http://s3.test"}) == {
        "LUTHIER_RUN": "d/r", "LUTHIER_BRANCH": RUN.branch, "LUTHIER_FOLDER": "", "LUTHIER_LAUNCHER": "local",
        "LUTHIER_GIT_URL": "https://git.test/team/project.git", "LUTHIER_GIT_REMOTE": "origin",
        "LUTHIER_DVC_REMOTE": "store", "LUTHIER_DVC_URL": "s3://bucket/dvc", "LUTHIER_DVC_REGION": "eu-west-1",
        "MLFLOW_TRACKING_URI": "https://mlflow.test", "AWS_ENDPOINT_URL": "http://s3.test", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def test_a_remote_of_this_machine_s_own_settings_is_told_too(ready: Path) -> None:
    (ready / ".dvc/config.local").write_text("['remote \"store\"']\n    url = s3://other/dvc\n    secret_access_key = hidden\n")
    assert told(ready)["LUTHIER_DVC_URL"] == "s3://other/dvc" and "hidden" not in str(told(ready))


LACKS = {
    "no git remote": "set LUTHIER_GIT_REMOTE to a git remote",
    "an unknown git remote": "git's remotes here are: origin",
    "no DVC remote": "of which there is none: 'dvc remote add --default NAME URL'",
    "no verified DVC remote": "'dvc remote modify store verify true'",
    "no MLflow": "MLFLOW_TRACKING_URI is not set",
    "a password in git": "put LUTHIER_GIT_TOKEN into the launcher's secret",
    "a password in MLflow": "put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into the launcher's secret",
}


@pytest.mark.parametrize("what", LACKS)
def test_what_a_job_could_not_do_without_is_refused_in_a_sentence(what: str, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ready / ".dvc/config"
    match what:
        case "no git remote":
            monkeypatch.delenv("LUTHIER_GIT_REMOTE")
        case "an unknown git remote":
            monkeypatch.setenv("LUTHIER_GIT_REMOTE", "upstream")
        case "no DVC remote":
            config.write_text("")
        case "no verified DVC remote":
            config.write_text(config.read_text().replace("verify = true", "verify = false"))
        case "no MLflow":
            monkeypatch.delenv("MLFLOW_TRACKING_URI")
        case "a password in git":
            call(ready, "git", "remote", "set-url", "origin", "https://me:secret@git.test/project.git")
        case "a password in MLflow":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@mlflow.test")
    with pytest.raises(ParamsError, match=re.escape(LACKS[what])) as caught:
        told(ready)
    assert "secret@" not in str(caught.value)


def test_the_section_is_refused_by_its_class_alone_too() -> None:
    with pytest.raises(ValidationError):
        Launch.model_validate(launch("kubernetes", image=None))
