"""The journal of champions: which version became champion, instead of which, when, why and by whose word.

An alias of MLflow moves at once, but it has no history and no compare-and-set: of two who move it, the later wins in
silence. What a registry does have, over every store and however many machines write, is numbers: the versions of a
registered model are counted up, and no number is given twice. So the journal is a registered model of its own
(`luthier.journal`) whose versions are entries, and each entry names the one that it was decided on (`after`). One that
names another than the last that counts does not count: of any number of writers who saw the same champion exactly one
wins, and all of them can read who. The alias only follows (`tasks/tracking/champion.py`).

Truth: mlflow 3.17, `mlflow/store/model_registry/sqlalchemy_store.py`, `create_model_version`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import TrackingError
from tasks.tracking.registry import Version, make_model
from tasks.tracking.server import AT_ONCE, client, error_code, refusals

FACT = "luthier.fact."
ATTEMPTS = 20  # MLflow itself gives up after three numbers that others were faster to take
PAUSE_S = 0.05


@dataclass(frozen=True)
class Entry:
    """One move of the alias champion."""

    number: int
    """Its place in the journal; 0 before the first."""
    after: int
    """Number of the entry that it was decided on; 0: there was none."""
    champion: int
    """The version that is champion from here on."""
    key: str
    """What one decision keeps, however often it is carried out."""
    facts: Mapping[str, str]
    """action, by, at, why and what else is to be remembered."""


START = Entry(0, 0, 0, "", {})


def entries(name: str) -> list[Entry]:
    """The entries that count, first to last, of the registered model `name`."""
    client()
    with refusals():
        found = client().search_model_versions(f"name = '{_journal(name)}'", max_results=10_000)
    written = sorted((_entry(version) for version in found), key=lambda entry: entry.number)
    counting = [START]
    for entry in written:
        if entry.after == counting[-1].number:
            counting.append(entry)
    return counting[1:]


def write(name: str, version: Version, after: int, key: str, facts: Mapping[str, str]) -> Entry:
    """Say that `version` is champion, if entry `after` is still the last; return the entry that came there.

    It is the caller's own if its key is; any other was faster. Killed or unanswered, it may be called again.

    Raises:
        TrackingError: MLflow took the entry in none of ATTEMPTS.
    """
    tags = {"luthier.after": str(after), "luthier.champion": str(version.number), "luthier.key": key}
    tags |= {f"{FACT}{fact}": value for fact, value in facts.items()}
    make_model(_journal(name))
    for attempt in range(ATTEMPTS):
        there = next((entry for entry in entries(name) if entry.after == after), None)
        if there is not None:
            return there
        _append(name, version, tags, f"{facts.get('action', '')}: {version.uri}. {facts.get('why', '')}")
        time.sleep(PAUSE_S * attempt)
    raise TrackingError(f"MLflow did not take an entry of the journal '{_journal(name)}' in {ATTEMPTS} attempts.")


def _append(name: str, version: Version, tags: Mapping[str, str], told: str) -> None:
    with refusals():
        try:
            client().create_model_version(_journal(name), version.uri, tags=dict(tags), description=told[:5000])
        except Exception as error:
            if error_code(error) not in AT_ONCE | {"RESOURCE_ALREADY_EXISTS"}:
                raise  # else: others were faster, or the answer was lost; who is where is read again


def _journal(name: str) -> str:
    return f"{name}.journal"


def _entry(version: Any) -> Entry:
    tags = version.tags
    facts = {tag.removeprefix(FACT): value for tag, value in tags.items() if tag.startswith(FACT)}
    after, champion = int(tags.get("luthier.after", -1)), int(tags.get("luthier.champion", 0))
    return Entry(int(version.version), after, champion, tags.get("luthier.key", ""), facts)
