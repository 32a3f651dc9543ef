"""A text in other letters: slips of the keyboard, lower case, spellings of a dialect. What it says stays.

Each function takes a text and random numbers and gives a text; the same numbers give the same text. What makes them
comparable with other people's: Ribeiro et al. 2020 (CheckList: typos), Liang et al. 2022 (HELM: misspellings, lower
case, dialect). English only: the keyboard is QWERTY and the dialect African American English.
"""

import functools
from pathlib import Path
from random import Random

import regex
import yaml

from tasks.params import Section

LISTS = Path(__file__).parent / "perturbations"
TYPO_SHARE = 0.1  # of the words of four letters and more
DIALECT_SHARE = 0.5  # of the places where a feature could be
LABEL = r"(?m:^[ \t]*\p{L}[\p{L}_ ]{0,20}:(*SKIP)(*FAIL))"  # "Patient:" says whose turn it is, and is nobody's spelling
START, END = r"(?<![\p{L}\p{M}\p{N}_'\u2019])", r"(?![\p{L}\p{M}\p{N}_])"
WORD = regex.compile(rf"{LABEL}|{START}\p{{L}}{{4,}}{END}")  # whole words: nothing with a digit in or at it
G_DROPPED = r"[a-z]{0,15}[aeiouy][a-z]{0,15}ing"  # a second syllable: "running" and "morning", never "king" or "bring"
NEIGHBOURS = {
    "a": "qwsz", "b": "vghn", "c": "xdfv", "d": "serfcx", "e": "wsdr", "f": "drtgvc", "g": "ftyhbv", "h": "gyujnb",
    "i": "ujko", "j": "huikmn", "k": "jiolm", "l": "kop", "m": "njk", "n": "bhjm", "o": "iklp", "p": "ol", "q": "wa",
    "r": "edft", "s": "awedxz", "t": "rfgy", "u": "yhji", "v": "cfgb", "w": "qase", "x": "zsdc", "y": "tghu",
    "z": "asx",
}  # fmt: skip


class Feature(Section):
    """One feature of a dialect."""

    feature: str
    """What it is, as a linguist would say it."""
    words: dict[str, list[str]]
    """Standard spelling, of one word or several: the spellings that may take its place."""


class Dialect(Section):
    """The file dialect.yaml."""

    version: int
    origin: str
    features: list[Feature]


def like(word: str, pattern: str) -> str:
    """`word` with the capitals of `pattern`: all, the first letter's, or none."""
    if len(pattern) > 1 and pattern.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if pattern[:1].isupper() else word


def lower_case(text: str, random: Random) -> str:  # every kind is called alike
    """The text without capitals."""
    return text.lower()


def typos(text: str, random: Random) -> str:
    """The text as typed in a hurry: one slip in about every tenth word of four letters and more."""
    return str(WORD.sub(lambda word: _slip(word[0], random) if random.random() < TYPO_SHARE else word[0], text))


def _slip(word: str, random: Random) -> str:
    """A word with one slip; the first letter is right, as people get it and as readers need it."""
    place = random.randrange(1, len(word) - 1)  # an inner letter, with another behind it
    letter, rest = word[place], word[place + 1 :]
    slip = random.choice(("neighbour", "swapped", "dropped", "doubled"))
    if slip == "neighbour" and (near := NEIGHBOURS.get(letter.lower())):
        return word[:place] + like(random.choice(near), letter) + rest
    if slip == "swapped" and len(rest) > 1 and letter != rest[0]:  # two inner letters
        return word[:place] + rest[0] + letter + rest[1:]
    if slip == "dropped":
        return word[:place] + rest
    return word[:place] + letter + letter + rest


@functools.cache
def _dialect() -> tuple[regex.Pattern[str], dict[str, list[str]]]:
    """What finds a feature's place, and the spellings by standard spelling."""
    document = yaml.safe_load((LISTS / "dialect.yaml").read_text(encoding="utf-8"))
    spellings = {word: given for one in Dialect.model_validate(document).features for word, given in one.words.items()}
    longest = sorted(spellings, key=len, reverse=True)  # "want to" before "want"
    words = "|".join(regex.escape(word) for word in longest).replace("'", "['\u2019]")
    return regex.compile(rf"{LABEL}|{START}(?:(?i:{words})|{G_DROPPED}){END}"), spellings


def dialect(text: str, random: Random) -> str:
    """The text with half of the words respelt that perturbations/dialect.yaml knows, or that end in -ing.

    A word is spelt the same wherever it stands in one text, as one writer would.
    """
    pattern, spellings = _dialect()
    chosen: dict[str, str] = {}

    def respelt(found: regex.Match[str]) -> str:
        word = found[0].lower().replace("\u2019", "'")
        if word not in chosen:
            given = spellings.get(word) or [word[:-1] + "'"]
            chosen[word] = random.choice(given) if random.random() < DIALECT_SHARE else ""
        return like(chosen[word], found[0]) if chosen[word] else str(found[0])

    return str(pattern.sub(respelt, text))
