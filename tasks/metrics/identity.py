"""What each number is: the registry of metrics, and the card that says how a number was made.

A number without its tokeniser, stemmer, n and decoding cannot be compared with anybody else's. To add a
metric, write its statistics (one row an example) and add one entry to `MEASURES`; params.yaml then may name
it for a family.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tasks.metrics import bleu, match, rouge
from tasks.metrics.compare import DECIMALS, MEAN, Matrix, Resampling, Scoring, mean

Statistics = Callable[[Sequence[str], Sequence[str]], dict[str, Matrix]]  # outputs, targets -> (n, k) per key


@dataclass(frozen=True)
class Measure:
    """One metric over free text."""

    label: str
    """What a reader is shown."""
    what: str
    """What it measures, how text is cut into tokens, how examples are put together."""
    statistics: Statistics
    """One row of sufficient statistics for each example."""
    scoring: Scoring = MEAN
    """From sums of statistics to the score."""
    judged: bool = True
    """Higher is better; False where neither direction is, and no verdict is given."""
    library: str | None = None
    """The distribution that computes it, or None for our own code."""
    signature: Callable[[], str] | None = None
    """The citation string that the library wants printed beside the score."""


def _rouge(label: str, unit: str) -> Measure:
    what = (
        f"F-measure of {unit} shared with the target; lower-cased runs of a-z and 0-9, Porter stemmer on "
        "words over three letters; mean over examples."
    )
    return Measure(label, what, rouge.statistics, library="rouge-score")


MEASURES: dict[str, Measure] = {
    "rouge1": _rouge("ROUGE-1", "single words"),
    "rouge2": _rouge("ROUGE-2", "word pairs"),
    "rougeL": _rouge("ROUGE-L", "the longest common word sequence"),
    "rougeLsum": _rouge("ROUGE-Lsum", "the longest common word sequences, line by line,"),
    "bleu": Measure(
        "BLEU",
        "Corpus BLEU: 1- to 4-gram precisions with brevity penalty, from counts summed over all examples "
        "(no mean of sentence scores); 13a tokeniser, cased, exponential smoothing.",
        bleu.statistics,
        scoring=Scoring(bleu.score, ends=None),
        library="sacrebleu",
        signature=bleu.signature,
    ),
    "exact_match": Measure(
        "Exact match",
        "Share of outputs that are the target after NFKC, lower-casing, joining white space and dropping "
        "punctuation around the answer.",
        match.statistics,
    ),
    "length_ratio": Measure(
        "Length ratio",
        "Words in all outputs over words in all targets; 1 is the targets' length. Descriptive: no verdict.",
        match.length_statistics,
        scoring=Scoring(mean, ends=None),
        judged=False,
    ),
}

ACCURACY = (
    "Share of questions whose right choice has the highest score; chance is the mean of 1 / choices. "
    "Forgetting is the tuned model's loss here."
)


def scale(key: str) -> str:
    """The range of a metric's values."""
    return "ratio, 1 = as long as the targets" if key == "length_ratio" else "0..100"


def card(key: str) -> dict[str, Any]:
    """One metric's card: what it is, its scale, its library with version, its signature where it has one."""
    if key == "accuracy":
        texts = {"label": "Accuracy", "what": ACCURACY, "scale": scale(key), "library": "luthier"}
        return texts | {"judged": True}
    measure = MEASURES[key]
    library = f"{measure.library} {version(measure.library)}" if measure.library else "luthier"
    content = {
        "label": measure.label,
        "what": measure.what,
        "scale": scale(key),
        "library": library,
        "judged": measure.judged,
    }
    return content | ({"signature": measure.signature()} if measure.signature else {})


def intervals_card(resampling: Resampling) -> dict[str, Any]:
    """How every interval and verdict was made."""
    return {
        "method": "paired percentile bootstrap over groups; verdict from the interval of the difference",
        "seed": resampling.seed,
        "resamples": resampling.resamples,
        "confidence": resampling.confidence,
        "least_groups": resampling.least_groups,
        "adjusted_for_many_metrics": False,
        "decimals": DECIMALS,
    }
