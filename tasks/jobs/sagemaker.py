"""Training jobs of Amazon SageMaker, by botocore: submitted, found again, looked at, read, cancelled.

Credentials are botocore's own chain's here, and the role's in a job; secrets are named by their name in AWS Secrets
Manager. What both roles may do is docs/launchers.md. A name is used up for ever: a job cannot be removed.
Truth: botocore 1.43, whose clients boto3's are; SageMaker's API reference, CreateTrainingJob and DescribeTrainingJob;
CloudWatch Logs.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)
from botocore.session import get_session  # type: ignore[import-untyped]

from tasks.errors import LuthierError, OutageError
from tasks.jobs.declared import Launch
from tasks.jobs.job import CANCELLED, Job, Order, Seen, TakenError
from tasks.jobs.sagemaker_request import COMMIT, MARK, NUMBER, RUN, STAGE, request_of
from tasks.jobs.sagemaker_told import ENDED, seen_of

LOGS = "/aws/sagemaker/TrainingJobs"
PATIENT = Config(connect_timeout=5, read_timeout=30, retries={"mode": "standard", "max_attempts": 3})
HASTY = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1})  # two calls before Airflow kills
LATER = re.compile(r"Throttl|TooManyRequests|RequestLimit|InternalFailure|InternalServer|ServiceUnavailable|Timeout")
ABSENT = re.compile(r"not find|not found|does not exist", re.IGNORECASE)


class Account:
    """A `tasks.jobs.job.Launcher`; follows one job at a time."""

    def __init__(self, launch: Launch) -> None:
        """Raises: LuthierError: there is no region."""
        self._launch = launch
        session, region = get_session(), launch.sagemaker.region
        try:
            self._jobs = session.create_client("sagemaker", region_name=region, config=PATIENT)
            self._hasty = session.create_client("sagemaker", region_name=region, config=HASTY)
            self._logs = session.create_client("logs", region_name=region, config=PATIENT)
        except NoRegionError:
            raise LuthierError("AWS has no region here: set launch.sagemaker.region, or AWS_DEFAULT_REGION.") from None
        self._arns: dict[str, str] = {}
        self._read_to: dict[str, str] = {}

    def find(self, order: Order) -> list[Job]:
        """By name, which says run and stage, and then by tags, which no two runs share."""
        found = [one for one in self._listed(order.work) if one["TrainingJobName"].startswith(order.work)]
        jobs = []
        for one in sorted(found, key=lambda one: one["CreationTime"]):
            tags = self._tags(one["TrainingJobArn"])
            if tags.get(RUN) == order.run and tags.get(STAGE) == order.stage:
                self._arns[one["TrainingJobName"]] = one["TrainingJobArn"]
                jobs.append(_job(one["TrainingJobName"], one["TrainingJobStatus"], tags))
        return jobs

    def _listed(self, part: str) -> Iterator[dict[str, Any]]:
        told: dict[str, Any] = {"NameContains": part, "SortBy": "CreationTime", "SortOrder": "Descending"}
        while True:
            page = _ask(lambda: self._jobs.list_training_jobs(**told))
            yield from page["TrainingJobSummaries"]
            if not page.get("NextToken"):
                return
            told["NextToken"] = page["NextToken"]

    def _tags(self, arn: str) -> dict[str, str]:
        """The last of each name counts."""
        answer = _ask(lambda: self._jobs.list_tags(ResourceArn=arn, MaxResults=100))
        return {tag["Key"]: tag["Value"] for tag in answer["Tags"]}

    def submit(self, order: Order) -> None:
        """Create it."""
        try:
            answer = _ask(lambda: self._jobs.create_training_job(**request_of(order, self._launch)))
        except _RefusedError as error:
            if error.code == "ResourceInUse":
                raise TakenError(f"there is a training job {order.name} already.") from None
            raise
        self._arns[order.name] = answer["TrainingJobArn"]

    def job(self, name: str) -> Job | None:
        """Describe it, with its tags."""
        found = self._described(name)
        return _job(name, found["TrainingJobStatus"], self._tags(found["TrainingJobArn"])) if found else None

    def _described(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = _ask(lambda: self._jobs.describe_training_job(TrainingJobName=name))
        except _RefusedError as error:
            if error.code in {"ValidationException", "ResourceNotFound"} and ABSENT.search(str(error)):
                return None
            raise
        self._arns[name] = found["TrainingJobArn"]
        return found

    def look(self, name: str) -> Seen:
        """What its description comes to."""
        found = self._described(name)
        return seen_of(found, self._launch.hours) if found else Seen("gone", "There is no such training job.")

    def read(self, name: str, last: int | None) -> list[str]:
        """Each stream from where it was read to."""
        lines = []
        for stream in self._streams(name):
            lines += self._events(stream, last)
        return lines

    def _streams(self, name: str) -> list[str]:
        """Of its machines; none before the first line."""
        try:
            found = _ask(
                lambda: self._logs.describe_log_streams(logGroupName=LOGS, logStreamNamePrefix=f"{name}/")
            )["logStreams"]
        except _RefusedError as error:
            if error.code == "ResourceNotFoundException":
                return []
            raise
        return sorted(one["logStreamName"] for one in found)

    def _events(self, stream: str, last: int | None) -> list[str]:
        lines = []
        while True:
            token = self._read_to.get(stream)
            how: dict[str, Any] = {"startFromHead": last is None, "limit": last or 10000}
            how = {"startFromHead": True, "nextToken": token} if token else how
            asked = {"logGroupName": LOGS, "logStreamName": stream, **how}
            page = _ask(lambda: self._logs.get_log_events(**asked))  # noqa: B023
            lines += [str(event["message"]).rstrip("\n") for event in page["events"]]
            self._read_to[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token or not page["events"]:  # its end for now
                return lines

    def mark(self, name: str, text: str) -> None:
        """By a tag, which another one of that name replaces."""
        self._tag(self._jobs, name, text)

    def _tag(self, asked: Any, name: str, text: str) -> None:
        if name not in self._arns and self._described(name) is None:
            return
        _ask(lambda: asked.add_tags(ResourceArn=self._arns[name], Tags=[{"Key": MARK, "Value": text}]))

    def cancel(self, name: str) -> None:
        """Note that it counts no more, then stop it; it has two minutes to end."""
        self._tag(self._hasty, name, CANCELLED)
        try:
            _ask(lambda: self._hasty.stop_training_job(TrainingJobName=name))
        except _RefusedError as error:
            if error.code != "ValidationException":  # it has ended
                raise


class _RefusedError(LuthierError):
    """AWS refused, with this code."""

    code: str = ""


def _ask(call: Callable[[], Any]) -> Any:
    """A call of AWS, its errors as ours."""
    try:
        return call()
    except ClientError as error:
        raise _explained(error) from None
    except NoCredentialsError:
        raise LuthierError(
            "AWS has no credentials here: give the worker a role, or sign in as its own tools do (aws configure sso)."
        ) from None
    except ParamValidationError as error:
        told = " ".join(str(error).split())[:400]
        raise LuthierError(f"no training job can be described so ({told}): see launch in params.yaml.") from None
    except (ConnectionError, HTTPClientError, OSError) as error:
        raise OutageError(f"AWS does not answer ({' '.join(str(error).split())[:200]}).") from None
    except BotoCoreError as error:
        raise LuthierError(f"AWS cannot be asked ({' '.join(str(error).split())[:300]}).") from None


def _explained(error: Any) -> LuthierError:
    """What AWS's answer means for who asked."""
    code, told = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    told = " ".join(str(told).split())[:400].rstrip(".")
    if LATER.search(code) or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return OutageError(f"AWS does not answer as it should ({code}: {told}).")
    what = f"AWS refuses ({code}: {told}): look at launch.sagemaker in params.yaml."
    if code == "ResourceLimitExceeded":
        what = f"AWS's quota allows no such job ({told}): ask for more in Service Quotas, or set another instance_type."
    elif code.startswith(("AccessDenied", "UnauthorizedOperation")):
        what = f"AWS does not allow it ({told}): docs/launchers.md lists what the worker's role needs."
    elif "Token" in code or code in {"InvalidSignatureException", "SignatureDoesNotMatch"}:
        what = f"AWS does not accept the credentials ({code}: {told}): sign in again."
    refused = _RefusedError(what)
    refused.code = code
    return refused


def _job(name: str, status: str, tags: dict[str, str]) -> Job:
    return Job(name, tags.get(COMMIT, ""), int(tags.get(NUMBER, "0")), status in ENDED, tags.get(MARK, ""))
