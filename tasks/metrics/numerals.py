"""The values of numbers, in digits or in English words: "1,200", "1.2m", "3rd", "two hundred and fifty", "a dozen".

phrase_at(tokens, 0)  # of "two hundred and fifty": values {250.0}, the place after it, not quiet
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tasks.metrics.tokens import Token

CARDINALS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
SMALL = {word: float(n) for n, word in enumerate(f"{CARDINALS} seventeen eighteen nineteen".split())}
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SMALL |= {word: 10.0 * n for n, word in enumerate(TENS, start=2)}
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth"
ORDINAL = {word: float(n) for n, word in enumerate(f"{ORDINALS} fifteenth sixteenth".split(), start=1)}
ORDINAL |= {"seventeenth": 17.0, "eighteenth": 18.0, "nineteenth": 19.0}
ORDINAL |= {f"{word[:-1]}ieth": value for word, value in SMALL.items() if word in TENS}
SCALES = {"hundred": 1e2, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12, "dozen": 12.0}
SUFFIXES = {"k": 1e3, "m": 1e6, "mn": 1e6, "bn": 1e9, "tn": 1e12}
COUNTED = SMALL | ORDINAL
NUMBER_WORDS = COUNTED | SCALES
# Alone these mostly count nothing: "one of them", "at first", "a second later". In an input they do support a number.
QUIET = {"one", "first", "second", "zero"}
HINTS = {  # words that support numbers without naming them
    "both": (2.0,), "couple": (2.0,), "pair": (2.0,), "twice": (2.0,), "double": (2.0,), "twin": (2.0,),
    "twins": (2.0,), "duo": (2.0,), "once": (1.0,), "single": (1.0,), "only": (1.0,), "triple": (3.0,), "trio": (3.0,),
    "half": (0.5, 30.0, 50.0), "quarter": (0.25, 15.0, 25.0, 45.0), "fortnight": (2.0, 14.0), "decade": (10.0,),
    "century": (100.0,), "noon": (12.0,), "midday": (12.0,), "midnight": (0.0, 12.0), "nil": (0.0,), "dozens": (12.0,),
}  # fmt: skip
# After these a small number counts what was named before: "the three of them".
KNOWN = {"the", "these", "those", "all", "other", "latter", "former", "their", "his", "her", "its", "my", "our", "your"}
VAGUE = {"several", "few", "many", "some"}  # several hundred
JOINS = {" ", "-", "\u2010", "\u2011"}
DIGITS = re.compile(r"([\d,]+(?:\.\d+)?)(.*)", re.DOTALL)
YEARS = (1900, 2100)


class Phrase(NamedTuple):
    """A number, which may take several words."""

    values: frozenset[float]
    """What it may be: 12m is twelve metres or twelve million."""
    stop: int
    """The place after its last token."""
    quiet: bool
    """It hardly ever states a number."""


def phrase_at(tokens: Sequence[Token], at: int) -> Phrase | None:
    """The number that starts at a token, if one does."""
    if tokens[at].kind == "number" and not numbers_a_line(tokens, at):
        values, stop = values_of(tokens[at].text), at + 1
        while stop < len(tokens) and tokens[stop].gap in JOINS and tokens[stop].lower in SCALES:
            values = {value * SCALES[tokens[stop].lower] for value in values}
            stop += 1
        return Phrase(frozenset(values), stop, quiet=False)
    if tokens[at].kind == "word" and tokens[at].lower in NUMBER_WORDS:
        value, stop = spelled(tokens, at)
        alone, before = stop == at + 1, tokens[at - 1].lower if at else ""
        quiet = alone and (tokens[at].lower in QUIET or (before in VAGUE and tokens[at].lower in SCALES))
        return Phrase(frozenset({value}), stop, quiet or (value < 10 and before in KNOWN))
    return None


def numbers_a_line(tokens: Sequence[Token], at: int) -> bool:
    """Whether it only counts the lines of a list, as in "1. Rest. 2. Fluids."."""
    after = tokens[at + 1].gap if at + 1 < len(tokens) else ""
    return tokens[at].opens and tokens[at].text.isdecimal() and after[:1] in {".", ")"} and after.endswith(" ")


def values_of(text: str) -> set[float]:
    """Of digits with what is written on to them: "1.2m" -> {1.2, 1200000}."""
    found = DIGITS.match(text)
    digits, unit = found.groups() if found else ("0", "")
    value = float(digits.replace(",", ""))
    scaled = value * SUFFIXES.get(unit, 1.0)
    return {value, scaled} if unit == "m" else {scaled}  # metres, or million


def spelled(tokens: Sequence[Token], at: int) -> tuple[float, int]:
    """Value of number words that follow each other, and the place after them; the first token is one."""
    total, part, place = 0.0, 0.0, at
    while place < len(tokens):
        here = place + (place > at and links(tokens, place))
        if (here > at and tokens[here].gap not in JOINS) or (word := tokens[here].lower) not in NUMBER_WORDS:
            break
        if word in SCALES:
            part = max(part, 1.0) * SCALES[word]
            if word not in {"hundred", "dozen"}:
                total, part = total + part, 0.0
        elif fits(part, value := NUMBER_WORDS[word]):
            part += value
        else:
            break
        place = here + 1
        if word in ORDINAL:
            break
    return total + part, place


def links(tokens: Sequence[Token], place: int) -> bool:
    """Whether this is the "and" of "two hundred and fifty"."""
    after = place + 1 < len(tokens) and tokens[place + 1].lower in COUNTED
    return after and tokens[place].text == "and" and tokens[place].gap == " " and tokens[place - 1].lower in SCALES


def fits(part: float, value: float) -> bool:
    """Whether a value goes on from what was read: fifty after two hundred, three after twenty, nothing after three."""
    if part == 0:
        return True
    return (part % 100 == 0 and value < 100) or (value < 10 and part % 10 == 0 and 20 <= part % 100 <= 90)


def rounds_to(exact: float, stated: float) -> bool:
    """Whether a stated number is another one made round: 1,200 of 1,234, 9 of 8.6, but never a year of a year."""
    if YEARS[0] <= stated <= YEARS[1] or abs(exact - stated) > 0.05 * abs(exact):
        return False
    digits = f"{stated:.6f}".rstrip("0")
    decimals = len(digits.partition(".")[2])
    whole = digits.partition(".")[0]
    place = 10.0**-decimals if decimals else 10.0 ** (len(whole) - len(whole.rstrip("0")))
    return abs(exact - stated) <= place / 2 * (1 + 1e-9) and (place != 1 or not exact.is_integer())
