"""How the page says things: names of sections, amounts, what a verdict looks like.

    title("mmlu_0shot")   # 'mmlu, 0-shot'
    would_tell(row, "mmlu_0shot", families)   # 'about 4,000 questions would tell'

Words that more than one part of the page uses; a sentence that stands in one place is written there.
"""

import re
from collections.abc import Collection
from typing import Any

Row = dict[str, Any]
MARKS = {  # of each verdict: the class that colours it, and how it is written
    "better": ("better", "▲ better"),
    "worse": ("worse", "▼ worse"),
    "equivalent": ("same", "≈ equivalent"),
    "cannot tell": ("unsure", "○ cannot tell"),
    "not judged": ("unsure", ""),
    "kept": ("better", "▲ kept"),
    "forgotten": ("worse", "▼ forgotten"),
}


def title(section: str) -> str:
    """'summarise_held_out_wording' -> 'summarise, held-out wording'; 'mmlu_0shot' -> 'mmlu, 0-shot'."""
    if section.startswith("outputs_"):
        return "all outputs"
    for mark in ("seen", "held_out"):
        section = section.replace(f"_{mark}_wording", f", {mark.replace('_', '-')} wording")
    name, _, shots = section.rpartition("_")
    if name and shots.endswith("shot") and shots[:-4].isdigit():
        section = f"{name}, {shots[:-4]}-shot"
    return section.replace("_", " ")


def named(section: str) -> str:
    """A section inside a sentence: 'mmlu 0-shot'."""
    return title(section).replace(", ", " ")


def minus(text: str) -> str:
    """A hyphen before a digit becomes a minus sign."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)


def is_part(section: str) -> bool:
    """Whether these are only the seen or the held-out wordings of a family."""
    return section.endswith("_wording")


def amount(value: float) -> str:
    """'62', '3.4', '0': as many digits as a sentence needs."""
    return f"{value:.0f}" if value >= 10 or value == round(value) else f"{value:.1f}"


def rounded_up(count: int) -> int:
    """To two digits: an estimate of how many would tell deserves no more."""
    step: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // step) * step


def between(counts: list[int]) -> str:
    """'190 to 5,500', or the one count."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def would_tell(row: Row, section: str, families: Collection[str]) -> str:
    """'about 4,000 questions would tell', or nothing where no number is known."""
    if not row.get("groups_needed"):
        return ""
    unit = "groups" if row["groups"] != row["n"] else unit_of(section, families)
    return f"about {rounded_up(row['groups_needed']):,} {unit} would tell"


def unit_of(section: str, families: Collection[str]) -> str:
    """What a section counts."""
    if section.startswith("outputs_"):
        return "outputs"
    return "examples" if section in families or is_part(section) else "questions"


def listed(names: list[str], most: int = 3) -> str:
    """'a', 'a and b', 'a, b, c and 4 more'."""
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
