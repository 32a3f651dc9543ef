"""The leak certificate: what of one split, or of a benchmark, stands in another split.

Four looks at the records' own text (never at rendered prompts, which share their template's words): the same text,
the same text after normalising, the same input with another target, and near duplicates that share a given part of
their runs of 13 words. 13 words is what the GPT-3 paper (arXiv 2005.14165, appendix C) counted for contamination.

A benchmark's questions are shorter than 13 words as often as not, and a record may hold them in other columns, so they
are looked for field by field as well: a record leaks a question when one of its fields is the question and its right
option stands in the record.
"""

from collections import defaultdict
from itertools import combinations

from tasks.data.files import Row
from tasks.data.questions import Question
from tasks.data.splits import SPLITS, normalise

RUN = 13  # words
KINDS = ("exact", "normalised", "input", "near")


def runs_of(text: str) -> set[str]:
    """All runs of 13 words of the normalised text; a shorter text is one run."""
    words = normalise(text).split()
    return {" ".join(words[start : start + RUN]) for start in range(max(1, len(words) - RUN + 1))} if words else set()


def certify(records: dict[str, Row], benchmarks: dict[str, list[Question]], near: float, accepted: int) -> Row:
    """Look for leaks.

    Args:
        records: by record id: {split, fields, input}; fields: every text that the model sees or writes; input: what it
            sees.
        benchmarks: the questions, by suite name.
        near: share of a text's runs, 0 to 1, found in another split that counts as a near duplicate.
        accepted: how many leaks the params accept.

    Returns:
        {clean, leaks, accepted, thresholds, between: {...counts and pairs}}.
    """
    by_split: dict[str, dict[str, Row]] = {split: {} for split in SPLITS}
    for key, row in records.items():
        by_split[row["split"]][key] = {**row, "text": " ".join(row["fields"])}
    pairs = {
        f"{left}/{right}": _pairs(by_split[left], by_split[right], near) for left, right in combinations(SPLITS, 2)
    }
    for name, questions in benchmarks.items():
        pairs[f"train/{name}"] = _asked(by_split["train"], name, questions, near)
    leaks = sum(len(found) for found in pairs.values())
    return {
        "clean": leaks <= accepted,
        "leaks": leaks,
        "accepted": accepted,
        "thresholds": {"run_of_words": RUN, "near_duplicate": near},
        "records": {split: len(rows) for split, rows in by_split.items()},
        "between": {
            name: {"pairs": found, **{kind: sum(pair["kind"] == kind for pair in found) for kind in KINDS}}
            for name, found in pairs.items()
        },
    }


def _pairs(left: dict[str, Row], right: dict[str, Row], near: float) -> list[Row]:
    exact = {row["text"]: key for key, row in left.items()}
    normal = {normalise(row["text"]): key for key, row in left.items()}
    inputs = {normalise(row["input"]): key for key, row in left.items()}
    index = _index(left)
    pairs = []
    for key, row in right.items():
        text, given = normalise(row["text"]), normalise(row["input"])
        looks = (("exact", exact, row["text"]), ("normalised", normal, text), ("input", inputs, given))
        # A text without a single word normalises to nothing, which is no sameness.
        same = [(kind, where[said]) for kind, where, said in looks if said and said in where]
        if same:
            pairs.append({"kind": same[0][0], "left": same[0][1], "right": key})
        else:
            pairs += _near_pairs(key, row["text"], index, near)
    return pairs


def _asked(train: dict[str, Row], name: str, questions: list[Question], near: float) -> list[Row]:
    index = _index(train)
    by_field: dict[str, list[str]] = defaultdict(list)
    for key, row in train.items():
        for field in row["fields"]:
            by_field[normalise(field)].append(key)
    said = {key: f" {normalise(row['text'])} " for key, row in train.items()}
    pairs = []
    for item in questions:
        asked, answer = normalise(item.question), normalise(item.options[item.answer])
        holders = by_field.get(asked, []) if asked else []
        # Without the answer it may ask something else: "Which of these is true?" stands in many benchmarks.
        same = [key for key in holders if not answer or f" {answer} " in said[key]]
        right = f"{name}:{item.id}"
        if same:
            pairs.append({"kind": "input", "left": same[0], "right": right})
        else:
            alone = [item.question] if len(asked.split()) >= RUN else []
            texts = [*alone, " ".join([item.question, *item.options])]
            pairs += [pair for text in texts for pair in _near_pairs(right, text, index, near)][:1]
    return pairs


def _index(rows: dict[str, Row]) -> dict[str, str]:
    return {run: key for key, row in rows.items() for run in runs_of(row["text"])}


def _near_pairs(key: str, text: str, index: dict[str, str], near: float) -> list[Row]:
    runs = runs_of(text)
    shared = [run for run in runs if run in index]
    if not runs or len(shared) / len(runs) < near:
        return []
    return [{"kind": "near", "left": index[min(shared)], "right": key, "share": round(len(shared) / len(runs), 3)}]
