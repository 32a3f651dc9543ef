"""params.yaml with some values changed, as {"finetune.seed": 3}: comments and order stay, and no key is invented."""

import difflib
from collections.abc import Mapping
from typing import Any

from tasks.data.commented import reader, text_of
from tasks.errors import ParamsError


def changed(text: str, overrides: Mapping[str, Any]) -> str:
    """The text of a params.yaml with these values.

    Args:
        text: of params.yaml.
        overrides: by dotted key; a number in it is a place in a list.

    Raises:
        ParamsError: there is no such key; its neighbours are named.
    """
    if not overrides:
        return text
    yaml = reader()
    document = yaml.load(text)
    for key, value in overrides.items():
        _put(document, key, value)
    return text_of(yaml, document)


def with_section(text: str, section: str, other: str) -> str:
    """The text of a params.yaml with one section as another params.yaml has it."""
    yaml = reader()
    document, theirs = yaml.load(text), yaml.load(other)
    if section not in theirs:
        raise ParamsError(f"the other params.yaml has no section '{section}'; its sections are: {', '.join(theirs)}.")
    document[section] = theirs[section]
    return text_of(yaml, document)


def _put(document: Any, key: str, value: Any) -> None:
    *above, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    here = document
    for part in above:
        here = here[_known(here, part, key)]
    here[_known(here, last, key)] = value


def _known(here: Any, part: str | int, key: str) -> str | int:
    """The part, if it is there."""
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return part
    if isinstance(here, Mapping):
        named = next((name for name in here if str(name) == str(part)), None)
        if named is not None:
            return named  # type: ignore[no-any-return]
    names = [str(name) for name in here] if isinstance(here, Mapping) else []
    near = difflib.get_close_matches(str(part), names, n=1)
    known = ", ".join(names) or (f"0 to {len(here) - 1}" if isinstance(here, list) else "none: it is a value")
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ParamsError(f"params.yaml has no '{key}': '{part}' is not there.{hint} Known there: {known}.")
