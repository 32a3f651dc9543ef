"""Where the rows of a block of CSV stand, found by a few passes of numpy.

A quote opens or closes; between the two, a comma or line end is text. In a *regular* block every quote that opens
stands at the start of a cell and every quote that closes at the end of one (or before another quote, as a doubled
quote does), and no carriage return ends a line alone. Then a comma or line end counts if an even number of quotes
stands before it. Any other block is left to tasks/data/csv_blocks.py.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUOTE, COMMA, LF, CR = b'",\n\r'
BEFORE_OPENING, AFTER_CLOSING = (np.isin(np.arange(256), list(marks)) for marks in (b',\n"', b',\r\n"'))
Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


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

    def lines(self, wanted: npt.NDArray[np.bool_]) -> bytes | memoryview:
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
    quotes, commas, ends, returns = _marks(bytes_)
    if not _is_regular(bytes_, quotes, returns, final):
        return None
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


def _marks(bytes_: Bytes) -> tuple[Places, Places, Places, Places]:
    """Where all quotes stand, and what stands in no quoted cell: commas, line feeds, carriage returns."""
    # One search for all four: going through the bytes is what costs.
    places = np.flatnonzero((bytes_ == QUOTE) | (bytes_ == COMMA) | (bytes_ == LF) | (bytes_ == CR))
    kinds = bytes_[places]
    is_quote = kinds == QUOTE
    quotes = places[is_quote]
    if len(quotes):
        outside = np.cumsum(is_quote) & 1 == 0
        places, kinds = places[outside], kinds[outside]
    return quotes, places[kinds == COMMA], places[kinds == LF], places[kinds == CR]


def _is_regular(bytes_: Bytes, quotes: Places, returns: Places, final: bool) -> bool:
    opening, closing = quotes[0::2], quotes[1::2]
    last = len(bytes_) - 1
    if final and (len(opening) > len(closing) or last in returns[-1:]):
        return False
    # Of what is the last byte it is not seen yet what follows; the block's rows end before it.
    before, after = opening[opening > 0] - 1, closing[closing < last] + 1
    return bool(
        BEFORE_OPENING[bytes_[before]].all()
        and AFTER_CLOSING[bytes_[after]].all()
        and (bytes_[returns[returns < last] + 1] == LF).all()
    )
