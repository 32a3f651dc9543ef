"""What numbers were made with, and the refusal to compare those that were not made alike.

    require_alike(mine, theirs, "version 3")   # cards of two evaluations

A score is moved by much that is not the model: another test set, another prompt, a longer limit, another tokeniser of
the metric, another batch size. Two evaluations are compared only where all of this is the same, and else the
difference is named, first to last.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.errors import DataError

Card = Mapping[str, Any]
LIKE = "alike"  # the part of a card that has to be equal


def differences(mine: Card, theirs: Card) -> list[str]:
    """What differs in the parts that have to be alike: "suites.mmlu.shots: 5, not 0"."""
    return [
        f"{where}: {_short(ours)}, not {_short(others)}"
        for where, ours, others in _walk(mine.get(LIKE), theirs.get(LIKE), "")
    ]


def require_alike(mine: Card, theirs: Card, whose: str) -> None:
    """Refuse to compare what was not made alike.

    Raises:
        DataError: naming each difference.
    """
    if LIKE not in mine or LIKE not in theirs:
        raise DataError(f"the numbers of {whose} do not say what they were made with: evaluate it again.")
    if found := differences(mine, theirs):
        raise DataError(
            f"the numbers of {whose} were not made like these, so comparing them would tell nothing: "
            f"{'; '.join(found[:6])}{f'; and {len(found) - 6} more' if len(found) > 6 else ''}. Evaluate both alike."
        )


def _walk(mine: object, theirs: object, where: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        for key in dict.fromkeys([*mine, *theirs]):
            yield from _walk(mine.get(key), theirs.get(key), f"{where}.{key}".lstrip("."))
    elif mine != theirs:
        yield where or "card", mine, theirs


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
