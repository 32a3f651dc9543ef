"""Which records become examples: splits by group, caps, weights and the share of replay, decided on keys alone.

A record's place is decided by what it says and by the seed, never by its row number. Where a declared key puts copies
of one text into different splits, the copy of the split that is held out more is kept and the others are left out: a
group never moves between splits, and no text stands in two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.data.keys import Keys, mixed, shares_of
from tasks.data.splits import SPLITS
from tasks.errors import ParamsError

Codes = npt.NDArray[np.int8]  # of splits: places in SPLITS
Mask = npt.NDArray[np.bool_]
NOWHERE = -1


@dataclass(frozen=True)
class Places:
    """Where the records of one source belong, each array (records,)."""

    group: Keys
    """Rows that must stay together."""
    split: Codes
    """Place in SPLITS, or NOWHERE for a copy of what a split that is held out more says."""


def place(texts: Keys, groups: Keys | None, shares: Mapping[str, float], seed: int, given: str | None) -> Places:
    """Give every record its split.

    Args:
        texts: keys of the normalised texts.
        groups: keys of the declared group column, or None where the text is its own group.
        shares: of train, dev and test; they sum to 1.
        seed: moves every group when changed.
        given: the split that all of them are in already, or None.

    Raises:
        ParamsError: the shares are not those of train, dev and test, or do not sum to 1.
    """
    group = texts if groups is None else groups
    if given is not None:
        return Places(group, np.full(len(texts), SPLITS.index(given), np.int8))
    split = splits_of(group, shares, seed)
    if groups is not None:
        for lower, higher in (("train", ("dev", "test")), ("dev", ("test",))):
            held_out = np.isin(split, [SPLITS.index(name) for name in higher])
            said = (split == SPLITS.index(lower)) & np.isin(texts, texts[held_out])
            split = np.where(said, np.int8(NOWHERE), split)
    return Places(group, split)


def splits_of(groups: Keys, shares: Mapping[str, float], seed: int) -> Codes:
    """The split of each group; it depends on the group's key and the seed alone.

    Raises:
        ParamsError: the shares are not those of train, dev and test, or do not sum to 1.
    """
    if set(shares) != set(SPLITS) or min(shares.values()) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ParamsError(
            f"params.yaml: expand.split must give train, dev and test shares that sum to 1, not {shares}."
        )
    ends = np.cumsum([shares[split] for split in SPLITS])[:-1]
    return np.searchsorted(ends, shares_of(mixed(groups, seed, "split")), side="right").astype(np.int8)


def first(ranks: Keys, wanted: Mask, count: int | None) -> Mask:
    """The `count` wanted records of the lowest rank; all of them for None."""
    if count is None or count >= int(wanted.sum()):
        return wanted
    chosen = np.zeros(len(wanted), np.bool_)
    places = np.flatnonzero(wanted)
    chosen[places[np.argsort(ranks[places], kind="stable")[:count]]] = True
    return chosen


def weighed(available: Sequence[int], weights: Sequence[float | None], total: int | None = None) -> list[int]:
    """How many examples each part of a mixture gives, so that their numbers are as their weights.

    Args:
        available: examples that each part has.
        weights: of each part; None for all: as many as there are.
        total: how many together; as many as possible for None.

    Raises:
        ParamsError: some have a weight and some have none, or `total` is more than there is.
    """
    if len({weight is None for weight in weights}) > 1:
        raise ParamsError("params.yaml: expand.mixture: give every part a weight, or none of them (null).")
    shares = [float(count if weight is None else weight) for count, weight in zip(available, weights, strict=True)]
    whole = sum(shares)
    if not whole:
        return [0] * len(shares)
    most = min(count * whole / share for count, share in zip(available, shares, strict=True) if share)
    if total is not None and total > most + 1e-6:
        raise ParamsError(
            f"params.yaml: expand.replay_share asks for {total} training examples of replay, but there are only "
            f"{int(most)}: lower it, or raise that part's take, wordings or source."
        )
    return [int(share / whole * (most if total is None else total) + 1e-9) for share in shares]
