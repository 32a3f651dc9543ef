"""JSON lines that Luthier wrote, read block by block at the disk's speed: values are cut out as they stand.

`write_table` and `write_rows` write the same keys in the same order on every line, and a quote inside a text is always
escaped; so the quotes that are not escaped stand in the same number on every line, and the k-th of them begins or ends
the same key or text. Nothing is parsed: a text stays escaped, which is how it goes into the next file.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.data.buffers import bytes_and_offsets, texts_from
from tasks.data.threads import in_order
from tasks.errors import DataError

T = TypeVar("T")
Positions = npt.NDArray[np.int64]
BLOCK = 1 << 21  # bytes read at once
QUOTE, BACKSLASH = ord('"'), ord("\\")


class Block:
    """Some lines of a file, and where in their bytes each value stands."""

    def __init__(self, data: bytes, names: list[str], kinds: list[type], start: int) -> None:
        """Find every unescaped quote of these lines.

        Args:
            data: whole lines.
            names: the keys of every line, in order.
            kinds: of their values: str or int.
            start: place of the first line in the file, from 0.

        Raises:
            ValueError: some line is not built like that.
        """
        self.data, self.start = data, start
        letters = np.frombuffer(data, np.uint8)
        quotes = np.flatnonzero(letters == QUOTE)
        quotes = quotes[~_escaped(letters, quotes)]
        self.ends = np.flatnonzero(letters == ord("\n")) - 1  # of a line's last number: the closing brace
        rows, each = len(self.ends), sum(4 if kind is str else 2 for kind in kinds)
        if len(quotes) != rows * each:
            raise ValueError(f"{len(quotes)} quotes in {rows} lines of {each}")
        self.quotes = quotes.reshape(rows, each)
        self.places: dict[str, tuple[int, type]] = {}
        place = 0
        for name, kind in zip(names, kinds, strict=True):
            widths = self.quotes[:, place + 1] - self.quotes[:, place] - 1
            if (widths != len(json.dumps(name, ensure_ascii=False).encode()) - 2).any():
                raise ValueError(f"a line without the key {name} at its place")
            self.places[name] = (place + 2, kind)
            place += 4 if kind is str else 2

    def __len__(self) -> int:
        """Lines."""
        return len(self.quotes)

    def column(self, name: str, rows: Positions | None = None) -> pa.Array:
        """The values of one key as they stand: texts escaped, numbers in digits; of some of the lines, or of all."""
        place, kind = self.places[name]
        if kind is str:
            starts, ends = self.quotes[:, place] + 1, self.quotes[:, place + 1]
        else:  # behind `": `, up to `, "` or the brace
            starts = self.quotes[:, place - 1] + 3
            ends = self.quotes[:, place] - 2 if place < self.quotes.shape[1] else self.ends
        # Values and what lies between them, in turn: Arrow takes that as it is, and copies the values out once.
        offsets = np.stack([starts, ends], axis=1).ravel() if len(starts) else np.zeros(1, np.int64)
        wanted = np.arange(len(self)) if rows is None else rows
        return texts_from(self.data, offsets).take(pa.array(2 * wanted))

    def texts(self, name: str, rows: Positions) -> list[str]:
        """The texts of one key, as they were before they were escaped."""
        return unescaped(self.column(name, rows))


def unescaped(texts: pa.Array) -> list[str]:
    """Texts as they were before they were escaped."""
    return list(json.loads('["' + '","'.join(texts.to_pylist()) + '"]')) if len(texts) else []


def spaced(escaped: pa.Array) -> pa.Array:
    """Texts with spaces where something is escaped, which is never a letter or digit: all that `normalised` needs."""
    data, offsets = bytes_and_offsets(escaped)
    letters = np.frombuffer(data, np.uint8)
    begins = np.flatnonzero(letters == BACKSLASH)
    if not len(begins):
        return escaped
    begins = begins[~_escaped(letters, begins)]
    letters = letters.copy()
    numbered = begins[letters[begins + 1] == ord("u")]  # \\u and four digits; the others are one letter
    for places in (begins, begins + 1, numbered + 2, numbered + 3, numbered + 4, numbered + 5):
        letters[places] = ord(" ")
    return texts_from(letters, offsets)


def each_block(path: Path, work: Callable[[Block], T], size: int = BLOCK) -> Iterator[T]:
    """Work on a JSON-lines file that Luthier wrote, block by block; the results, in the file's order.

    Args:
        path: the file.
        work: what to do with a block.
        size: bytes of a block, about.

    Raises:
        DataError: the file is not made of such lines.
    """
    first = first_row(path)
    names, kinds = list(first), [type(value) for value in first.values()]

    def done(lines: tuple[bytes, int]) -> T:
        try:
            block = Block(lines[0], names, kinds, lines[1])
        except ValueError as error:
            raise DataError(f"{path} is not what validate writes ({error}): run dvc repro validate.") from None
        return work(block)

    return in_order(done, _lines(path, size))


def _lines(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines of about `size` bytes together, and the place of the first one in the file."""
    start = 0
    with path.open("rb") as file:
        while data := file.read(size) + file.readline():
            yield data, start
            start += int(np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")))  # five times `bytes.count`


def first_row(path: Path) -> dict[str, str | int]:
    """The first row of a JSON-lines file that Luthier wrote; nothing for a file without rows.

    Raises:
        DataError: it is not written as Luthier writes it, or holds something other than texts and whole numbers.
    """
    with path.open("rb") as file:
        line = file.readline()
    try:
        row = dict(json.loads(line or b"{}"))
    except ValueError as error:
        raise DataError(f"{path} is not what validate writes ({error}): run dvc repro validate.") from None
    same = not line or line.decode() == json.dumps(row, ensure_ascii=False) + "\n"
    if not same or any(type(value) not in (str, int) for value in row.values()):
        raise DataError(f"{path} is not what validate writes (its first line): run dvc repro validate.")
    return row


def _escaped(letters: npt.NDArray[np.uint8], places: Positions) -> npt.NDArray[np.bool_]:
    """Which of these places have an odd number of backslashes before them."""
    odd = np.zeros(len(places), np.bool_)
    still, before = np.arange(len(places)), places - 1
    while len(still):
        more = (before >= 0) & (letters[before] == BACKSLASH)
        still, before = still[more], before[more] - 1
        odd[still] ^= True
    return odd
