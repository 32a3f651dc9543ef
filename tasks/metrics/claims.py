"""What a text states that can be held against another: each fact with the keys of which the other text has to have one.

A key is a number's value, a month ("month:7"), a weekday ("weekday:2"), a word in lower case without its plural, or an
acronym in capitals. `claims_of` reads an output; `keys_of` reads all keys that a text offers, whatever it states, so a
text supports itself.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from tasks.metrics import names, numerals
from tasks.metrics.tokens import Token, tokens_of

Kind = Literal["number", "date", "name"]
Key = str | float
MONTHS = [
    *("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november"),
    "december",
]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DATES = {name: f"month:{n}" for n, name in enumerate(MONTHS, start=1)}
DATES |= {name[:3]: key for name, key in DATES.items()} | {"sept": "month:9"}
DATES |= {short: f"weekday:{n}" for n, name in enumerate(DAYS, start=1) for short in (name, name[:3])}
DATES |= {"tues": "weekday:2", "thur": "weekday:4", "thurs": "weekday:4"}
FULL = {*MONTHS, *DAYS}
DOUBTFUL = {"may", "march", "mar", "sun", "sat", "wed", "mon", "dec", "jan"}  # words and names as well
# Texts that were cut into tokens write 13, 000 and $ 32. 42 and L. A.
SPACED_NUMBER = re.compile(r"(?<![\d,.])(?:\d{1,3}(?:, \d{3})+|\d+(?=\. ?\d))(?:\. ?\d+)?(?!\d)")
SPACED_ACRONYM = re.compile(r"(?<!\w)(?:[A-Z]\. ?){2,}")
AROUND_A_DAY = {" ", ", ", "-"}


@dataclass(frozen=True)
class Fact:
    """A number, a date or a name, as it stands in a text."""

    kind: Kind
    text: str
    start: int
    """Place of its first character."""
    end: int
    """Place after its last one."""


@dataclass(frozen=True)
class Claim:
    """A fact, and what supports it."""

    fact: Fact
    needs: tuple[frozenset[Key], ...]
    """Of each of these a text has to offer one key."""


def claims_of(text: str) -> list[Claim]:
    """What a text states, in order; no two overlap."""
    tokens = tokens_of(text)
    taken: set[int] = set()
    found = [*dates_in(tokens, text, taken), *numbers_in(tokens, text, taken)]
    for run in names.runs_in(tokens, taken):
        fact = fact_of("name", text, tokens[run[0]], tokens[run[-1]])
        found.append(Claim(fact, tuple(frozenset(names.keys_of(tokens[place])) for place in run)))
    return sorted(found, key=lambda claim: claim.fact.start)


def fact_of(kind: Kind, text: str, first: Token, last: Token) -> Fact:
    """From one token to another."""
    return Fact(kind, text[first.start : last.end], first.start, last.end)


def keys_of(text: str) -> set[Key]:
    """All that a text offers."""
    tokens, keys = tokens_of(text), set[Key]()
    for found in SPACED_NUMBER.findall(text):
        keys |= numerals.values_of(found.replace(" ", ""))
    keys |= {re.sub(r"[. ]", "", found) for found in SPACED_ACRONYM.findall(text)}
    for kind, written in {token[:2] for token in tokens}:
        keys |= offered(kind, written)
    for place, token in enumerate(tokens):
        if token.kind == "number" or token.lower in numerals.NUMBER_WORDS:
            phrase = numerals.phrase_at(tokens, place)
            keys |= phrase.values if phrase else set()
    return keys


@lru_cache(maxsize=1 << 16)
def offered(kind: str, text: str) -> frozenset[Key]:
    """What a token offers wherever it stands."""
    token = Token(kind, text, 0, len(text), " ")
    if kind in {"iso", "slashed", "clock"}:
        return frozenset().union(*date_needs(token))
    if kind == "number":
        return frozenset({*numerals.values_of(text), names.folded(token.lower)})
    keys: set[Key] = {*names.keys_of(token), names.folded(token.lower), *numerals.HINTS.get(token.lower, ())}
    keys |= {value for value in [numerals.NUMBER_WORDS.get(token.lower)] if value is not None}
    if token.lower in DATES and (token.text[0].isupper() or token.lower not in DOUBTFUL):
        keys.add(DATES[token.lower])
    return frozenset(keys)


def date_needs(token: Token) -> list[frozenset[Key]]:
    """Of 2017-05-03, 03/05/2017 and 20:30."""
    numbers = [int(part) for part in token.text.replace("/", "-").replace(":", "-").replace(".", "-").split("-")]
    if token.kind == "clock":
        hour, minute = numbers
        hours = frozenset[Key]({float(hour), float(hour - 12 if hour > 12 else hour + 12)})
        return [hours, frozenset({float(minute)})] if minute else [hours]
    if token.kind == "iso":
        return [frozenset({float(numbers[0])}), frozenset({f"month:{numbers[1]}"}), frozenset({float(numbers[2])})]
    # Which of two is the month depends on where it was written: either will do.
    return [frozenset({float(n), f"month:{n}"} if n <= 12 else {float(n)}) for n in numbers]


def dates_in(tokens: Sequence[Token], text: str, taken: set[int]) -> Iterator[Claim]:
    """Dates and times, each with the day and the year beside it; their places are added to `taken`."""
    for place, token in enumerate(tokens):
        if token.kind in {"iso", "slashed", "clock"}:
            taken.add(place)
            yield Claim(fact_of("date", text, token, token), tuple(date_needs(token)))
        elif token.kind == "word" and token.lower in DATES and place not in taken:
            beside = beside_month(tokens, place, taken) if DATES[token.lower].startswith("month") else []
            if beside or is_date(tokens, place):
                parts = sorted([place, *beside])
                taken.update(parts)
                needs = [frozenset[Key]({DATES[token.lower]})]
                needs += [frozenset(numerals.values_of(tokens[part].text)) for part in beside]
                yield Claim(fact_of("date", text, tokens[parts[0]], tokens[parts[-1]]), tuple(needs))


def is_date(tokens: Sequence[Token], place: int) -> bool:
    """Whether a word that is like a month's or a weekday's name, with no number beside it, is one."""
    token = tokens[place]
    if token.lower not in FULL or token.lower not in DOUBTFUL:
        return token.lower in FULL
    beside = [tokens[place - 1]] if place else []
    beside += [other for other in tokens[place + 1 : place + 2] if other.gap == " "]
    in_a_name = token.gap in {" ", ". "} and any(names.is_capital(other) for other in beside)
    return token.text[0].isupper() and not token.opens and not in_a_name


def beside_month(tokens: Sequence[Token], place: int, taken: set[int]) -> list[int]:
    """Places of the day and the year that stand next to a month."""
    found = []
    for before in (place - 1, place - 2):
        gaps = [tokens[at].gap for at in range(before + 1, place + 1)]
        of = before == place - 1 or tokens[place - 1].lower == "of"
        if before >= 0 and of and all(gap in AROUND_A_DAY for gap in gaps) and is_number(tokens[before], 31):
            found += [] if before in taken else [before]
            break
    for after in range(place + 1, min(place + 3, len(tokens))):
        if tokens[after].gap not in AROUND_A_DAY or not is_number(tokens[after], 31 if after == place + 1 else 0):
            break
        found.append(after)
    return found


def is_number(token: Token, greatest: int) -> bool:
    """Whether it is a day up to this, or a year, in digits."""
    digits = token.text.rstrip("stndrh")
    if token.kind != "number" or not digits.isdecimal():
        return False
    return 1 <= int(digits[:5]) <= greatest or (len(digits) == 4 and digits[0] in "12")


def numbers_in(tokens: Sequence[Token], text: str, taken: set[int]) -> Iterator[Claim]:
    """Numbers that are no part of a date; their places are added to `taken`, those of quiet ones too."""
    place = 0
    while place < len(tokens):
        phrase = None if place in taken else numerals.phrase_at(tokens, place)
        if phrase is None:
            place += 1
            continue
        if not phrase.quiet:
            yield Claim(fact_of("number", text, tokens[place], tokens[phrase.stop - 1]), (phrase.values,))
        taken.update(range(place, phrase.stop))
        place = phrase.stop
