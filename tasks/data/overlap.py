"""The leak certificate: what of one split, or of a benchmark, stands in another split.

Three looks at the records' own text (never at rendered prompts, which share their template's words): the same text,
the same text after normalising, and near duplicates that share a given part of their runs of 13 words. 13 words is
what the GPT-3 paper (arXiv 2005.14165, appendix C) counted for contamination.
"""

from collections.abc import Iterable
from itertools import combinations

from tasks.data.files import Row
from tasks.data.splits import SPLITS, normalise

RUN = 13  # words


def runs_of(text: str) -> set[str]:
    """All runs of 13 words of the normalised text; a shorter text is one run."""
    words = normalise(text).split()
    return {" ".join(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))} if words else set()


def certify(records: dict[str, Row], benchmarks: dict[str, list[str]], near: float, accepted: int) -> Row:
    """Look for leaks.

    Args:
        records: by record id: {split, text}; text is all of the record that the model sees or writes.
        benchmarks: by suite name: the questions.
        near: share of a text's runs, 0 to 1, found in another split that counts as a near duplicate.
        accepted: how many leaks the params accept by name.

    Returns:
        {clean, leaks, accepted, thresholds, between: {...counts and pairs}}.
    """
    by_split = {split: {key: row["text"] for key, row in records.items() if row["split"] == split} for split in SPLITS}
    between = {
        f"{left}/{right}": _pairs(by_split[left], by_split[right], near) for left, right in combinations(SPLITS, 2)
    }
    for name, questions in benchmarks.items():
        asked = {f"{name}:{number}": text for number, text in enumerate(questions, start=1)}
        between[f"train/{name}"] = _pairs(by_split["train"], asked, near)
    leaks = sum(len(found["pairs"]) for found in between.values())
    return {
        "clean": leaks <= accepted,
        "leaks": leaks,
        "accepted": accepted,
        "thresholds": {"run_of_words": RUN, "near_duplicate": near},
        "records": {split: len(texts) for split, texts in by_split.items()},
        "between": between,
    }


def _pairs(left: dict[str, str], right: dict[str, str], near: float) -> Row:
    exact = {text: key for key, text in left.items()}
    normal = {normalise(text): key for key, text in left.items()}
    index = _index(left.items())
    pairs = []
    for key, text in right.items():
        if text in exact:
            pairs.append({"kind": "exact", "left": exact[text], "right": key})
        elif normalise(text) in normal:
            pairs.append({"kind": "normalised", "left": normal[normalise(text)], "right": key})
        else:
            pairs += _near_pairs(key, text, index, near)
    kinds = ("exact", "normalised", "near")
    return {"pairs": pairs, **{kind: sum(pair["kind"] == kind for pair in pairs) for kind in kinds}}


def _index(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {run: key for key, text in texts for run in runs_of(text)}


def _near_pairs(key: str, text: str, index: dict[str, str], near: float) -> list[Row]:
    runs = runs_of(text)
    shared = [run for run in runs if run in index]
    if not runs or len(shared) / len(runs) < near:
        return []
    return [{"kind": "near", "left": index[min(shared)], "right": key, "share": round(len(shared) / len(runs), 3)}]
