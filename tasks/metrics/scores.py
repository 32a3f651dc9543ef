"""What two models wrote, counted by family and by wording, ready to be judged."""

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.metrics.compare import DECIMALS, Matrix, Measured
from tasks.metrics.identity import MEASURES
from tasks.metrics.phrasing import Said
from tasks.metrics.texts import Texts, blocks
from tasks.metrics.together import Compared

Row = dict[str, Any]
SAID = ("template", "wording", "group")  # names of an example that are held, each name once


class Picked(Sequence[Row]):
    """Some rows of a file, read when they are asked for.

    Args:
        rows: of the file.
        places: of them, ascending.
    """

    def __init__(self, rows: Sequence[Row], places: Sequence[int]) -> None:
        self.rows, self.places = rows, places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        """One, or some."""
        return [self.rows[place] for place in self.places[at]] if isinstance(at, slice) else self.rows[self.places[at]]

    def __iter__(self) -> Iterator[Row]:
        """All, with one reading of the file."""
        wanted = iter(self.places)
        following = next(wanted, None)
        for place, row in enumerate(self.rows):
            if place == following:
                yield row
                following = next(wanted, None)


@dataclass(frozen=True)
class Family:
    """One family's examples and what they count for in each metric: numbers and names; texts stay in their files."""

    base: Sequence[Row]
    """n rows of generations.jsonl."""
    tuned: Sequence[Row]
    """The same examples in the same order."""
    said: Said
    """template, wording and group of each of them."""
    statistics: dict[str, tuple[Matrix, Matrix]]
    """Of each metric: (n, k) of base and of tuned."""
    targets: dict[str, Matrix]
    """Of each metric that looks at the input: (n, k) of the targets themselves, which is what the data teach."""

    def per_example(self, key: str) -> list[tuple[float, float]]:
        """Each example's score by itself, base and tuned (BLEU of one text is rough: for sorting only)."""
        base, tuned = (MEASURES[key].scoring.score(rows) for rows in self.statistics[key])
        return list(zip(base.tolist(), tuned.tolist(), strict=True))


class _Counting:
    """One family's counts as they come, block by block."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys, self.places = keys, array("Q")
        self.said: dict[str, list[str]] = {name: [] for name in SAID}
        self.counts: dict[str, list[list[Matrix]]] = {key: [[], [], []] for key in keys}  # base, tuned, targets

    def add(self, places: Sequence[int], base: Sequence[Row], tuned: Sequence[Row]) -> None:
        """Count some rows of both models."""
        self.places.extend(places)
        for name in SAID:
            self.said[name] += [sys.intern(row[name]) for row in base]
        texts = [Texts.of(rows) for rows in (base, tuned, [row | {"output": row["target"]} for row in base])]
        looking = {key for key in self.keys if MEASURES[key].needs_input}
        for count in dict.fromkeys(MEASURES[key].statistics for key in self.keys):  # one call gives all four ROUGEs
            mine = [key for key in self.keys if MEASURES[key].statistics is count]
            for side, own in enumerate(texts if looking & set(mine) else texts[:2]):
                counted = count(own)
                for key in mine:
                    self.counts[key][side].append(counted[key])

    def family(self, base: Sequence[Row], tuned: Sequence[Row]) -> Family:
        """All of it; what came in blocks is put together metric by metric, so that nothing lies there twice."""
        statistics, targets = {}, {}
        for key in self.keys:
            ours, theirs, own = self.counts.pop(key)
            statistics[key] = np.concatenate(ours), np.concatenate(theirs)
            if MEASURES[key].needs_input:
                targets[key] = np.concatenate(own)
        return Family(Picked(base, self.places), Picked(tuned, self.places), self.said, statistics, targets)


def families(base: Sequence[Row], tuned: Sequence[Row], metrics: Mapping[str, Sequence[str]]) -> dict[str, Family]:
    """Split predictions by family and count, for each metric that params.yaml names for it.

    Args:
        base: rows of generations.jsonl, which may lie in the file.
        tuned: the same examples in the same order.
        metrics: of each family.

    Raises:
        DataError: a family is predicted and has no metrics, or has metrics and is not predicted.
    """
    predicted = dict.fromkeys(row["family"] for row in base)
    odd = sorted(set(predicted) ^ set(metrics))
    if odd:
        raise DataError(
            f"family '{odd[0]}' stands in only one of the predictions ({', '.join(predicted)}) and "
            f"evaluate.metrics in params.yaml ({', '.join(metrics)}): name its metrics there, or take it out."
        )
    counting = {family: _Counting(keys) for family, keys in metrics.items()}
    start = 0
    for ours, theirs in blocks(base, tuned):
        for family, counts in counting.items():
            inside = [at for at, row in enumerate(ours) if row["family"] == family]
            if inside:
                counts.add([start + at for at in inside], [ours[at] for at in inside], [theirs[at] for at in inside])
        start += len(ours)
    return {family: counts.family(base, tuned) for family, counts in counting.items()}


def text_sections(predicted: Mapping[str, Family]) -> dict[str, Compared]:
    """Every family's counts, ready to be judged; what looks at the input alone says what the targets score, too."""
    return {family: _compared(rows, np.ones(len(rows.base), dtype=bool)) for family, rows in predicted.items()}


def wording_sections(predicted: Mapping[str, Family]) -> dict[str, Compared]:
    """Seen and held-out wordings of each family apart, where it has both."""
    sections = {}
    for family, rows in predicted.items():
        wordings = np.array(rows.said["wording"])
        for wording in sorted(set(wordings)) if len(set(wordings)) > 1 else []:
            sections[f"{family}_{wording}_wording"] = _compared(rows, wordings == wording)
    return sections


def _compared(rows: Family, chosen: NDArray[np.bool_]) -> Compared:
    groups = [group for group, inside in zip(rows.said["group"], chosen, strict=True) if inside]
    measured = {
        key: Measured(base[chosen], tuned[chosen], MEASURES[key].scoring)
        for key, (base, tuned) in rows.statistics.items()
    }
    own = {key: count[chosen] for key, count in rows.targets.items()}
    more = {
        key: {"targets": round(float(MEASURES[key].scoring.score(count.sum(axis=0))), DECIMALS)}
        for key, count in own.items()
    }
    return Compared(measured, groups, more)
