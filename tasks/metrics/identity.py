"""What each number is: the registry of metrics, and the card that says how a number was made.

A number without its tokeniser, stemmer, n and decoding cannot be compared with anybody else's. To add a metric, write
its statistics (one row an example) and add one entry to `MEASURES`; params.yaml then may name it for a family.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from tasks.metrics import bleu, chrf, copied, faithful, match, rouge
from tasks.metrics.compare import DECIMALS, LOWER_MEAN, MEAN, Better, Resampling, Scoring, mean
from tasks.metrics.identity_choices import CHOICE_MEASURES
from tasks.metrics.texts import Statistics

PERCENT = "0..100"


@dataclass(frozen=True)
class Measure:
    """One metric over free text."""

    label: str
    """What a reader is shown."""
    what: str
    """What it measures, how text is cut into tokens, how many references there are, how examples are put together."""
    statistics: Statistics
    """One row of sufficient statistics for each example."""
    scoring: Scoring = MEAN
    """From sums of statistics to the score, and which direction is good."""
    scale: str = PERCENT
    """The range of its values, or their unit."""
    needs_input: bool = False
    """It compares outputs with what was read: without inputs it is refused."""
    library: str | None = None
    """The distribution that computes it, or None for our own code."""
    signature: Callable[[], str] | None = None
    """The citation string that the library wants printed beside the score."""

    @property
    def better(self) -> Better:
        """Which direction is good, if one is."""
        return self.scoring.better

    @property
    def judged(self) -> bool:
        """Whether a direction is good, so that a verdict can be given."""
        return self.better is not None


ONE_REFERENCE = "one reference an example"


def _rouge(label: str, unit: str) -> Measure:
    what = (
        f"F-measure of {unit} shared with the target; lower-cased runs of a-z and 0-9, Porter stemmer on "
        f"words over three letters; {ONE_REFERENCE}, mean over examples. rouge_score's values, counted faster."
    )
    return Measure(label, what, rouge.statistics, library="rouge-score")


WORDS = "words are lower-cased runs of letters and digits, no stemmer"
FACTS = (
    "Facts are numbers (in digits or words, by value), dates and names (by their capitals), found by rules for English "
    "with no tokeniser or stemmer of a model; no reference is used. A fact is supported if the input has its words or "
    "its value. Unseen: names in texts without capitals, and anything wrong that is neither number, date nor name."
)

MEASURES: dict[str, Measure] = {
    "rouge1": _rouge("ROUGE-1", "single words"),
    "rouge2": _rouge("ROUGE-2", "word pairs"),
    "rougeL": _rouge("ROUGE-L", "the longest common word sequence"),
    "rougeLsum": _rouge("ROUGE-Lsum", "the longest common word sequences, line by line,"),
    "bleu": Measure(
        "BLEU",
        "Corpus BLEU: 1- to 4-gram precisions with brevity penalty, from counts summed over all examples "
        f"(no mean of sentence scores); 13a tokeniser, cased, no stemmer, exponential smoothing; {ONE_REFERENCE}.",
        bleu.statistics,
        scoring=Scoring(bleu.score, ends=None),
        library="sacrebleu",
        signature=bleu.signature,
    ),
    "chrf": Measure(
        "chrF",
        "Corpus chrF2: F-measure, recall weighed twice, of character 1- to 6-grams without white space, from counts "
        f"summed over all examples (no mean of sentence scores); cased, no tokeniser, no stemmer; {ONE_REFERENCE}.",
        chrf.statistics,
        scoring=Scoring(chrf.score, ends=None),
        library="sacrebleu",
        signature=chrf.signature,
    ),
    "exact_match": Measure(
        "Exact match",
        "Share of outputs that are the target after NFKC, lower-casing, joining white space and dropping "
        f"punctuation around the answer; {ONE_REFERENCE}.",
        match.statistics,
    ),
    "token_f1": Measure(
        "Token F1",
        "F-measure of words shared with the target, in any order, as in SQuAD (Rajpurkar et al. 2016): NFKC, lower "
        f"case, no punctuation, no a, an, the, split at white space, no stemmer; {ONE_REFERENCE}, mean over examples.",
        match.token_statistics,
    ),
    "length_ratio": Measure(
        "Length ratio",
        "Words in all outputs over words in all targets; 1 is the targets' length. Descriptive: no verdict.",
        match.length_statistics,
        scoring=Scoring(mean, ends=None, better=None),
        scale="ratio, 1 = as long as the targets",
    ),
    "unsupported": Measure(
        "Unsupported facts",
        f"Share of the facts in all outputs that their inputs do not support; of no facts it is 0. {FACTS}",
        faithful.statistics,
        scoring=LOWER_MEAN,
        needs_input=True,
    ),
    "facts": Measure(
        "Facts per output",
        f"Facts that outputs state, supported or not; mean over examples. {FACTS} Descriptive: no verdict.",
        faithful.statistics,
        scoring=Scoring(mean, ends=None, better=None),
        scale="facts an output",
        needs_input=True,
    ),
    "copy_rate": Measure(
        "Copied words",
        "Share of the words of all outputs that stand in runs of four or more copied from the input (coverage by "
        f"extractive fragments, Grusky et al. 2018, without shorter ones); {WORDS}; no reference. Descriptive: no "
        "verdict.",
        copied.statistics,
        scoring=Scoring(mean, (0.0, 100.0), better=None),
        needs_input=True,
    ),
    "repetition": Measure(
        "Repetition",
        f"Share of the four-word runs of all outputs that stand earlier in the same output; {WORDS}; no reference.",
        copied.repetition_statistics,
        scoring=LOWER_MEAN,
    ),
    "empty": Measure(
        "Empty outputs",
        "Share of outputs that hold nothing but white space; no tokeniser, no reference; mean over examples.",
        copied.empty_statistics,
        scoring=LOWER_MEAN,
    ),
}


def card(key: str) -> dict[str, Any]:
    """One metric's card: what it is, its scale, its library with version, its signature where it has one."""
    measure = MEASURES[key] if key in MEASURES else CHOICE_MEASURES[key]
    content: dict[str, Any] = {"label": measure.label, "what": measure.what, "scale": measure.scale}
    content |= {"library": "luthier", "better": measure.better, "judged": measure.better is not None}
    if isinstance(measure, Measure) and measure.library:
        content["library"] = f"{measure.library} {version(measure.library)}"
    if isinstance(measure, Measure) and measure.signature:
        content["signature"] = measure.signature()
    return content


def intervals_card(resampling: Resampling) -> dict[str, Any]:
    """How every interval and verdict was made."""
    return {
        "method": "paired percentile bootstrap over groups; verdicts by p values (McNemar's exact test where a "
        "question is right or wrong and stands alone), adjusted by Holm for all metrics of a table but the one that "
        "was named before looking",
        "seed": resampling.seed,
        "resamples": resampling.resamples,
        "confidence": resampling.confidence,
        "least_groups": resampling.least_groups,
        "adjusted_for_many_metrics": True,
        "decimals": DECIMALS,
    }
