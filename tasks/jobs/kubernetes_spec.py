"""The Job that does a stage on Kubernetes: what the cluster is asked for, by its official client's own classes.

A pod may do nothing but its work: no root, no capability, no privilege, no token of the cluster, a file system that is
read-only but for folders that end with it. Secrets are named, never written here. Truth: the API's batch/v1 and v1,
as kubernetes 37 has them; the Pod Security Standard "restricted".
"""

from typing import Any

from kubernetes import client

from tasks.jobs.declared import Kubernetes, Launch
from tasks.jobs.job import ENTRY, Order
from tasks.nodes import RANK, Node

BY, RUN, STAGE = "app.kubernetes.io/managed-by", "luthier/run", "luthier/stage"  # labels: who finds a job by what
COMMIT, NUMBER, SLUG = "luthier/commit", "luthier/number", "luthier/slug"
MARK = "luthier/reported"  # an annotation
NODES = "luthier/nodes"  # of pods that may speak to each other: docker/kubernetes/role.yaml
SERVICE = "luthier-jobs"  # by which they have names, as there
INDEX = "batch.kubernetes.io/job-completion-index"  # Kubernetes' own, of each pod of a job of several
WORK = "/work"
GRACE_S = 60  # from a pod's SIGTERM to its SIGKILL: a checkpoint is saved in seconds
GPU = "nvidia.com/gpu"


def selector(order: Order) -> str:
    """What a run's jobs for a stage are found by."""
    return f"{BY}=luthier,{RUN}={order.run},{STAGE}={order.stage}"


def job_of(order: Order, launch: Launch) -> Any:
    """The Job of an order."""
    asked, nodes = launch.kubernetes, launch.machines(order.stage)
    labels = {
        BY: "luthier", RUN: order.run, STAGE: order.stage, COMMIT: order.commit, NUMBER: str(order.number),
        SLUG: order.slug, **({NODES: str(nodes)} if nodes > 1 else {}),
    }  # fmt: skip
    return client.V1Job(
        api_version="batch/v1",
        kind="Job",
        metadata=client.V1ObjectMeta(name=order.name, namespace=asked.namespace, labels=labels),
        spec=client.V1JobSpec(
            backoff_limit=0,  # whether it is worth another attempt is for its exit code to say, and for us to do
            active_deadline_seconds=round(launch.hours * 3600),
            ttl_seconds_after_finished=round(asked.keep_h * 3600),
            **(_shared(nodes) if nodes > 1 else {}),
            template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=_pod(order, launch)
            ),
        ),
    )  # fmt: skip


def _shared(nodes: int) -> dict[str, Any]:
    """A Job of several pods at once, each of which knows its number; the first's end is the Job's."""
    first = client.V1SuccessPolicyRule(succeeded_indexes="0")
    return {
        "completion_mode": "Indexed", "completions": nodes, "parallelism": nodes,
        "success_policy": client.V1SuccessPolicy(rules=[first]),
    }  # fmt: skip


def _pod(order: Order, launch: Launch) -> Any:
    asked = launch.kubernetes
    extra = {"service_account_name": asked.service_account} if asked.service_account else {}
    extra |= {"subdomain": SERVICE} if launch.machines(order.stage) > 1 else {}
    return client.V1PodSpec(
        restart_policy="Never",
        automount_service_account_token=asked.service_account is not None,
        enable_service_links=False,
        termination_grace_period_seconds=GRACE_S,
        security_context=client.V1PodSecurityContext(
            run_as_non_root=True, run_as_user=asked.user, run_as_group=asked.user, fs_group=asked.user,
            seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
        ),
        node_selector=asked.node_selector or None,
        tolerations=[client.V1Toleration.from_dict(one) for one in asked.tolerations] or None,
        containers=[_container(order, launch)],
        volumes=[
            _folder("work", asked.disk), _folder("tmp", "1Gi"), _folder("shm", asked.shared_memory, "Memory"),
        ],
        **extra,
    )  # fmt: skip


def _container(order: Order, launch: Launch) -> Any:
    asked = launch.kubernetes
    secret = client.V1EnvFromSource(secret_ref=client.V1SecretEnvSource(name=asked.secret)) if asked.secret else None
    told = {**order.environment, "LUTHIER_JOB": order.name, "LUTHIER_WORK": WORK, "HOME": f"{WORK}/home"}
    which = []
    if (nodes := launch.machines(order.stage)) > 1:
        told |= Node(0, nodes, f"{order.name}-0.{SERVICE}").environment()
        del told[RANK]
        number = client.V1ObjectFieldSelector(field_path=f"metadata.annotations['{INDEX}']")
        which = [client.V1EnvVar(name=RANK, value_from=client.V1EnvVarSource(field_ref=number))]
    return client.V1Container(
        name="stage",
        image=launch.image,
        command=[ENTRY, order.stage],
        env=[client.V1EnvVar(name=name, value=value) for name, value in sorted(told.items())] + which,
        env_from=[secret] if secret else None,
        resources=_resources(asked),
        security_context=client.V1SecurityContext(
            allow_privilege_escalation=False, privileged=False, read_only_root_filesystem=True, run_as_non_root=True,
            capabilities=client.V1Capabilities(drop=["ALL"]),
        ),
        volume_mounts=[
            client.V1VolumeMount(name="work", mount_path=WORK), client.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108
            client.V1VolumeMount(name="shm", mount_path="/dev/shm"),  # noqa: S108
        ],
    )  # fmt: skip


def _resources(asked: Kubernetes) -> Any:
    """As much as it may take is kept for it: a training that shares cores has no time that can be foretold."""
    held = {"cpu": asked.cpu, "memory": asked.memory, "ephemeral-storage": asked.disk}
    if asked.gpus:
        held[GPU] = str(asked.gpus)
    return client.V1ResourceRequirements(requests=held, limits=held)


def _folder(name: str, size: str, medium: str | None = None) -> Any:
    return client.V1Volume(name=name, empty_dir=client.V1EmptyDirVolumeSource(size_limit=size, medium=medium))
