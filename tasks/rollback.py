"""Back to the champion before this one, with a reason.

    python -m tasks.rollback --reason "answers in capitals since Tuesday"

The alias goes to the version in the champion's tag `luthier.previous_champion`; what was rolled back is not
promoted again.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from tasks.errors import TrackingError
from tasks.params import load
from tasks.register import Register
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.registry import Version, add_tags, get_version, move_alias, page


def roll_back(name: str, reason: str) -> Version:
    """Give the alias champion back to the version that held it before; return that version.

    Raises:
        TrackingError: there is no champion, or none before it.
    """
    champion = get_version(name, "champion")
    if champion is None:
        raise TrackingError(f"'{name}' has no champion, so there is nothing to go back from.")
    number = champion.tags.get("luthier.previous_champion", "none")
    before = get_version(name, number) if number.isdigit() else None
    if before is None:
        raise TrackingError(f"{champion.uri} is the first champion of '{name}': there is none to go back to.")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    add_tags(champion, {"luthier.rolled_back": reason, "luthier.rolled_back_at": now})
    move_alias("champion", before, expected=champion)
    why = f"instead of version {champion.number}: {reason}"
    add_tags(before, {"luthier.restored_at": now, "luthier.restored": why})
    return before


def main(reason: Annotated[str, typer.Option(help="Written on both versions.")]) -> None:
    """Move the alias champion back to the previous champion."""
    if not reason.strip():
        raise TrackingError("--reason is empty: say why, for whoever asks later.")
    check()
    version = roll_back(load("register", Register).model, reason.strip())
    print(f"{version.uri} is the champion again. {page(version)}")


if __name__ == "__main__":
    run(main)
