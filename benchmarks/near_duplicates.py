"""The leak certificate at scale, and against MinHash: time, memory, and who finds what was planted.

    python -m benchmarks.near_duplicates                      # a million examples
    python -m benchmarks.near_duplicates --examples 100000

Invents short dialogues of about 600 characters with summaries (words as frequent as Zipf's law has them, stock openings
and closings), nine tenths of them to train on, and plants pairs of a training and a test record: 100 of each way in
which a record gets into another split, and 100 whose words are the same in another order, which are no leak. Then the
whole certificate is timed, from records on disk to its JSON. On a smaller sample the same is asked of rensa's MinHash
(128 permutations) with LSH in 32 bands and the certificate's own threshold on the estimated Jaccard similarity, over
runs of 13 and of 5 words. It compares training with test texts and nothing else; its time is shown with and without
reading, normalising and making the runs in Python. Each measurement is a process of its own.
"""

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow.json as pj
import rensa
import typer

from benchmarks.measure import in_own_process, peak_gb
from tasks.data.leaks.overlap import Texts, certify
from tasks.data.splits import normalise

TARGET_SECONDS, TARGET_GB = 300, 4
PLANTED = 100  # pairs of each way
CHANGED = "otherwise"
PERMUTATIONS, BANDS = 128, 32
BLOCK = 10_000  # records
NEAR = 0.5

Record = tuple[str, str]  # dialogue, summary


@dataclass(frozen=True)
class Run:
    """One measurement."""

    seconds: float
    peak_gb: float
    pairs: list[tuple[int, int]]
    """Rows of the training and of the test record."""
    core_seconds: float = 0.0
    """Without normalising and making the runs."""


# What is planted


def changed(text: str, every: int) -> str:
    """One word in so many replaced."""
    return " ".join(CHANGED if place % every == every // 2 else word for place, word in enumerate(text.split(" ")))


def half(text: str, other: str) -> str:
    """The first half of one text and the second of another."""
    words, others = text.split(" "), other.split(" ")
    return " ".join([*words[: len(words) // 2], *others[len(others) // 2 :]])


def shuffled(text: str) -> str:
    """The same words in another order."""
    words = text.split(" ")
    random.Random(text).shuffle(words)  # noqa: S311
    return " ".join(words)


WAYS: dict[str, Callable[[list[Record]], tuple[Record, Record]]] = {
    # Five records: (the training record, the test record).
    "exact": lambda r: (r[0], r[0]),
    "other case and punctuation": lambda r: (r[0], (r[0][0].upper().replace("#", "*"), f"{r[0][1]}!")),
    "same input, other target": lambda r: (r[0], (r[0][0], r[1][1])),
    "input and target swapped": lambda r: (r[0], r[0][::-1]),
    "one word in 40 changed": lambda r: (r[0], (changed(r[0][0], 40), r[1][1])),
    "one word in 20 changed": lambda r: (r[0], (changed(r[0][0], 20), r[1][1])),
    "inside a text 5 times as long": lambda r: (("\n".join(d for d, _ in [*r[1:3], r[0], *r[3:]]), r[1][1]), r[0]),
    "half of it": lambda r: (r[0], (half(r[0][0], r[1][0]), r[1][1])),
    "no leak: words shuffled": lambda r: (r[0], (shuffled(r[0][0]), r[1][1])),
}


# Records


@cache
def language() -> tuple[list[str], list[str], npt.NDArray[np.float64]]:
    """Words, stock phrases, and the share of all text that the words up to each make."""
    draw = random.Random(1)  # noqa: S311
    words = ["".join(draw.choices("etaoinshrdlucmfw", k=draw.randint(2, 9))) for _ in range(20_000)]
    stock = [" ".join(draw.choices(words[:300], k=draw.randint(4, 12))) for _ in range(100)]
    chances = 1 / (np.arange(len(words)) + 2.7) ** 1.07  # the exponents of English, about
    return words, stock, np.cumsum(chances) / chances.sum()


def invent(count: int, *seed: int) -> Iterator[Record]:
    """Short dialogues and their summaries."""
    words, stock, ends = language()
    numbers = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        some = min(BLOCK, count - start)
        picked = np.minimum(np.searchsorted(ends, numbers.random((some, 67))), len(words) - 1).tolist()
        opening, closing = numbers.integers(0, len(stock), (2, some)).tolist()
        for row, places in enumerate(picked):
            said = [words[place] for place in places]
            turns = [stock[opening[row]], *(" ".join(said[at : at + 11]) for at in range(0, 55, 11))]
            turns.append(stock[closing[row]])
            dialogue = "\n".join(f"#Person{turn % 2 + 1}#: {text.capitalize()}." for turn, text in enumerate(turns))
            yield dialogue, f"{' '.join(said[55:]).capitalize()}."


def write_records(path: Path, count: int) -> dict[str, list[tuple[int, int]]]:
    """Write `count` records as validate does, with their split; return the rows of the planted pairs."""
    row = 0
    planted: dict[str, list[tuple[int, int]]] = {way: [] for way in WAYS}
    with path.open("w", encoding="utf-8") as file:

        def write(split: str, record: Record) -> int:
            nonlocal row
            row += 1
            file.write(json.dumps({"_row": row, "split": split, "dialogue": record[0], "summary": record[1]}) + "\n")
            return row

        for number in range(PLANTED):
            for kind, (way, plant) in enumerate(WAYS.items()):
                train, test = plant(list(invent(5, number, kind)))
                planted[way].append((write("train", train), write("test", test)))
        splits = random.Random(2).choices(["train", "dev", "test"], [0.9, 0.05, 0.05], k=count)  # noqa: S311
        for split, record in zip(splits[row:], invent(count - row, 3), strict=True):
            write(split, record)
    return planted


def batches(path: Path) -> Iterator[Texts]:
    """The records as the certificate takes them."""
    for table in pj.open_json(path):
        rows = {name: table.column(name).to_pylist() for name in table.schema.names}
        said = {name: rows[name] for name in ("dialogue", "summary")}
        yield Texts([str(row) for row in rows["_row"]], rows["split"], said, "summary")


# Measurements


def by_certificate(path: Path, near: float) -> Run:
    """Certify."""
    start = time.perf_counter()
    found = certify(lambda: batches(path), {}, near, accepted=0)
    seconds = time.perf_counter() - start
    pairs = [(int(pair["left"]), int(pair["right"])) for pair in found["between"]["train/test"]["pairs"]]
    return Run(seconds, peak_gb(), pairs)


def by_minhash(path: Path, near: float, words: int) -> Run:
    """Index the test records' MinHashes and ask for the training records'."""

    def runs(text: str) -> list[str]:
        said = normalise(text).split()
        return [" ".join(said[at : at + words]) for at in range(max(1, len(said) - words + 1))]

    core, pairs = 0.0, []
    held_out: dict[int, rensa.RMinHash] = {}
    index = rensa.RMinHashLSH(near, PERMUTATIONS, BANDS)
    start = time.perf_counter()
    for wanted in ("test", "train"):
        for batch in batches(path):
            places = [place for place, split in enumerate(batch.split) if split == wanted]
            both = [f"{batch.fields['dialogue'][place]} {batch.fields['summary'][place]}" for place in places]
            made = [runs(text) for text in both]
            rows = [int(batch.ids[place]) for place in places]
            core_start = time.perf_counter()
            hashes = rensa.RMinHash.from_token_sets(made, PERMUTATIONS, 42)
            if wanted == "test":
                index.insert_pairs(list(zip(rows, hashes, strict=True)))
                held_out |= dict(zip(rows, hashes, strict=True))
            else:
                for row, one, likely in zip(rows, hashes, index.query_all(hashes), strict=True):
                    pairs += [(row, other) for other in likely if one.jaccard(held_out[other]) >= near]
            core += time.perf_counter() - core_start
    return Run(time.perf_counter() - start, peak_gb(), pairs, core)


def found_of(run: Run, planted: dict[str, list[tuple[int, int]]]) -> Counter[str]:
    """How many planted pairs were found, by way; and how many others (`unplanted`)."""
    pairs = set(run.pairs)
    found = Counter({way: len(pairs.intersection(wanted)) for way, wanted in planted.items()})
    found["unplanted"] = len(pairs) - found.total()
    return found


def main(
    examples: Annotated[int, typer.Option(help="Examples that the certificate is timed on.")] = 1_000_000,
    sample: Annotated[int, typer.Option(help="Examples of the comparison with MinHash.")] = 50_000,
) -> None:
    """Print time and memory beside their targets, and what each finds of the planted pairs."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        path = Path(folder) / "made.jsonl"
        planted = write_records(path, examples)
        print(f"{examples:,} examples of {path.stat().st_size / examples:.0f} bytes, {PLANTED} planted in each way")
        run = in_own_process(by_certificate, path, NEAR)
        print(f"  certificate  {run.seconds:>6.1f} s   (target: under {TARGET_SECONDS} for a million)")
        print(f"  peak memory  {run.peak_gb:>6.2f} GB  (target: under {TARGET_GB})")
        found = {f"{examples:,}": found_of(run, planted)}
        planted = write_records(path, sample)
        runs = {
            f"near {NEAR:g}": in_own_process(by_certificate, path, NEAR),
            "near 0.2": in_own_process(by_certificate, path, 0.2),
            "MinHash 13": in_own_process(by_minhash, path, NEAR, 13),
            "MinHash 5": in_own_process(by_minhash, path, NEAR, 5),
        }
    found |= {name: found_of(made, planted) for name, made in runs.items()}
    print(f"\n{'found':<32}" + "".join(f"{name:>12}" for name in found))
    for way in [*WAYS, "unplanted"]:
        print(f"{way:<32}" + "".join(f"{counts[way]:>12}" for counts in found.values()))
    print(f"{'us an example':<32}{run.seconds / examples * 1e6:>12.1f}" + each(runs, lambda made: made.seconds, sample))
    print(f"{'  without making the runs':<32}{'':>12}" + each(runs, lambda made: made.core_seconds, sample))
    ratio = runs["MinHash 13"].seconds / runs[f"near {NEAR:g}"].seconds
    print(f"time an example, MinHash over 13 words / certificate: {ratio:.1f}")


def each(runs: dict[str, Run], seconds: Callable[[Run], float], examples: int) -> str:
    """A row of times for each example, in microseconds."""
    times = [seconds(run) / examples * 1e6 for run in runs.values()]
    return "".join(f"{time:>12.1f}" if time else " " * 12 for time in times)


if __name__ == "__main__":
    typer.run(main)
