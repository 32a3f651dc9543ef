"""Records that repeat another of their own split: no leak, but a weight that nobody asked for."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tasks.data.leaks.runs import Hashes, Numbers
from tasks.data.leaks.said import Portion

LISTED = 20  # pairs that are named; the others are counted

Keys = tuple[Numbers, Hashes, Hashes]
"""Of a portion's records: their numbers, and the first 64 bits of their texts' and questions' digests."""
Repeated = tuple[str, int, int]
"""(kind, number of the first record that says it, number of the one that repeats it)"""


def keys_of(portion: Portion) -> Keys:
    """What a portion's records are compared by."""
    text, asked, _ = portion.whole_digests
    return portion.numbers, text[:, 0].copy(), asked[:, 0].copy()  # a view would keep the other half


def repeats(portions: Sequence[Keys]) -> tuple[dict[str, int], list[Repeated]]:
    """How many records of one split repeat another's text, or its input with another answer; and the first pairs."""
    if not portions:
        return {"normalised": 0, "input": 0}, []
    numbers, texts, asked = (np.concatenate(parts) for parts in zip(*portions, strict=True))
    same_text = _repeated(texts)
    looks = {"normalised": (texts, same_text), "input": (asked, _repeated(asked) & ~same_text)}
    pairs = [
        (kind, int(numbers[np.argmax(keys == keys[place])]), int(numbers[place]))
        for kind, (keys, found) in looks.items()
        for place in np.flatnonzero(found)[:LISTED]
    ]
    return {kind: int(found.sum()) for kind, (_, found) in looks.items()}, pairs[:LISTED]


def _repeated(keys: Hashes) -> npt.NDArray[np.bool_]:
    """Which keys, other than 0 (no words), stand earlier as well."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), np.bool_)
    again[order[1:]] = (keys[order[1:]] == keys[order[:-1]]) & (keys[order[1:]] != 0)
    return again
