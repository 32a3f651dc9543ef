"""Where the rows of a block of CSV stand, found by a few passes of numpy.

A quote opens or closes; between the two, a comma or line end is text. In a *regular* block every quote that opens
stands at the start of a cell and every quote that closes at the end of one (or before another quote, as a doubled
quote does), and no carriage return ends a line alone. Then a comma or line end counts if an even number of quotes
stands before it. Any other block is left to tasks/data/intake/csv_blocks.py.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUOTE, COMMA, LF, CR = b'",\n\r'
Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """Some rows of a file, one behind another."""

    block: bytes
    """Their bytes, line ends included; the start of a further row may follow."""
    size: int
    """How many bytes of `block` are theirs."""
    offset: int
    """Where `block` stands in the file."""
    first: int
    """The number of the first row in the file, from 1; the header is not counted."""
    starts: Places
    """Where each row starts in `block`."""
    ends: Places
    """Where each row ends, without its line end."""
    ended: bool
    """Whether the last row has a line end, or a last cell that is quoted and closed."""
    commas: Places
    """What separates cells, in a regular block."""
    cells: list[list[str]] | None
    """The cells in Latin-1, a character a byte, where the csv module read them."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def bytes_(self) -> Bytes:
        """The rows' bytes for numpy, without a copy."""
        return np.frombuffer(self.block, np.uint8, self.size)

    def raw(self, at: int) -> bytes:
        """One row, without its line end."""
        return self.block[self.starts[at] : self.ends[at]]

    def lines(self, wanted: Flags) -> bytes | memoryview:
        """The wanted rows, line ends included; without a copy where that is all of them."""
        block = memoryview(self.block)
        if wanted.all():
            return block[: self.size]
        borders = np.append(self.starts, self.size)[np.flatnonzero(np.diff(wanted, prepend=False, append=False))]
        return b"".join(block[start:end] for start, end in borders.reshape(-1, 2).tolist())

    def at(self, bytes_: Places) -> Places:
        """The position of the row that each byte of the block belongs to."""
        return np.searchsorted(self.starts, bytes_, side="right") - 1

    def widths(self) -> Places:
        """How many cells each row has; a blank line has none."""
        if self.cells is not None:
            return np.array([len(row) for row in self.cells])
        widths = np.diff(np.searchsorted(self.commas, np.append(self.starts, self.size))) + 1
        return np.where(self.ends == self.starts, 0, widths)

    def all_have(self, width: int) -> bool:
        """Whether every row has this many cells: a quicker question than how many each has."""
        between = width - 1
        if self.cells is not None or not between or len(self.commas) != between * len(self):
            return bool((self.widths() == width).all())
        first, last = self.commas[::between], self.commas[between - 1 :: between]
        return bool((first >= self.starts).all() and (last < self.ends).all())


def regular_rows(data: bytes, offset: int, first: int, final: bool) -> Rows | None:
    """The whole rows of a block (none if not one ends in it); None if the block is not regular.

    Args:
        data: its bytes, from the start of a row.
        offset: where they stand in the file.
        first: the number of the first row.
        final: whether the file ends with them.
    """
    bytes_ = np.frombuffer(data, np.uint8)
    marks = _marks(bytes_)
    kinds = bytes_[marks]
    quotes = np.flatnonzero(kinds == QUOTE)
    if len(quotes):  # what has an odd number of quotes up to it is text, and counts no more
        kinds = kinds * (np.bitwise_xor.accumulate((kinds == QUOTE).view(np.uint8)) ^ 1)
    returns = np.flatnonzero(kinds == CR)
    # Whether a mark follows the one before it at once; the block's borders count as marks.
    joined = np.diff(marks, prepend=-1, append=len(data)) == 1
    if not _is_regular(kinds, joined, quotes, returns, final):
        return None
    ends, commas = marks[kinds == LF], marks[kinds == COMMA]
    size = int(ends[-1]) + 1 if len(ends) else 0
    if cut_off := final and size < len(data):
        size = len(data)
        ends = np.append(ends, size)
    starts = np.append(0, ends[:-1] + 1)[: len(ends)]
    return Rows(
        block=data,
        size=size,
        offset=offset,
        first=first,
        starts=starts,
        ends=ends - ((bytes_[ends - 1] == CR) & (ends > starts)),
        ended=not cut_off or data[-1] == QUOTE,
        commas=commas[: np.searchsorted(commas, size)],
        cells=None,
    )


def _marks(bytes_: Bytes) -> Places:
    """Where quotes, commas and line ends stand. One search for all: going through the bytes is what costs."""
    found = bytes_ == QUOTE
    for mark in (COMMA, LF, CR):
        found |= bytes_ == mark
    return np.flatnonzero(found)


def _is_regular(kinds: Bytes, joined: Flags, quotes: Places, returns: Places, final: bool) -> bool:
    """Whether quotes stand at the borders of cells, and no carriage return alone.

    Args:
        kinds: the marks, in order.
        joined: whether each follows the one before it at once, and the block's end the last.
        quotes: which of them are quotes.
        returns: which of them are carriage returns outside quotes.
        final: whether the file ends with the block; else it is not seen yet what follows the last mark.
    """
    opening, closing = quotes[0::2], quotes[1::2]
    last = len(kinds) - 1
    if final and (len(opening) > len(closing) or last in returns[-1:]):
        return False
    # What stands before an opening quote may also be a carriage return: a lone one, which is found below.
    return bool(
        joined[opening].all()
        and joined[closing + 1].all()
        and joined[returns + 1].all()
        and (kinds[returns[returns < last] + 1] == LF).all()
    )
