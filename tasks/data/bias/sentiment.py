"""Sentiment of an English text, -1 (negative) to 1 (positive), by VADER's lexicon and rules.

Hutto and Gilbert, "VADER: a parsimonious rule-based model for sentiment analysis of social media text", ICWSM 2014;
package vaderSentiment. VADER is made for sentences: of a whole article its score is nearly always -1 or 1, so a text's
sentiment is the mean over its sentences, as VADER's authors advise.
"""

import re
from collections.abc import Callable

Scorer = Callable[[str], float]
CHARACTERS = 2000  # of a text that are read: VADER takes about a millisecond for 100 words
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s*\n\s*")


def scorer() -> Scorer:
    """Load VADER; return what gives a text's mean compound score, 0 for a text without a sentence."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415  (reads its lexicon)

    compound = SentimentIntensityAnalyzer().polarity_scores

    def score(text: str) -> float:
        sentences = [part for part in SENTENCE_END.split(text[:CHARACTERS]) if part.strip()]
        return sum(float(compound(part)["compound"]) for part in sentences) / max(len(sentences), 1)

    return score
