"""The section `launch` of params.yaml: where stages of a run are done. No stage depends on it: no result changes.

    launch = declared(project)         # None: a params.yaml from before there was one, so here
    launch.where("finetune")           # local, kubernetes or sagemaker

The environment LUTHIER_LAUNCHER=local overrides it: a job has it, else it would send a job itself.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from tasks.data.secrets import secret_keys
from tasks.errors import ParamsError
from tasks.params import PARAMS, Section, load

SECTION = "launch"
OVERRIDE = "LUTHIER_LAUNCHER"
Launcher = Literal["local", "kubernetes", "sagemaker"]
Stage = Literal["finetune", "predict"]
TRAINING = "finetune"  # the stage that several machines can share
QUANTITY = r"^\d+(\.\d+)?(m|[kMGT]|[KMGT]i)?$"
Quantity = Annotated[str, Field(pattern=QUANTITY)]


class Kubernetes(Section):
    """A Job of a cluster."""

    context: str | None
    """Of the kubeconfig; null: its current one, or the cluster that the worker itself runs in."""
    namespace: str
    service_account: str | None
    """null: the namespace's own, without its token in the pod."""
    secret: str | None
    """A Secret whose keys become environment variables; null: none."""
    user: int = Field(gt=0)
    """Numeric id; 0, root, is refused."""
    cpu: Quantity
    memory: Quantity
    gpus: int = Field(ge=0)
    """nvidia.com/gpu."""
    disk: Quantity
    """For the clone, DVC's cache and checkpoints."""
    shared_memory: Quantity
    """What the processes of a training pass to each other."""
    node_selector: dict[str, str]
    tolerations: list[dict[str, str | int]]
    """As in a pod's spec."""
    keep_h: float = Field(gt=0)
    """Hours that an ended job stays to be looked at."""


class SageMaker(Section):
    """A training job of Amazon SageMaker."""

    region: str | None
    """null: as AWS's own tools find it."""
    role: str | None
    """ARN of the role that a job has: it reads the image and DVC's remote."""
    instance_type: str
    volume_gb: int = Field(gt=0)
    output: str | None
    """s3://bucket/prefix that SageMaker asks for; nothing of ours is written there."""
    secret: str | None
    """A secret of AWS Secrets Manager, a JSON object of environment variables; null: none."""
    subnets: list[str]
    security_groups: list[str]
    tags: dict[str, str]


class Launch(Section):
    """Where stages are done."""

    launcher: Launcher
    stages: list[Stage]
    """Those that are done there; the others by the worker that has the task."""
    nodes: int = Field(default=1, ge=1, le=50)  # a params.yaml from before there were several has none
    """Machines that share the training; each other stage has one. 50: as many logs are listed at once."""
    image: str | None
    """Of a job: Luthier's packages, git, and docker/job.sh as `luthier-job`."""
    git_url: str | None
    """What a job clones; null: the URL of the remote that LUTHIER_GIT_REMOTE names."""
    environment: dict[str, str]
    """Of a job, beside what every job is told; no secrets."""
    poll_s: float = Field(gt=0)
    hours: float = Field(gt=0)
    """A job that takes longer is ended."""
    stuck_s: float = Field(ge=0)
    """Seconds that a job waits for what does not come by itself: an image, a Secret."""
    outage_s: float = Field(ge=0)
    """Seconds that the launcher may not answer before the attempt ends; the job goes on."""
    kubernetes: Kubernetes
    sagemaker: SageMaker

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        if found := next(secret_keys(value), None):
            raise ValueError(
                f"{found} is named like a secret, which params.yaml is no place for: put it into the launcher's secret "
                "(docs/launchers.md)"
            )
        return value

    @model_validator(mode="after")
    def _complete(self) -> "Launch":
        lacks = {
            "kubernetes": {"launch.image": self.image},
            "sagemaker": {
                "launch.image": self.image, "launch.sagemaker.role": self.sagemaker.role,
                "launch.sagemaker.output": self.sagemaker.output,
            },
        }.get(self.launcher, {})  # fmt: skip
        if missing := [name for name, value in lacks.items() if not value]:
            raise ValueError(f"the launcher {self.launcher} needs {' and '.join(missing)} (docs/launchers.md)")
        if self.nodes > 1 and (self.launcher == "local" or TRAINING not in self.stages):
            raise ValueError(
                f"launch.nodes is {self.nodes}, and finetune is done by the worker, which is one machine: set nodes to "
                "1, or have finetune done by kubernetes or sagemaker (launch.launcher, launch.stages)"
            )
        return self

    def machines(self, stage: str) -> int:
        """How many machines share a stage's job."""
        return self.nodes if stage == TRAINING else 1

    def where(self, stage: str) -> Launcher:
        """Where a stage is done.

        Raises:
            ParamsError: LUTHIER_LAUNCHER is something else than local.
        """
        told = os.environ.get(OVERRIDE, "")
        if told not in {"", "local"}:
            raise ParamsError(f"{OVERRIDE} is '{told}': it may say local, or nothing; else launch.launcher counts.")
        return "local" if told or stage not in self.stages else self.launcher


def declared(project: Path) -> Launch | None:
    """What a run's params.yaml says; None where it is from before it said anything.

    Raises:
        ParamsError: the section is not what it should be.
    """
    path = project / PARAMS
    if SECTION not in (yaml.safe_load(path.read_text()) or {}):
        return None
    return load(SECTION, Launch, path)
