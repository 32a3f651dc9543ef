"""A file of JSON lines as a sequence of rows that are read when they are asked for: eight bytes of memory a row.

    rows = Indexed(Path("data/examples/test.jsonl"))
    rows[17], rows[1000:1512]       # a row; a list of rows
    for row in rows: ...            # one after another

The file has to stay as it is meanwhile.
"""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

from tasks.data.files import Row, row_of


class Indexed(Sequence[Row]):
    """The rows of a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.starts = array("Q", [0])
        """Where each line begins, and where the last one ends; bytes."""
        with path.open("rb") as file:
            for line in file:
                self.starts.append(self.starts[-1] + len(line))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        """A row, or some that stand one after another.

        Raises:
            DataError: a line is no JSON object, with its number.
        """
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            if step != 1:
                raise ValueError("rows are read one after another")
            return list(self._read(start, stop))
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        return next(self._read(place % len(self), place % len(self) + 1))

    def __iter__(self) -> Iterator[Row]:
        return self._read(0, len(self))

    def _read(self, start: int, stop: int) -> Iterator[Row]:
        with self.path.open("rb") as file:
            file.seek(self.starts[start])
            for number in range(start + 1, stop + 1):
                yield row_of(file.readline(), self.path, number)
