"""8 promote: challenger, champion and the gate -> move the alias `champion`, or say why not.

Reads the evidence from MLflow alone, so it decides on what a reviewer can see there. A candidate that is
rejected is a normal outcome (exit 0); evidence that cannot be read is an error. Not a DVC stage: it changes a
registry.

    python -m tasks.promote
"""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from pydantic import Field

from tasks.data.files import read_json, read_rows, write_json
from tasks.errors import TrackingError
from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Decision, Evidence, Gate
from tasks.metrics.gate import decide
from tasks.params import Section, load
from tasks.register import Register
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.evidence import fetch_files
from tasks.tracking.registry import IDENTITY, Version, add_tags, get_version, move_alias, page

OUTCOME = Path(".luthier/promotion.json")


class Promote(Section):
    """What is asked of a champion."""

    primary: str
    """The metric that decides, as family.metric or suite_Nshot.accuracy."""
    min_examples: int = Field(ge=1)
    """Fewer held-out examples than this are no evidence."""
    max_suite_drop: float = Field(ge=0, le=100)
    """Points of accuracy that a general suite may lose against the base model."""
    guards: dict[str, Annotated[float, Field(ge=0)]]
    """By metric (summarise.unsupported): points that it may be worse by, whatever the primary metric gained."""


def read_evidence(version: Version, into: Path) -> Evidence:
    """Read what register put into MLflow for a version, by way of a folder of its own.

    Raises:
        TrackingError: some of it is not there.
    """
    tags = version.tags
    if "luthier.evidence" not in tags:
        raise TrackingError(f"{version.uri} has no evidence: register it with 'python -m tasks.register'.")
    try:
        folder = fetch_files(version.run_id, tags["luthier.evidence"], into)
        cards = read_json(folder / "cards.json")
        intervals = cards["intervals"]
        return Evidence(
            version=version.number,
            weights=tags["luthier.weights.tuned"],
            evaluated=cards["weights_sha256"]["tuned"],
            test=tags["luthier.data.test"],
            leaks_clean=read_json(folder / "leaks.json").get("clean"),
            metrics=read_json(folder / "metrics.json"),
            resampling=Resampling(intervals["seed"], intervals["resamples"], intervals["confidence"]),
            generations=read_rows(folder / "predictions/tuned/generations.jsonl"),
            choices=read_rows(folder / "predictions/tuned/choices.jsonl"),
            card=cards,
            rolled_back=tags.get("luthier.rolled_back"),
        )
    except (FileNotFoundError, KeyError) as error:
        raise TrackingError(f"the evidence of {version.uri} lacks {error}: register it again.") from None


def carry_out(decision: Decision, challenger: Version, champion: Version | None) -> None:
    """Write the verdict on the version and, if it is to be promoted, move the alias."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {"luthier.verdict": decision.verdict, "luthier.reason": decision.reason, "luthier.decided_at": now}
    if decision.verdict != "promote":
        add_tags(challenger, tags)
        return
    # Before the alias moves: a rollback needs to know where to, whenever we are killed.
    previous = str(champion.number) if champion else "none"
    evidence = challenger.tags[IDENTITY]
    add_tags(challenger, tags | {"luthier.previous_champion": previous, "luthier.promoted_on": evidence})
    move_alias("champion", challenger, expected=champion)
    add_tags(challenger, {"luthier.promoted_at": now})


def main() -> None:
    """Decide on the challenger and move the alias champion to it, or say why not."""
    params, name = load("promote", Promote), load("register", Register).model
    check()
    challenger, champion = (get_version(name, alias) for alias in ("challenger", "champion"))
    if challenger is None:
        raise TrackingError(f"'{name}' has no challenger: run 'python -m tasks.register' first.")
    if champion is not None and champion.number == challenger.number:
        verdict, reason = "already champion", f"version {champion.number} is the champion already."
    else:
        gate = Gate(params.primary, params.min_examples, params.max_suite_drop, params.guards)
        with TemporaryDirectory() as ours, TemporaryDirectory() as theirs:
            opponent = read_evidence(champion, Path(theirs)) if champion else None
            decision = decide(read_evidence(challenger, Path(ours)), opponent, gate)
        carry_out(decision, challenger, champion)
        verdict, reason = decision.verdict, decision.reason
    promoted = verdict in {"promote", "already champion"}
    alias = "champion" if promoted else "challenger"
    write_json(OUTCOME, {"version": challenger.number, "alias": alias, "verdict": verdict, "reason": reason})
    print(f"{verdict}: {challenger.uri}, now {alias}. {page(challenger)}\n{reason}")


if __name__ == "__main__":
    run(main)
