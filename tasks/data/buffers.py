"""The bytes behind Arrow's text columns, for what NumPy and `bytes` do faster than one text at a time."""

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
