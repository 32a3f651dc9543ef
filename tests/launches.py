"""The section `launch` of params.yaml, as tests change it, and places that do jobs: a cluster, an account."""

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import job_sender, kubernetes_api, sagemaker_api

ROOT = Path(__file__).resolve().parent.parent
ROLE = "arn:aws:iam::123456789012:role/luthier-job"
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.job_warm"])
SCRIPT = '#!/bin/sh\nexec sh -c "$SCRIPT" "$@"\n'


def launch(kind: str, **changes: Any) -> dict[str, Any]:
    """The project's own section, made quick, with a launcher."""
    section: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())["launch"]
    section |= {"launcher": kind, "image": "registry.test/luthier@sha256:" + "0" * 64, "poll_s": 0.2, "stuck_s": 1.0, "outage_s": 60}
    section["sagemaker"] |= {"role": ROLE, "output": "s3://bucket/luthier", "region": sagemaker_api.REGION}
    section["kubernetes"] |= {"secret": None}
    for name, value in changes.items():
        section[name] = section[name] | value if isinstance(value, dict) else value
    return section


def image(folder: Path, script: str | None = SCRIPT) -> Path:
    """A folder of commands that stands for an image: `luthier-job` is docker/job.sh, or the script."""
    folder.mkdir(parents=True)
    entry = folder / "luthier-job"
    if script is None:
        shutil.copyfile(ROOT / "docker/job.sh", entry)
    else:
        entry.write_text(script)
    entry.chmod(0o755)
    return folder


@dataclass
class Attempt:
    """A process that sends a job and follows it; forked, for what it imports takes seconds."""

    process: Any
    log: Path

    def text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def said(self, text: str) -> str:
        until(lambda: text in self.text() or not self.process.is_alive())
        assert text in self.text(), self.text()
        return self.text()

    def ended(self, status: int = 0) -> str:
        self.process.join(60)
        assert self.process.exitcode == status, f"{self.process.exitcode}:\n{self.text()}"
        return self.text()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def terminate(self) -> None:
        self.process.terminate()


@dataclass
class Site:
    """A place that does jobs, and how a test talks to it."""

    kind: str
    api: Any
    env: dict[str, str]
    """Of who submits."""
    create: tuple[str, ...]
    """What `fail` calls the request that submits a job."""
    folder: Path
    started: list[Attempt]

    def attempt(self, script: str, **changes: Any) -> Attempt:
        """Begin an attempt whose job runs a script."""
        log = self.folder / f"attempt{len(self.started)}.log"
        told = (self.kind, launch(self.kind, **changes), {"SCRIPT": script}, self.env, str(log))
        process = FORKS.Process(target=job_sender.child, args=told)
        process.start()
        self.started.append(Attempt(process, log))
        return self.started[-1]

    def sent(self, script: str, status: int = 0, **changes: Any) -> str:
        """A whole attempt; what it printed."""
        return self.attempt(script, **changes).ended(status)

    @property
    def submitted(self) -> int:
        """How many jobs there ever were."""
        return len(self.api.submitted)

    def lose_answer(self, times: int = 1) -> None:
        self.api.fail(*self.create, "lost", times)


def until(seen: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


@contextmanager
def site(kind: str, folder: Path, script: str | None = SCRIPT) -> Iterator[Site]:
    """A cluster or an account whose image runs a script, or docker/job.sh if that is None."""
    made = image(folder / "image", script)
    started: list[Attempt] = []
    try:
        if kind == "kubernetes":
            with kubernetes_api.Cluster(folder / "cluster", made) as cluster:
                yield Site(kind, cluster, {"KUBECONFIG": str(cluster.kubeconfig())}, ("POST", "/jobs$"), folder, started)
        else:
            with sagemaker_api.Account(folder / "account", made) as account:
                yield Site(kind, account, account.env(), ("create_training_job",), folder, started)
    finally:
        for attempt in started:
            attempt.kill()
