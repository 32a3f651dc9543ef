r"""Tables as JSON lines, put together by Arrow's own kernels: a file one can read with `head`, at the disk's speed.

A line is put together for all rows of a batch at once, so that the resulting string array's buffer is the file's
bytes. What is escaped is what JSON demands and nothing more (RFC 8259, section 7): `"`, `\` and U+0000 to U+001F.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.buffers import bytes_and_offsets, texts_from
from tasks.data.files import staged

ROWS = 1 << 14  # rows put together at once: tens of megabytes
ESCAPED = '\\"' + "".join(map(chr, range(0x20)))  # the backslash first: the others' escapes begin with one


def escaped(texts: pa.Array) -> pa.Array:
    """Texts as they stand between the quotes of a JSON string; without the quotes."""
    data, offsets = bytes_and_offsets(texts)
    for character in ESCAPED:
        if character.encode() in data:
            escape = json.dumps(character)[1:-1].encode()
            places = np.flatnonzero(np.frombuffer(data, np.uint8) == ord(character))
            offsets = offsets + np.searchsorted(places, offsets) * (len(escape) - 1)
            data = data.replace(character.encode(), escape)
    return texts_from(data, offsets)


def json_lines(rows: pa.RecordBatch | pa.Table) -> pa.Array:
    """One JSON object with a line end for each row; text columns as strings, whole numbers as numbers."""
    parts: list[str | pa.Array] = []
    for place, name in enumerate(rows.schema.names):
        column = rows.column(place)
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        parts.append(f"{', ' if place else '{'}{json.dumps(name, ensure_ascii=False)}: " + ('"' if text else ""))
        parts.append(escaped(column) if text else pc.cast(column, pa.string()))
        parts.append('"' if text else "")
    return joined([*parts, "}\n"])


def joined(parts: Sequence[str | pa.Array]) -> pa.Array:
    """Texts put together row by row; a plain `str` is the same in every row."""
    runs = itertools.groupby(parts, key=lambda part: isinstance(part, str))
    fewer = [part for plain, run in runs for part in (["".join(run)] if plain else run)]  # each part is a copy a row
    return pc.binary_join_element_wise(*fewer, "")


def bytes_of(lines: pa.Array) -> memoryview:
    """The bytes of all texts, one behind another, without a copy."""
    if not len(lines):
        return memoryview(b"")
    first, last = np.frombuffer(lines.buffers()[1], np.int32)[[lines.offset, lines.offset + len(lines)]]
    return memoryview(lines.buffers()[2])[first:last]


def write_table(path: Path, table: pa.Table) -> None:
    """Write one JSON object a line."""
    with staged(path) as temporary, temporary.open("wb") as file:
        for batch in table.to_batches(max_chunksize=ROWS):
            file.write(bytes_of(json_lines(batch)))
