"""A Job on Kubernetes: what is sent, by the API's own schema, and what every state of it comes to."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tasks.errors import LuthierError, OutageError
from tasks.jobs.declared import Launch
from tasks.jobs.follow import Followed, Patience, follow
from tasks.jobs.job import Job, Order, Seen, TakenError
from tasks.jobs.kubernetes import Cluster
from tasks.jobs.kubernetes_spec import job_of
from tests import kubernetes_api
from tests.job_sender import order
from tests.kubernetes_api import require_valid
from tests.launches import ROOT, image, launch, until

ORDER = order({"SCRIPT": "echo one; echo two; sleep 60", "LUTHIER_RUN": "d/r"})
NAME = ORDER.name
PATIENCE = Patience(0.05, 0.3, 5)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[kubernetes_api.Cluster]:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with kubernetes_api.Cluster(tmp_path / "cluster", image(tmp_path / "image")) as made:
        monkeypatch.setenv("KUBECONFIG", str(made.kubeconfig()))
        yield made


def cluster(**changes: Any) -> Cluster:
    return Cluster(Launch.model_validate(launch("kubernetes", **changes)))


def sent(**changes: Any) -> dict[str, Any]:
    job = job_of(ORDER, Launch.model_validate(launch("kubernetes", **changes)))
    body: dict[str, Any] = client.ApiClient().sanitize_for_serialization(job)
    return body


def test_what_is_sent_is_a_job_by_the_api_s_schema_and_restricted_by_its_security_standard() -> None:
    body = sent(kubernetes={
        "secret": "luthier-job", "gpus": 2, "node_selector": {"gpu": "h100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    })  # fmt: skip
    require_valid(body)
    spec, pod = body["spec"], body["spec"]["template"]["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 86400, 259200)
    assert pod["restartPolicy"] == "Never" and pod["automountServiceAccountToken"] is False and "serviceAccountName" not in pod
    (container,) = pod["containers"]
    asked = pod["securityContext"]
    assert asked["runAsNonRoot"] and asked["runAsUser"] == asked["fsGroup"] == 50000
    assert asked["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "privileged": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {volume["name"]: list(volume) for volume in pod["volumes"]} == {
        name: ["emptyDir", "name"] for name in ("work", "tmp", "shm")
    }
    limits = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "50Gi", "nvidia.com/gpu": "2"}
    assert container["resources"] == {"limits": limits, "requests": limits}
    assert container["envFrom"] == [{"secretRef": {"name": "luthier-job"}}] and container["command"] == ["luthier-job", "finetune"]
    assert pod["nodeSelector"] == {"gpu": "h100"} and pod["tolerations"][0]["operator"] == "Exists"


def test_machines_that_share_a_training_are_pods_of_one_job_that_know_their_number_and_the_first_one_s_name() -> None:
    require_valid(body := sent(nodes=3))
    spec, template = body["spec"], body["spec"]["template"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"], spec["backoffLimit"]) == ("Indexed", 3, 3, 0)
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    (container,) = template["spec"]["containers"]
    told = {one["name"]: one.get("value") or one["valueFrom"]["fieldRef"]["fieldPath"] for one in container["env"]}
    assert {name: value for name, value in told.items() if name.startswith("PET_")} == {
        "PET_NNODES": "3", "PET_MASTER_ADDR": f"{NAME}-0.luthier-jobs", "PET_MASTER_PORT": "29500",
        "PET_NODE_RANK": "metadata.annotations['batch.kubernetes.io/job-completion-index']",
    }  # fmt: skip
    services = {one["kind"]: one for one in yaml.safe_load_all((ROOT / "docker/kubernetes/role.yaml").read_text())}
    assert template["spec"]["subdomain"] == services["Service"]["metadata"]["name"]
    assert services["Service"]["spec"]["clusterIP"] == "None" and services["Service"]["spec"]["publishNotReadyAddresses"] is True
    (opened,) = services["NetworkPolicy"]["spec"]["podSelector"]["matchExpressions"]
    assert opened == {"key": "luthier/nodes", "operator": "Exists"} and template["metadata"]["labels"]["luthier/nodes"] == "3"
    alone = sent(nodes=1)["spec"]
    assert "completionMode" not in alone and "luthier/nodes" not in alone["template"]["metadata"]["labels"]
    predict = job_of(replace(ORDER, stage="predict"), Launch.model_validate(launch("kubernetes", nodes=3)))
    assert predict.spec.completion_mode is None and predict.spec.template.spec.subdomain is None


def test_a_service_account_has_its_token_in_the_pod_only_if_it_is_named() -> None:
    pod = sent(kubernetes={"service_account": "trainer"})["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "trainer" and pod["automountServiceAccountToken"] is True


def test_the_role_that_luthier_needs_is_a_manifest_by_the_api_s_schema_and_enough(api: kubernetes_api.Cluster) -> None:
    documents = list(yaml.safe_load_all((ROOT / "docker/kubernetes/role.yaml").read_text()))
    for document in documents:
        require_valid(document)
    there = cluster()
    there.submit(ORDER)
    until(lambda: there.look(NAME).phase == "running")
    there.read(NAME, None)
    there.find(ORDER)
    there.mark(NAME, "exit 0")
    api.waits = {"phase": "Pending", "conditions": []}
    there.submit(ORDER.next())
    there.look(ORDER.next().name)
    there.cancel(NAME)
    rules = next(one for one in documents if one["kind"] == "Role")["rules"]
    allowed = {(verb, kind) for rule in rules for verb in rule["verbs"] for kind in rule["resources"]}
    used = {_used(request) for request in api.requests}
    assert used == allowed
    api.waits = None


def _used(request: str) -> tuple[str, str]:
    method, path = request.split("?", maxsplit=1)[0].split()
    at = kubernetes_api.ROUTE.match(path)
    assert at
    kind = "pods/log" if at["log"] else at["kind"]
    verbs = {"POST": "create", "DELETE": "delete", "PATCH": "patch", "GET": "get" if at["name"] else "list"}
    return verbs[method], kind


def test_two_of_one_name_are_one(api: kubernetes_api.Cluster) -> None:
    there = cluster()
    there.submit(ORDER)
    with pytest.raises(TakenError):
        there.submit(ORDER)
    assert [job.name for job in there.find(ORDER)] == [NAME] and there.job(NAME) == Job(NAME, ORDER.commit, 1, False, "")
    there.mark(NAME, "exit 75")
    found = there.job(NAME)
    assert found and found.mark == "exit 75"


def test_a_log_is_read_once_though_it_is_asked_for_again_and_again(api: kubernetes_api.Cluster) -> None:
    there = cluster()
    there.submit(ORDER)
    until(lambda: len(api.pods_of(NAME)[0].log) == 2)
    (pod,) = api.pods_of(NAME)
    assert there.read(NAME, None) == ["one", "two"]
    when, last = pod.log[-1][0], pod.log[-1][1].split()[0]
    pod.log.append((when, f"{last} at the very same time"))
    assert there.read(NAME, None) == ["at the very same time"]
    pod.log.append((when + 1, "2999-01-01T00:00:00.000000000Z later"))
    assert there.read(NAME, None) == ["later"] and there.read(NAME, None) == []


def test_a_log_that_cannot_be_read_now_keeps_nobody_from_following(api: kubernetes_api.Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    there = cluster()
    quick = order({"SCRIPT": "sleep 0.3; echo the end"})
    there.submit(quick)
    api.fail("GET", "/log$", "500", 3)
    assert follow(there, Followed(quick, adopted=False), PATIENCE).status == 0
    assert capsys.readouterr().out.count("the end\n") == 1


def shared(script: str, **changes: Any) -> tuple[Cluster, Order]:
    """A job of two machines."""
    there, asked = cluster(nodes=2, **changes), order({"SCRIPT": script})
    there.submit(asked)
    return there, asked


def test_pods_that_share_a_training_find_the_first_and_both_logs_are_shown(api: kubernetes_api.Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    there, asked = shared("echo $PET_NODE_RANK of $PET_NNODES at $PET_MASTER_ADDR:$PET_MASTER_PORT; [ $JOB_COMPLETION_INDEX = 1 ] || sleep 1")
    assert follow(there, Followed(asked, adopted=False), PATIENCE).status == 0
    port = api.ports[NAME]
    assert sorted(capsys.readouterr().out.splitlines()) == [f"0 of 2 at 127.0.0.1:{port}", f"[1] 1 of 2 at 127.0.0.1:{port}"]
    assert len(api.submitted) == 1


ENDS = {  # what the first and the second do: the job's status, and what is told
    "both done": ("exit 0", "exit 0", 0, ""),
    "the second goes on": ("exit 0", "exec sleep 60", 0, ""),
    "nothing to do": ("sleep 0.5; exit 99", "exec sleep 60", 99, ""),
    "the first has failed": ("exit 1", "exec sleep 60", 1, ""),
    "the second has failed": ("exec sleep 60", "echo a reason; exit 1", 1, "Of its machines, number 1 failed."),
    "the second was killed": ("trap 'exit 75' TERM; while :; do sleep 0.1; done", "kill -9 $$", 75, "Of its machines, number 1 failed."),
    "the first ended before the second could say why": ("exit 75", "trap 'exit 1' TERM; while :; do sleep 0.1; done", 75, ""),
}


@pytest.mark.parametrize("what", ENDS)
def test_how_a_job_of_two_ended_is_what_the_first_says_or_the_one_that_knows_why(what: str, api: kubernetes_api.Cluster) -> None:
    first, second, status, told = ENDS[what]
    there, _ = shared(f'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then {first}; else {second}; fi')
    pods = api.pods_of(NAME)
    until(lambda: there.look(NAME).phase == "ended")
    assert there.look(NAME) == Seen("ended", told, status)
    assert not [process for pod in pods for process in kubernetes_api.processes_of(pod)]


def test_who_only_lost_another_does_not_hide_why(api: kubernetes_api.Cluster) -> None:
    there, _ = shared("exec sleep 60")
    until(lambda: all(pod.process for pod in api.pods_of(NAME)))
    first, second = api.pods_of(NAME)
    for pod, code, how in ((first, 75, "Error"), (second, 137, "OOMKilled")):
        end = {"exitCode": code, "reason": how, "startedAt": kubernetes_api.now(), "finishedAt": kubernetes_api.now()}
        pod.body["status"] = api._status("Failed", {"terminated": end})
    api.conclude(api.jobs[NAME], "Failed", "BackoffLimitExceeded")
    assert there.look(NAME) == Seen("ended", "Of its machines, number 1 failed. It took more memory than it may: raise launch.kubernetes.memory.", 1)
    second.body["status"]["containerStatuses"][0]["state"]["terminated"] |= {"reason": "Error", "exitCode": 1}
    assert there.look(NAME).status == 1
    first.body["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
    second.body["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] = 75
    assert there.look(NAME).told == "Its machine was taken away (Evicted): The node was low on resource: memory."


def test_a_job_of_two_waits_for_the_one_that_cannot_start(api: kubernetes_api.Cluster) -> None:
    there, _ = shared("exec sleep 60")
    until(lambda: there.look(NAME).phase == "running")
    second = api.pods_of(NAME)[1]
    before, second.body["status"] = second.body["status"], {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}
    assert there.look(NAME) == Seen("waiting", "waits for a machine (Unschedulable): 0/3 nodes.")
    state = {"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": WAITS["pull"]}}
    second.body["status"] = {"phase": "Pending", "conditions": [], "containerStatuses": [state]}
    assert there.look(NAME).stuck
    second.body["status"] = before
    api.warn(NAME, "FailedCreate", "exceeded quota")
    del api.pods[second.body["metadata"]["name"]]
    assert there.look(NAME) == Seen("waiting", "has 1 of 2 pods yet: FailedCreate: exceeded quota")
    api.pods[second.body["metadata"]["name"]] = second


WAITS = {
    "pull": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "registry.test/luthier"'},
    "secret": {"reason": "CreateContainerConfigError", "message": 'secret "luthier-job" not found'},
}


@pytest.mark.parametrize("why", WAITS)
def test_what_cannot_start_is_told_and_given_up_after_a_while(why: str, api: kubernetes_api.Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    state = {"name": "stage", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": WAITS[why]}}
    api.waits = {"phase": "Pending", "conditions": [], "containerStatuses": [state]}
    there = cluster()
    there.submit(ORDER)
    seen = follow(there, Followed(ORDER, adopted=False), PATIENCE)
    assert seen.phase == "ended" and seen.status == 1
    assert f"cannot start ({WAITS[why]['reason']}): {WAITS[why]['message']}. It was given up" in seen.told
    assert f"job {NAME}: cannot start ({WAITS[why]['reason']})" in capsys.readouterr().out
    api.waits = None
    until(lambda: NAME not in api.jobs)


def test_a_pod_that_fits_on_no_machine_waits_and_says_so(api: kubernetes_api.Cluster) -> None:
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}
    api.waits = {"phase": "Pending", "conditions": [unplaced]}
    there = cluster()
    there.submit(ORDER)
    until(lambda: there.look(NAME).told.startswith("waits for"))
    assert there.look(NAME) == Seen("waiting", "waits for a machine (Unschedulable): 0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    api.waits = None


def test_a_job_without_a_pod_says_why_as_events_do(api: kubernetes_api.Cluster) -> None:
    there = cluster()
    api.waits = {"phase": "Pending", "conditions": []}
    there.submit(ORDER)
    api.pods.clear()
    api.warn(NAME, "FailedCreate", 'pods "x" is forbidden: exceeded quota')
    assert there.look(NAME).told == 'has no pod yet: FailedCreate: pods "x" is forbidden: exceeded quota'
    api.waits = None


GONE = {
    "evicted": ({"reason": "Evicted", "message": "The node was low on resource: memory."}, "", 75, "was taken away (Evicted): The node was low"),
    "its own disk": ({"reason": "Evicted", "message": 'Usage of EmptyDir volume "work" exceeds the limit "50Gi".'}, "", 1, "Raise launch.kubernetes.disk"),
    "preempted": ({"conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempting"}]}, "", 75, "PreemptionByScheduler"),
    "memory": ({}, "OOMKilled", 1, "raise launch.kubernetes.memory"),
    "no such command": ({}, "StartError", 1, "cannot run luthier-job"),
}  # fmt: skip


@pytest.mark.parametrize("what", GONE)
def test_what_became_of_a_pod_is_told_and_tried_again_where_that_helps(what: str, api: kubernetes_api.Cluster) -> None:
    told, reason, status, said = GONE[what]
    there = cluster()
    there.submit(ORDER)
    until(lambda: there.look(NAME).phase == "running")
    api.ended(api.jobs[NAME], api.pods_of(NAME)[0], 137, reason, **told)
    seen = there.look(NAME)
    assert (seen.phase, seen.status) == ("ended", status) and said in seen.told


def test_a_lost_machine_is_worth_another_attempt_and_a_deadline_is_not(api: kubernetes_api.Cluster) -> None:
    there = cluster()
    there.submit(ORDER)
    until(lambda: there.look(NAME).phase == "running")
    job, pods = api.jobs[NAME], dict(api.pods)
    api.pods.clear()
    api.conclude(job, "Failed", "BackoffLimitExceeded")
    assert there.look(NAME).status == 75 and "a machine is lost" in there.look(NAME).told
    job["status"]["conditions"][-1]["reason"] = "DeadlineExceeded"
    assert there.look(NAME) == Seen("ended", "It took longer than 24 hours: raise launch.hours, or give it more to work with.", 1)
    api.pods.update(pods)


REFUSED = {
    "403": ('jobs.batch is forbidden: User "x" cannot create resource "jobs"', "docker/kubernetes/role.yaml is what Luthier needs"),
    "403 quota": ("jobs.batch is forbidden: exceeded quota: gpus", "the quota of 'luthier' allows no such job"),
    "422": ("spec.template: Invalid value", "look at launch.kubernetes in params.yaml"),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_is_a_sentence_that_says_what_to_do(code: str, api: kubernetes_api.Cluster) -> None:
    message, said = REFUSED[code]
    api.fail("POST", ".", code.split(maxsplit=1)[0], message=message)
    with pytest.raises(LuthierError, match=said) as caught:
        cluster().submit(ORDER)
    assert message in str(caught.value) and not isinstance(caught.value, OutageError)


def test_a_missing_namespace_and_old_credentials_are_said_and_new_ones_taken(api: kubernetes_api.Cluster) -> None:
    with pytest.raises(LuthierError, match=r"launch\.kubernetes\.namespace"):
        cluster(kubernetes={"namespace": "elsewhere"}).submit(ORDER)
    there = cluster()
    api.kubeconfig("old")
    old = cluster()
    with pytest.raises(LuthierError, match="does not know who asks"):
        old.find(ORDER)
    api.kubeconfig()
    assert old.find(ORDER) == there.find(ORDER) == []  # read again, as an expired token is


@pytest.mark.parametrize("kind", ["503", "429", "refused"])
def test_what_does_not_answer_may_later(kind: str, api: kubernetes_api.Cluster) -> None:
    api.fail("GET", ".", kind)
    with pytest.raises(OutageError):
        cluster().find(ORDER)


def test_a_cluster_that_nobody_named_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LuthierError, match="name a kubeconfig by KUBECONFIG"):
        cluster()


def test_a_cancelled_job_ends_its_container_and_then_is_gone(api: kubernetes_api.Cluster) -> None:
    there = cluster()
    there.submit(ORDER)
    until(lambda: there.look(NAME).phase == "running")
    (pod,) = api.pods_of(NAME)
    before = time.monotonic()
    there.cancel(NAME)
    assert time.monotonic() - before < 4
    until(lambda: there.look(NAME).phase == "gone")
    assert pod.process and not os.path.exists(f"/proc/{pod.process.pid}")  # noqa: PTH110
    there.cancel(NAME)  # a no-op
