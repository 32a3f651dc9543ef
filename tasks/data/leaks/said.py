"""What records say, for the leak certificate: their own texts, normalised, a portion of one split at a time.

A record's text is what it is asked, column by column in the columns' alphabetical order, and then what it is to
answer. A record that is asked nothing with a word in it ("?!", an emoji) and has a short answer is compared only as it
stands: normalised, all of them with the same answer would be the same.

Whole texts are told apart by digests of 128 bits, so that they need not be kept; parts of texts by runs of words.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from tasks.data.leaks.runs import Hashes, Numbers, hashed_runs, words_of
from tasks.data.splits import SPLITS

CHARACTERS = 1 << 20  # of a portion, about: what is made of them then fits a processor's cache
DIGEST = 16  # bytes
NOTHING = bytes(DIGEST)  # in place of the digest of a text without words
LONG = 4  # words

Digests = npt.NDArray[np.uint64]
"""(texts, 2); 0 for a text without words."""


@dataclass(frozen=True)
class Texts:
    """A batch of records' own texts."""

    ids: Sequence[str]
    """Unique: "family/source/file:row"."""
    split: Sequence[str]
    """train, dev or test, for each record."""
    fields: Mapping[str, Sequence[str]]
    """Column: texts; every text that the model sees or writes."""
    target: str
    """The one of the columns that the model is to write."""


Read = Callable[[], Iterable[Texts]]
"""Called once for every pass; gives the same records in the same order each time."""


@dataclass(frozen=True)
class Portion:
    """Some records of one split; every list is (records,)."""

    split: str
    ids: list[str]
    numbers: Numbers
    """A record's place among all records, from 0."""
    columns: list[list[str]]
    """Every column's texts as they stand; the last is what is to be answered."""

    @cached_property
    def raw(self) -> list[str]:
        """All of a record's text as it stands."""
        return [" ".join(texts) for texts in zip(*self.columns, strict=True)]

    @cached_property
    def fields(self) -> list[list[str]]:
        """The columns, normalised, by `words_of`."""
        return [[words_of(text) for text in texts] for texts in self.columns]

    @cached_property
    def asked(self) -> list[str]:
        """What a record is asked, normalised."""
        if len(self.fields) == 2:
            return self.fields[0]
        return [joined(texts) for texts in zip(*self.fields[:-1], strict=True)] or [""] * len(self.ids)

    @property
    def answered(self) -> list[str]:
        """What a record is to answer, normalised."""
        return self.fields[-1]

    @cached_property
    def text(self) -> list[str]:
        """All of a record's text, normalised; empty for a record that is compared only as it stands."""
        both = zip(self.asked, self.answered, strict=True)
        return [joined((asked, answered)) if asked or is_long(answered) else "" for asked, answered in both]

    @cached_property
    def field_digests(self) -> list[Digests]:
        """Of every column."""
        return [digests(texts) for texts in self.fields]

    @cached_property
    def whole_digests(self) -> list[Digests]:
        """Of the text, of what is asked and of what is answered."""
        told = [text or f"\0{raw}" if raw.strip() else "" for text, raw in zip(self.text, self.raw, strict=True)]
        asked = self.field_digests[0] if len(self.fields) == 2 else digests(self.asked)
        return [digests(told), asked, self.field_digests[-1]]

    @cached_property
    def runs(self) -> tuple[Hashes, Numbers]:
        """Of the texts, from `hashed_runs`."""
        return hashed_runs(self.text)


def portions(batches: Iterable[Texts], splits: Collection[str], wanted: Numbers | None = None) -> Iterator[Portion]:
    """The records of some splits in their order, split by split within a batch.

    Args:
        batches: of records.
        splits: those that are wanted.
        wanted: numbers of the wanted records; None for all.
    """
    first = 0
    for batch in batches:
        codes = np.array([SPLITS.index(split) for split in batch.split], np.int8)
        for split in splits:
            places = np.flatnonzero(codes == SPLITS.index(split))
            if wanted is not None:
                places = places[np.isin(places + first, wanted)]
            for some in _cut(batch, places):
                yield _portion(batch, split, some, first)
        first += len(batch.ids)


def digests(texts: Iterable[str]) -> Digests:
    """A digest of every text."""
    made = [
        hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=DIGEST).digest() if text else NOTHING
        for text in texts
    ]
    return np.frombuffer(b"".join(made), np.uint64).reshape(len(made), 2)


def is_long(text: str) -> bool:
    """Whether a normalised text has at least 4 words: a shorter one may well be a label of many records."""
    return text.count(" ") >= LONG - 1


def joined(texts: Iterable[str]) -> str:
    """Normalised texts as one."""
    return " ".join(filter(None, texts))


def _cut(batch: Texts, places: Numbers) -> Iterator[Numbers]:
    sizes = np.zeros(len(places), np.int64)
    for texts in batch.fields.values():
        sizes += np.array([len(texts[place]) for place in places], np.int64)
    portion = np.cumsum(sizes) // CHARACTERS
    return (some for some in np.split(places, np.flatnonzero(np.diff(portion)) + 1) if len(some))


def _portion(batch: Texts, split: str, places: Numbers, first: int) -> Portion:
    columns = [*sorted(batch.fields.keys() - {batch.target}), batch.target]
    return Portion(
        split=split,
        ids=[batch.ids[place] for place in places],
        numbers=places + first,
        columns=[[batch.fields[column][place] for place in places] for column in columns],
    )
