"""What a run is asked to do, as its environment says it, and the name that everybody finds it by.

The scheduler knows a run by its full name (dag_id/run_id, and a point of a study behind it), which is no legal branch
name. `slug_of` makes one of it that a person can still read.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.data.secrets import refuse_secrets
from tasks.errors import ParamsError

RUN = "LUTHIER_RUN"  # in the environment of every process of a run: its full name
BRANCHES = "runs"
READABLE = 50  # characters of a slug that a person reads
WHEN = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)?")  # as in Airflow's run ids


@dataclass(frozen=True)
class Asked:
    """A run, and what it changes."""

    run: str
    """Its full name."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """By dotted key of params.yaml: another value."""
    revision: str = ""
    """Git revision of code and parameters; empty: the checkout as it is."""
    data_of: str = ""
    """An earlier run, git revision or moment (ISO 8601), whose raw data are used; empty: what params.yaml pins."""
    pins: Mapping[str, str] = field(default_factory=dict)
    """By source: the sha256 that whoever started this run saw."""
    event: bool = False
    """Whether new data started it: sources without a digest in `pins` are taken as they are when it begins."""

    @property
    def slug(self) -> str:
        """Its name as a folder."""
        return slug_of(self.run)

    @property
    def branch(self) -> str:
        """Its branch."""
        return f"{BRANCHES}/{self.slug}"


def slug_of(run: str) -> str:
    """A run's full name as a branch's last part and as a folder: what can be read of it, and a digest of all of it."""
    if not run.strip():
        raise ParamsError(f"{RUN} is empty: it names the run whose workspace this is, such as my-dag/my-run.")
    text = WHEN.sub(r"\1-\2\3\4", run.partition("/")[2] or run)  # a DAG's name is in the branch's first commit
    words = re.sub(r"[^a-z0-9]+", "-", text.lower())
    return f"{words[:READABLE].strip('-') or 'run'}-{hashlib.sha256(run.encode()).hexdigest()[:6]}"


def from_environment() -> Asked:
    """What the environment asks for: LUTHIER_RUN, LUTHIER_SET, LUTHIER_REVISION, LUTHIER_DATA_OF, LUTHIER_EVENTS.

    LUTHIER_SET is a JSON object. A key with a dot in it overrides params.yaml, as do those of its object `more`;
    `revision` and `data_of` mean what the variables of that name do; null changes nothing. LUTHIER_EVENTS is a JSON
    list of what came with the events that started the run: {"sources": {name: sha256}}.

    Raises:
        ParamsError: one of them is not what it should be.
    """
    given = _json("LUTHIER_SET", dict)
    given = {**_said(_object(given.pop("more", None), "'more' of LUTHIER_SET")), **_said(given)}
    refuse_secrets(given, "what this run is asked to change")
    revision, data_of = given.pop("revision", ""), given.pop("data_of", "")
    if other := [key for key in given if "." not in key]:
        known = "revision, data_of, more and dotted keys of params.yaml, such as finetune.seed"
        raise ParamsError(f"LUTHIER_SET has '{other[0]}', which changes nothing: known are {known}.")
    pins: dict[str, str] = {}
    events = _json("LUTHIER_EVENTS", list)
    for event in events:
        pins |= _said(_object(_object(event, "an event's extra").get("sources"), "'sources' of an event's extra"))
    return Asked(
        run=os.environ.get(RUN, ""),
        overrides=given,
        revision=str(revision or os.environ.get("LUTHIER_REVISION", "")),
        data_of=str(data_of or os.environ.get("LUTHIER_DATA_OF", "")),
        pins=pins,
        event=bool(events),
    )


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise ParamsError(f"{name} has to be a JSON object, not {str(value)[:80]!r}.")
    return value or {}


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Without what says nothing: a field of the form that was left empty."""
    return {key: value for key, value in given.items() if value not in (None, "")}


def _json(name: str, kind: type[Any]) -> Any:
    text = os.environ.get(name) or json.dumps(kind())
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ParamsError(f"{name} is no JSON ({error}): {text[:80]!r}.") from None
    if not isinstance(value, kind):
        raise ParamsError(f"{name} has to be a JSON {'object' if kind is dict else 'list'}, not {text[:80]!r}.")
    return value
