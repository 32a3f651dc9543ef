"""A cluster of one machine, as far as jobs go: the Kubernetes API over HTTP, and a kubelet that really runs containers.

with Cluster(folder, image=bin_folder) as cluster:
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig())
    cluster.secrets["luthier-job"] = {"LUTHIER_GIT_TOKEN": "..."}
    cluster.fail("POST", "/jobs$", "lost")      # the next such request is done, and its answer lost

A container is a process with the environment of its pod and nothing else; its image is a folder of commands; its
emptyDirs are folders, by whose names the mount paths in its environment are replaced. All pods have one network, the
loopback: where the Service of docker/kubernetes/role.yaml gives a pod a name, that name in an environment is replaced by
the address, and the port of a training by one that its job has to itself. What is sent and what is answered is checked
against the API's own schema, by kubernetes-validate.
"""

import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import psutil
import yaml

from tasks.nodes import PORT

VERSION, TOKEN, NAMESPACE = "1.37", "a-token-of-the-test", "luthier"
ROUTE = re.compile(r"/(?:api/v1|apis/batch/v1)/namespaces/(?P<ns>[^/]+)/(?P<kind>jobs|pods|events)(?:/(?P<name>[^/]+))?(?P<log>/log)?$")
Json = dict[str, Any]
ROLE = Path(__file__).resolve().parent.parent / "docker/kubernetes/role.yaml"
INDEX = "batch.kubernetes.io/job-completion-index"


_contents = kubernetes_validate.utils.schema_contents


@functools.cache
def _schema(name: str, version: str) -> Any:
    """Megabytes that would be read at each check; a Status says v1, and is of meta/v1 in the schema's names."""
    return _contents(name.replace("/status-v1.json", "/status-meta-v1.json"), version)


kubernetes_validate.utils.schema_contents = _schema


def require_valid(document: Json) -> None:
    """Raises: kubernetes_validate.ValidationError: it is not what the API's schema says, or has more."""
    kubernetes_validate.validate(document, VERSION, strict=True)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stamp() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


@dataclass
class Fault:
    """What goes wrong, so many times, with requests of this method to this path."""

    method: str
    path: re.Pattern[str]
    kind: str
    """An HTTP status, `lost` (done, no answer) or `refused` (not done, no answer)."""
    times: int
    message: str = ""


@dataclass
class Pod:
    """A pod and the process that is its container."""

    body: Json
    process: subprocess.Popen[str] | None = None
    log: list[tuple[float, str]] = field(default_factory=list)
    """(seconds since the epoch, stamped line)."""


class Cluster:
    """The API server, the job controller and the kubelet."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.folder, self.image = folder, image
        self.jobs: dict[str, Json] = {}
        self.pods: dict[str, Pod] = {}
        self.events: list[Json] = []
        self.secrets: dict[str, dict[str, str]] = {}
        self.faults: list[Fault] = []
        self.submitted: list[Json] = []
        """Every job that was ever made."""
        self.requests: list[str] = []
        self.waits: Json | None = None
        """Of the next pods: a status with which they wait, and do not run, until it is None."""
        self.lock = threading.RLock()
        self.down = False
        self.services = [one for one in yaml.safe_load_all(ROLE.read_text()) if one["kind"] == "Service"]
        """All are headless, and give names to pods that are not ready."""
        self.ports: dict[str, str] = {}
        """By job: what stands for the port of its training."""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"cluster": self}))

    def __enter__(self) -> "Cluster":
        self.folder.mkdir(parents=True, exist_ok=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        for pod in list(self.pods.values()):
            _end(pod, 0.0)

    def kubeconfig(self, token: str = TOKEN) -> Path:
        url = f"http://127.0.0.1:{self.server.server_port}"
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": url}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path = self.folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        return path

    def fail(self, method: str, path: str, kind: str, times: int = 1, message: str = "") -> None:
        self.faults.append(Fault(method, re.compile(path), kind, times, message))

    # --- what the API does ---

    def create(self, body: Json) -> tuple[int, Json]:
        name = body["metadata"]["name"]
        try:
            require_valid(body)
        except kubernetes_validate.ValidationError as error:
            return 422, status(422, "Invalid", f"Job.batch {name!r} is invalid: {error.message}")
        if name in self.jobs:
            return 409, status(409, "AlreadyExists", f'jobs.batch "{name}" already exists')
        indexed = body["spec"].get("completionMode") == "Indexed"
        nodes = body["spec"]["completions"] if indexed else 1
        if indexed and len(f"{name}-{nodes - 1}") > 63:
            return 422, status(422, "Invalid", f"Job.batch {name!r} is invalid: will not able to create pod DNS label with the name and the completion index")
        uid = str(uuid.uuid4())
        own = {"batch.kubernetes.io/controller-uid": uid, "batch.kubernetes.io/job-name": name, "job-name": name}
        job = json.loads(json.dumps(body))
        job["metadata"] |= {"uid": uid, "creationTimestamp": now(), "namespace": NAMESPACE, "resourceVersion": "1", "generation": 1}
        job["spec"] |= {"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}, "parallelism": nodes, "completions": nodes}
        job["spec"]["template"]["metadata"]["labels"] |= own
        job["status"] = {"active": nodes, "startTime": now(), "ready": 0}
        self.jobs[name] = job
        self.submitted.append(body)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.ports[name] = str(free.getsockname()[1])
        pods = [self._pod(job, index if indexed else None) for index in range(nodes)]
        self.pods |= {pod.body["metadata"]["name"]: pod for pod in pods}
        for pod in pods:
            threading.Thread(target=self._run, args=(job, pod), daemon=True).start()
        return 201, job

    def _pod(self, job: Json, index: int | None) -> Pod:
        name, template = job["metadata"]["name"], json.loads(json.dumps(job["spec"]["template"]))
        which = {} if index is None else {INDEX: str(index)}
        spec = template["spec"] | ({} if index is None else {"hostname": f"{name}-{index}"})
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"], "controller": True}
        return Pod({
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": {"name": "-".join([spec.get("hostname", name), uuid.uuid4().hex[:5]]), "namespace": NAMESPACE, "uid": str(uuid.uuid4()),
                         "creationTimestamp": now(), "labels": template["metadata"]["labels"] | which, "annotations": which, "ownerReferences": [owner]},
            "status": {"phase": "Pending", "conditions": []},
        })  # fmt: skip

    def delete(self, name: str) -> tuple[int, Json]:
        job = self.jobs[name]
        if "deletionTimestamp" not in job["metadata"]:
            job["metadata"] |= {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
            threading.Thread(target=self._remove, args=(name,), daemon=True).start()
        return 200, job

    def _remove(self, name: str) -> None:
        self._clear(self.pods_of(name))
        self.jobs.pop(name, None)

    def _clear(self, pods: list[Pod]) -> None:
        """Delete pods: all are asked at once, and each has its time."""
        for pod in pods:
            _ask_to_end(pod)
        for pod in pods:
            _wait(pod, pod.body["spec"].get("terminationGracePeriodSeconds", 30))
            self.pods.pop(pod.body["metadata"]["name"], None)

    def pods_of(self, name: str) -> list[Pod]:
        return [pod for pod in list(self.pods.values()) if pod.body["metadata"]["labels"]["job-name"] == name]

    def _run(self, job: Json, pod: Pod) -> None:
        while (waits := self.waits) is not None:
            pod.body["status"] = waits
            time.sleep(0.05)
        container = pod.body["spec"]["containers"][0]
        where = self.folder / pod.body["metadata"]["name"]
        mounts = {one["mountPath"]: where / one["name"] for one in container["volumeMounts"] if one["mountPath"].startswith("/work")}
        given = {one["name"]: one["value"] if "value" in one else _field(pod, one["valueFrom"]["fieldRef"]["fieldPath"]) for one in container["env"]}
        for source in container.get("envFrom", []):
            given = self.secrets[source["secretRef"]["name"]] | given
        for mount, path in mounts.items():
            path.mkdir(parents=True)
            given = {name: re.sub(rf"^{mount}(?=/|$)", str(path), value) for name, value in given.items()}
        given = {name: "127.0.0.1" if value in self._names(job) else value for name, value in given.items()}
        given |= {PORT: self.ports[job["metadata"]["name"]]} if PORT in given else {}
        given |= {"JOB_COMPLETION_INDEX": index} if (index := pod.body["metadata"]["annotations"].get(INDEX)) else {}
        given["PATH"] = f"{self.image}:{Path(sys.executable).parent}:/usr/bin:/bin"
        with self.lock:
            if "deletionTimestamp" in job["metadata"] or job["status"].get("conditions"):
                return
            pod.process = subprocess.Popen(
                [*container["command"], *container.get("args", [])], env=given, cwd=where, text=True, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                executable=_found(self.image, container["command"][0]),
            )  # fmt: skip
        pod.body["status"] = self._status("Running", {"running": {"startedAt": now()}})
        assert pod.process.stdout
        with pod.process.stdout as lines:
            for line in lines:
                pod.log.append((time.time(), f"{stamp()} {line.rstrip()}"))
        self.ended(job, pod, pod.process.wait())

    def ended(self, job: Json, pod: Pod, code: int, why: str = "", **pod_status: Any) -> None:
        """A container has ended: with this code, or as `why` says."""
        code = code if code >= 0 else 128 - code
        end = {"exitCode": code, "reason": why or ("Error" if code else "Completed"), "startedAt": now(), "finishedAt": now()}
        pod.body["status"] = self._status("Failed" if code else "Succeeded", {"terminated": end}) | pod_status
        succeeded = [other for other in self.pods_of(job["metadata"]["name"]) if other.body["status"]["phase"] == "Succeeded"]
        policy = job["spec"].get("successPolicy", {"rules": []})["rules"]
        if code:
            self.conclude(job, "Failed", "BackoffLimitExceeded")
        elif policy == [{"succeededIndexes": pod.body["metadata"]["annotations"].get(INDEX)}]:
            self.conclude(job, "Complete", "SuccessPolicy")
        elif len(succeeded) == job["spec"]["completions"]:
            self.conclude(job, "Complete", "CompletionsReached")

    def conclude(self, job: Json, kind: str, why: str) -> None:
        """A job has ended: what still runs of it is deleted, and only then it is said to be over."""
        with self.lock:
            if job["status"].get("conditions"):
                return
            first = {"Failed": "FailureTarget", "Complete": "SuccessCriteriaMet"}[kind]
            job["status"] |= {"conditions": [_condition(first, why)]}
        self._clear([pod for pod in self.pods_of(job["metadata"]["name"]) if pod.body["status"]["phase"] in {"Pending", "Running"}])
        over = [_condition(first, why), _condition(kind, why)]
        job["status"] = {"startTime": job["status"]["startTime"], "conditions": over, "failed": int(kind == "Failed")}

    def _names(self, job: Json) -> set[str]:
        """By which the pods of a job are found: those of a headless Service that selects them."""
        found = set()
        for pod in self.pods_of(job["metadata"]["name"]):
            for service in self.services:
                selects = service["spec"]["selector"].items() <= pod.body["metadata"]["labels"].items()
                if selects and pod.body["spec"].get("subdomain") == service["metadata"]["name"]:
                    found.add(f"{pod.body['spec']['hostname']}.{service['metadata']['name']}")
        return found

    def lose(self, pod: Pod) -> None:
        """Kill every process of a pod, as where its machine fails."""
        _kill(pod)

    def _status(self, phase: str, state: Json) -> Json:
        one = {"name": "stage", "image": "i", "imageID": "i", "ready": False, "restartCount": 0, "state": state}
        return {"phase": phase, "conditions": [], "containerStatuses": [one]}

    def warn(self, about: str, reason: str, message: str) -> None:
        self.events.append({
            "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message, "firstTimestamp": now(),
            "lastTimestamp": now(), "metadata": {"name": f"e{len(self.events)}", "namespace": NAMESPACE, "creationTimestamp": now()},
            "involvedObject": {"kind": "Pod", "name": about},
        })  # fmt: skip


def _found(image: Path, command: str) -> str:
    return str(image / command)


def _field(pod: Pod, path: str) -> str:
    """A value of a pod's own, as the downward API names it."""
    found = re.fullmatch(r"metadata\.annotations\['(.+)'\]", path)
    assert found, path
    return str(pod.body["metadata"]["annotations"][found[1]])


def _condition(kind: str, why: str) -> Json:
    return {"type": kind, "status": "True", "reason": why, "message": why, "lastProbeTime": now(), "lastTransitionTime": now()}


def _ask_to_end(pod: Pod) -> None:
    if pod.process is not None and pod.process.poll() is None:
        pod.process.send_signal(signal.SIGTERM)  # its first process alone, as container runtimes do


def _end(pod: Pod, grace_s: float) -> None:
    """Ask a container to end, then make it."""
    _ask_to_end(pod)
    _wait(pod, grace_s)


def _wait(pod: Pod, grace_s: float) -> None:
    if pod.process is None or pod.process.poll() is not None:
        return
    deadline = time.monotonic() + grace_s
    while pod.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    _kill(pod)
    pod.process.wait()


def _kill(pod: Pod) -> None:
    """All of a container, whatever process group it is in."""
    for process in processes_of(pod):
        with suppress(psutil.Error):
            process.kill()


def processes_of(pod: Pod) -> list[psutil.Process]:
    """What runs in a pod's container: a session of its own."""
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if pod.process and os.getsid(process.pid) == pod.process.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def status(code: int, reason: str, message: str) -> Json:
    return {"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message, "metadata": {}}


class Handler(BaseHTTPRequestHandler):
    """The paths that Luthier uses."""

    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_DELETE(self) -> None:
        self._answer("DELETE")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def _answer(self, method: str) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        self.cluster.requests.append(f"{method} {self.path}")
        path = urlsplit(self.path).path
        with self.cluster.lock:
            fault = next((one for one in self.cluster.faults if one.times and one.method == method and one.path.search(path)), None)
        if fault:
            fault.times -= 1
        if self.cluster.down or (fault and fault.kind == "refused"):
            self._hang_up()
            return
        if fault and fault.kind.isdigit():
            code, answer = int(fault.kind), status(int(fault.kind), "Forced", fault.message or "forced by the test")
        else:
            with self.cluster.lock:
                code, answer = self._done(method, body)
        if fault and fault.kind == "lost":
            self._hang_up()
            return
        self._send(code, answer)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(2)

    def _send(self, code: int, answer: Json | str) -> None:
        if isinstance(answer, dict):
            require_valid(answer)  # a server that lies would prove nothing
        data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _done(self, method: str, body: Json) -> tuple[int, Json | str]:  # noqa: PLR0911
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, status(401, "Unauthorized", "Unauthorized")
        url = urlsplit(self.path)
        at, query = ROUTE.match(url.path), {name: values[0] for name, values in parse_qs(url.query).items()}
        if not at:
            return 404, status(404, "NotFound", "the server could not find the requested resource")
        if at["ns"] != NAMESPACE:
            if method == "GET" and not at["name"]:
                return 200, _list(at["kind"], [])
            return 404, status(404, "NotFound", f'namespaces "{at["ns"]}" not found')
        if at["kind"] == "jobs":
            return self._jobs(method, at["name"], body, query)
        if at["kind"] == "events":
            wanted = dict(part.split("=") for part in query["fieldSelector"].split(","))
            return 200, _list("events", [one for one in self.cluster.events if one["involvedObject"]["name"] == wanted["involvedObject.name"]])
        if at["log"]:
            return self._log(at["name"], query)
        return 200, _list("pods", [pod.body for pod in self.cluster.pods.values() if _matches(pod.body, query)])

    def _jobs(self, method: str, name: str | None, body: Json, query: dict[str, str]) -> tuple[int, Json]:
        if method == "POST":
            return self.cluster.create(body)
        if name is None:
            return 200, _list("jobs", [one for one in self.cluster.jobs.values() if _matches(one, query)])
        if name not in self.cluster.jobs:
            return 404, status(404, "NotFound", f'jobs.batch "{name}" not found')
        job = self.cluster.jobs[name]
        if method == "DELETE":
            assert body["propagationPolicy"] == "Foreground"
            return self.cluster.delete(name)
        if method == "PATCH":
            assert "patch+json" in self.headers["Content-Type"]
            job["metadata"].setdefault("annotations", {}).update(body["metadata"]["annotations"])
        return 200, job

    def _log(self, name: str, query: dict[str, str]) -> tuple[int, Json | str]:
        pod = self.cluster.pods.get(name)
        if pod is None:
            return 404, status(404, "NotFound", f'pods "{name}" not found')
        if pod.process is None and not pod.log:
            return 400, status(400, "BadRequest", f'container "stage" in pod "{name}" is waiting to start: ContainerCreating')
        since = time.time() - float(query.get("sinceSeconds", "1e9"))
        lines = [line for when, line in pod.log if when >= since]
        lines = lines[-int(query["tailLines"]) :] if "tailLines" in query else lines
        assert query["timestamps"].lower() == "true"
        return 200, "".join(f"{line}\n" for line in lines)


def _matches(body: Json, query: dict[str, str]) -> bool:
    wanted = dict(part.split("=") for part in query.get("labelSelector", "").split(",") if part)
    return all(body["metadata"]["labels"].get(name) == value for name, value in wanted.items())


def _list(kind: str, items: list[Json]) -> Json:
    api = {"jobs": ("batch/v1", "JobList"), "pods": ("v1", "PodList"), "events": ("v1", "EventList")}[kind]
    return {"apiVersion": api[0], "kind": api[1], "metadata": {"resourceVersion": "1"}, "items": items}
