"""Questions with options, read from a file or folder in whatever layout they were published in."""

import csv
import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from tasks.data.files import read_json, read_rows
from tasks.errors import DataError

LETTERS = string.ascii_uppercase
SUFFIXES = (".jsonl", ".csv", ".parquet", ".yaml")
SPLIT_WORD = re.compile(r"_(?:test|dev|val|validation|train)$")
SHOT = re.compile(r"\((?P<letter>[A-D])\) ")
ANSWER = re.compile(r"answer is \(([A-D])\)")


@dataclass(frozen=True)
class Question:
    """One question with its options."""

    id: str
    question: str
    options: tuple[str, ...]
    """Texts without their letters."""
    answer: int
    """Position of the right option, from 0; of the stereotyped one, where there is no right one."""
    subject: str = ""
    """What it is about, as its makers divide them (anatomy; of pairs, the kind of bias); "" where nobody says."""
    passage: str = ""
    """A text that it asks about."""
    roles: Mapping[str, Any] = field(default_factory=dict)
    """More that a measure needs: condition, unknown, stereotyped, target, polarity (BBQ)."""


@dataclass(frozen=True)
class Benchmark:
    """The questions of some files."""

    questions: list[Question]
    left_out: int = 0
    """Rows without a right answer among their options."""


def read_benchmark(files: Sequence[Path]) -> Benchmark:
    """Read questions.

    Args:
        files: of one split; where there are several, each is a subject (anatomy_test.csv).

    Raises:
        DataError: a file cannot be read, is of no known layout, lacks answers, or holds no question.
    """
    from tasks.data.suites.layouts import question_of  # noqa: PLC0415  # layouts build Questions

    questions: list[Question] = []
    left_out = 0
    for path in files:
        subject = SPLIT_WORD.sub("", path.stem).removeprefix("mmlu_") if len(files) > 1 else ""
        subject = subject if subject not in ("test", "dev", "validation", "train") else ""
        for number, row in enumerate(rows_of(path), start=1):
            own = question_of(row, f"{path.name}, row {number}")
            if own is None:
                left_out += 1
                continue
            about = own.subject or subject
            key = f"{path.stem}:{number}" if len(files) > 1 else f"{number}"
            questions.append(replace(own, id=key, subject=about))
    if not questions:
        raise DataError(f"{', '.join(path.name for path in files[:3])}: no question with options and an answer.")
    return Benchmark(questions, left_out)


def rows_of(path: Path) -> Iterable[Mapping[str, Any]]:
    """The rows of a file.

    Raises:
        DataError: it is not there, or not what its ending says.
    """
    try:
        match path.suffix:
            case ".jsonl":
                return read_rows(path)
            case ".csv":
                return list(_csv_rows(path))
            case ".parquet":
                rows: list[Mapping[str, Any]] = pq.read_table(path).to_pylist()
                return rows
            case ".yaml":
                return list(_flan_cot_rows(path))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from None
    raise DataError(f"{path}: questions are read from {', '.join(SUFFIXES)}.")


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows by the header's names; of the hendrycks layout, which has no header, by those that it would have."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.reader(file, strict=True))
    if lines and len(lines[0]) == 6 and lines[0][5] in tuple("ABCD"):
        names = ["question", "choice0", "choice1", "choice2", "choice3", "answer"]
    else:
        names = lines.pop(0) if lines else []
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise DataError(f"{path.name}, row {number} has {len(line)} cells, not {len(names)}: is the file whole?")
        yield dict(zip(names, line, strict=True))


def _flan_cot_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The solved questions in lm-eval's `flan_cot_fewshot` files: options in the text, the answer in the target."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_IgnoreTags)  # noqa: S506  (a SafeLoader)
        samples: list[dict[str, str]] = document["fewshot_config"]["samples"]
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{path.name} has no fewshot_config.samples ({' '.join(str(error).split())}).") from None
    for shot in samples:
        stem, *parts = SHOT.split(shot["question"])
        answers = ANSWER.findall(shot["target"])
        options = [text.strip() for text in parts[1::2]]
        is_whole = bool(answers) and "".join(parts[::2]) == LETTERS[: len(options)]
        answer = LETTERS.index(answers[-1]) if is_whole else -1
        yield {"question": stem.strip(), "choices": options, "answer": answer}


class _IgnoreTags(yaml.SafeLoader):
    """lm-eval's files carry `!function` tags; their values are not needed."""


_IgnoreTags.add_multi_constructor("!", lambda *_: None)


def read_benchmarks(folder: Path) -> dict[str, Benchmark]:
    """Every fetched benchmark, by its name."""
    sources = read_json(folder / "manifest.json")["sources"]
    return {name: read_benchmark([folder / name / file for file in entry["files"]]) for name, entry in sources.items()}


def told(question: Question) -> Question:
    """A question as the leak certificate looks for it: with its passage; a text where nothing is asked (pairs)."""
    text = f"{question.passage} {question.question}".strip() or question.options[0]
    return replace(question, question=text)


def split_files(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files of the first of some splits that a folder has: test/*, test.jsonl, anatomy_test.csv, test-0.csv."""
    for name in names:
        inside = sorted(path for path in (folder / name).glob("*") if path.suffix in SUFFIXES)
        beside = sorted(path for path in folder.glob("*") if path.suffix in SUFFIXES and _is_of(path.stem, name))
        if inside or beside:
            return inside or beside
    return []


def _is_of(stem: str, split: str) -> bool:
    return stem == split or stem.endswith(f"_{split}") or stem.startswith(f"{split}-")
