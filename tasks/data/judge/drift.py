"""Has a source changed since its data was last accepted? What Great Expectations is asked to compare, and how strictly.

The measure is the Kullback-Leibler divergence of the rows' shares from the accepted ones, in nats: 0 for the same
shares; 0.05 and 0.125 are about the population stability indexes of 0.1 ("look") and 0.25 ("act") in common use.
A divergence of two small samples is never 0, so chance gets an allowance beside the threshold: were both samples of
one distribution, twice the divergence over (1/n + 1/m) would follow about a chi-squared distribution (Wilks 1938, doi
10.1214/aoms/1177732360), and its 99.9% quantile is what they stay under in 999 of 1,000 cases.

Lengths are compared in groups that each hold a tenth of the accepted rows or more. Something never seen before is not
infinitely unlikely: it gets the share that Good and Turing give to it, the share of what was seen only once (Good
1953, doi 10.1093/biomet/40.3-4.237).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.stats import chi2

from tasks.data.files import Row
from tasks.data.judge.profile import EDGES, character_lengths, labels_of, rank_name

GROUPS = 10  # of lengths, at most
FEWEST = 5  # rows that a group of lengths holds at least, in the accepted data and, if nothing changed, in the new
SAME = 0.999  # share of samples of the same distribution that pass at threshold 0


@dataclass(frozen=True)
class Comparison:
    """A column, the accepted distribution, and how far from it the column may be."""

    values: npt.NDArray[np.generic]
    """Of each row: its length, or its label."""
    partition: Row
    """The accepted distribution as Great Expectations takes it: {bins, weights} or {values, weights}."""
    unseen: float
    """The share, 0 to 1, given to what the accepted data does not hold."""
    chance: float
    """Divergence that is allowed for the samples' sizes, in nats."""
    accepted_rows: int


def compare_lengths(texts: pa.ChunkedArray, accepted: Row) -> Comparison:
    """Lengths in characters against an accepted column's profile."""
    known = np.array(sorted((int(edge), rows) for edge, rows in accepted["characters"]["counts"].items()))
    counts = np.zeros(len(EDGES), np.int64)
    counts[np.searchsorted(EDGES, known[:, 0])] = known[:, 1]
    cuts = _groups(counts, len(texts))
    rows = int(counts.sum())
    # Half a character off the edges: no length lies on the border of two bins.
    bins = [float(edge) - 0.5 for edge in np.append(EDGES, 2 * EDGES[-1])[cuts]]
    weights = [float(counts[low:high].sum() / rows) for low, high in pairwise(cuts)]
    values = character_lengths(texts)
    outside = bool(((values < bins[0]) | (values > bins[-1])).any())
    return Comparison(
        values=values,
        partition={"bins": bins, "weights": weights},
        unseen=2 / (rows + 2) if outside else 0.0,  # shorter than all, or longer: each as likely as any accepted row
        chance=_chance(len(weights) + 2, len(texts), rows),
        accepted_rows=rows,
    )


def compare_labels(texts: pa.ChunkedArray, accepted: Row, private: bool, accepted_private: bool) -> Comparison:
    """Labels against an accepted column's; by rank where either side's names may not be said."""
    by_rank = private or accepted_private
    labels = accepted["labels"]
    names = [rank_name(rank) if by_rank else found["label"] for rank, found in enumerate(labels, start=1)]
    counts = np.array([found["rows"] for found in labels])
    rows = int(counts.sum())
    values = texts.to_numpy(zero_copy_only=False)
    if by_rank:
        ranks = {found["label"]: rank_name(rank) for rank, found in enumerate(labels_of(texts, False), start=1)}
        values = np.array([ranks[value] for value in values], np.object_)
    return Comparison(
        values=values,
        partition={"values": names, "weights": (counts / rows).tolist()},
        unseen=min(0.5, float(((counts == 1).sum() + 1) / (rows + 1))),
        chance=_chance(len(names) + 1, len(texts), rows),
        accepted_rows=rows,
    )


def _groups(counts: npt.NDArray[np.int64], rows: int) -> list[int]:
    """Where to cut EDGES: between two cuts lie a tenth of the accepted rows and at least `FEWEST`."""
    filled = np.flatnonzero(counts)
    least = max(counts.sum() / GROUPS, FEWEST, FEWEST * counts.sum() / rows)
    cuts, inside = [int(filled[0])], 0
    for place in range(filled[0], filled[-1] + 1):
        inside += counts[place]
        if inside >= least:
            cuts.append(place + 1)
            inside = 0
    if inside and len(cuts) > 1:  # too few for a group of their own: they join the last
        cuts.pop()
    return cuts if not inside else [*cuts, int(filled[-1]) + 1]


def _chance(groups: int, rows: int, accepted_rows: int) -> float:
    """Divergence of two samples of one distribution that 999 of 1,000 stay under, in nats."""
    return float(chi2.ppf(SAME, groups - 1) / 2 * (1 / rows + 1 / accepted_rows))
