"""8 promote: challenger, champion and the gate -> move the alias `champion`, or say why not.

    python -m tasks.promote --look    # judge, and lay out what a person should see; nothing is moved
    python -m tasks.promote           # judge again and, with the approval that params.yaml asks for, move the alias

Reads the evidence from MLflow alone, verified to the last byte, so it decides on what a reviewer can see there. A
candidate that is rejected, or that waits for its approval, is a normal outcome (exit 0); evidence that cannot be read
is an error. Not a DVC stage: it changes a registry.
"""

import getpass
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer
from pydantic import Field

from tasks.approval import approved
from tasks.candidate import Candidate, read_candidate
from tasks.data.files import Row, read_rows, write_json
from tasks.errors import TrackingError
from tasks.metrics.evidence import Decision, Gate
from tasks.metrics.gate import decide
from tasks.params import Section, load
from tasks.register import Register
from tasks.report.packet import packet as packet_of
from tasks.rescore import alike
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.champion import current, move
from tasks.tracking.evidence import add_text
from tasks.tracking.journal import Entry
from tasks.tracking.registry import IDENTITY, Version, add_tags, get_version, page

OUTCOME = Path(".luthier/promotion.json")
SKIPPED = 99  # what Airflow's BashOperator takes for "skipped"


class Promote(Section):
    """What is asked of a champion."""

    primary: str
    """The metric that decides, as family.metric or suite_Nshot.accuracy."""
    min_examples: int = Field(ge=1)
    """Fewer held-out examples than this are no evidence."""
    floors: dict[str, float]
    """By metric: the score that has to be reached surely; of one that is better when lower, its most."""
    may_forget: Annotated[float, Field(ge=0, le=100)] | None
    """Points of accuracy that each general suite has to lose surely less than; null: nothing is asked."""
    guards: dict[str, Annotated[float, Field(ge=0)]]
    """By metric (summarise.unsupported): points that it has to be worse by surely less than."""
    approval: Literal["airflow", "none"]
    """Whether a person has to say yes, in Airflow, before the alias moves."""
    approvers: list[str]
    """Airflow users who may."""
    answer_within_h: float = Field(gt=0)
    """Hours after which no answer is a no."""

    @property
    def gate(self) -> Gate:
        """What the gate asks."""
        return Gate(self.primary, self.min_examples, self.floors, self.may_forget, self.guards)


@dataclass(frozen=True)
class Judged:
    """A challenger that the gate has spoken about."""

    challenger: Version
    head: Entry
    """The journal's last entry when it was judged."""
    decision: Decision
    sealed: str
    """sha256 of its evidence's manifest."""
    text: str
    """The packet: what a person is shown."""
    packet: str
    """The packet's sha256."""


def judge(challenger: Version, head: Entry, gate: Gate) -> Judged:
    """Judge a challenger against the champion of `head`, and keep what a person should see in MLflow."""
    with TemporaryDirectory(prefix="luthier-judge-") as folder:
        ours = read_candidate(challenger, Path(folder) / "challenger")
        theirs = None
        if head.champion:
            champion = get_version(challenger.name, str(head.champion))
            if champion is None:
                raise TrackingError(f"version {head.champion}, the champion, is deleted in MLflow.")
            theirs = alike(read_candidate(champion, Path(folder) / "champion"), ours, gate)
        decision = decide(ours.evidence, theirs.evidence if theirs else None, gate)
        text = _packet(ours, theirs, decision)
    digest = add_text(challenger.run_id, text, "packets", ".md")
    add_tags(
        challenger,
        {"luthier.verdict": decision.verdict, "luthier.reason": decision.reason[:4500], "luthier.packet": digest},
    )
    return Judged(challenger, head, decision, ours.sealed, text, digest)


def _packet(ours: Candidate, theirs: Candidate | None, decision: Decision) -> str:
    whose = f"champion (version {theirs.version.number})" if theirs else "base model"
    opponent: list[Row] = (
        [dict(row) for row in theirs.evidence.generations]
        if theirs
        else read_rows(ours.folder / "predictions/base/generations.jsonl")
    )
    links = {
        "version": ours.version.uri, "identity": ours.version.tags[IDENTITY], "evidence_sha256": ours.sealed,
        "page": page(ours.version), "report": f"{ours.version.tags['luthier.evidence']}/report.html",
    }  # fmt: skip
    return packet_of(ours.evidence, opponent, whose, decision, links, ours.private)


def carry_out(judged: Judged, params: Promote) -> tuple[bool, str]:
    """Move the alias, if the gate and, where one is asked for, a person said so; whether, and why."""
    if judged.decision.verdict != "promote":
        return False, judged.decision.reason
    challenger, by = judged.challenger, f"{getpass.getuser()} (promote.approval: none)"
    if params.approval != "none":
        approval, why = approved(challenger, judged.packet, params.approvers)
        if approval is None:
            ask = (
                f"Trigger promote_model in Airflow ('luthier up') to be asked: packets/{judged.packet[:12]}... is shown"
            )
            return False, f"The gate says yes, and {why}. {ask}. {judged.decision.reason}"
        by = approval["by"]
    facts = {
        "action": "promote", "by": by, "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "why": judged.decision.reason[:4500], "evidence": judged.sealed, "packet": judged.packet,
        "approval": params.approval, "identity": challenger.tags[IDENTITY],
    }  # fmt: skip
    move(challenger, judged.head, f"promote {challenger.tags[IDENTITY]} {judged.packet}", facts)
    return True, judged.decision.reason


def show(judged: Judged, params: Promote) -> None:
    """Print what Airflow's approval page shows, as one line of JSON, the last: BashOperator hands it on."""
    verdict = judged.decision.verdict
    print(f"{verdict}: {judged.challenger.uri}. {page(judged.challenger)}\n{judged.decision.reason}")
    asked = {"version": judged.challenger.number, "packet": judged.packet, "approval": params.approval}
    subject = f"May version {judged.challenger.number} of '{judged.challenger.name}' become champion?"
    print(json.dumps(asked | {"subject": subject, "body": judged.text}))
    if verdict != "promote":
        raise SystemExit(SKIPPED)


def main(
    look: Annotated[
        bool, typer.Option("--look", help="Judge and show; move nothing. Exit 99: not to be promoted.")
    ] = False,
    version: Annotated[int | None, typer.Option(help="The one to decide on; the challenger unless said.")] = None,
    packet: Annotated[str, typer.Option(help="sha256 of the packet that was approved: another one is refused.")] = "",
) -> None:
    """Decide on the challenger and move the alias champion to it, or say why not."""
    params, name = load("promote", Promote), load("register", Register).model
    check()
    head, challenger = current(name), get_version(name, str(version) if version else "challenger")
    if challenger is None:
        which = f"version {version}" if version else "challenger"
        raise TrackingError(f"'{name}' has no {which}: run 'python -m tasks.register' first.")
    if head.champion == challenger.number:
        print(f"version {head.champion} is the champion already. {page(challenger)}")
        note(challenger, "champion", "already champion", f"version {head.champion} is the champion already.")
        if look:
            raise SystemExit(SKIPPED)
        return None
    judged = judge(challenger, head, params.gate)
    if look:
        note(challenger, "challenger", judged.decision.verdict, judged.decision.reason)
        return show(judged, params)
    if packet and packet != judged.packet:
        raise TrackingError(
            f"what was approved (packet {packet[:12]}) is not what there is now ({judged.packet[:12]}): the evidence, "
            "the champion or section promote changed meanwhile. Trigger promote_model again."
        )
    moved, reason = carry_out(judged, params)
    waits = judged.decision.verdict == "promote" and not moved
    verdict = "waits for approval" if waits else judged.decision.verdict
    alias = "champion" if moved else "challenger"
    note(challenger, alias, verdict, reason)
    print(f"{verdict}: {challenger.uri}, now {alias}. {page(challenger)}\n{reason}")


def note(version: Version, alias: str, verdict: str, reason: str) -> None:
    """Leave the outcome where the summary looks for it."""
    write_json(OUTCOME, {"version": version.number, "alias": alias, "verdict": verdict, "reason": reason})


if __name__ == "__main__":
    run(main)
