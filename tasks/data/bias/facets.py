"""Facets: a source's rows divided into groups, and which rows count.

Rows that repeat a text are no new evidence, so each distinct text counts once, and what stands for it depends on the
rows' content alone and not on their order.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.bias.contrasts import Grouped
from tasks.data.bias.lexicon import Lexicon, groups_in
from tasks.data.splits import normalise
from tasks.errors import ParamsError
from tasks.params import Section

MOST = 20  # values of a column that are groups or labels of their own; the rarer ones are one together
NAME_CHARACTERS = 60  # of a value shown
TEXT_CHARACTERS = 40  # on average, of a column that counts as text
BATCH = 10_000  # rows whose text is in Python's memory at once


class Facet(Section):
    """One way to divide a source's rows into groups, and what to compare between them."""

    facet: str
    """What it is called in the report."""
    source: str
    """The source whose rows are divided."""
    column: str
    """The column whose values are the groups, or whose text is searched."""
    lexicon: str | None
    """The lexicon that is searched for, a file of lexicons/; null: the column's values are the groups."""
    length_of: str | None
    """A text whose words are counted, such as the target; null: none."""
    label: str | None
    """A column whose values are compared between groups; null: none."""


def require(tables: dict[str, pa.Table], facet: Facet) -> None:
    """Refuse a facet of what is not there.

    Raises:
        ParamsError: its source or one of its columns is unknown.
    """
    where = f"params.yaml: facet '{facet.facet}' of validate.bias.facets names"
    if facet.source not in tables:
        raise ParamsError(f"{where} source '{facet.source}'; the sources are: {', '.join(tables)}.")
    known = _columns(tables[facet.source])
    for column in (facet.column, facet.length_of, facet.label):
        if column is not None and column not in known:
            raise ParamsError(f"{where} column '{column}'; the columns of '{facet.source}' are: {', '.join(known)}.")


def text_of(table: pa.Table, facet: Facet) -> str | None:
    """The column that says what a row is about: the one searched, or else the longest; None if all are short."""
    if facet.lexicon is not None:
        return facet.column
    others = sorted(set(_columns(table)) - {facet.column, facet.label})
    lengths = {name: pc.mean(pc.utf8_length(table[name])).as_py() or 0 for name in others}
    return max((name for name in others if lengths[name] >= TEXT_CHARACTERS), key=lengths.__getitem__, default=None)


def distinct(table: pa.Table, facet: Facet, text: str | None) -> list[int]:
    """Positions of one row of each distinct text; of each text and value, if the column's values are the groups.

    They come in the order of a hash of the normalised text, so that the first of them are a draw by content. Of rows
    that say the same, that whose other columns hash lowest is taken. Without a text, rows repeat that agree in all.
    """
    named = [text, facet.column, facet.length_of, facet.label] if text else _columns(table)
    keys: list[tuple[str, str, str, int]] = []
    for batch in table.select([name for name in named if name is not None]).to_batches(max_chunksize=BATCH):
        for said, *rest in zip(*map(_filled, batch.columns), strict=True):
            whole = hashlib.sha256("\x1f".join([said, *rest]).encode()).hexdigest()
            value = rest[0].strip() if text and not facet.lexicon else ""
            group = hashlib.sha256(normalise(said).encode()).hexdigest() if text else whole
            keys.append((group, value, whole, len(keys)))
    keys.sort()
    first = [place == 0 or keys[place - 1][:2] != key[:2] for place, key in enumerate(keys)]
    return [key[3] for key, keep in zip(keys, first, strict=True) if keep]


def read(table: pa.Table, column: str, rows: Sequence[int]) -> list[str]:
    """The texts of some rows, in the order asked for."""
    return _filled(table[column].take(pa.array(rows, pa.int64())))


def by_lexicon(table: pa.Table, column: str, rows: Sequence[int], lexicon: Lexicon) -> Grouped:
    """Groups by the words that a text has."""
    names, codes = groups_in(pc.fill_null(table[column], ""), lexicon)
    groups = len(lexicon.groups)
    return Grouped(names, codes[list(rows)], groups, pool=groups)


def by_value(values: list[str], hidden: str | None) -> Grouped:
    """The most frequent values as groups, the rarer ones as one.

    Args:
        values: one a row.
        hidden: the word that stands in for a value ("group": "group 1" is the most frequent); null: show values.
    """
    values = [value.strip() for value in values]
    counts = Counter(values)
    ranked = sorted((value for value in counts if value), key=lambda value: (-counts[value], value))
    places = {value: min(place, MOST) for place, value in enumerate(ranked)}
    names = [f"{hidden} {place}" if hidden else _short(value) for place, value in enumerate(ranked[:MOST], start=1)]
    groups = len(names)
    if len(ranked) > MOST:
        names.append(f"other ({len(ranked) - MOST:,} more values)")
    pool = len(names)
    if "" in counts:
        places[""] = len(names)
        names.append("(no value)")
    return Grouped(names, np.array([places[value] for value in values], dtype=np.int64), groups, pool)


def _columns(table: pa.Table) -> list[str]:
    """The columns that were asked for; those with an underscore say where a row came from."""
    return [name for name in table.column_names if not name.startswith("_")]


def _filled(column: pa.Array | pa.ChunkedArray) -> list[str]:
    return [text or "" for text in column.to_pylist()]


def _short(value: str) -> str:
    return value if len(value) <= NAME_CHARACTERS else f"{value[:NAME_CHARACTERS]}\N{HORIZONTAL ELLIPSIS}"
