"""The leak certificate: what of one split, or of a benchmark, stands in another split.

Five looks at the records' own text (never at rendered prompts, which share their template's words). A held-out record
leaks when another split holds, in this order: its text (`exact`), the same after normalising (`normalised`), the same
question with another answer (`input`), its answer as a question or its question as an answer (`inverse`: summarise
and write-the-article are one task turned round), or enough of its runs of 13 words (`near`). A benchmark's questions
are shorter than 13 words as often as not, and a record may hold them in other columns, so they are looked for field
by field as well: a record leaks a question when one of its fields is the question and its right option stands in it.

Why every run is compared, and nothing is estimated. 13 words is what the GPT-3 paper looked for (arXiv 2005.14165,
appendix C); others count shares of 8-word runs (PaLM, arXiv 2204.02311, section 8) or runs of more than 10 tokens
(Llama 2, arXiv 2307.09288, appendix A.6; arXiv 2401.06059 compares them). Corpora are deduplicated by MinHash (arXiv
2107.06499), which estimates the Jaccard similarity of two documents and finds a pair with some probability below 1.
That suits cleaning and not certifying: a certificate must not miss, and a test record that stands inside a training
record five times as long is leaked whole, while their Jaccard similarity is 0.2. `python -m benchmarks.near_duplicates`
compares the two.

What is held out is indexed, and the training records are streamed through it. The index takes about 28 bytes a run, a
few kilobytes a text; where more than `MOST_RUNS` are held out (about 200,000 texts of 160 words), it is made and looked
through in rounds, each of which reads all records again. So memory grows by digests alone, some 100 bytes a record.
What leaks, and how much of it, is the same then; of several records that hold a run, a round may name another one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.data.files import Row
from tasks.data.leaks.held_out import Asked, HeldOut, Pair, Part, none_of
from tasks.data.leaks.repeats import Keys, Repeated, keys_of, repeats
from tasks.data.leaks.runs import RUN, Hashes, Numbers, distinct_runs, runs_of
from tasks.data.leaks.said import Read, Texts, portions
from tasks.data.splits import SPLITS
from tasks.data.suites.questions import Question

__all__ = ["Texts", "certify"]  # what a caller needs
KINDS = ("exact", "normalised", "input", "inverse", "near")
MOST_RUNS = 1 << 25  # held-out runs that are indexed at a time: about 1 GB
LISTED = 1000  # pairs between two splits that are written down; the others are counted
LEFTS = {"dev": ("train",), "test": ("train", "dev")}  # what each held-out split is looked for in

Said = Mapping[int, tuple[str, str]]
"""A record's number: its id and normalised text."""


@dataclass(frozen=True)
class Between:
    """What was found of one held-out side in one split."""

    held_out: HeldOut | Asked
    left: str
    pairs: Sequence[Pair]

    @property
    def listed(self) -> Sequence[Pair]:
        """The pairs that are written down."""
        return self.pairs[:LISTED]

    def holders(self, pair: Pair) -> list[int]:
        """The records that say what is held out, alone or together."""
        return [pair.left] if pair.kind != "near" else self.held_out.holders(self.left, pair.place)


def certify(read: Read, benchmarks: Mapping[str, Sequence[Question]], near: float, accepted: int) -> Row:
    """Look for leaks.

    Args:
        read: gives all records in batches, the same at each call; it is called once for every pass.
        benchmarks: the questions, by suite name.
        near: share of a text's runs, 0 to 1, found in another split that counts as a near duplicate.
        accepted: how many leaks the params accept.

    Returns:
        {clean, leaks, accepted, thresholds, records, between: {"train/test": {pairs, and how many of each kind}},
        within: {split: {normalised, input, pairs}}}. `within` counts records that repeat one of their own split, which
        is no leak. At most 1,000 pairs between two splits are listed, and these were compared word by word; near ones
        beyond them are counted by the 64-bit numbers of their runs.
    """
    counts: Counter[str] = Counter()
    seen: dict[str, list[Keys]] = {split: [] for split in SPLITS}
    held_out, begun = _held_out(read, counts, seen)
    asked = Asked(benchmarks, counts.total())
    for portion in portions(read(), ("train", "dev")):
        if portion.split == "train":
            seen["train"].append(keys_of(portion))
            asked.seek(portion)
        for right, lefts in LEFTS.items():
            if portion.split in lefts:
                held_out[right].seek(portion)
    _settle(held_out, near)
    while begun is not None:
        begun = _further(read, held_out, begun)
        _settle(held_out, near)
    between = {
        f"{left}/{right}": Between(held_out[right], left, [*held_out[right].pairs(left)])
        for right, lefts in LEFTS.items()
        for left in lefts
    }
    between |= {f"train/{name}": Between(asked, "train", [*asked.pairs(name, near)]) for name in benchmarks}
    within = {split: repeats(keys) for split, keys in seen.items()}
    said = _read_again(read, between.values(), [pair for _, pairs in within.values() for pair in pairs])
    described = {name: _described(found, said, near) for name, found in between.items()}
    leaks = sum(found[kind] for found in described.values() for kind in KINDS)
    return {
        "clean": leaks <= accepted,
        "leaks": leaks,
        "accepted": accepted,
        "thresholds": {"run_of_words": RUN, "near_duplicate": near},
        "records": {split: counts[split] for split in SPLITS},
        "between": described,
        "within": {
            split: {**found, "pairs": [_row(kind, said[left][0], said[right][0]) for kind, left, right in pairs]}
            for split, (found, pairs) in within.items()
        },
    }


def _held_out(read: Read, counts: Counter[str], seen: dict[str, list[Keys]]) -> tuple[dict[str, HeldOut], int | None]:
    """Index the held-out splits; note how many records each split has, and what the held-out ones say.

    Returns:
        The splits, with the runs of a first round, and which held-out portion the next one begins at; None for none.
    """
    parts: dict[str, list[Part]] = {split: [] for split in LEFTS}
    room, begun, place = MOST_RUNS, None, 0
    for portion in portions(read(), SPLITS):
        counts[portion.split] += len(portion.numbers)
        if portion.split in LEFTS:
            if begun is None and room <= 0:
                begun = place
            parts[portion.split].append(Part.of(portion, runs=begun is None))
            seen[portion.split].append(keys_of(portion))
            room, place = room - len(parts[portion.split][-1].runs[0]), place + 1
    held_out = {right: HeldOut(parts.pop(right), lefts, counts.total()) for right, lefts in LEFTS.items()}
    return held_out, begun


def _further(read: Read, held_out: Mapping[str, HeldOut], begin: int) -> int | None:
    """One more round, of the held-out portions from `begin`; which one the next begins at."""
    runs: dict[str, list[tuple[Hashes, Numbers]]] = {split: [] for split in LEFTS}
    room, begun = MOST_RUNS, None
    for place, portion in enumerate(portions(read(), tuple(split for split in SPLITS if split in LEFTS))):
        if begun is None and room <= 0:
            begun = place
        own = distinct_runs(portion.text) if begin <= place and begun is None else none_of(portion)
        runs[portion.split].append(own)
        room -= len(own[0])
    for right in LEFTS:
        held_out[right].index(runs.pop(right))
    for portion in portions(read(), ("train", "dev")):
        for right, lefts in LEFTS.items():
            if portion.split in lefts:
                held_out[right].seek_runs(portion)
    return begun


def _settle(held_out: Mapping[str, HeldOut], near: float) -> None:
    for own in held_out.values():
        own.settle(near, LISTED)


def _read_again(read: Read, between: Iterable[Between], repeated: Iterable[Repeated]) -> Said:
    wanted = {number for _, *pair in repeated for number in pair}
    for found in between:
        for pair in found.listed:
            wanted |= {*found.holders(pair), *([pair.right] if isinstance(pair.right, int) else [])}
    if not wanted:
        return {}
    return {
        number: (record, text)
        for portion in portions(read(), SPLITS, np.array(sorted(wanted), np.int64))
        for number, record, text in zip(portion.numbers.tolist(), portion.ids, portion.text, strict=True)
    }


def _described(found: Between, said: Said, near: float) -> Row:
    rows = [*_listed(found, said, near)]
    counts = Counter(pair.kind for pair in found.pairs)
    counts["near"] -= len(found.listed) - len(rows)
    return {"pairs": rows, **{kind: counts[kind] for kind in KINDS}}


def _listed(found: Between, said: Said, near: float) -> Iterator[Row]:
    """The pairs to be written down; near ones only if their texts, word by word, share as much as their numbers."""
    for pair in found.listed:
        right, text = said[pair.right] if isinstance(pair.right, int) else (pair.right, pair.text)
        if pair.kind != "near":
            yield _row(pair.kind, said[pair.left][0], right)
            continue
        runs = runs_of(text)
        shared = {number: runs & runs_of(said[number][1]) for number in found.holders(pair)}
        share = len(set().union(*shared.values())) / len(runs)
        most = max(shared, key=lambda number: (len(shared[number]), -number))
        if share >= near:
            yield {**_row("near", said[most][0], right), "share": round(share, 3)}


def _row(kind: str, left: str, right: str) -> Row:
    return {"kind": kind, "left": left, "right": right}
