"""Names in English text, by their capitals: runs of them, acronyms, first words of sentences only with a reason.

A capital says nothing where a sentence or a quotation may begin, unless the word is no common one. The lists of
common words (words.yaml), of titles and of words that stand for each other (names.yaml) lie beside this file.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from tasks.metrics.numerals import JOINS, NUMBER_WORDS
from tasks.metrics.rouge import stem_of
from tasks.metrics.tokens import Token

HERE = Path(__file__).parent
CONTRACTED = re.compile(r"(?:n't|'(?:re|ll|ve|d|m|t))$")
SHORTEST_WITH_ENDING = 7  # letters: Kelly and Boeing are names
SHORTEST_PLURAL = 4
SHOUTING = 0.5  # share of capitalised words above which a text's capitals say nothing: a heading, a form in capitals
FEW_WORDS = 4
LONGEST_ACRONYM = 3  # letters of one that may be a common word: AIDS in capitals may be loud


@cache
def lists() -> dict[str, Any]:
    """names.yaml."""
    content: dict[str, Any] = yaml.safe_load((HERE / "names.yaml").read_text(encoding="utf-8"))
    content["endings"] = tuple(content["endings"].split())
    return content | {key: frozenset(content[key].split()) for key in ("titles", "function")}


@cache
def common_stems() -> frozenset[str]:
    """Of the words of words.yaml."""
    words = yaml.safe_load((HERE / "words.yaml").read_text(encoding="utf-8"))["words"].split()
    return frozenset(stem_of(word) for word in words)


@cache
def near() -> dict[str, str]:
    """Word -> the group of words that stand for each other."""
    return {folded(word): f"near:{line.split()[0]}" for line in lists()["near"] for word in line.split()}


@lru_cache(maxsize=1 << 16)
def folded(lower: str) -> str:
    """Without accents, dots and the plural: "tories" -> "tory", "josé" -> "jose", "u.s." -> "u"."""
    word = "".join(c for c in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(c) and c != ".")
    if len(word) < SHORTEST_PLURAL or word.endswith("ss"):
        return word
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


@lru_cache(maxsize=1 << 16)
def is_common(lower: str) -> bool:
    """Whether it is an ordinary English word, or looks like the form of one."""
    word = CONTRACTED.sub("", lower)
    if stem_of(word) in common_stems() or word in NUMBER_WORDS or word in lists()["function"]:
        return True
    return len(word) >= SHORTEST_WITH_ENDING and (word.endswith(lists()["endings"]) or word.startswith("non"))


def is_capital(token: Token) -> bool:
    """Whether it is written like a name."""
    if token.kind not in {"word", "dotted", "mixed"} or not any(c.isupper() for c in token.text):
        return False
    return (token.kind == "mixed" or token.text[0].isupper()) and CONTRACTED.sub("", token.lower) != "i"


def is_acronym(token: Token) -> bool:
    """Two capitals or more and no small letter: NHS, U.S."""
    letters = token.text.replace(".", "")
    return token.kind in {"word", "dotted"} and len(letters) > 1 and letters.isupper()


def keys_of(token: Token) -> set[str]:
    """What has to stand in an input for this word of a name: the word itself, or one that stands for it."""
    word = folded(token.lower)
    if not is_acronym(token):
        keys = {word, *demonyms(word)}
    else:  # "us" is not the U.S.
        acronym = token.text.replace(".", "")
        keys = {acronym} if is_common(acronym.lower()) else {acronym, word}
    return keys | ({near()[word]} if word in near() and token.text[0].isupper() else set())


def demonyms(word: str) -> set[str]:
    """California for "californian", and the other way round; what is like it is taken for it."""
    if len(word) <= SHORTEST_PLURAL + 1:
        return set()
    return {f"{word}n", word[:-1]} if word.endswith(("an", "i")) else {f"{word}n", f"{word}i"}


def runs_in(tokens: Sequence[Token], taken: set[int]) -> Iterator[list[int]]:
    """Places of the words of each name that say something; numbers and dates are `taken`."""
    shouting = is_shouting(tokens)
    place = 0
    while place < len(tokens):
        if place in taken or not is_capital(tokens[place]):
            place += 1
            continue
        run = run_from(tokens, place, taken)
        label = opens(tokens, place) and tokens[run[-1] + 1].gap.startswith(":") if run[-1] + 1 < len(tokens) else False
        telling = (
            []
            if label
            else [at for at in run if tells(tokens, at, opens=shouting or (at == place and opens(tokens, at)))]
        )
        if telling:
            yield telling
        place = run[-1] + 1


def run_from(tokens: Sequence[Token], place: int, taken: set[int]) -> list[int]:
    """Places of the capitalised words that go on from this one, across "of", "van" and the like."""
    run = [place]
    while (at := run[-1] + 1) < len(tokens):
        if tokens[at].text in lists()["joints"] and tokens[at].gap == " " and at + 1 < len(tokens):
            at += 1
        if at in taken or not is_capital(tokens[at]) or not goes_on(tokens, at):
            break
        run.append(at)
    return run


def goes_on(tokens: Sequence[Token], at: int) -> bool:
    """Whether a word continues the name before it: "Mr. Smith" and "J. Smith" do, in spite of the full stop."""
    before = tokens[at - 1]
    if tokens[at].gap == ". ":
        return before.lower in lists()["titles"] or len(before.text) == 1
    return tokens[at].gap in JOINS or tokens[at].gap == " & "


def opens(tokens: Sequence[Token], at: int) -> bool:
    """Whether a sentence may begin here, so that the capital says little."""
    return tokens[at].opens and not (at > 0 and goes_on(tokens, at) and is_capital(tokens[at - 1]))


def tells(tokens: Sequence[Token], at: int, opens: bool) -> bool:
    """Whether a capitalised word is evidence of a name."""
    token = tokens[at]
    if CONTRACTED.sub("", token.lower) in lists()["function"] and not (is_acronym(token) and token.lower == "us"):
        return False
    if token.lower.replace(".", "") in lists()["titles"] or len(token.text) == 1:
        return False
    in_capitals = token.text.isupper() and len(token.text) > LONGEST_ACRONYM  # a heading, or a loud word
    if in_capitals or (opens and not is_acronym(token)):
        return not is_common(token.lower)
    return True


def is_shouting(tokens: Sequence[Token]) -> bool:
    """Whether so many words are capitalised that a capital says nothing."""
    words = [token for token in tokens if token.kind == "word" and len(token.text) > 1]
    return len(words) > FEW_WORDS and sum(map(is_capital, words)) > SHOUTING * len(words)
