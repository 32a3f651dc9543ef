"""Predictions of two models on the same examples, or a sentence that says why they cannot be compared."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.data.files import Row, read_rows
from tasks.data.indexed import Indexed
from tasks.errors import DataError


class Generation(BaseModel):
    """One row of generations.jsonl: what a model wrote for an example."""

    model_config = ConfigDict(strict=True)
    file: ClassVar[str] = "generations.jsonl"
    may_be_empty: ClassVar[bool] = False
    key: ClassVar[tuple[str, ...]] = ("id",)
    shared: ClassVar[tuple[str, ...]] = ("family", "template", "wording", "group", "input", "target")

    id: str
    family: str
    template: str
    wording: str
    """"seen" in training, or "held_out"."""
    group: str
    input: str
    target: str
    output: str
    """May be empty: a model that writes nothing is scored as such."""
    output_tokens: int
    prompt_tokens: int
    finished: bool
    """False where the model was cut off at its greatest number of tokens."""


class Perturbed(Generation):
    """One row of perturbed.jsonl: the same of an example whose record was changed."""

    file: ClassVar[str] = "perturbed.jsonl"
    key: ClassVar[tuple[str, ...]] = ("perturbation", "id")
    may_be_empty: ClassVar[bool] = True

    perturbation: str
    """A name of prompts/perturbed.py."""


class Repeated(Generation):
    """One row of repeated.jsonl: the same of an example that was answered before."""

    file: ClassVar[str] = "repeated.jsonl"
    key: ClassVar[tuple[str, ...]] = ("repeat", "id")
    may_be_empty: ClassVar[bool] = True

    repeat: str
    """"again", or "other batch size"."""


class Choice(BaseModel):
    """One row of choices.jsonl: which of n_choices a model prefers."""

    model_config = ConfigDict(strict=True)
    file: ClassVar[str] = "choices.jsonl"
    may_be_empty: ClassVar[bool] = False
    key: ClassVar[tuple[str, ...]] = ("suite", "shots", "id")
    shared: ClassVar[tuple[str, ...]] = ("group", "n_choices", "answer", "measure", "subject")

    suite: str
    measure: str
    """What its answers are counted for: data/suites/declared.py."""
    shots: int
    id: str
    group: str
    subject: str
    """"" where the suite has none."""
    discipline: str
    n_choices: int
    answer: int
    """Index of the right choice, from 0."""
    predicted: int
    scores: list[float]
    """One score a choice; the greatest is the model's."""
    cut: bool
    """Whether the prompt lost its beginning, because the model reads no more."""
    roles: dict[str, Any]
    """What else its suite says of a question."""


class RepeatedChoice(Choice):
    """One row of repeated_choices.jsonl: the same of a question that was answered before."""

    file: ClassVar[str] = "repeated_choices.jsonl"
    may_be_empty: ClassVar[bool] = True


Kind = type[Generation] | type[Choice]


def files_of(predictions: Path, *kinds: Kind) -> list[Path]:
    """Files of base and of tuned, kind by kind (of both kinds unless said)."""
    chosen = kinds or (Generation, Choice)
    return [predictions / model / kind.file for kind in chosen for model in ("base", "tuned")]


def read_pair(predictions: Path, kind: Kind) -> tuple[Sequence[Row], Sequence[Row]]:
    """Rows of base and of tuned, checked to answer the same examples; generations stay in their files."""
    read: Callable[[Path], Sequence[Row]] = Indexed if kind is Generation else read_rows
    base, tuned = (read(path) for path in files_of(predictions, kind))
    paired(base, tuned, kind)
    return base, tuned


def paired(base: Sequence[Row], tuned: Sequence[Row], kind: Kind) -> None:
    """Check that both models answered the same examples, in one order, with something in every field.

    Raises:
        DataError: a file is empty, a field is missing or of another type, a score is not finite, an index is not that
            of a choice, an id comes twice, or the two files differ in ids or in what both should share.
    """
    for model, rows in (("base", base), ("tuned", tuned)):
        where = f"predictions/{model}/{kind.file}"
        if not rows and not kind.may_be_empty:
            raise DataError(f"{where} is empty: there is nothing to evaluate; run predict again.")
        for number, row in enumerate(rows, start=1):
            _check(row, kind, f"{where}, line {number}")
        _check_unique(rows, kind, where)
    if len(base) != len(tuned):
        raise DataError(f"{kind.file}: base has {len(base)} rows and tuned has {len(tuned)}. {AGAIN}")
    for number, (one, other) in enumerate(zip(base, tuned, strict=True), start=1):
        for field in (*kind.key, *kind.shared):
            if one[field] != other[field]:
                raise DataError(
                    f"{kind.file}, line {number}: '{field}' is {_short(one[field])} for base and "
                    f"{_short(other[field])} for tuned. {AGAIN}"
                )


AGAIN = "Both models have to answer the same examples in the same order: run predict again for both."


def held_out(rows: Sequence[Row], examples: Sequence[Row]) -> None:
    """Check that what was generated for is the test split as it is now.

    Raises:
        DataError: a prediction's id is not in the test split, or its target is another.
    """
    if len(rows) == len(examples) and all(
        (row["id"], row["target"]) == (one["id"], one["target"]) for row, one in zip(rows, examples, strict=True)
    ):
        return  # in the split's own order, as predict writes them: nothing has to be looked up
    targets = {row["id"]: row["target"] for row in examples}
    for number, row in enumerate(rows, start=1):
        if row["id"] not in targets:
            problem = f"id {_short(row['id'])} is not in the test split"
        elif row["target"] != targets[row["id"]]:
            problem = f"the target of {_short(row['id'])} is not the test split's"
        else:
            continue
        raise DataError(f"{Generation.file}, line {number}: {problem}; run predict again (dvc repro).")


def _check(row: Row, kind: Kind, where: str) -> None:
    try:
        kind.model_validate(row)
    except ValidationError as error:
        detail = error.errors()[0]
        field = ".".join(str(part) for part in detail["loc"])
        raise DataError(f"{where}: '{field}': {detail['msg']}. Run predict again.") from None
    if issubclass(kind, Choice):
        _check_choice(row, where)


def _check_choice(row: Row, where: str) -> None:
    n = row["n_choices"]
    problem = None
    if n < 2 or len(row["scores"]) != n:
        problem = f"{len(row['scores'])} scores for {n} choices, where each of two or more choices needs one"
    elif not all(math.isfinite(score) for score in row["scores"]):
        problem = f"a score is not finite: {row['scores']}"
    elif not (0 <= row["answer"] < n and 0 <= row["predicted"] < n):
        problem = f"answer {row['answer']} or predicted {row['predicted']} is not one of 0 to {n - 1}"
    if problem:
        raise DataError(f"{where}, id {_short(row['id'])}: {problem}. Run predict again.")


def _check_unique(rows: Sequence[Row], kind: Kind, where: str) -> None:
    seen = set()
    for row in rows:
        key = tuple(row[field] for field in kind.key)
        if key in seen:
            raise DataError(f"{where}: {' '.join(str(part) for part in key)} comes twice; run predict again.")
        seen.add(key)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
