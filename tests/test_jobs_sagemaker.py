"""A training job of SageMaker: the request that is sent, and what every end of it comes to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto.core.exceptions import ServiceException

from tasks.errors import LuthierError, OutageError
from tasks.jobs.declared import Launch
from tasks.jobs.job import CANCELLED, Order, Seen, TakenError
from tasks.jobs.sagemaker import Account
from tasks.jobs.sagemaker_request import request_of
from tasks.jobs.sagemaker_told import seen_of
from tests import sagemaker_api
from tests.job_sender import order
from tests.launches import ROLE, image, launch, until

ORDER = order({"LUTHIER_RUN": "d/r", "SCRIPT": "echo one; echo two; sleep 60"})
NAME = ORDER.name
RECORDED: dict[str, Any] = {
    "TrainingJobName": "a-run-0a1b2c-finetune-bbbbbbbbbb-1",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {
        "TrainingImage": "registry.test/luthier@sha256:" + "0" * 64, "TrainingInputMode": "File",
        "ContainerEntrypoint": ["luthier-job"], "ContainerArguments": ["finetune"],
    },
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/luthier"},
    "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 100},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
    "Environment": {
        "LUTHIER_RUN": "d/r", "SCRIPT": "echo one; echo two; sleep 60", "LUTHIER_JOB": "a-run-0a1b2c-finetune-bbbbbbbbbb-1",
        "LUTHIER_WORK": "/tmp/luthier",  # noqa: S108
        "LUTHIER_AWS_SECRET": "luthier/job", "AWS_DEFAULT_REGION": "eu-west-1",
    },
    "Tags": [
        {"Key": "luthier:commit", "Value": "b" * 40}, {"Key": "luthier:number", "Value": "1"}, {"Key": "luthier:run", "Value": "a" * 40},
        {"Key": "luthier:stage", "Value": "finetune"}, {"Key": "team", "Value": "x"},
    ],
    "VpcConfig": {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
}  # fmt: skip


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sagemaker_api.Account]:
    with sagemaker_api.Account(tmp_path / "account", image(tmp_path / "image")) as made:
        for name, value in made.env().items():
            monkeypatch.setenv(name, value)
        yield made


def declared(**changes: Any) -> Launch:
    return Launch.model_validate(launch("sagemaker", **changes))


def test_the_request_is_the_recorded_one_and_of_the_shape_that_the_api_declares() -> None:
    asked = {"secret": "luthier/job", "subnets": ["subnet-1"], "security_groups": ["sg-1"], "tags": {"team": "x"}}
    request = request_of(ORDER, declared(sagemaker=asked))
    assert request == RECORDED
    jobs = boto3.client("sagemaker", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")  # noqa: S106
    with Stubber(jobs) as stub:  # botocore's own model of the API judges both
        stub.add_response("create_training_job", {"TrainingJobArn": "arn:aws:sagemaker:eu-west-1:123456789012:training-job/x"}, RECORDED)
        jobs.create_training_job(**request)


def test_several_machines_are_asked_for_and_told_where_sagemaker_lists_them() -> None:
    one, three = (request_of(ORDER, declared(nodes=nodes)) for nodes in (1, 3))
    assert three["ResourceConfig"].pop("InstanceCount") == 3 and one["ResourceConfig"].pop("InstanceCount") == 1
    assert three["Environment"].pop("LUTHIER_HOSTS") == "/opt/ml/input/config/resourceconfig.json"
    assert three == one


@pytest.mark.long
def test_the_machines_of_a_job_have_a_log_each_and_the_first_that_fails_ends_all(api: sagemaker_api.Account) -> None:
    there = Account(declared(nodes=3))
    script = "grep -o 'current_host[^,]*' $LUTHIER_HOSTS; grep -q 'current_host.*0.2.,' $LUTHIER_HOSTS && sleep 1 && exit 75; exec sleep 60"
    there.submit(order({"SCRIPT": script}))
    read = []
    until(lambda: read.extend(there.read(NAME, None)) or len(read) == 3)
    assert sorted(read) == [f'current_host": "127.0.0.{number}"' for number in (1, 2, 3)]
    until(lambda: there.look(NAME).phase == "ended")
    assert there.look(NAME).status == 75 and all(process.poll() is not None for process in api.processes[NAME])


def test_a_job_is_found_by_tags_that_no_other_run_has(api: sagemaker_api.Account) -> None:
    there = Account(declared())
    there.submit(ORDER)
    with pytest.raises(TakenError):
        there.submit(ORDER)
    other = Order("c" * 40, ORDER.slug, ORDER.stage, "d" * 40, 1, {"SCRIPT": "exit 0"})
    there.submit(other)
    assert [job.name for job in there.find(ORDER)] == [NAME] and [job.name for job in there.find(other)] == [other.name]
    assert there.job("nothing") is None and there.look("nothing").phase == "gone"


def test_a_log_is_read_on_from_where_it_was_read_to(api: sagemaker_api.Account) -> None:
    there = Account(declared())
    assert there.read(NAME, None) == []  # there is no stream yet
    go = api.folder / "go"
    there.submit(order({"SCRIPT": f"seq 30; until [ -e {go} ]; do sleep 0.1; done; echo more"}))
    read = []
    until(lambda: read.extend(there.read(NAME, None)) or len(read) == 30)
    assert read == [str(number) for number in range(1, 31)] and there.read(NAME, None) == []
    assert Account(declared()).read(NAME, 5) == ["26", "27", "28", "29", "30"]
    go.touch()
    until(lambda: there.look(NAME).phase == "ended")
    assert there.read(NAME, None) == ["more"]


def test_a_cancelled_job_is_marked_before_it_is_stopped(api: sagemaker_api.Account) -> None:
    there = Account(declared())
    there.submit(ORDER)
    until(lambda: there.look(NAME).phase == "running")
    api.fail("stop_training_job", "refused")
    with pytest.raises(OutageError):
        there.cancel(NAME)
    (job,) = there.find(ORDER)
    assert job.mark == CANCELLED and not job.ended  # so that the next attempt stops it
    there.cancel(NAME)
    until(lambda: there.look(NAME).phase == "ended")
    there.cancel(NAME)  # a no-op


def test_a_job_that_waits_for_a_machine_says_so(api: sagemaker_api.Account) -> None:
    api.held = True
    there = Account(declared())
    there.submit(ORDER)
    assert there.look(NAME) == Seen("waiting", "Starting: Preparing the instances for training")
    api.held = False


ENDS = {
    "AlgorithmError: , exit code: 75": (75, ""),
    "AlgorithmError: Exit Code: 139": (75, ""),
    "AlgorithmError: , exit code: 99": (99, ""),
    "AlgorithmError: , exit code: 3": (1, ""),
    "AlgorithmError: , exit code: 127": (1, "needs docker/job.sh"),
    "CapacityError: Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity": (75, "could not do it now"),
    "InternalServerError: We encountered an internal error. Please try again.": (75, "could not do it now"),
    "ClientError: Cannot pull image": (1, "SageMaker says: ClientError: Cannot pull image"),
}


@pytest.mark.parametrize("reason", ENDS)
def test_why_a_job_failed_is_what_the_attempt_exits_with(reason: str) -> None:
    seen = seen_of({"TrainingJobStatus": "Failed", "FailureReason": reason}, 24)
    assert seen.status == ENDS[reason][0] and ENDS[reason][1] in seen.told


def test_a_job_that_took_too_long_is_told_from_one_that_somebody_stopped() -> None:
    late = seen_of({"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}, 2)
    assert "longer than 2 hours" in late.told and late.status == 1
    assert "Somebody stopped it" in seen_of({"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped"}, 2).told


REFUSED = {
    "ResourceLimitExceeded": "ask for more in Service Quotas",
    "AccessDeniedException": "docs/launchers.md lists what the worker's role needs",
    "ExpiredTokenException": "sign in again",
    "ValidationException": "look at launch.sagemaker in params.yaml",
}


@pytest.mark.filterwarnings("ignore:Exception:UserWarning")  # moto's own, of codes that every AWS service has
@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_is_a_sentence_that_says_what_to_do(code: str, api: sagemaker_api.Account) -> None:
    api.refuse["create_training_job"] = type(code, (ServiceException,), {"code": code})("no such thing today")
    with pytest.raises(LuthierError, match=REFUSED[code]) as caught:
        Account(declared()).submit(ORDER)
    assert "no such thing today" in str(caught.value) and not isinstance(caught.value, OutageError)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Exception:UserWarning")
def test_throttling_may_be_over_later(api: sagemaker_api.Account) -> None:
    api.refuse["describe_training_job"] = type("Throttled", (ServiceException,), {"code": "ThrottlingException"})("Rate exceeded")
    with pytest.raises(OutageError, match="Rate exceeded"):
        Account(declared()).look(NAME)


@pytest.mark.long
def test_an_account_that_cannot_be_reached_or_that_nobody_named_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sagemaker_api.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OutageError):
        Account(declared()).find(ORDER)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    with pytest.raises(LuthierError, match=r"set launch\.sagemaker\.region"):
        Account(declared(sagemaker={"region": None}))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(LuthierError, match="AWS has no credentials here"):
        Account(declared()).find(ORDER)
