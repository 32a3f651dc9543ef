"""What every forked attempt would do first, done once: the Kubernetes client builds its models when they are first used."""

from contextlib import suppress

from kubernetes import client

import tasks.jobs.sagemaker  # noqa: F401
from tasks.jobs.declared import Launch
from tasks.jobs.kubernetes_spec import job_of
from tests.job_sender import order
from tests.launches import launch

JOB = job_of(order({}), Launch.model_validate(launch("kubernetes")))
api = client.ApiClient(client.Configuration(host="http://127.0.0.1:9", retries=0))
batch, core = client.BatchV1Api(api), client.CoreV1Api(api)
for call, told in (
    (batch.create_namespaced_job, {"body": JOB}), (batch.list_namespaced_job, {}), (batch.read_namespaced_job, {"name": "x"}),
    (batch.patch_namespaced_job, {"name": "x", "body": {}}), (batch.delete_namespaced_job, {"name": "x"}), (core.list_namespaced_pod, {}),
    (core.list_namespaced_event, {}), (core.read_namespaced_pod_log, {"name": "x"}),
):  # fmt: skip
    with suppress(Exception):
        call(namespace="x", _request_timeout=1.0, **told)
for kind in (client.V1JobList, client.V1PodList, client.CoreV1EventList):
    kind.model_rebuild(force=True)
    kind.from_dict({"items": []})
client.V1Job.from_dict(JOB.to_dict())
