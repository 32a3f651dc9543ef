r"""One line of JSON to one record, strictly (RFC 8259): what is read is what was written, or the line is refused.

Python's parser is stricter than most but for four things that are caught here: NaN and Infinity, a key that stands
twice (the last would win), numbers that lose digits, and escapes that make no text (\u0000, half of a surrogate pair).
"""

import json
from collections import Counter
from typing import Any, NoReturn

from tasks.data.files import Row


class Number(str):
    """A JSON number, as it is spelt in the file."""

    __slots__ = ()


KINDS = {str: "text", Number: "a number", bool: "true or false", list: "a list", dict: "an object"}
Kinds = tuple[str, ...]  # of a row's needed columns


class UnfitError(Exception):
    """Why a line is no record."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule, self.reason = rule, reason


def record_of(raw: bytes, offset: int, columns: list[str], known: dict[str, None]) -> tuple[list[str], Kinds]:
    """The needed columns of one line as text, and their kinds.

    Raises:
        UnfitError: it is no record.
    """
    row = _object(raw, offset)
    if not row.keys() <= known.keys():
        known.update(dict.fromkeys(row))
    values = [row.get(column) for column in columns]
    if None in values:
        missing = [column for column, value in zip(columns, values, strict=True) if value is None]
        raise UnfitError("missing", f"has no {', '.join(missing)}")
    try:
        texts = [value if isinstance(value, str) else _spelt(value) for value in values]
    except RecursionError:
        raise UnfitError("json", "is nested too deeply") from None
    if b"\\u" in raw:  # only an escape can still hide these
        _check("".join(texts))
    return texts, tuple(KINDS[type(value)] for value in values)


def _object(raw: bytes, offset: int) -> Row:
    if b"\0" in raw:
        raise UnfitError("nul", f"holds a NUL character at byte {offset + raw.index(0)} of the file")
    if not raw.strip(b" \t\r"):
        raise UnfitError("blank", "is a blank line")
    try:
        row = DECODER.decode(raw.decode())
    except UnicodeDecodeError as error:
        raise UnfitError("utf8", f"is not UTF-8 at byte {offset + error.start} of the file") from None
    except json.JSONDecodeError as error:
        raise UnfitError("json", f"is not JSON: {error.msg} at its character {error.pos + 1}") from None
    except RecursionError:
        raise UnfitError("json", "is nested too deeply") from None
    if not isinstance(row, dict):
        raise UnfitError("json", "is no JSON object")
    return row


def _once(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise UnfitError("json", f"has the key {twice!r} twice in one object")
    return row


def _no_number(name: str) -> NoReturn:
    raise UnfitError("json", f"is not JSON: {name} is no JSON number")


DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=Number, parse_float=Number, parse_constant=_no_number)


def _spelt(value: object) -> str:
    """A value as JSON, its numbers as they were."""
    match value:
        case Number():
            return str(value)
        case str():
            _check(value)  # JSON would escape a NUL again, and hide it
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{', '.join(map(_spelt, value))}]"
        case dict():
            return f"{{{', '.join(f'{_spelt(key)}: {_spelt(inner)}' for key, inner in value.items())}}}"
    return json.dumps(value)


def _check(text: str) -> None:
    if "\0" in text:
        raise UnfitError("nul", r"holds a NUL character (\u0000)")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnfitError("utf8", rf"holds half of a surrogate pair (\u{ord(text[error.start]):x})") from None
