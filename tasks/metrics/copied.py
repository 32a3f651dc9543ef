"""What an output takes over from its input, and what it says twice: shares of words and of word sequences, 0..100.

A word is copied where it stands in a run of four words or more that the input has too. That is the coverage of
extractive fragments of Grusky et al. 2018 (Newsroom), of which shorter ones are left out, because any two texts
share "in the" and "he said that". Neither copying much nor copying little is good in itself. Words are runs of
letters, digits and inner apostrophes, in lower case.
"""

import re
from itertools import pairwise

import numpy as np

from tasks.metrics.compare import Matrix
from tasks.metrics.match import means
from tasks.metrics.texts import Texts

RUN = 4  # words
WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
Words = list[str]
Run = tuple[str, ...]


def words_of(text: str) -> Words:
    """In lower case."""
    return WORD.findall(text.lower())


def runs_of(words: Words) -> list[Run]:
    """Every four words that follow each other."""
    return list(zip(*(words[start:] for start in range(RUN)), strict=False))


def statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): 100 times the words of each output that are copied, and all its words."""
    pairs = zip(texts.outputs, texts.read("copy_rate"), strict=True)
    rows = [copied(words_of(output), words_of(given)) for output, given in pairs]
    return {"copy_rate": np.array([(100.0 * count, words) for count, words in rows], dtype=np.float64).reshape(-1, 2)}


def copied(output: Words, given: Words) -> tuple[int, int]:
    """Words that stand in a copied run, and all words."""
    known = set(runs_of(given))
    starts = [place for place, run in enumerate(runs_of(output)) if run in known]
    # A run of more than four words is runs of four that overlap: each adds what the one before did not have.
    count = sum(min(RUN, later - start) for start, later in pairwise([*starts, len(output) + RUN]))
    return count, len(output)


def repetition_statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): 100 times the four-word runs of each output that stand earlier in it, and all its four-word runs."""
    rows = []
    for output in texts.outputs:
        runs = runs_of(words_of(output))
        rows.append((100.0 * (len(runs) - len(set(runs))), len(runs)))
    return {"repetition": np.array(rows, dtype=np.float64).reshape(-1, 2)}


def empty_statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2): 100 where an output holds nothing but white space, else 0; and 1."""
    return {"empty": means([100.0 * (not output.strip()) for output in texts.outputs])}
