"""Markdown that data cannot forge: tables, numbers, and texts that stay texts.

What comes from data or a model stands in code alone: there no reader of Markdown finds links, images, HTML or headings,
and no bare address becomes a link. What cannot be seen, or turns the order of letters round, is spelled out.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

UNKNOWN = "unknown"
KEPT = "\N{NO-BREAK SPACE}"
SPECIAL = re.compile(r"[\\`*\[\]<>~#&!]|(?<!\w)_|_(?!\w)")
ADDRESS = re.compile(r"://|www\.|@", re.IGNORECASE)  # what GitHub's Markdown makes a link of
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, format, surrogate, private, unassigned, separators


def number(value: object, form: str = ".2f") -> str:
    """A number by its format; "unknown" for anything that is none, or is not finite."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return UNKNOWN
    return format(value, ",g" if form.endswith("d") and isinstance(value, float) else form)


def spread(row: Mapping[str, Any], of: str = "difference", form: str = "+.2f") -> str:
    """'+7.60 [+4.50, +10.70]' of `of`, `of`_low and `of`_high."""
    return f"{number(row.get(of), form)} [{ends(row, of, form)}]"


def ends(row: Mapping[str, Any], of: str = "difference", form: str = "+.2f") -> str:
    """'+4.50, +10.70'."""
    return ", ".join(number(row.get(f"{of}_{end}"), form) for end in ("low", "high"))


def visible(text: str) -> str:
    """A text on one line: a line's end as a sign, what cannot be seen as its number."""
    shown = text.replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", " ")
    return "".join(f"\\u{ord(sign):04x}" if unicodedata.category(sign) in HIDDEN else sign for sign in shown)


def shortened(text: str, most: int) -> str:
    """A text of at most so many bytes of UTF-8, and how many characters were left out."""
    if len(text.encode(errors="replace")) <= most:
        return text
    kept = text.encode(errors="replace")[:most].decode(errors="ignore").rstrip()
    return f"{kept} … ({len(text) - len(kept):,} characters more)"


def code(text: object, most: int | None = None) -> str:
    """A text as code inside a line: nothing in it means anything."""
    shown = visible(str(text))
    shown = shortened(shown, most) if most is not None else shown
    if not shown.strip():
        return "*(empty)*" if not shown else "*(white space)*"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if len(fence) > 1 or shown != shown.strip() else ""
    return f"{fence}{space}{shown}{space}{fence}"


def plain(text: object) -> str:
    """A name or sentence with Markdown's signs taken for letters; one with an address in it becomes code."""
    if ADDRESS.search(str(text)):
        return code(text)
    return SPECIAL.sub(lambda found: "\\" + found[0], visible(str(text)))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> list[str]:
    """Lines of a table; `numbers` are the places of columns that stand right; without rows, nothing.

    Numbers stand between spaces that are kept: MLflow's page draws no lines, and sets neighbours without a gap.
    """
    right = set(numbers)

    def cell(place: int, text: str) -> str:
        text = text.replace("|", "\\|")
        return f"{KEPT}{text}{KEPT}" if place in right else text

    told = [[cell(*one) for one in enumerate(row)] for row in (columns, *rows)]
    if len(told) < 2:
        return []
    lines = [told[0], ["---:" if place in right else "---" for place in range(len(columns))], *told[1:]]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def bullets(sentences: Iterable[str]) -> list[str]:
    """Lines of a list."""
    told = [f"- {sentence}" for sentence in sentences]
    return [*told, ""] if told else []
