"""Runs of 13 words, as 64-bit numbers: which of a held-out text's runs stand anywhere in other texts.

A word's number is a polynomial over its bytes, and a run's one over the numbers of its words, modulo 2^64 and mixed
by the finaliser of SplitMix64 (Steele et al. 2014, doi 10.1145/2714064.2660195). With the sums of all that stands
before, every run is a subtraction and a product, for a whole batch of texts at once. Two runs may in theory share a
number: who is accused by numbers is looked at again in words, by `runs_of`.

13 words are what the GPT-3 paper counted (arXiv 2005.14165, appendix C); why all of them are compared, and none is
estimated, says tasks/data/leaks/overlap.py.
"""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from tasks.data.buffers import spread
from tasks.data.splits import normalise

RUN = 13  # words
# Thai and Lao, Burmese, Khmer, Japanese kana and Chinese characters (blocks of the Unicode Standard).
UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff])"
)
BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2^64
INVERSE = pow(BASE, -1, 1 << 64)
SPACE = ord(" ")
BITS_PER_RUN = 32  # of the filter: 1 in 32 runs that are not held out passes it

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]


def words_of(text: str) -> str:
    """`normalise`, one space between two words; in scripts written without spaces every character is a word."""
    text = normalise(text)
    return text if text.isascii() else " ".join(UNSPACED.sub(r" \1 ", text).split())


def runs_of(text: str) -> set[str]:
    """All runs of 13 words of a text from `words_of`; a shorter text is one run, an empty one has none."""
    words = text.split()
    return {" ".join(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))} if words else set()


def hashed_runs(texts: Sequence[str]) -> tuple[Hashes, Numbers]:
    """The runs of texts from `words_of`, text by text, as numbers.

    Returns:
        (runs,) in the texts' order, and how many are each text's, (texts,).
    """
    letters = np.frombuffer(" ".join(filter(None, texts)).encode(), np.uint8)
    spaces = np.flatnonzero(letters == SPACE)  # one between two words, as `words_of` leaves them
    words = _spans(letters, np.append(0, spaces + 1), np.append(spaces, len(letters))) if len(letters) else _NONE
    lengths = np.array([text.count(" ") + 1 if text else 0 for text in texts], np.int64)
    ends = np.cumsum(lengths)
    counts = np.where(lengths > 0, np.maximum(1, lengths - RUN + 1), 0)
    starts = np.arange(counts.sum()) + np.repeat(ends - lengths - (np.cumsum(counts) - counts), counts)
    return _spans(words, starts, np.minimum(starts + RUN, np.repeat(ends, counts))), counts


def distinct_runs(texts: Sequence[str]) -> tuple[Hashes, Numbers]:
    """As `hashed_runs`, each run once a text."""
    hashes, counts = hashed_runs(texts)
    owners = np.repeat(np.arange(len(texts)), counts)
    order = np.lexsort((hashes, owners))
    hashes = hashes[order]
    new = np.ones(len(hashes), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    return hashes[new], np.bincount(owners[new], minlength=len(texts))


class RunIndex:
    """The runs of held-out texts, and which records of other splits hold them.

    Takes about 24 bytes a run.

    Args:
        parts: the held-out texts' runs, from `distinct_runs`.
        lefts: the splits that are looked through.
        records: how many records there are in all; a record is named by its number, from 0.
    """

    def __init__(self, parts: Sequence[tuple[Hashes, Numbers]], lefts: Sequence[str], records: int) -> None:
        self.hashes = _unique(np.concatenate([_NONE, *(hashes for hashes, _ in parts)]))
        self.places = np.concatenate([_NOWHERE, *(self._places(hashes) for hashes, _ in parts)])
        """Of the texts' runs in `hashes`, text by text."""
        self.ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *(counts for _, counts in parts)]))
        """Where in `places` a text's runs end, after a 0."""
        self.holder = {left: np.full(len(self.hashes), -1, np.int32) for left in lefts}
        """A record of that split that holds the run; -1 for none."""
        self.shared = np.zeros(records if len(self.hashes) else 0, np.int32)
        """How many runs a record shares with the held-out texts."""
        self.shift = np.uint64(64 - max(6, (BITS_PER_RUN * len(self.hashes)).bit_length()))
        self.filter = np.zeros(1 << (61 - int(self.shift)), np.uint8)
        bits = self.hashes >> self.shift
        np.bitwise_or.at(self.filter, bits >> np.uint64(3), _bit(bits))

    def seek(self, left: str, hashes: Hashes, counts: Numbers, records: Numbers) -> None:
        """Look for held-out runs among those of some records, from `hashed_runs`."""
        bits = hashes >> self.shift
        likely = np.flatnonzero(self.filter[bits >> np.uint64(3)] & _bit(bits))
        places = np.searchsorted(self.hashes, hashes[likely])
        held = places < len(self.hashes)
        held[held] = self.hashes[places[held]] == hashes[likely[held]]
        if not held.any():
            return
        places = places[held]
        who = records[np.searchsorted(np.cumsum(counts), likely[held], side="right")]
        np.add.at(self.shared, who, 1)
        # Of several holders of a run, name the one that shares most with the held-out texts, or else the first.
        order = np.lexsort((-who, self.shared[who]))
        places, who, holder = places[order], who[order], self.holder[left]
        before = holder[places]
        better = (before < 0) | (self.shared[who] > self.shared[before])
        holder[places[better]] = who[better]

    def shares(self, left: str) -> npt.NDArray[np.float64]:
        """What share of each text's distinct runs stands anywhere in that split; 0 for a text without words."""
        found = np.cumsum(np.concatenate([[False], self.holder[left][self.places] >= 0]), dtype=np.int32)[self.ends]
        shares: npt.NDArray[np.float64] = np.diff(found) / np.maximum(1, np.diff(self.ends))
        return shares

    def holders(self, left: str, text: int) -> list[int]:
        """Records that together hold all runs of a text that stand in that split, lowest number first."""
        who = self.holder[left][self.places[self.ends[text] : self.ends[text + 1]]]
        return [int(record) for record in np.unique(who[who >= 0])]

    def _places(self, hashes: Hashes) -> npt.NDArray[np.int32]:
        order = np.argsort(hashes)  # looking up neighbours together is several times as fast
        places = np.empty(len(hashes), np.int32)
        places[order] = np.searchsorted(self.hashes, hashes[order])
        return places


_NONE: Hashes = np.zeros(0, np.uint64)
_NOWHERE = np.zeros(0, np.int32)


def _unique(hashes: Hashes) -> Hashes:
    hashes.sort()  # in place: there may be hundreds of millions of bytes
    new = np.ones(len(hashes), np.bool_)
    new[1:] = hashes[1:] != hashes[:-1]
    return hashes[new]


def _bit(bits: Hashes) -> npt.NDArray[np.uint8]:
    return np.uint8(1) << (bits & np.uint64(7)).astype(np.uint8)


def _spans(values: npt.NDArray[np.uint8] | Hashes, starts: Numbers, ends: Numbers) -> Hashes:
    """A number for each values[start:end], the same wherever it stands."""
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * _powers(BASE, len(values)), out=sums[1:])
    return spread((sums[ends] - sums[starts]) * _powers(INVERSE, len(values))[starts])


def _powers(base: int, count: int) -> Hashes:
    return _powers_of_two_many(base, max(1 << 16, 1 << count.bit_length()))[:count]


@cache
def _powers_of_two_many(base: int, count: int) -> Hashes:
    steps = np.full(count, base, np.uint64)
    steps[0] = 1
    return np.cumprod(steps)
