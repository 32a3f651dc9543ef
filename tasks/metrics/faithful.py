"""Does an output say what its input does not? The share of its numbers, dates and names that the input lacks.

    facts("Scott, 23, left Leeds in May.")       # Scott, 23, Leeds, May, each with its kind and its place
    unsupported("Scott left Leeds.", dialogue)   # those that the dialogue does not support

Rules for English, no model: the same answer every time, thousands of texts a second, and each one can be shown. A
number is supported by its value ("two" by "2", "£1.2m" by "1,200,000", 600 by 586), a date by its month, day and year,
a name if each of its words stands in the input in any case, without regard to plurals and possessives, or in a
closely related form (Wales and Welsh, NHS and National Health Service).

What it cannot see: a wrong verb, a negation, a right name in a wrong place (who did what to whom), a sum or a count
that is right though the input does not state it, names in text without capitals, a common word that opens a sentence
as a name ("Reading won"), small numbers in words that mostly count nothing ("one", "first"). It speaks where it is
fairly sure: what it marks deserves a look, and what it does not mark is not proven. The idea is that of entity- and
number-level checks of summaries: Nan et al. 2021 (Entity-level factual consistency), Zhao et al. 2020 (Herman).
"""

import re
from functools import cached_property

import numpy as np

from tasks.metrics import names
from tasks.metrics.claims import Claim, Fact, Key, claims_of, keys_of
from tasks.metrics.compare import Matrix
from tasks.metrics.numerals import rounds_to
from tasks.metrics.texts import Texts
from tasks.metrics.tokens import tokens_of

SHORTEST_JOINED = 5  # letters of a name that may stand in another word of the input
SHORTEST_SMALL = 3  # letters of an acronym that small letters may spell out: fewer are found anywhere
JOINED = re.compile(r"[\W_]+")


class Source:
    """What a text offers in support of others; the rarer ways of support are worked out when one is asked for."""

    def __init__(self, text: str) -> None:
        """Read a text."""
        self.text = text
        self.keys = keys_of(text)

    def supports(self, claim: Claim) -> bool:
        """Whether it offers all that a claim needs."""
        if all(not need.isdisjoint(self.keys) for need in claim.needs):
            return True
        if claim.fact.kind == "name":
            return self._has_name(claim)
        return all(not need.isdisjoint(self.keys) or self._rounds(need) for need in claim.needs)

    @cached_property
    def numbers(self) -> list[float]:
        """All values."""
        return [key for key in self.keys if isinstance(key, float)]

    @cached_property
    def joined(self) -> str:
        """All letters and digits without what stands between them: it holds "youtube" of "You Tube"."""
        return JOINED.sub("", self.text).casefold()

    @cached_property
    def initials(self) -> list[str]:
        """The first letters of each run of capitalised words, with and without what joins them."""
        return [found for run in runs_of(self.text) for found in initials_of(run)]

    def _rounds(self, need: frozenset[Key]) -> bool:
        stated = [key for key in need if isinstance(key, float)]
        return any(rounds_to(exact, value) for value in stated for exact in self.numbers)

    def _has_name(self, claim: Claim) -> bool:
        joined = JOINED.sub("", claim.fact.text).casefold()
        if len(joined) >= SHORTEST_JOINED and joined in self.joined:
            return True
        if all(not need.isdisjoint(self.keys) or self._has_acronym(need) for need in claim.needs):
            return True
        spelled_out = (initials for run in runs_of(claim.fact.text) for initials in initials_of(run))
        return any(len(initials) > 1 and initials in self.keys for initials in spelled_out)

    def _has_acronym(self, need: frozenset[Key]) -> bool:
        acronyms = [key for key in need if isinstance(key, str) and len(key) > 1 and key.isupper()]
        if any(acronym in initials for acronym in acronyms for initials in self.initials):
            return True
        long = [acronym.lower() for acronym in acronyms if len(acronym) >= SHORTEST_SMALL]
        return any(acronym in self.small_initials for acronym in long)

    @cached_property
    def small_initials(self) -> str:
        """The first letters of all words: it holds "mri" of "magnetic resonance imaging"."""
        return "".join(token.text[0] for token in tokens_of(self.text)).lower()


def runs_of(text: str) -> list[list[str]]:
    """Words of each run of capitalised words, with the small ones inside it."""
    small, runs = {"and", "for", "the", "in"} | set(names.lists()["joints"]), list[list[str]]()
    run: list[str] = []
    for token in tokens_of(text):
        capital = names.is_capital(token)
        if not capital and not (run and token.text in small):
            runs, run = [*runs, run], []
        elif token.gap in {" ", "-", " & "}:
            run = [*run, token.text]
        else:
            runs, run = [*runs, run], [token.text] if capital else []
    return [run for run in [*runs, run] if len(run) > 1]


def initials_of(run: list[str]) -> tuple[str, str]:
    """Of "Bank of England" BOE and BE."""
    return "".join(word[0] for word in run).upper(), "".join(word[0] for word in run if word[0].isupper())


def facts(text: str) -> list[Fact]:
    """The numbers, dates and names that a text states, in order; what opens a sentence only if it is no common word."""
    return [claim.fact for claim in claims_of(text)]


def unsupported(output: str, given: str) -> list[Fact]:
    """Those of an output that its input does not support."""
    return invented(claims_of(output), given)


def invented(claims: list[Claim], given: str) -> list[Fact]:
    """The facts of claims that an input does not support; an input is only read for some."""
    source = Source(given) if claims else None
    return [claim.fact for claim in claims if source and not source.supports(claim)]


def statistics(texts: Texts) -> dict[str, Matrix]:
    """Of `unsupported` (n, 2): 100 times an output's unsupported facts, and all its facts; of `facts`: those, and 1."""
    pairs = [(claims_of(output), given) for output, given in zip(texts.outputs, texts.read("unsupported"), strict=True)]
    counts = [(len(invented(claims, given)), len(claims)) for claims, given in pairs]
    found = np.array(counts, dtype=np.float64).reshape(-1, 2)
    ones = np.ones(len(found))
    shares = np.column_stack([100.0 * found[:, 0], found[:, 1]])
    return {"unsupported": shares, "facts": np.column_stack([found[:, 1], ones])}
