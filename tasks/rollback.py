"""Back to an earlier champion, with a reason.

    python -m tasks.rollback --reason "answers in capitals since Tuesday"               # to the one before
    python -m tasks.rollback --reason "..." --to 3                                      # to one that was champion once

The version that is gone back to is loaded from MLflow, verified and asked before the alias moves; what was rolled back
is not promoted again.
"""

import getpass
import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from tasks.candidate import read_candidate
from tasks.errors import TrackingError
from tasks.params import load
from tasks.register import Register
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.champion import current, move, replaced
from tasks.tracking.journal import Entry, entries
from tasks.tracking.registry import Version, get_version, page

ASKED = 2  # held-out examples that the version has to answer before it is trusted again


def roll_back(name: str, reason: str, to: int | None, by: str) -> tuple[Version, str]:
    """Give the alias champion back to an earlier champion; return it, and what it answered when it was tried.

    Raises:
        TrackingError: there is no champion, none before it, or `to` never was one; or it does not answer.
    """
    head = current(name)
    if not head.champion:
        raise TrackingError(f"'{name}' has no champion, so there is nothing to go back from.")
    target = _target(name, head, to)
    tried = try_out(target)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts = {"action": "rollback", "by": by, "at": now, "why": reason, "tried": tried}
    move(target, head, f"rollback {head.number} {target.number}", facts)
    return target, tried


def _target(name: str, head: Entry, to: int | None) -> Version:
    """The version to go back to: one that was champion, and was not itself taken back since."""
    were = {entry.champion for entry in entries(name)}
    number = _before(name, head.champion) if to is None else to
    if number == 0:
        raise TrackingError(
            f"models:/{name}/{head.champion} is the first champion of '{name}': there is none to go back to."
        )
    if number == head.champion:
        raise TrackingError(f"version {number} is the champion of '{name}' already.")
    version = get_version(name, str(number))
    if version is None:
        raise TrackingError(f"there is no version {number} of '{name}' any more.")
    if number not in were:
        told = ", ".join(str(one) for one in sorted(were))
        raise TrackingError(f"version {number} never was champion, so no gate has seen it; those that were: {told}.")
    return version


def _before(name: str, champion: int) -> int:
    """The champion that this one was promoted over, or, if that was taken back, the one before it; 0: none."""
    promoted = {entry.champion: entry for entry in entries(name) if entry.facts.get("action") == "promote"}
    taken = {replaced(entry, name) for entry in entries(name) if entry.facts.get("action") == "rollback"}
    number = replaced(promoted[champion], name) if champion in promoted else 0
    while number in taken:
        number = replaced(promoted[number], name) if number in promoted else 0
    return number


def try_out(version: Version) -> str:
    """Load a version as it is served and let it answer some of its held-out examples; say how that went.

    Raises:
        TrackingError: it answers nothing at all.
        SealError: its bytes are not those that were sealed.
    """
    from tasks import serve  # noqa: PLC0415  seconds, once it is sure that there is something to load

    with TemporaryDirectory(prefix="luthier-rollback-") as folder:
        found = read_candidate(version, Path(folder))
        rows = list(found.evidence.generations)[:ASKED]
        records = [{"family": row["family"], "prompt": row["input"]} for row in rows]
        answers = serve.load(found.model).answer(records)
    if not any(answer.strip() for answer in answers):
        raise TrackingError(f"{version.uri} loads, but answers nothing to {len(rows)} of its held-out examples.")
    same = sum(answer == row["output"] for answer, row in zip(answers, rows, strict=True))
    return f"loaded, and answered {len(rows)} held-out examples, {same} of them as when it was evaluated"


def main(
    reason: Annotated[str, typer.Option(help="Written on both versions.")],
    to: Annotated[int | None, typer.Option(help="A version that was champion; the one before unless said.")] = None,
) -> None:
    """Move the alias champion back to an earlier champion."""
    if not reason.strip():
        raise TrackingError("--reason is empty: say why, for whoever asks later.")
    check()
    by = os.environ.get("LUTHIER_BY") or getpass.getuser()
    version, tried = roll_back(load("register", Register).model, reason.strip(), to, by)
    print(f"{version.uri} is the champion again: {tried}. {page(version)}")


if __name__ == "__main__":
    run(main)
