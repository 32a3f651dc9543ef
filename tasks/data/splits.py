"""Splits by group: rows that say the same, or share a key, stay in one of train / dev / test.

The split of a group depends on its key and the seed alone, so that adding, removing or reordering rows moves no
other row.
"""

import hashlib
import re

from tasks.errors import ParamsError

SPLITS = ("train", "dev", "test")
NOT_WORD = re.compile(r"[\W_]+")


def normalise(text: str) -> str:
    """Lower case, with punctuation and runs of spaces as one space: what two readers would call the same text."""
    return NOT_WORD.sub(" ", text.casefold()).strip()


def rank(seed: int, *parts: str) -> float:
    """A number in [0, 1) that depends on its arguments alone."""
    digest = hashlib.sha256("\x1f".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def group_of(text: str) -> str:
    """The group of all rows whose key says the same: a short digest of the normalised text."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:16]


def split_of(group: str, shares: dict[str, float], seed: int) -> str:
    """The split that a group belongs to.

    Args:
        group: from `group_of`.
        shares: of train, dev and test; they sum to 1.
        seed: moves every group when changed.

    Raises:
        ParamsError: the shares are not those of train, dev and test, or do not sum to 1.
    """
    if set(shares) != set(SPLITS) or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ParamsError(
            f"params.yaml: expand.split must give train, dev and test shares that sum to 1, not {shares}."
        )
    place = rank(seed, "split", group)
    if place < shares["train"]:
        return "train"
    return "dev" if place < shares["train"] + shares["dev"] else "test"
