"""The alias `champion`: where the journal says it is, and nowhere else.

    head = current("luthier")                     # the last entry, after what a kill left undone was done
    move(version, head, key, facts)               # or MovedError, that tells who moved it meanwhile

The order makes every state in between a good one: the entry decides (of many, one), the version gets its audit tags,
then the alias moves; whoever comes next does what is left. Where somebody moved the alias by hand, it goes back.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import TrackingError
from tasks.tracking.journal import START, Entry, entries, write
from tasks.tracking.registry import Version, add_tags, get_version, set_alias

ALIAS = "champion"
LOCK = Path(".luthier/promotion.lock")  # for one machine's peace: across machines the journal decides


class MovedError(TrackingError):
    """Somebody else moved the alias first."""


def current(name: str) -> Entry:
    """The entry that is in force, with the alias and the tags as it says; START where there never was a champion.

    Raises:
        TrackingError: the alias stands somewhere, and no entry says why.
    """
    with locked():
        return _settle(name)


def move(version: Version, head: Entry, key: str, facts: Mapping[str, str]) -> Entry:
    """Make `version` the champion, if `head` is still in force; return the entry.

    Args:
        version: becomes champion.
        head: of `current`, when this was decided.
        key: of the decision; the same one carried out twice moves nothing twice.
        facts: action ("promote" or "rollback"), by, at, why, and more.

    Raises:
        MovedError: another entry came first, with who wrote it and why.
    """
    with locked():
        won = write(version.name, version, head.number, key, facts)
        if won.key == key:
            _settle(version.name)
    if won.key != key:
        raise MovedError(
            f"version {version.number} is not champion: {won.facts.get('by')} made version {won.champion} champion "
            f"first, at {won.facts.get('at')} ({won.facts.get('why', '')[:200]}). Run this again to decide on what is "
            "there now."
        )
    return won


def replaced(entry: Entry, name: str) -> int:
    """The version that was champion before this entry; 0: none."""
    return next((one.champion for one in entries(name) if one.number == entry.after), 0)


def _settle(name: str) -> Entry:
    """Do what the journal says and is not done yet, until nothing came meanwhile."""
    while True:
        known = entries(name)
        head = known[-1] if known else START
        stands = get_version(name, ALIAS)
        if head is START and stands is not None:
            raise TrackingError(
                f"the alias '{ALIAS}' of '{name}' is at version {stands.number}, and no entry of '{name}.journal' says "
                "who put it there and why: delete the alias in MLflow, and promote the version."
            )
        if head is START:
            return head
        before = next((entry.champion for entry in known if entry.number == head.after), 0)
        for number, tags in _audit(head, before).items():
            _add_missing(name, number, tags)
        if stands is None or stands.number != head.champion:
            set_alias(ALIAS, _required(name, head.champion))
        after = entries(name)
        if after[-1].number == head.number:
            return head


def _audit(entry: Entry, before: int) -> dict[int, dict[str, str]]:
    """The tags that an entry leaves on versions, by number."""
    by, at, why = (entry.facts.get(fact, "") for fact in ("by", "at", "why"))
    if entry.facts.get("action") == "rollback":
        taken = {"luthier.rolled_back": why, "luthier.rolled_back_at": at, "luthier.rolled_back_by": by}
        given = {"luthier.restored": f"instead of version {before}: {why}", "luthier.restored_at": at}
        return {before: taken, entry.champion: given | {"luthier.restored_by": by}}
    tags = {
        "luthier.promoted_by": by, "luthier.promoted_at": at, "luthier.reason": why,
        "luthier.promoted_on": entry.facts.get("evidence", ""), "luthier.previous_champion": str(before or "none"),
    }  # fmt: skip
    return {entry.champion: tags}


def _add_missing(name: str, number: int, tags: Mapping[str, str]) -> None:
    version = _required(name, number)
    add_tags(version, {tag: value for tag, value in tags.items() if version.tags.get(tag) != value})


def _required(name: str, number: int) -> Version:
    version = get_version(name, str(number))
    if version is None:
        raise TrackingError(f"'{name}.journal' names version {number} of '{name}', which is deleted in MLflow.")
    return version


@contextmanager
def locked() -> Iterator[None]:
    """One of this checkout's processes or threads at a time."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
