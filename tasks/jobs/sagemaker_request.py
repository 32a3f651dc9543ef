"""CreateTrainingJob's request for a stage: what SageMaker is asked for, and no secret.

Truth: SageMaker's API reference, CreateTrainingJob; botocore checks the shape before it sends it.
"""

from typing import Any

from tasks.jobs.declared import Launch
from tasks.jobs.hosts import FILE
from tasks.jobs.job import ENTRY, Order

# tags
RUN, STAGE, COMMIT, NUMBER, MARK = (f"luthier:{name}" for name in ("run", "stage", "commit", "number", "reported"))
WORK = "/tmp/luthier"  # noqa: S108  on the job's own volume


def request_of(order: Order, launch: Launch) -> dict[str, Any]:
    """The request for an order."""
    asked = launch.sagemaker
    told = {**order.environment, "LUTHIER_JOB": order.name, "LUTHIER_WORK": WORK}
    told |= {"LUTHIER_AWS_SECRET": asked.secret} if asked.secret else {}
    told |= {"AWS_DEFAULT_REGION": asked.region} if asked.region else {}
    told |= {"LUTHIER_HOSTS": FILE} if launch.machines(order.stage) > 1 else {}
    tags = {**asked.tags, RUN: order.run, STAGE: order.stage, COMMIT: order.commit, NUMBER: str(order.number)}
    network = {"Subnets": asked.subnets, "SecurityGroupIds": asked.security_groups}
    return {
        "TrainingJobName": order.name,
        "RoleArn": asked.role,
        "AlgorithmSpecification": {
            "TrainingImage": launch.image, "TrainingInputMode": "File",
            "ContainerEntrypoint": [ENTRY], "ContainerArguments": [order.stage],
        },
        "OutputDataConfig": {"S3OutputPath": asked.output},
        "ResourceConfig": {
            "InstanceType": asked.instance_type, "InstanceCount": launch.machines(order.stage),
            "VolumeSizeInGB": asked.volume_gb,
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": round(launch.hours * 3600)},
        "Environment": told,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())],
        **({"VpcConfig": network} if asked.subnets or asked.security_groups else {}),
    }  # fmt: skip
