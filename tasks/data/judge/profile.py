"""What a source's valid rows look like: lengths, labels, empty and repeated texts, control tokens in the text.

Small enough to keep: reports/validation.json shows it, and data/accepted.json remembers it as what later data is
compared with (drift.py). It holds counts and no text, but for the names of labels, and with `private` not
even these: the commonest is "label 1".
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.files import Row
from tasks.data.judge.derived import token_lengths
from tasks.data.keys import keys_of, mixed

Numbers = npt.NDArray[np.int64]
# Lengths are counted in fixed bins, four to a doubling, so that two profiles can be laid over each other.
EDGES = np.array(sorted({0, *(round(2 ** (quarter / 4)) for quarter in range(97))}), np.int64)
SAMPLED = 10_000  # rows whose tokens are counted, drawn by content
MOST_LABELS = 50  # a column of more different values has no labels
MARKERS = (  # of chat templates and tokenizers in use; those of the base model's tokenizer come beside them
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|endofprompt|>", "<|begin_of_text|>", "<|end_of_text|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>",
    "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|start|>", "<|message|>", "<|channel|>",
    "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<s>", "</s>", "<pad>", "<unk>", "<mask>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<extra_id_0>",
    "<think>", "</think>", "<tool_call>", "</tool_call>",
)  # fmt: skip


def profile_of(table: pa.Table, columns: list[str], tokenizer: Path, private: bool) -> Row:
    """The profile of one source.

    Args:
        table: its valid rows.
        columns: the text columns.
        tokenizer: the base model's tokenizer.json.
        private: labels are named by rank.

    Returns:
        {rows, private, sampled_rows, columns: {name: column}}; a column is {kind, characters, tokens, empty, different,
        repeated, labels}: `kind` is text, labels or identifier; characters and tokens are as `lengths_of` gives them;
        labels is [{label, rows}], the commonest first, or null.
    """
    sample = drawn(table, columns, SAMPLED)
    return {
        "rows": len(table),
        "private": private,
        "sampled_rows": len(sample),
        "columns": {name: _column(table[name], sample[name], tokenizer, private) for name in columns},
    }


def _column(texts: pa.ChunkedArray, sample: pa.ChunkedArray, tokenizer: Path, private: bool) -> Row:
    different = _different(texts)
    labels = labels_of(texts, private) if different <= MOST_LABELS and 2 * different <= len(texts) else None
    return {
        "kind": "labels" if labels else "identifier" if _identifies(texts, different) else "text",
        "characters": lengths_of(character_lengths(texts)),
        "tokens": lengths_of(token_lengths(sample, tokenizer)),
        "empty": _count(pc.or_(pc.equal(texts, ""), pc.utf8_is_space(texts))),
        "different": different,
        "repeated": len(texts) - different,
        "labels": labels,
    }


def character_lengths(texts: pa.ChunkedArray) -> Numbers:
    """Characters (code points) of each text."""
    return np.asarray(pc.utf8_length(texts), np.int64)


def lengths_of(lengths: Numbers) -> Row:
    """Lengths as {least, low, median, high, most, counts}.

    `low` and `high` are the 5% and 95% quantiles; `counts` says how many lie in each bin of EDGES, by its lower edge.
    """
    if not len(lengths):
        return {"least": 0, "low": 0, "median": 0, "high": 0, "most": 0, "counts": {}}
    low, median, high = np.quantile(lengths, (0.05, 0.5, 0.95), method="lower")
    counts = np.bincount(np.searchsorted(EDGES, lengths, side="right") - 1)
    return {
        "least": int(lengths.min()),
        "low": int(low),
        "median": int(median),
        "high": int(high),
        "most": int(lengths.max()),
        "counts": {str(EDGES[place]): int(counts[place]) for place in np.flatnonzero(counts)},
    }


def labels_of(texts: pa.ChunkedArray, private: bool) -> list[Row]:
    """Each different text and its rows, the commonest first; with `private` named by rank."""
    counted = [(row["values"], row["counts"]) for row in pc.value_counts(texts).to_pylist()]
    ranked = sorted(counted, key=lambda pair: (-pair[1], pair[0]))
    return [
        {"label": rank_name(rank) if private else label, "rows": rows}
        for rank, (label, rows) in enumerate(ranked, start=1)
    ]


def rank_name(rank: int) -> str:
    """What a label is called where its name may not be said."""
    return f"label {rank}"


def drawn(table: pa.Table, columns: Sequence[str], most: int) -> pa.Table:
    """At most `most` rows, drawn by what they say: the same rows in whatever order they come."""
    if len(table) <= most:
        return table
    keys = np.zeros(len(table), np.uint64)
    for name in columns:
        keys = mixed(keys ^ _keys(table[name]), "profile", name)
    return table.take(np.sort(np.argpartition(keys, most)[:most]))


def control_tokens(table: pa.Table, columns: list[str], added: list[str]) -> Row:
    """What stands in the text and looks like a control token: {column: {token: {times, rows}}}, only what is there.

    Args:
        table: text by column.
        columns: to look in.
        added: the base model's own, looked for beside MARKERS.
    """
    tokens = sorted({*MARKERS, *added})
    anyone = "|".join(re.escape(token) for token in tokens)
    found: Row = {}
    for name in columns:
        some = table[name].filter(pc.match_substring_regex(table[name], anyone))
        for token in tokens:
            times = pc.count_substring(some, token)
            if rows := _count(pc.greater(times, 0)):
                found.setdefault(name, {})[token] = {"times": pc.sum(times).as_py(), "rows": rows}
    return found


def _keys(texts: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    return np.concatenate([np.zeros(0, np.uint64), *(keys_of(chunk) for chunk in texts.chunks)])


def _different(texts: pa.ChunkedArray) -> int:
    return len(np.unique(_keys(texts)))


def _identifies(texts: pa.ChunkedArray, different: int) -> bool:
    """Whether the column names rows: all its values differ, and none holds a space."""
    return different == len(texts) and not pc.any(pc.match_substring_regex(texts, r"\s")).as_py()


def _count(marks: pa.ChunkedArray) -> int:
    return int(pc.sum(marks).as_py() or 0)
