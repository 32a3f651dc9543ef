"""Jobs of a Kubernetes cluster, by its official client: submitted, found again, looked at, read, cancelled.

What it may do there is docker/kubernetes/role.yaml: jobs of one namespace, its pods, their logs and events; no secrets.
Truth: kubernetes 37 and the API v1.37.
"""

import json
import os
import time
from collections.abc import Callable
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from tasks.errors import LuthierError, OutageError
from tasks.jobs.declared import Launch
from tasks.jobs.job import CANCELLED, Job, Order, Seen, TakenError
from tasks.jobs.kubernetes_log import Tail
from tasks.jobs.kubernetes_spec import COMMIT, MARK, NUMBER, job_of, selector
from tasks.jobs.kubernetes_told import newest, seen_of

TIMEOUT = (5.0, 30.0)  # s, to connect and to read
HASTE = (1.0, 2.5)  # of a cancel: Airflow kills 5 s after it asked
GONE = "It is not there any more: somebody deleted it. Run the stage again where that was no wish."
INSIDE = "KUBERNETES_SERVICE_HOST"  # in every pod


class Cluster:
    """A `tasks.jobs.job.Launcher`; follows one job at a time."""

    def __init__(self, launch: Launch) -> None:
        """Raises: LuthierError: there are no settings of a cluster here."""
        self._launch, self._namespace = launch, launch.kubernetes.namespace
        self._connect()
        self._tails: dict[str, Tail] = {}

    def _connect(self) -> None:
        settings = client.Configuration()
        context = self._launch.kubernetes.context
        try:
            if INSIDE in os.environ and context is None and "KUBECONFIG" not in os.environ:
                config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
            else:
                # By name: the client reads the variable only once, when it is imported.
                told: dict[str, Any] = {"config_file": os.environ.get("KUBECONFIG"), "client_configuration": settings}
                told |= {"context": context, "persist_config": False}
                config.load_kube_config(**told)  # type: ignore[no-untyped-call]
        except (ConfigException, OSError) as error:
            raise LuthierError(
                f"there are no settings of a Kubernetes cluster here ({' '.join(str(error).split())}): name a "
                "kubeconfig by KUBECONFIG, and its context by launch.kubernetes.context."
            ) from None
        settings.retries = 0  # an outage is told of, and waited for, by who asks
        api = client.ApiClient(settings)
        self._jobs, self._core = client.BatchV1Api(api), client.CoreV1Api(api)

    def find(self, order: Order) -> list[Job]:
        """By labels."""
        found = self._ask(lambda: self._jobs.list_namespaced_job, label_selector=selector(order)).items
        return [_job_of(one) for one in sorted(found, key=lambda one: one.metadata.creation_timestamp)]

    def submit(self, order: Order) -> None:
        """Create it."""
        try:
            self._ask(lambda: self._jobs.create_namespaced_job, body=job_of(order, self._launch))
        except _RefusedError as error:
            if error.code == 409:
                raise TakenError(f"there is a job {order.name} already.") from None
            raise

    def job(self, name: str) -> Job | None:
        """Read it."""
        found = self._there(lambda: self._jobs.read_namespaced_job, name=name)
        return _job_of(found) if found else None

    def look(self, name: str) -> Seen:
        """With its pods and, as long as one waits, what events say."""
        found = self._there(lambda: self._jobs.read_namespaced_job, name=name)
        if found is None:
            return Seen("gone", GONE)
        pods = self._pods(name)
        seen = seen_of(found, pods, [], self._launch.hours)
        if seen.phase == "waiting":
            names = [name, *(pod.metadata.name for pod in pods)]
            seen = seen_of(found, pods, [text for one in names for text in self._warnings(one)], self._launch.hours)
        return seen

    def _pods(self, name: str) -> list[Any]:
        found: list[Any] = self._ask(lambda: self._core.list_namespaced_pod, label_selector=f"job-name={name}").items
        return found

    def _warnings(self, name: str) -> list[str]:
        which = f"involvedObject.name={name},type=Warning"
        events = self._ask(lambda: self._core.list_namespaced_event, field_selector=which).items
        events.sort(key=lambda event: event.last_timestamp or event.metadata.creation_timestamp)
        return [f"{event.reason}: {event.message}" for event in events]

    def read(self, name: str, last: int | None) -> list[str]:
        """Of each pod from a little before the last line read, less what is known; whose, where it is not the first."""
        lines = []
        for index, pod in sorted(newest(self._pods(name)).items()):
            lines += [f"[{index}] {line}" if index else line for line in self._read(pod.metadata.name, last)]
        return lines

    def _read(self, pod: str, last: int | None) -> list[str]:
        tail = self._tails.setdefault(pod, Tail())
        how, asked_at = tail.asked(last), time.monotonic()
        try:
            answer = self._ask(
                lambda: self._core.read_namespaced_pod_log, name=pod, timestamps=True, _preload_content=False, **how
            )
        except _RefusedError as error:
            if error.code in {400, 404}:  # its container has not begun, or its pod is gone
                return []
            raise
        tail.read_at = asked_at
        return tail.new(answer.data.decode(errors="backslashreplace").splitlines())

    def mark(self, name: str, text: str) -> None:
        """By an annotation."""
        body = {"metadata": {"annotations": {MARK: text}}}
        self._there(lambda: self._jobs.patch_namespaced_job, name=name, body=body)

    def cancel(self, name: str) -> None:
        """Delete it, its pods first: its name is free when nothing of it runs."""
        body = client.V1DeleteOptions(propagation_policy="Foreground")
        self._there(lambda: self._jobs.delete_namespaced_job, name=name, body=body, _request_timeout=HASTE)

    def _there(self, ask: Callable[[], Any], **told: Any) -> Any:
        """What is asked for; None: it is not there."""
        try:
            return self._ask(ask, **told)
        except _RefusedError as error:
            if error.code == 404:
                return None
            raise

    def _ask(self, ask: Callable[[], Any], **told: Any) -> Any:
        """A call of the API, with new credentials where the old ones have run out."""
        told = {"namespace": self._namespace, "_request_timeout": TIMEOUT} | told
        for again in (False, True):
            try:
                return ask()(**told)
            except ApiException as error:
                if error.status == 401 and not again:
                    self._connect()
                    continue
                raise _explained(error, self._namespace) from None
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise OutageError(f"Kubernetes does not answer ({' '.join(str(error).split())[:200]}).") from None
        raise AssertionError("unreachable")


class _RefusedError(LuthierError):
    """The API refused, with this status."""

    code: int = 0


def _explained(error: ApiException, namespace: str) -> LuthierError:
    """What the API's answer means for who asked."""
    status, told = int(error.status or 0), _message(error)
    if status in {408, 429} or status >= 500:
        return OutageError(f"Kubernetes does not answer as it should (status {status}: {told}).")
    what = {
        401: f"Kubernetes does not know who asks ({told}): sign in again, or look at the kubeconfig's user.",
        404: f"Kubernetes has no such thing ({told}): is '{namespace}' the namespace (launch.kubernetes.namespace)?",
    }.get(status)
    if status == 403 and "quota" in told:
        what = f"the quota of '{namespace}' allows no such job ({told}): lower launch.kubernetes, or ask for more."
    elif status == 403:
        what = f"Kubernetes does not allow it ({told}): docker/kubernetes/role.yaml is what Luthier needs."
    what = what or f"Kubernetes refuses (status {status}: {told}): look at launch.kubernetes in params.yaml."
    refused = _RefusedError(what)
    refused.code = status
    return refused


def _message(error: ApiException) -> str:
    """The sentence of an answer, which is a Status where the API itself made it."""
    try:
        told = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        told = error.body or error.reason
    return " ".join(str(told).split())[:400].rstrip(".")


def _job_of(found: Any) -> Job:
    meta, conditions = found.metadata, (found.status and found.status.conditions) or []
    ended = any(one.type in {"Complete", "Failed"} and one.status == "True" for one in conditions)
    labels, mark = meta.labels or {}, (meta.annotations or {}).get(MARK, "")
    if meta.deletion_timestamp is not None:
        ended, mark = False, CANCELLED
    return Job(meta.name, labels.get(COMMIT, ""), int(labels.get(NUMBER, "0")), ended, mark)
