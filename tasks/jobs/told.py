"""What a job is told, in its environment: everything that a worker elsewhere needs, and no secret.

Secrets are the launcher's to give (a Secret of the cluster, a role, AWS Secrets Manager): what stands in a pod's or a
training job's description is read by everybody who may look at jobs. Refused before anything is submitted: what a job
could not do without.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from configobj import ConfigObj

from tasks.chain.git import asked
from tasks.errors import ParamsError
from tasks.jobs.declared import OVERRIDE, Launch
from tasks.runs import shared
from tasks.runs.asked import RUN, Asked

TRACKING = "MLFLOW_TRACKING_URI"
SETTINGS = ("url", "endpointurl", "region")  # of a DVC remote; the rest is in .dvc/config, or is a secret


def environment(launch: Launch, root: Path, project: Path, run: Asked) -> dict[str, str]:
    """The environment of a job for a run, by name.

    Raises:
        ParamsError: the git remote, DVC's remote or MLflow is missing, is of this machine alone, or names a password.
    """
    if not shared.remote():
        raise ParamsError(
            f"launch.launcher is {launch.launcher}, and a job gets the run by git: set {shared.REMOTE} to a git remote "
            "of this checkout that the job can reach (docs/launchers.md), or launch.launcher to local."
        )
    git_url = launch.git_url or asked(root, "remote", "get-url", shared.remote())
    if not git_url:
        known = ", ".join(asked(root, "remote").split()) or "none"
        raise ParamsError(f"{shared.REMOTE} is '{shared.remote()}', and git's remotes here are: {known}.")
    tracking = os.environ.get(TRACKING, "")
    if not tracking:
        raise ParamsError(
            f"{TRACKING} is not set, so this worker notes trainings in a file of its own, which a job cannot reach: "
            "set it to an MLflow server that both can."
        )
    ours = {
        RUN: run.run,
        "LUTHIER_BRANCH": run.branch,
        "LUTHIER_FOLDER": asked(root, "rev-parse", "--show-prefix"),
        "LUTHIER_GIT_URL": git_url,
        shared.REMOTE: "origin",
        OVERRIDE: "local",
        TRACKING: tracking,
        **_dvc(launch, project),
    }
    for name, value in ours.items():
        if _has_password(value):
            raise ParamsError(f"{name} of a job has a password in it: {_how(name)}")
    return {**launch.environment, **ours, "PYTHONUNBUFFERED": "1"}


def _how(name: str) -> str:
    if name == TRACKING:
        return "leave it out, and put MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD into the launcher's secret."
    if name == "LUTHIER_GIT_URL":
        return "set launch.git_url to the URL without it, and put LUTHIER_GIT_TOKEN into the launcher's secret."
    return "leave it out, and put it into the launcher's secret."


def _has_password(value: str) -> bool:
    try:
        return "://" in value and bool(urlsplit(value).password)
    except ValueError:
        return False


def _dvc(launch: Launch, project: Path) -> dict[str, str]:
    """DVC's remote, as the run and this worker have it.

    Raises:
        ParamsError: there is none, or what comes from it is not checked.
    """
    settings: Any = ConfigObj(str(project / ".dvc/config"), list_values=False)
    settings.merge(ConfigObj(str(project / ".dvc/config.local"), list_values=False))
    name = settings.get("core", {}).get("remote", "")
    remote: Mapping[str, str] = settings.get(f'remote "{name}"') or {}
    if not name or not remote.get("url"):
        raise ParamsError(
            f"launch.launcher is {launch.launcher}, and a job hands its outputs over by DVC's remote, of which there "
            "is none: 'dvc remote add --default NAME URL', with a URL that the job can reach."
        )
    if remote.get("verify", "").lower() != "true":
        raise ParamsError(
            f"DVC's remote '{name}' is not verified, and outputs that are made elsewhere have to be: "
            f"'dvc remote modify {name} verify true', and commit .dvc/config."
        )
    given = {f"LUTHIER_DVC_{key.upper()}": remote[key] for key in SETTINGS if remote.get(key)}
    return {"LUTHIER_DVC_REMOTE": name, **given}
