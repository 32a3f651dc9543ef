"""What a metric over free text is given: outputs, targets and, where a table has them, the inputs they answer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tasks.errors import DataError
from tasks.metrics.compare import Matrix

Row = Mapping[str, Any]
T = TypeVar("T")
BLOCK = 512  # examples whose texts are held at a time


@dataclass(frozen=True)
class Texts:
    """n examples of one model, in one order."""

    outputs: Sequence[str]
    """What it wrote; may be empty."""
    targets: Sequence[str]
    """What it should have written: one reference each."""
    inputs: Sequence[str] | None
    """What it read; None: the table names no such column."""

    def __post_init__(self) -> None:
        """Refuse lists of different lengths, which no metric could pair up.

        Raises:
            DataError: they differ.
        """
        sizes = {len(texts) for texts in (self.outputs, self.targets, self.inputs) if texts is not None}
        if len(sizes) > 1:
            raise DataError(f"outputs, targets and inputs differ in number: {sorted(sizes)}; each example needs all.")

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Rows of generations.jsonl."""
        inputs = [row["input"] for row in rows] if all("input" in row for row in rows) else None
        return cls([row["output"] for row in rows], [row["target"] for row in rows], inputs)

    def read(self, metric: str) -> Sequence[str]:
        """The inputs.

        Args:
            metric: the one that asks, for the message.

        Raises:
            DataError: there are none.
        """
        if self.inputs is None:
            raise DataError(f"'{metric}' compares an output with what was read: name that column by --input.")
        return self.inputs


def blocks(*sides: Sequence[T]) -> Iterator[tuple[Sequence[T], ...]]:
    """Rows of several files side by side, so many at once that their texts are no burden."""
    for start in range(0, len(sides[0]), BLOCK):
        yield tuple(rows[start : start + BLOCK] for rows in sides)


Statistics = Callable[[Texts], dict[str, Matrix]]  # one row of sufficient statistics an example: (n, k) per key
