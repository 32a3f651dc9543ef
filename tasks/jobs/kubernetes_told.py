"""What a Job and its pods say of themselves, in a sentence and an exit status.

A stage's own exit code counts, whatever Kubernetes makes of it: 99 is a failed Job there, and "nothing to do" here. Of
several pods the first's counts where it is done; else that of the one that knows why, and did not only lose another.
Truth: the API's documentation of Job and Pod, v1.37: conditions, reasons of containers, pod disruptions.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks.jobs.job import ENTRY, Seen
from tasks.jobs.kubernetes_spec import INDEX
from tasks.runs.calls import SKIPPED, meaning
from tasks.step import EX_TEMPFAIL

NO_REASON = "Kubernetes gives no reason"
NEVER = {"InvalidImageName", "ErrImageNeverPull"}  # what waits for these waits in vain
UNABLE = {  # of a container that waits: what has to be mended, by hand
    "ErrImagePull", "ImagePullBackOff", "ImageInspectError", "RegistryUnavailable", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError", "CrashLoopBackOff",
} | NEVER  # fmt: skip
TAKEN = {  # why a pod failed: its machine is needed for something else, or is no more
    "Evicted", "Preempting", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "NodeAffinity",
    "UnexpectedAdmissionError",
}  # fmt: skip


def seen_of(job: Any, pods: Sequence[Any], warnings: Sequence[str], hours: float) -> Seen:
    """How a Job stands.

    Args:
        job: V1Job.
        pods: V1Pod, its own.
        warnings: messages of events, the newest last.
        hours: that it may take.
    """
    there = newest(pods)
    conditions = {one.type: one for one in (job.status and job.status.conditions) or [] if one.status == "True"}
    if "Complete" in conditions or "Failed" in conditions:
        return _ended(conditions, there, hours)
    if job.metadata.deletion_timestamp:
        return Seen("ending", "is being deleted.")
    if "Suspended" in conditions:
        return Seen("waiting", "is suspended: whoever queues the cluster's jobs has not let it begin.")
    if len(there) < (wanted := job.spec.parallelism or 1):
        lacks = "has no pod yet" if wanted == 1 else f"has {len(there)} of {wanted} pods yet"
        return Seen("waiting", f"{lacks}: {warnings[-1]}" if warnings else f"{lacks}.")
    stand = [_of_pod(pod, warnings) for pod in there.values()]
    return max(stand, key=lambda seen: (seen.stuck, seen.phase == "waiting"))  # what keeps the others waiting


def newest(pods: Sequence[Any]) -> dict[int, Any]:
    """The pods of a Job, by number; of two of one number, the newer."""
    found = {}
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        found[int((pod.metadata.annotations or {}).get(INDEX, "0"))] = pod
    return found


def _of_pod(pod: Any, warnings: Sequence[str]) -> Seen:
    state = _state(pod)
    if state and (state.running or state.terminated):
        return Seen("running")
    if state and state.waiting and state.waiting.reason in UNABLE:
        told = f"cannot start ({state.waiting.reason}): {state.waiting.message or NO_REASON}"
        return Seen("waiting", _sentence(told), stuck=True)
    unplaced = next(
        (one for one in pod.status.conditions or [] if one.type == "PodScheduled" and one.status == "False"), None
    )
    if unplaced:
        return Seen("waiting", _sentence(f"waits for a machine ({unplaced.reason}): {unplaced.message}"))
    reason = state.waiting.reason if state and state.waiting else pod.status.phase
    return Seen("waiting", _sentence(f"starts ({reason})" + (f": {warnings[-1]}" if warnings else "")))


def _ended(conditions: dict[str, Any], pods: dict[int, Any], hours: float) -> Seen:
    if (code := _code(pods.get(0))) in {0, SKIPPED}:
        return Seen("ended", status=code)
    failed = conditions.get("Failed")
    if failed is None:
        return Seen("ended", status=0)  # complete, and its pod is cleared away
    if failed.reason == "DeadlineExceeded":
        return Seen("ended", f"It took longer than {hours:g} hours: raise launch.hours, or give it more to work with.")
    ends = {index: _end(pod) for index, pod in pods.items() if _code(pod) != 0}
    if not ends:
        return Seen("ended", "Its pod is gone, as where a machine is lost: worth another attempt.", EX_TEMPFAIL)
    why = max(
        ends, key=lambda index: (ends[index].status != EX_TEMPFAIL, bool(ends[index].told), _code(pods[index]) or 0)
    )
    seen = ends[why]
    return replace(seen, told=f"Of its machines, number {why} failed. {seen.told}".rstrip()) if why else seen


def _end(pod: Any) -> Seen:
    """How a pod failed."""
    state = _state(pod)
    return _taken(pod) or _failed(state.terminated if state else None, pod.status.message or NO_REASON)


def _code(pod: Any) -> int | None:
    """What its container exited with."""
    state = _state(pod) if pod else None
    return state.terminated.exit_code if state and state.terminated else None


def _taken(pod: Any) -> Seen | None:
    """A pod that was made to end; None: it ended by itself."""
    taken = next((one for one in pod.status.conditions or [] if one.type == "DisruptionTarget"), None)
    if not taken and pod.status.reason not in TAKEN:
        return None
    told = pod.status.message or (taken and taken.message) or NO_REASON
    if "exceeds the" in told:  # its own limit, which it would reach again
        return Seen("ended", _sentence(f"It was evicted: {told}") + " Raise launch.kubernetes.disk or memory.")
    why = pod.status.reason or (taken and taken.reason)
    return Seen("ended", _sentence(f"Its machine was taken away ({why}): {told}"), EX_TEMPFAIL)


def _failed(end: Any, told: str) -> Seen:
    """A container that ended by itself, or never began."""
    if end is None:
        return Seen("ended", _sentence(f"It ended without an exit code: {told}"), EX_TEMPFAIL)
    if end.reason == "OOMKilled":
        return Seen("ended", "It took more memory than it may: raise launch.kubernetes.memory.")
    if end.reason in {"StartError", "ContainerCannotRun"} or end.exit_code in {126, 127}:
        said = f" ({end.message})" if end.message else ""
        return Seen("ended", f"launch.image cannot run {ENTRY}{said}: it has to have docker/job.sh by that name.")
    return Seen("ended", status=meaning(end.exit_code, []))


def _state(pod: Any) -> Any:
    """Of its container; None: the kubelet has not looked at it yet."""
    found = pod.status.container_statuses or []
    return found[0].state if found else None


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith(".") else f"{text}."
