"""The data bias report, before training: who stands in the data, and what differs between groups.

A facet divides a source's rows into groups: by a column's values, or by the words of a lexicon found in a text. For
each facet it measures how many rows a group has, and whether its texts are longer, its labels other or its sentiment
more positive than in all other groups, with intervals (contrasts.py, intervals.py). Rows that repeat a text count
once. It measures and judges no one; what it cannot see is among its own words (findings.py).
"""

import functools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from pydantic import Field

from tasks.data.bias.contrasts import Compared, Grouped, compare_labels, compare_means, gap, representation
from tasks.data.bias.facets import Facet, by_lexicon, by_value, distinct, read, require, text_of
from tasks.data.bias.findings import LIMITS, METHODS, findings
from tasks.data.bias.intervals import CONFIDENCE
from tasks.data.bias.lexicon import Lexicon, load_lexicon
from tasks.data.bias.sentiment import Scorer, scorer
from tasks.data.files import Row
from tasks.params import Section

LARGEST = 10  # label differences that are listed


class Bias(Section):
    """The data bias report."""

    max_rows: int = Field(ge=0)
    """Texts of a facet that are looked at for sentiment, drawn by their content; 0: none."""
    min_rows: int = Field(ge=2)
    """Rows; smaller groups are counted but not compared."""
    facets: list[Facet]
    """What is looked at."""


def bias_report(tables: dict[str, pa.Table], params: Bias, private: bool) -> Row:
    """Measure every facet.

    Args:
        tables: the valid rows of each source, columns as text; their order does not matter.
        params: section validate.bias.
        private: call a column's values "group 1", "label 1" ..., the most frequent first.

    Returns:
        {confidence, max_rows, min_rows, private, facets, findings, limits, methods}; a facet is {facet, source,
        column, lexicon, length_of, label, text, rows, texts, groups, gap, length, sentiment, labels}.

    Raises:
        ParamsError: a facet names a source, column or lexicon that is not there.
    """
    lexicons = {facet.lexicon: load_lexicon(facet.lexicon) for facet in params.facets if facet.lexicon}
    for facet in params.facets:
        require(tables, facet)
    score = functools.cache(scorer()) if params.max_rows and params.facets else None
    facets = [
        _Measured(tables[facet.source], facet, lexicons.get(facet.lexicon or ""), params, private).row(score)
        for facet in params.facets
    ]
    return {
        "confidence": CONFIDENCE,
        "max_rows": params.max_rows,
        "min_rows": params.min_rows,
        "private": private,
        "facets": facets,
        "findings": findings(facets),
        "limits": LIMITS,
        "methods": METHODS,
    }


class _Measured:
    """One facet: its distinct texts, divided into groups."""

    def __init__(self, table: pa.Table, facet: Facet, lexicon: Lexicon | None, params: Bias, private: bool) -> None:
        self.table, self.facet, self.lexicon, self.params, self.private = table, facet, lexicon, params, private
        self.text = text_of(table, facet)
        self.rows = distinct(table, facet, self.text)
        self.groups = self._groups()

    def row(self, score: Scorer | None) -> Row:
        """What the report says of it."""
        shares = representation(self.groups)
        about = self.lexicon and self.lexicon.model_dump(include={"name", "version", "origin"})
        return {
            **self.facet.model_dump(),
            "lexicon": about,
            "text": self.text,
            "rows": self.table.num_rows,
            "texts": len(self.rows),
            "groups": shares,
            "gap": gap(shares[: self.groups.groups], len(self.rows)),
            "length": self._length(),
            "sentiment": self._sentiment(self.text, score) if self.text and score else None,
            "labels": self._labels(),
        }

    def _groups(self) -> Grouped:
        if self.lexicon:
            return by_lexicon(self.table, self.facet.column, self.rows, self.lexicon)
        return by_value(read(self.table, self.facet.column, self.rows), "group" if self.private else None)

    def _length(self) -> Row | None:
        column = self.facet.length_of
        if column is None:
            return None
        words = [len(text.split()) for text in read(self.table, column, self.rows)]
        return {"of": column, **self._means(words, ("longer", "shorter"))}

    def _sentiment(self, text: str, score: Scorer) -> Row:
        drawn = read(self.table, text, self.rows[: self.params.max_rows])
        scores = [score(said) for said in drawn]
        return {"of": text, "texts": len(drawn), **self._means(scores, ("more positive", "more negative"))}

    def _means(self, values: Sequence[float], said: tuple[str, str]) -> Row:
        return _together(compare_means(np.array(values, dtype=np.float64), self.groups, self.params.min_rows, said))

    def _labels(self) -> Row | None:
        column = self.facet.label
        if column is None:
            return None
        labels = by_value(read(self.table, column, self.rows), "label" if self.private else None)
        found = _together(compare_labels(labels, self.groups, self.params.min_rows))
        return {"of": column, **found, "rows": found["rows"][:LARGEST]}


def _together(found: Compared) -> Row:
    return {"rows": found.rows, "comparisons": found.comparisons, "confidence_each": round(found.confidence, 6)}
