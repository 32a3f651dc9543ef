"""A person's word, as one Airflow task: named users, the evidence in front of them, and silence is a no.

    approve = approval("approve", "gate", params("promote"))

What it asks with comes from the XCom of the task before it: {subject, body}. The answer lies in its own XCom `answer`,
{chosen, by}, also where it was a no: Airflow's operator skips what follows before it returns anything.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.standard.operators.hitl import ApprovalOperator

ROOT = Path(__file__).resolve().parents[1]


class Approval(ApprovalOperator):
    """Airflow's own, which remembers a no as well."""

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Called with the answer, or with the default once the time is over."""
        if chosen := event.get("chosen_options"):
            by = (event.get("responded_by_user") or {}).get("name", "nobody, in time")  # an id may be a number
            context["ti"].xcom_push(key="answer", value={"chosen": chosen[0], "by": by})
        return super().execute_complete(context, event)


def approval(task_id: str, evidence: str, asked: dict[str, Any]) -> Approval:
    """Ask `asked["approvers"]` about what the task `evidence` laid out, for `asked["answer_within_h"]` hours."""
    return Approval(
        task_id=task_id,
        subject=f"{{{{ ti.xcom_pull('{evidence}')['subject'] }}}}",
        body=f"{{{{ ti.xcom_pull('{evidence}')['body'] }}}}",
        defaults="Reject",
        response_timeout=timedelta(hours=asked["answer_within_h"]),
        assigned_users=[{"id": name, "name": name} for name in asked["approvers"]],
    )


def params(section: str) -> dict[str, Any]:
    """A section of params.yaml, for what a DAG's shape depends on."""
    return yaml.safe_load((ROOT / "params.yaml").read_text())[section]  # type: ignore[no-any-return]
