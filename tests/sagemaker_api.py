"""SageMaker and CloudWatch Logs by moto's server, and what moto leaves out: that a training job runs, stops, and is one.

with Account(folder, image=bin_folder) as account:
    os.environ |= account.env()
    account.fail("create_training_job", "lost")

moto calls every training job completed at once, takes a name twice and knows no StopTrainingJob. Here a job's container
is a process with the environment of its request, its lines go to CloudWatch, and its end is told as SageMaker tells it.
The machines that share a job are addresses of the loopback, which each finds in a file as SageMaker writes it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import moto.sagemaker.responses as served
from botocore.exceptions import BotoCoreError
from moto.core.responses import EmptyResult
from moto.sagemaker.exceptions import ResourceInUseException, ValidationError
from moto.sagemaker.models import FakeTrainingJob, sagemaker_backends
from moto.server import ThreadedMotoServer

from tasks.jobs.hosts import FILE
from tasks.jobs.sagemaker_request import WORK

REGION, NUMBER, LOGS = "eu-west-1", "123456789012", "/aws/sagemaker/TrainingJobs"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": REGION}
GRACE_S = 120  # from SIGTERM to SIGKILL


@dataclass
class Fault:
    """What goes wrong with the next so many calls: `lost` (done, then an error of the server) or `refused` (not done)."""

    action: str
    kind: str
    times: int


class Account:
    """An AWS account with one region."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder, self.image = folder, image
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.submitted: list[dict[str, Any]] = []
        """Every request that made a job."""
        self.faults: list[Fault] = []
        self.processes: dict[str, list[subprocess.Popen[str]]] = {}
        """By job: one for each machine."""
        self.held = self.closed = False
        """The next jobs wait for a machine until this is False."""
        self.refuse: dict[str, Any] = {}
        """By action: an exception that it is answered with."""
        self._before: dict[str, Any] = {}

    def __enter__(self) -> "Account":
        self.folder.mkdir(parents=True, exist_ok=True)
        sagemaker_backends.reset()
        kind = served.SageMakerResponse
        ours = {"create_training_job": _created, "stop_training_job": _stopped, "describe_training_job": None, "list_training_jobs": None, "add_tags": None}
        for name, made in ours.items():
            self._before[name] = getattr(kind, name, None)
            setattr(kind, name, _faulty(self, name, made or _plain(self._before[name])))
        self.server.start()
        self.port = self.server.get_host_and_port()[1]
        self.logs = boto3.client("logs", endpoint_url=self.url, region_name=REGION, aws_access_key_id="testing", aws_secret_access_key="testing")  # noqa: S106
        with suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_group(logGroupName=LOGS)
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True
        for processes in self.processes.values():
            for process in processes:
                _end(process, 0.0)
        with suppress(RuntimeError):
            self.server.stop()
        for name, before in self._before.items():
            if before is None:
                delattr(served.SageMakerResponse, name)
            else:
                setattr(served.SageMakerResponse, name, before)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def env(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def fail(self, action: str, kind: str, times: int = 1) -> None:
        self.faults.append(Fault(action, kind, times))

    def jobs(self) -> dict[str, FakeTrainingJob]:
        jobs: dict[str, FakeTrainingJob] = sagemaker_backends[NUMBER][REGION].training_jobs
        return jobs

    def run(self, job: FakeTrainingJob, request: dict[str, Any]) -> None:
        while self.held and not self.closed:
            time.sleep(0.05)
        if self.closed:
            return
        name, count = request["TrainingJobName"], request["ResourceConfig"]["InstanceCount"]
        if job.training_job_status == "Stopping":
            _conclude(job, "Stopped", "Stopped")
            return
        processes = self.processes[name] = [self._start(request, number, count) for number in range(1, count + 1)]
        job.secondary_status = "Training"
        readers = [threading.Thread(target=self._read, args=(name, number, one), daemon=True) for number, one in enumerate(processes, start=1)]
        for reader in readers:
            reader.start()
        while any(process.poll() is None for process in processes) and not any(process.poll() for process in processes):
            time.sleep(0.05)
        code = next((process.returncode for process in processes if process.returncode), 0)
        for process in processes:  # of several, the first that fails ends all
            if process.poll() is None:
                _end(process, GRACE_S)
        for reader in readers:
            reader.join()
        if job.training_job_status == "Stopping":
            _conclude(job, "Stopped", "Stopped")
        elif code == 0:
            _conclude(job, "Completed", "Completed")
        else:
            job.failure_reason = f"AlgorithmError: , exit code: {code if code > 0 else 128 - code}"
            _conclude(job, "Failed", "Failed")

    def _start(self, request: dict[str, Any], number: int, count: int) -> subprocess.Popen[str]:
        asked, where = request["AlgorithmSpecification"], self.folder / request["TrainingJobName"] / str(number)
        where.mkdir(parents=True)
        hosts = [f"127.0.0.{other}" for other in range(1, count + 1)]
        config = where / "resourceconfig.json"
        config.write_text(json.dumps({"current_host": hosts[number - 1], "hosts": hosts, "network_interface_name": "lo"}))
        given = {key: value.replace(WORK, str(where / "work")).replace(FILE, str(config)) for key, value in request.get("Environment", {}).items()}
        given |= {**self.env(), "PATH": f"{self.image}:{Path(sys.executable).parent}:/usr/bin:/bin"}
        return subprocess.Popen(
            [*asked["ContainerEntrypoint"], *asked["ContainerArguments"]], env=given, cwd=where, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, executable=str(self.image / asked["ContainerEntrypoint"][0]),
        )  # fmt: skip

    def _read(self, name: str, number: int, process: subprocess.Popen[str]) -> None:
        """Bring the lines of a machine to CloudWatch."""
        stream = f"{name}/algo-{number}-1234567890"
        with suppress(BotoCoreError):  # the test is over
            self.logs.create_log_stream(logGroupName=LOGS, logStreamName=stream)
        for line in process.stdout or ():
            if self.closed:
                break
            events = [{"timestamp": round(time.time() * 1000), "message": line.rstrip() or " "}]
            self.logs.put_log_events(logGroupName=LOGS, logStreamName=stream, logEvents=events)


def _conclude(job: FakeTrainingJob, status: str, detail: str) -> None:
    job.secondary_status, job.training_job_status = detail, status


def _plain(method: Any) -> Any:
    return lambda _account, response: method(response)


def _faulty(account: Account, action: str, method: Any) -> Any:
    def answered(response: Any) -> Any:
        if action in account.refuse:
            raise account.refuse[action]
        fault = next((one for one in account.faults if one.times and one.action == action), None)
        if fault is None:
            return method(account, response)
        fault.times -= 1
        if fault.kind == "lost":
            method(account, response)
        raise RuntimeError("forced by the test")  # moto answers it with 500

    return answered


def _created(account: Account, response: Any) -> Any:
    request = response._get_params()
    if request["TrainingJobName"] in account.jobs():
        raise ResourceInUseException(message="Training job names must be unique within an AWS account and region.")
    answer = account._before["create_training_job"](response)
    job = account.jobs()[request["TrainingJobName"]]
    _conclude(job, "InProgress", "Starting")
    account.submitted.append(request)
    threading.Thread(target=account.run, args=(job, request), daemon=True).start()
    return answer


def _stopped(account: Account, response: Any) -> Any:
    name = response._get_param("TrainingJobName")
    job = account.jobs()[name]
    if job.training_job_status not in {"InProgress", "Stopping"}:
        raise ValidationError(message=f"The request was rejected because the training job is in status {job.training_job_status}.")
    _conclude(job, "Stopping", "Stopping")
    for process in account.processes.get(name, []):
        threading.Thread(target=_end, args=(process, GRACE_S), daemon=True).start()
    return EmptyResult()


def _end(process: subprocess.Popen[str], grace_s: float) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
