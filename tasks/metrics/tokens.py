"""Words, numbers and dates of a text with their places: what the search for invented facts reads.

    tokens_of("Mr. Scott's 20 tickets")  # word Mr, word Scott, number 20, word tickets

Speaker marks (#Person1#), addresses of the web and the possessive 's are no words.
"""

import re
from functools import lru_cache
from typing import NamedTuple

TOKEN = re.compile(
    r"""
    (?P<skip>\#\s?\w+\s?\#|(?<!\w)[Pp]erson\s?\d\w?(?!\w)|(?:https?://|www\.|@)\S+|['\u2019]s(?!\w))
    |(?P<word>[^\W\d_]{2,}+(?:['\u2019](?!s(?!\w))[^\W\d_]++)*+(?!\w))  # first, as nearly all are one
    |(?P<iso>(?<![\w-])\d{4}-\d{1,2}-\d{1,2}(?![\w-]))
    |(?P<slashed>(?<![\w/.])\d{1,2}([/.])\d{1,2}\5\d{2,4}(?!\w))
    |(?P<clock>(?<!\w)(?:\d{1,2}:\d{2}|\d{1,2}\.\d{2}(?=\s?[ap]\.?m))(?!\d))
    |(?P<number>(?<!\w)(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?[^\W\d_A-Z]{0,5}(?!\w))
    |(?P<mixed>\w*\d\w*)
    |(?P<dotted>(?<!\w)(?:[^\W\d_]\.){2,})
    |(?P<letter>[^\W\d_]+(?:['\u2019](?!s(?!\w))[^\W\d_]+)*)  # and what stands beside a low line
    """,
    re.VERBOSE,
)
OPENS_SENTENCE = re.compile(r"""[.!?:;\n"\u201c\u201d\u2018(\[\u2022*\u2013\u2014]|\s['-]|-\s""")


class Token(NamedTuple):
    """A word, number, time or date."""

    kind: str
    """word, dotted (U.S.), number (with its unit: 12m, 3rd), mixed (A380), clock (20:00), iso, slashed."""
    text: str
    start: int
    end: int
    gap: str
    """What stands between it and what came before; a new line for the first, which opens a sentence."""

    @property
    def lower(self) -> str:
        """In lower case, with a straight apostrophe."""
        return lower_of(self.text)

    @property
    def opens(self) -> bool:
        """Whether a sentence, a quotation or a line may begin here, so that a capital says little."""
        return OPENS_SENTENCE.search(self.gap) is not None


@lru_cache(maxsize=1 << 16)
def lower_of(text: str) -> str:
    """In lower case, with a straight apostrophe."""
    return text.lower().replace("\u2019", "'")


def tokens_of(text: str) -> list[Token]:
    """In their order."""
    tokens, end, gap = [], 0, "\n"
    for found in TOKEN.finditer(text):
        if not (kind := found.lastgroup) or kind == "skip":
            continue
        start = found.start()
        if end:
            gap = text[end:start]
        end = found.end()
        tokens.append(Token("word" if kind == "letter" else kind, found.group(), start, end, gap))
    return tokens
