"""What a training job of SageMaker says of itself, in a sentence and an exit status.

Its container's exit code is in the reason of its failure ("AlgorithmError: , exit code: 75"), and nowhere else.
Truth: SageMaker's API reference, DescribeTrainingJob: TrainingJobStatus, SecondaryStatus, FailureReason.
"""

import re
from collections.abc import Mapping
from typing import Any

from tasks.jobs.job import ENTRY, Seen
from tasks.runs.calls import meaning
from tasks.step import EX_TEMPFAIL

ENDED = {"Completed", "Failed", "Stopped"}
EXITED = re.compile(r"exit code:?\s*(\d+)", re.IGNORECASE)
LATER = re.compile(r"CapacityError|InsufficientInstanceCapacity|InternalServerError|internal error", re.IGNORECASE)


def seen_of(found: Mapping[str, Any], hours: float) -> Seen:
    """How a training job stands.

    Args:
        found: as described.
        hours: that it may take.
    """
    status, detail = found["TrainingJobStatus"], found.get("SecondaryStatus", "")
    if status == "Completed":
        return Seen("ended", status=0)
    if status == "Failed":
        return _failed(str(found.get("FailureReason", "")))
    if status == "Stopped":
        late = f"It took longer than {hours:g} hours: raise launch.hours, or set a larger instance_type."
        stopped = "Somebody stopped it. Run the stage again where that was no wish."
        return Seen("ended", late if detail == "MaxRuntimeExceeded" else stopped)
    if status == "Stopping":
        return Seen("ending", "is being stopped.")
    if detail in {"Training", "Uploading"}:
        return Seen("running")
    steps = found.get("SecondaryStatusTransitions") or [{}]
    return Seen("waiting", f"{detail or status}: {steps[-1].get('StatusMessage', 'no word of why')}")


def _failed(reason: str) -> Seen:
    told = " ".join(reason.split())[:400] or "SageMaker gives no reason"
    if exited := EXITED.search(reason):
        code = int(exited[1])
        if code in {126, 127}:
            return Seen("ended", f"launch.image cannot run {ENTRY} ({told}): it needs docker/job.sh by that name.")
        return Seen("ended", status=meaning(code, []))
    if LATER.search(reason):
        return Seen("ended", f"SageMaker could not do it now: {told}", EX_TEMPFAIL)
    return Seen("ended", f"SageMaker says: {told}")
