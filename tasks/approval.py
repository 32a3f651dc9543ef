"""A person's yes or no to one packet of evidence: signed, written on the version, and good for that packet alone.

    python -m tasks.approval --version 3 --packet SHA256 --decision reject --by admin

Airflow asks (dags/promote_model.py) and records the answer by this. What is approved is the packet's sha256: where a
number in it changes afterwards, or another champion came meanwhile, the approval is of something else and counts for
nothing.
"""

import json
import os
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from tasks.data.files import Row
from tasks.data.signing import known_keys, require_signed, signed
from tasks.errors import SealError, TrackingError
from tasks.params import load
from tasks.register import Register
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.registry import IDENTITY, Version, add_tags, get_version

TAG = "luthier.approval"
Answer = Literal["approve", "reject"]


def record(version: Version, packet: str, answer: Answer, by: str) -> Row:
    """Sign an answer to a packet (its sha256) and write it on the version; return it."""
    approval = signed(
        {
            "version": version.number, "identity": version.tags[IDENTITY], "packet_sha256": packet, "decision": answer,
            "by": by, "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "not run by Airflow"),
        }
    )  # fmt: skip
    tags = {TAG: json.dumps(approval, sort_keys=True)}
    if answer == "reject":
        tags["luthier.verdict"] = f"rejected by {by}"
    add_tags(version, tags)
    return approval


def approved(version: Version, packet: str, approvers: list[str]) -> tuple[Row | None, str]:
    """The approval of this packet, or None and why there is none, as a clause.

    Raises:
        SealError: there is one, but it is not what was signed, or nobody known signed it.
    """
    if TAG not in version.tags:
        return None, "nobody has approved it"
    try:
        document = json.loads(version.tags[TAG])
    except ValueError:
        raise SealError(f"the approval of {version.uri} is no JSON any more: somebody changed the tag {TAG}.") from None
    approval = require_signed(document, f"the approval of {version.uri}", known_keys())
    if approval["identity"] != version.tags[IDENTITY] or approval["version"] != version.number:
        return None, "its approval is of another version"
    if approval["packet_sha256"] != packet:
        return (
            None,
            f"{approval['by']} answered to other evidence (packet {approval['packet_sha256'][:12]}, not {packet[:12]})",
        )
    if approval["decision"] != "approve":
        return None, f"{approval['by']} rejected it at {approval['at']}"
    if approval["by"] not in approvers:
        return None, f"'{approval['by']}' is none of promote.approvers ({', '.join(approvers)})"
    return approval, ""


def main(
    version: Annotated[int, typer.Option(help="Of the registered model.")],
    packet: Annotated[str, typer.Option(help="sha256 of the packet that was shown.")],
    decision: Annotated[str, typer.Option(help="approve or reject")],
    by: Annotated[str, typer.Option(help="Who answered.")],
) -> None:
    """Write a person's answer on a version."""
    answers: dict[str, Answer] = {"approve": "approve", "reject": "reject"}
    if decision.lower() not in answers:
        raise TrackingError(f"--decision is approve or reject, not '{decision}'.")
    name = load("register", Register).model
    check()
    found = get_version(name, str(version))
    if found is None:
        raise TrackingError(f"there is no version {version} of '{name}'.")
    record(found, packet, answers[decision.lower()], by)
    print(f"{found.uri}: {decision.lower()} by {by}, packet {packet[:12]}.")


if __name__ == "__main__":
    run(main)
