"""The bytes behind Arrow's text columns, and 64-bit numbers, for what NumPy does faster than one text at a time."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def bytes_and_offsets(texts: pa.Array) -> tuple[bytes, npt.NDArray[np.int64]]:
    """The UTF-8 of all texts, one behind another, and where each begins: (bytes, len(texts) + 1 offsets)."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = bytes(memoryview(texts.buffers()[2])[offsets[0] : offsets[-1]]) if offsets[-1] > offsets[0] else b""
    return data, offsets.astype(np.int64) - offsets[0]


def texts_from(data: bytes | npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> pa.Array:
    """The opposite of `bytes_and_offsets`."""
    starts = pa.py_buffer(offsets.astype(np.int32))
    return pa.StringArray.from_buffers(len(offsets) - 1, starts, pa.py_buffer(data))


def spread(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers spread evenly over 64 bits: the finaliser of SplitMix64 (doi 10.1145/2714064.2660195)."""
    x = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
