"""64-bit keys of texts, for whole columns at once: what groups, splits and draws are decided by.

A key depends on what the text says alone, never on where its row stands, so that adding, removing or reordering rows
moves no other row. Texts are hashed by pandas (SipHash with its fixed key), and drawn by mixing a key with the seed and
a purpose.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.buffers import bytes_and_offsets, spread, texts_from
from tasks.data.splits import PLAIN, normalise

Keys = npt.NDArray[np.uint64]
SPACE, LINE_END = ord(" "), ord("\n")
END = 0xFF  # between texts: it stands in no UTF-8
LETTERS = PLAIN[:END] + b"\n"  # what `normalise` does to ASCII, and END as a byte that no normalised text has


def normalised(texts: pa.Array) -> pa.Array:
    """`normalise` of every text; ASCII, which most are, all at once."""
    raw = texts.cast(pa.binary())
    ended = pc.binary_join_element_wise(raw, pa.scalar(bytes([END]), pa.binary()), pa.scalar(b"", pa.binary()))
    letters = np.frombuffer(bytes_and_offsets(ended)[0].translate(LETTERS), np.uint8)
    kept = letters != SPACE
    kept[1:] |= kept[:-1]  # of several spaces, the first
    letters = letters[kept]
    ends = np.flatnonzero(letters == LINE_END) + 1
    plain = pc.ascii_trim(texts_from(letters, np.concatenate([[0], ends])), " \n")
    ascii_only = pc.string_is_ascii(texts)
    if pc.all(ascii_only).as_py() is not False:
        return plain
    others = [normalise(text) for text in texts.filter(pc.invert(ascii_only)).to_pylist()]
    return pc.replace_with_mask(plain, pc.invert(ascii_only), pa.array(others, pa.string()))


def keys_of(normal: pa.Array) -> Keys:
    """The key of every normalised text."""
    return np.asarray(pd.util.hash_array(normal.to_numpy(zero_copy_only=False), categorize=False), np.uint64)


def said_keys(texts: pa.Array, normal: pa.Array) -> Keys:
    """The keys of what texts say: of a text without a word, such as an emoji, as it stands."""
    return keys_of(pc.if_else(pc.equal(pc.binary_length(normal), 0), texts, normal))


def mixed(keys: Keys, *purpose: str | int) -> Keys:
    """Keys for a purpose: evenly spread, and unrelated to those for any other purpose."""
    salt = hashlib.sha256("\x1f".join(map(str, purpose)).encode()).digest()[:8]
    return spread(keys ^ np.uint64(int.from_bytes(salt, "big")))


def shares_of(keys: Keys) -> npt.NDArray[np.float64]:
    """Keys as numbers in [0, 1)."""
    return np.asarray((keys >> np.uint64(11)) * 2.0**-53, np.float64)


def hexadecimal(keys: Keys) -> pa.Array:
    """Keys as texts of 16 hexadecimal digits."""
    digits = np.frombuffer(keys.astype(">u8").tobytes().hex().encode(), np.uint8)
    return texts_from(digits, np.arange(len(keys) + 1, dtype=np.int64) * 16)


def word_counts(normal: pa.Array) -> npt.NDArray[np.int64]:
    """Words of every normalised text."""
    data, offsets = bytes_and_offsets(normal)
    spaces = np.flatnonzero(np.frombuffer(data, np.uint8) == SPACE)
    return np.diff(np.searchsorted(spaces, offsets)) + (np.diff(offsets) > 0)
