"""A model's answers to a suite of questions: which option of each it holds most probable."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from tasks.data.suites.asked import Asked
from tasks.data.suites.declared import By, Suite, way_of
from tasks.errors import DataError
from tasks.model.choose import encode_options, fitted, score
from tasks.model.encode import Tokenizer
from tasks.model.load import Model, architecture, context_length

Row = dict[str, Any]


def name_of(suite: Suite, by: By) -> str:
    """The name that it is reported under: with the way, where it is not the suite's first."""
    return suite.suite if by == way_of(suite, None) else f"{suite.suite}_by_{by}"


def answer(
    model: Model, tokenizer: Tokenizer, suite: Suite, by: By, shots: int, asked: Sequence[Asked], tokens_at_once: int,
    advance: Callable[[float], None] = lambda done: None,
) -> list[Row]:  # fmt: skip
    """Let a model choose an option of each question.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        suite: what the questions are of.
        by: what is compared.
        shots: solved questions before each, as they were put.
        asked: the questions in words.
        tokens_at_once: that one pass reads.
        advance: is called with the number of questions just answered, in parts.

    Returns:
        A row of choices.jsonl each: scores are log-probabilities (nats), divided by what the suite says.

    Raises:
        DataError: an option is longer than the model reads.
    """
    kind, most = architecture(model), context_length(model)
    whole = encode_options(tokenizer, [(one.context, text) for one in asked for text in one.continuations], kind)
    options = whole if kind == "seq2seq" else [fitted(option, most) for option in whole]
    if any(not option.context or not option.continuation for option in options):
        raise DataError(f"{suite.suite}: an option has no token, or more than the {most} that the model reads.")
    each = len(asked) / len(options)
    scores = iter(score(model, options, tokens_at_once, lambda done: advance(done * each)))
    cut = iter(len(option.context) < len(before.context) for option, before in zip(options, whole, strict=True))
    return [_row(suite, by, shots, one, scores, cut) for one in asked]


def _row(suite: Suite, by: By, shots: int, one: Asked, scores: Any, cut: Any) -> Row:
    question, own = one.question, []
    was_cut = False
    for text in question.options:
        was_cut |= next(cut)
        own.append(next(scores) / _length(suite, by, text))
    return {
        "suite": name_of(suite, by), "measure": suite.measure, "shots": shots, "id": question.id,
        "group": _group(question.passage) or f"{suite.suite}:{question.id}", "subject": question.subject,
        "discipline": suite.discipline_of(question.subject), "n_choices": len(own), "answer": question.answer,
        "predicted": max(range(len(own)), key=own.__getitem__), "scores": [round(value, 6) for value in own],
        "cut": was_cut, "roles": dict(question.roles),
    }  # fmt: skip


def _group(passage: str) -> str:
    """Questions about one passage stand or fall together."""
    return hashlib.sha256(passage.encode()).hexdigest()[:16] if passage else ""


def _length(suite: Suite, by: By, text: str) -> int:
    if by == "letter" or suite.length == "none":
        return 1
    return max(1, len(text) if suite.length == "characters" else len(text.encode()))
