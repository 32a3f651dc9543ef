"""ROUGE-1, -2, -L and -Lsum: the F-measure of Google's `rouge_score`, Porter stemmer on, scale 0..100.

    Rouge(keep_in_memory=True).compute(predictions=[...], references=[...])  # {"rouge1": 41.2, ...}

The values are `rouge_score`'s own (tests/test_rouge.py holds them to it); the way there is shorter: a text is cut
once for all four, a word is stemmed once for all texts, and the longest common sequence is counted a whole row of
its table at a time, in the bits of an integer (Hyyro 2004, Bit-parallel LCS-length computation revisited).
`python -m benchmarks.evaluate_rouge` says how much that saves.

The score of a set is the mean over its examples. (`evaluate`'s own ROUGE reports the middle of a bootstrap
instead, which moves with its seed.) Tokens are runs of a-z and 0-9 in lower case: text in other scripts
scores 0. rougeLsum takes each line as a sentence; on texts of one line it equals rougeL. Truth:
https://github.com/google-research/google-research/tree/master/rouge
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain, pairwise

import numpy as np
from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]  # rouge_score's own stemmer

from tasks.metrics.compare import Matrix
from tasks.metrics.interface import PAIR_OF_STRINGS, Metric, MetricInfo
from tasks.metrics.texts import Texts

KEYS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
WORD = re.compile(r"[a-z0-9]+")
UNSTEMMED = 3  # letters of the longest word that keeps its ending
Words = list[str]
STEMMER = PorterStemmer()


class Rouge(Metric):  # type: ignore[misc]  # evaluate publishes no types
    """ROUGE as an `evaluate.Metric`; `evaluate.load("rouge")` would need the network."""

    def _info(self) -> MetricInfo:
        return MetricInfo(description=str(__doc__), citation="", inputs_description="", features=PAIR_OF_STRINGS)

    def _compute(
        self, predictions: list[str], references: list[str], per_example: bool = False
    ) -> dict[str, float] | dict[str, list[float]]:
        """Each key's mean over the examples, 0..100; with `per_example` each key's list of values instead."""
        scored = scores(predictions, references)
        values = {key: scored[:, column].tolist() for column, key in enumerate(KEYS)}
        return values if per_example else {key: float(np.mean(values[key])) for key in KEYS}


def statistics(texts: Texts) -> dict[str, Matrix]:
    """(n, 2) per key: each example's F-measure, 0..100, and 1 (so that sums give a mean)."""
    scored = scores(texts.outputs, texts.targets)
    return {key: np.column_stack([scored[:, column], np.ones(len(scored))]) for column, key in enumerate(KEYS)}


def scores(outputs: Sequence[str], targets: Sequence[str]) -> Matrix:
    """(n, 4): the F-measures of each pair, 0..100, in the order of `KEYS`."""
    values = [score(target, output) for output, target in zip(outputs, targets, strict=True)]
    return 100.0 * np.array(values, dtype=np.float64).reshape(-1, len(KEYS))


def score(target: str, output: str) -> tuple[float, float, float, float]:
    """The four F-measures of one pair, 0..1."""
    wanted_lines, written_lines = lines_of(target), lines_of(output)
    wanted, written = list(chain(*wanted_lines)), list(chain(*written_lines))
    if not wanted or not written:
        return 0.0, 0.0, 0.0, 0.0
    m, n = len(wanted), len(written)
    single = f_measure(shared(wanted, written), m, n)
    double = f_measure(shared(pairwise(wanted), pairwise(written)), max(m - 1, 1), max(n - 1, 1))
    sequence = f_measure(common_length(wanted, written), m, n)
    if len(wanted_lines) == len(written_lines) == 1:
        return single, double, sequence, sequence
    return single, double, sequence, f_measure(line_by_line(wanted_lines, written_lines), m, n)


def f_measure(hits: int, wanted: int, written: int) -> float:
    """Of that many hits among so many tokens; in the order of operations of `rouge_score`."""
    precision, recall = hits / written, hits / wanted
    return 2 * precision * recall / (precision + recall) if hits else 0.0


def lines_of(text: str) -> list[Words]:
    """Stems of each line that has any; the text as a whole has the same ones, as no token spans a line end."""
    lines = ([stem for word in WORD.findall(line) if (stem := stem_of(word))] for line in text.lower().split("\n"))
    return [line for line in lines if line]


@lru_cache(maxsize=1 << 17)
def stem_of(word: str) -> str:
    """What the Porter stemmer leaves of a word over three letters: the costly step, so each word takes it once."""
    return str(STEMMER.stem(word)) if len(word) > UNSTEMMED else word


def shared(wanted: Sequence[object] | Iterator[object], written: Sequence[object] | Iterator[object]) -> int:
    """How many the two have in common, each as often as it stands in both."""
    left, found = Counter(wanted), 0
    for item in written:
        if left.get(item, 0) > 0:
            left[item] -= 1
            found += 1
    return found


def rows_of(wanted: Words, written: Words) -> Iterator[int]:
    """The table of longest common sequences, a row for each word written, as one integer.

    Bit i of row j is 0 where the first i + 1 words wanted share a longer sequence with the first j + 1 written than
    the first i do: the length is the number of zeros. Bits above the last word wanted mean nothing.
    """
    places: dict[str, int] = {}
    for place, word in enumerate(wanted):
        places[word] = places.get(word, 0) | 1 << place
    every = (1 << len(wanted)) - 1
    row = every
    for word in written:
        hits = row & places.get(word, 0)
        row = (row + hits | row - hits) & every
        yield row


def common_length(wanted: Words, written: Words) -> int:
    """Length of the longest common sequence."""
    row = (1 << len(wanted)) - 1
    for row in rows_of(wanted, written):  # noqa: B007  # the last one holds the length
        pass
    return len(wanted) - row.bit_count()


def common_places(wanted: Words, written: Words) -> Iterator[int]:
    """Where in `wanted` a longest common sequence stands: of several the one that `rouge_score` walks back to."""
    rows = list(rows_of(wanted, written))
    i, j = len(wanted) - 1, len(written) - 1
    while i >= 0 and j >= 0:
        if wanted[i] == written[j]:
            yield i
            i, j = i - 1, j - 1
        elif rows[j] >> i & 1:  # no longer with word i than without: it can go
            i -= 1
        else:
            j -= 1


def line_by_line(wanted: list[Words], written: list[Words]) -> int:
    """Hits of ROUGE-Lsum: a wanted line's words in any written line's common sequence, none counted twice."""
    left_wanted, left_written = Counter(chain(*wanted)), Counter(chain(*written))
    hits = 0
    for line in wanted:
        for place in sorted({place for other in written for place in common_places(line, other)}):
            word = line[place]
            if left_written[word] > 0 and left_wanted[word] > 0:
                hits += 1
                left_written[word] -= 1
                left_wanted[word] -= 1
    return hits
