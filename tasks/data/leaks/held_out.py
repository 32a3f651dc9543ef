"""What must not be trained on, as an index: held-out records and benchmark questions, and who says the same.

Records of the other splits are shown to it a portion at a time (`seek`); then it names the pairs that it found.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.data.leaks.runs import RUN, Hashes, Numbers, RunIndex, distinct_runs, words_of
from tasks.data.leaks.said import Digests, Portion, digests, is_long, joined
from tasks.data.suites.questions import Question

TEXT, ASKED, ANSWERED = range(3)  # places in Portion.whole_digests
# (kind, what of the held-out record, what of the other) is the same; the first that fits names the pair.
LOOKS = (
    ("normalised", TEXT, TEXT),
    ("input", ASKED, ASKED),
    ("inverse", ASKED, ANSWERED),
    ("inverse", ANSWERED, ASKED),
)


@dataclass(frozen=True)
class Pair:
    """What is held out, and who says it."""

    kind: str
    """exact, normalised, input, inverse or near."""
    left: int
    """The number of a record that says it; -1 where it takes the texts to name one."""
    right: int | str
    """The held-out record's number, or the question's name."""
    place: int = -1
    """Of the held-out text among those whose runs are indexed."""
    text: str = ""
    """The question's, normalised, where it is not a record's."""


@dataclass(frozen=True)
class Part:
    """What is kept of a portion of held-out records."""

    numbers: Numbers
    raw: Digests
    whole: list[Digests]
    long: list[npt.NDArray[np.bool_]]
    """Which texts, questions and answers have words enough to be no mere label."""
    runs: tuple[Hashes, Numbers]
    """From `distinct_runs`, or `none_of` where another round looks for them."""

    @classmethod
    def of(cls, portion: Portion, runs: bool) -> "Part":
        """Keep what is needed of a portion; its runs in this round or not."""
        said = (portion.text, portion.asked, portion.answered)
        long = [np.array([is_long(text) for text in texts], np.bool_) for texts in said]
        found = distinct_runs(portion.text) if runs else none_of(portion)
        return cls(portion.numbers, digests(portion.raw), portion.whole_digests, long, found)


def none_of(portion: Portion) -> tuple[Hashes, Numbers]:
    """No runs of a portion's texts."""
    return np.zeros(0, np.uint64), np.zeros(len(portion.numbers), np.int64)


class HeldOut:
    """The records of one held-out split.

    Args:
        parts: all of them.
        lefts: the splits that are looked through.
        records: how many records there are in all splits together.
    """

    def __init__(self, parts: Sequence[Part], lefts: Sequence[str], records: int) -> None:
        self.numbers = np.concatenate([np.zeros(0, np.int64), *(part.numbers for part in parts)])
        self.raw = _stacked([part.raw for part in parts])
        self.whole = [_stacked([part.whole[role] for part in parts]) for role in range(3)]
        self.known = []
        for kind, role, _ in LOOKS:
            known = self.whole[role]
            if kind == "inverse" and parts:
                known = known[np.concatenate([part.long[role] for part in parts])]
            self.known.append(_sorted(known))
        self.said: dict[str, list[dict[bytes, int]]] = {left: [{} for _ in LOOKS] for left in lefts}
        """By look: a digest, and the first record that says it."""
        self.said_exactly: dict[str, dict[bytes, int]] = {left: {} for left in lefts}
        self.lefts, self.records = lefts, records
        self.nearly = {left: np.zeros(len(self.numbers), np.bool_) for left in lefts}
        """Which texts' runs are found in a split, in so far as rounds are over."""
        self.who: dict[str, dict[int, list[int]]] = {left: {} for left in lefts}
        """By place of the first ones of these: the records that hold them together."""
        self.index([part.runs for part in parts])

    def index(self, runs: Sequence[tuple[Hashes, Numbers]]) -> None:
        """Begin a round, which looks for some of the texts' runs.

        Args:
            runs: of all texts, part by part; none of those that other rounds look for.
        """
        self.runs = RunIndex(runs, self.lefts, self.records)

    def settle(self, near: float, listed: int) -> None:
        """End a round: note what was found, and give its memory back.

        Args:
            near: share of a text's runs that counts.
            listed: texts of which it is noted who holds them.
        """
        for left, who in self.who.items():
            nearly = self.runs.shares(left) >= near
            self.nearly[left] |= nearly
            for place in np.flatnonzero(nearly)[: max(0, listed - len(who))].tolist():
                who[place] = self.runs.holders(left, place)
        self.index([])

    def holders(self, left: str, place: int) -> list[int]:
        """The records of a split that together hold a text's runs; only of those that `settle` noted."""
        return self.who[left][place]

    def seek(self, portion: Portion) -> None:
        """Look for what is held out in a portion of another split."""
        for (kind, _, role), known, said in zip(LOOKS, self.known, self.said[portion.split], strict=True):
            for place in _among(known, portion.whole_digests[role]):
                number = int(portion.numbers[place])
                said.setdefault(portion.whole_digests[role][place].tobytes(), number)
                if kind == "normalised":
                    exactly = digests([portion.raw[place]]).tobytes()
                    self.said_exactly[portion.split].setdefault(exactly, number)
        self.seek_runs(portion)

    def seek_runs(self, portion: Portion) -> None:
        """Look for this round's runs in a portion of another split."""
        self.runs.seek(portion.split, *portion.runs, portion.numbers)

    def pairs(self, left: str) -> Iterator[Pair]:
        """What stands in that split, each held-out record once, in their order."""
        nearly = self.nearly[left]
        looks = [("exact", self.raw, self.said_exactly[left])]
        looks += [(kind, self.whole[role], said) for (kind, role, _), said in zip(LOOKS, self.said[left], strict=True)]
        for place, number in enumerate(self.numbers.tolist()):
            same = ((kind, said.get(made[place].tobytes())) for kind, made, said in looks if said)
            kind, first = next(((kind, first) for kind, first in same if first is not None), ("near", -1))
            if kind != "near" or nearly[place]:
                yield Pair(kind, first, number, place)


class Asked:
    """The questions of all benchmarks, to be looked for in the training records.

    Args:
        benchmarks: questions by the benchmark's name.
        records: how many records there are in all splits together.
    """

    def __init__(self, benchmarks: Mapping[str, Sequence[Question]], records: int) -> None:
        self.items = [(name, item) for name, items in benchmarks.items() for item in items]
        self.answers = [words_of(item.options[item.answer]) for _, item in self.items]
        questions = [words_of(item.question) for _, item in self.items]
        self.by_digest: dict[bytes, list[int]] = defaultdict(list)
        for place, digest in enumerate(digests(questions)):
            self.by_digest[digest.tobytes()].append(place)
        self.known = _sorted(digests(questions))
        self.first: dict[int, int] = {}
        """Question: the first record that has it as a field, and its right option anywhere."""
        self.texts: list[str] = []
        self.of_item: list[int] = []
        for place, (question, (_, item)) in enumerate(zip(questions, self.items, strict=True)):
            alone = [question] if len(question.split()) >= RUN else []
            self.texts += [*alone, joined([question, *map(words_of, item.options)])]
            self.of_item += [place] * (len(alone) + 1)
        self.runs = RunIndex([distinct_runs(self.texts)], ["train"], records)

    def seek(self, portion: Portion) -> None:
        """Look for the questions in a portion of the training records."""
        for made in portion.field_digests:
            for place in _among(self.known, made):
                text = f" {joined(column[place] for column in portion.fields)} "
                for item in self.by_digest.get(made[place].tobytes(), []):
                    # Without the answer it may ask something else: "Which of these is true?" stands in many benchmarks.
                    if not self.answers[item] or f" {self.answers[item]} " in text:
                        number = int(portion.numbers[place])
                        self.first[item] = min(number, self.first.get(item, number))
        self.runs.seek(portion.split, *portion.runs, portion.numbers)

    def holders(self, left: str, place: int) -> list[int]:
        """The records of a split that together hold a text's runs."""
        return self.runs.holders(left, place)

    def pairs(self, benchmark: str, near: float) -> Iterator[Pair]:
        """What of a benchmark stands in the training records, each question once, in their order."""
        nearly: dict[int, int] = {}
        for place in np.flatnonzero(self.runs.shares("train") >= near).tolist():
            nearly.setdefault(self.of_item[place], place)
        for item, (name, question) in enumerate(self.items):
            if name == benchmark and item in self.first:
                yield Pair("input", self.first[item], f"{name}:{question.id}")
            elif name == benchmark and item in nearly:
                yield Pair("near", -1, f"{name}:{question.id}", nearly[item], self.texts[nearly[item]])


def _stacked(parts: Sequence[Digests]) -> Digests:
    return np.concatenate([np.zeros((0, 2), np.uint64), *parts])


def _sorted(made: Digests) -> Hashes:
    """The first halves of digests, for `_among`; none of texts without words."""
    return np.unique(made[made.any(axis=1), 0])


def _among(known: Hashes, made: Digests) -> list[int]:
    """Which digests may be among the known; the caller looks at their second halves."""
    if not len(known):
        return []
    places = np.minimum(np.searchsorted(known, made[:, 0]), len(known) - 1)
    found: list[int] = np.flatnonzero(known[places] == made[:, 0]).tolist()
    return found
