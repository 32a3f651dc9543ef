"""The parts of a mixture, from valid records to examples: survey, choose, read again, render.

A survey is a few numbers a record; by them the records are chosen. Then the file is read again, block by block, for the
leak certificate and for rendering, so that memory grows with the records by those few numbers only.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.blocks import Block, each_block, spaced, unescaped
from tasks.data.files import Row
from tasks.data.keys import Keys, hexadecimal, normalised, said_keys, word_counts
from tasks.data.leaks.overlap import Texts
from tasks.data.lines import bytes_of, joined
from tasks.data.mixture import Mask, Places
from tasks.data.splits import SPLITS
from tasks.prompts.declared import Mix
from tasks.prompts.rendering import draw, fields_of, origin, render_lines, stripped
from tasks.prompts.templates import Family

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Survey:
    """What is known of a source's records before any is chosen; every array is (records,)."""

    keys: dict[str, Keys]
    """Of what the grouping columns say: case, punctuation and spaces aside."""
    words: dict[str, npt.NDArray[np.int64]]
    """Of the columns that some part limits."""
    filled: dict[str, Mask]
    """Whether the target columns say anything."""


@dataclass(frozen=True)
class Part:
    """A part of the mixture with the records that were chosen for it."""

    mix: Mix
    family: Family
    path: Path
    """data/valid/<source>.jsonl"""
    places: Places
    keys: Keys
    """Of the records' texts; what draws are made by; (records,)."""
    chosen: Mask
    """(records,)"""
    counts: dict[str, int]
    """Records by split, and those left out by reason."""

    @property
    def columns(self) -> list[str]:
        """The source's columns that this part reads, each once."""
        return sorted({*self.mix.fields.values()})

    def examples(self, split: str) -> int:
        """Examples that this part gives a split."""
        return self.counts[split] * (self.mix.wordings if split == "train" else 1)

    def described(self) -> Row:
        """For the report: what the part is and what came of it."""
        return {
            **self.mix.model_dump(include={"family", "source", "replay", "weight", "wordings"}),
            "records": self.counts,
            "examples": {split: self.examples(split) for split in SPLITS},
        }


def survey(path: Path, keyed: Collection[str], counted: Collection[str], targets: Collection[str]) -> Survey:
    """Look at all rows of data/valid/<source>.jsonl once: keys of, words in, and what is filled in these columns."""

    def look(block: Block) -> list[Numbers]:
        texts = {name: block.column(name) for name in {*keyed, *counted}}
        normal = {name: normalised(spaced(text)) for name, text in texts.items()}
        return [
            *(said_keys(texts[name], normal[name]) for name in keyed),
            *(word_counts(normal[name]) for name in counted),
            *(np.asarray(pc.greater(pc.binary_length(stripped(block.column(name))), 0)) for name in targets),
        ]

    kinds = [(np.uint64, keyed), (np.int64, counted), (np.bool_, targets)]
    nothing: list[Numbers] = [np.zeros(0, kind) for kind, names in kinds for _ in names]
    found = iter([np.concatenate(column) for column in zip(nothing, *each_block(path, look), strict=True)])
    return Survey(*({name: next(found) for name in names} for _, names in kinds))


def eligible(found: Survey, mix: Mix, family: Family, places: Places) -> tuple[Mask, dict[str, int]]:
    """Records that have an answer, fit the lengths and are no copy of what is held out; and how many do not."""
    target = mix.fields[family.target]
    given = [name for field, name in mix.fields.items() if field != family.target]
    answered, placed = found.filled[target], places.split >= 0
    fits = np.ones(len(answered), np.bool_)
    for names, most in ((given, mix.max_words.input), ([target], mix.max_words.target)):
        if most is not None:
            fits &= sum((found.words[name] for name in names), np.zeros(len(fits), np.int64)) <= most
    return answered & fits & placed, {
        "no_target": int((~answered).sum()),
        "too_long": int((answered & ~fits).sum()),
        "said_elsewhere": int((answered & fits & ~placed).sum()),
    }


def texts_of(part: Part) -> Iterator[Texts]:
    """The chosen records' own texts, block by block, for the leak certificate."""

    def say(block: Block) -> Texts:
        rows = np.flatnonzero(part.chosen[block.start : block.start + len(block)])
        return Texts(
            ids=[f"{part.mix.family}/{record}" for record in unescaped(_records(part, block, rows))],
            split=[SPLITS[code] for code in part.places.split[block.start + rows]],
            fields={name: block.texts(name, rows) for name in part.columns},
            target=part.mix.fields[part.family.target],
        )

    yield from (texts for texts in each_block(part.path, say) if texts.ids)


def examples_of(part: Part, seed: int, held_out: int) -> Iterator[tuple[str, memoryview]]:
    """The part's examples as JSON lines, block by block: (split, lines).

    Args:
        part: with its chosen records.
        seed: draws the wordings.
        held_out: wordings, from the family's end, that only test examples are rendered with.
    """
    for lines in each_block(part.path, lambda block: list(_rendered(part, block, seed, held_out))):
        yield from lines


def _rendered(part: Part, block: Block, seed: int, held_out: int) -> Iterator[tuple[str, memoryview]]:
    seen = len(part.family.templates) - held_out
    here = slice(block.start, block.start + len(block))
    for code, split in enumerate(SPLITS):
        rows = np.flatnonzero(part.chosen[here] & (part.places.split[here] == code))
        if not len(rows):
            continue
        columns = {field: block.column(name, rows) for field, name in part.mix.fields.items()}
        texts = fields_of(columns, part.mix.constants)
        texts |= origin(part.mix.source, hexadecimal(part.places.group[here][rows]), _records(part, block, rows))
        templates = part.family.templates if split == "test" else part.family.templates[:seen]
        wordings = part.mix.wordings if split == "train" else 1
        drawn = draw(part.keys[here][rows], seed, part.mix.family, templates, wordings)
        for place, template in enumerate(templates):
            wanted = _taken(texts, np.flatnonzero(drawn[:, place]))
            wording = "seen" if place < seen else "held_out"
            yield split, bytes_of(render_lines(template, part.family, wording, wanted))


def _taken(texts: Mapping[str, str | pa.Array], places: npt.NDArray[np.int64]) -> dict[str, str | pa.Array]:
    """These places of every column; all of them without a copy."""
    return {
        name: column if isinstance(column, str) or len(places) == len(column) else column.take(pa.array(places))
        for name, column in texts.items()
    }


def _records(part: Part, block: Block, rows: npt.NDArray[np.int64]) -> pa.Array:
    """source/file:row of these rows, escaped."""
    if not len(rows):
        return pa.array([], pa.string())
    return joined([f"{part.mix.source}/", block.column("_file", rows), ":", block.column("_row", rows)])
