"""Examples as JSON lines, a whole block of records at once, in the wording that each was drawn.

The text of a line is put together by Arrow from the template's literals and the records' escaped fields; it is byte for
byte what `templates.render` and `json.dumps` give, as tests/test_rendering.py shows.
"""

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.buffers import bytes_and_offsets
from tasks.data.keys import Keys, mixed
from tasks.data.lines import joined
from tasks.prompts.templates import Family, Template, parse

SPACE, BACKSLASH, ASCII = ord(" "), ord("\\"), 0x7F
WHITE = np.frombuffer(b"nrtfu", np.uint8)  # behind a backslash: white space, or what may be (\u001f is)
ORIGIN, RECORD = "#origin", "#record"  # beside a family's fields, none of which can be called so


def draw(keys: Keys, seed: int, family: str, templates: list[Template], wordings: int) -> npt.NDArray[np.bool_]:
    """Which `wordings` of the templates each record is rendered with.

    Args:
        keys: of the records, (records,).
        seed: another seed draws others.
        family: its name; so that two families draw apart.
        templates: those to draw from.
        wordings: how many, at most all.

    Returns:
        (records, templates), True where drawn.
    """
    ranks = np.stack([mixed(keys, seed, "wording", family, template.id) for template in templates], axis=1)
    if wordings >= len(templates):
        return np.ones(ranks.shape, np.bool_)
    last = np.partition(ranks, wordings - 1, axis=1)[:, wordings - 1 : wordings]
    return np.asarray(ranks <= last, np.bool_)


def fields_of(columns: Mapping[str, pa.Array], constants: Mapping[str, str]) -> dict[str, str | pa.Array]:
    """The values of a family's fields as they stand in a JSON string, stripped of white space at both ends.

    Args:
        columns: by field, the records' escaped texts.
        constants: by field, a text that is the same for every record.
    """
    texts: dict[str, str | pa.Array] = {field: stripped(column) for field, column in columns.items()}
    return texts | {field: _quoted(text.strip()) for field, text in constants.items()}


def stripped(escaped: pa.Array) -> pa.Array:
    """Escaped texts without the white space at both ends, some of which is escaped itself."""
    escaped = pc.ascii_trim(escaped, " ")  # the commonest, at once
    data, offsets = bytes_and_offsets(escaped)
    letters = np.frombuffer(data + b"........", np.uint8)  # so that the places before and behind every text exist
    starts, ends = offsets[:-1], offsets[1:]
    first, last = letters[starts], letters[ends - 1]
    # All but few texts begin and end with ASCII letters or signs; only the few are looked at one by one.
    odd = (np.minimum(first, last) <= SPACE) | (np.maximum(first, last) > ASCII)
    odd |= (first == BACKSLASH) & np.isin(letters[starts + 1], WHITE)
    odd |= (letters[ends - 2] == BACKSLASH) & np.isin(last, WHITE) | (letters[ends - 6] == BACKSLASH)
    if not odd.any():
        return escaped
    mended = [_quoted(json.loads(f'"{text}"').strip()) for text in escaped.filter(pa.array(odd)).to_pylist()]
    return pc.replace_with_mask(escaped, pa.array(odd), pa.array(mended, pa.string()))


def origin(source: str, groups: pa.Array, records: pa.Array) -> dict[str, pa.Array]:
    """Where examples come from, as `render_lines` wants it beside the family's fields.

    Args:
        source: its name.
        groups: keys in hexadecimal digits.
        records: source/file:row, escaped.
    """
    return {ORIGIN: joined([groups, f'", "source": "{_quoted(source)}", "record": "', records]), RECORD: records}


def render_lines(template: Template, family: Family, wording: str, texts: Mapping[str, str | pa.Array]) -> pa.Array:
    """One JSON line an example: {id, family, template, wording, group, source, record, input, target}.

    Args:
        template: the wording.
        family: its family.
        wording: "seen" or "held_out".
        texts: of the wanted records: the family's fields, from `fields_of`, and what `origin` gives.
    """
    asked = [
        text for literal, field in parse(template.text) for text in (_quoted(literal), texts[field] if field else "")
    ]
    kind, name = _quoted(family.family), _quoted(template.id)
    return joined([
        f'{{"id": "{kind}/', texts[RECORD], f'/{name}", "family": "{kind}", "template": "{name}", ',
        f'"wording": "{wording}", "group": "', texts[ORIGIN],
        '", "input": "', *asked, '", "target": "', texts[family.target], '"}\n',
    ])  # fmt: skip


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
