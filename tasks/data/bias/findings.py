"""The bias report in words: what stands out, how it was measured, and what it cannot see."""

from collections.abc import Iterator, Sequence

from tasks.data.bias.contrasts import NOT_COMPARED, TOO_FEW
from tasks.data.bias.intervals import NO_DIFFERENCE
from tasks.data.bias.lexicon import SEVERAL
from tasks.data.bias.sentiment import CHARACTERS
from tasks.data.files import Row

LIMITS = [
    "It counts whom a text mentions, not who wrote it or whom it is about; it judges no one.",
    "A lexicon misses everyone who is mentioned by other words or names, and English words are all it knows.",
    "The lexicon 'gender' has two groups, those of English pronouns; other people are not counted, which says nothing "
    "about them. Its names are frequent ones in the United States.",
    "A name may be a place, a firm or a surname. A text with terms of several groups is 'several', and may still be "
    "mostly about one.",
    f"Sentiment is VADER's, which reads English only, word by word, and the first {CHARACTERS:,} characters of a text; "
    "of illness or crime it is negative whoever is mentioned.",
    "Texts that say nearly the same in other words count as several, which makes intervals too narrow.",
    "A difference may come from what the texts are about rather than from whom they mention, and no difference seen "
    "may mean too few rows: look at the interval.",
]
METHODS = {
    "texts": "Each distinct text counts once; texts that differ in case, punctuation and spaces only are one. Where a "
    "column's values are the groups, a text counts once in each; where no column is long, each distinct row counts.",
    "share": "Share of the distinct texts, with Wilson's 95% interval, each on its own.",
    "difference": "A group against all other groups' rows together; rows of several groups, or of none, are counted "
    "and not compared. The intervals of one table hold together at 95% "
    "(Bonferroni over its comparisons): Welch's for means, Newcombe's for shares. A verdict is given where the "
    "interval excludes 0.",
    "sentiment": "Mean over a text's sentences of VADER's compound score, -1 to 1, of texts drawn by their content.",
}


def findings(facets: Sequence[Row]) -> list[str]:
    """Plain sentences of what stands out in the facets of a bias report: every interval that excludes 0."""
    if not facets:
        return ["No facet is declared, so nothing was looked at."]
    said = [sentence for facet in facets for sentence in _of(facet)]
    if said:
        return said
    parts = [facet[part] for facet in facets for part in ("length", "sentiment", "labels") if facet[part]]
    made = sum(part["comparisons"] for part in parts)
    return [f"Nothing stands out: {made} comparison{'' if made == 1 else 's'}, no interval that excludes 0."]


def _of(facet: Row) -> Iterator[str]:
    where = f"{facet['facet']} in {facet['source']}.{facet['column']}"
    if (gap := facet["gap"]) and gap["low"] > 0:
        shares = {row["group"]: row["percent"] for row in facet["groups"]}
        only, both = (" only", f" ({shares[SEVERAL]:.1f}% {SEVERAL})") if facet["lexicon"] else ("", "")
        yield (
            f"{where}: of {facet['texts']:,} texts {shares[gap['most']]:.1f}% are '{gap['most']}'{only} and "
            f"{shares[gap['least']]:.1f}% '{gap['least']}'{only}{both}, {_by(gap, 'points', 1)} points apart."
        )
    for part, unit, decimals in (("length", "words", 1), ("sentiment", "on a scale of -1 to 1", 3)):
        for row in _seen(facet[part]):
            yield (
                f"{where}: {facet[part]['of']} is {row['verdict']} for '{row['group']}', by "
                f"{_by(row, 'difference', decimals)} {unit}; {row['n']:,} texts against {row['rest_n']:,}."
            )
    for row in _seen(facet["labels"]):
        yield (
            f"{where}: {facet['labels']['of']} '{row['label']}' is {row['verdict']} with '{row['group']}', "
            f"{row['percent']:.1f}% against {row['rest_percent']:.1f}%, by {_by(row, 'difference', 1)} points; "
            f"{row['n']:,} texts against {row['rest_n']:,}."
        )


def _seen(part: Row | None) -> list[Row]:
    """Rows with a difference; where there was one comparison only, its first side."""
    if part is None:
        return []
    rows = [row for row in part["rows"] if row["verdict"] not in (NO_DIFFERENCE, NOT_COMPARED, TOO_FEW)]
    return rows[:1] if part["comparisons"] == 1 else rows


def _by(row: Row, key: str, decimals: int) -> str:
    """Size and interval of a difference whose direction was said."""
    size, low, high = (abs(row[name]) for name in (key, "low", "high"))
    return f"{size:.{decimals}f} ({min(low, high):.{decimals}f} to {max(low, high):.{decimals}f})"
