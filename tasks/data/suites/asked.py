"""Questions put into words: what a model reads before it compares the options."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.data.splits import rank
from tasks.data.suites.declared import By, Suite
from tasks.data.suites.questions import LETTERS, Question
from tasks.errors import DataError

FIELD = re.compile(r"\{(?:question|passage|options)\}")
BETWEEN = "\n\n"  # of a solved question and the next one


@dataclass(frozen=True)
class Asked:
    """A question as a model gets it."""

    question: Question
    context: str
    """All that stands before the answer."""
    continuations: tuple[str, ...]
    """An option each, with the space before it."""


def draw(questions: Sequence[Question], count: int | None, seed: int) -> list[Question]:
    """`count` questions, chosen by the seed and their ids alone; None for all, in their order."""
    if count is None:
        return list(questions)
    return sorted(questions, key=lambda question: rank(seed, "question", question.id))[:count]


def put(
    suite: Suite, by: By, questions: Sequence[Question], solved: Sequence[Question], shots: int, seed: int
) -> list[Asked]:
    """Put questions into words.

    Args:
        suite: how.
        by: what is compared.
        questions: to be answered.
        solved: where the shots come from: the first of the question's own subject, or, where subjects are not
            known, those that the seed draws.
        shots: solved questions before each question.
        seed: draws the shots.

    Raises:
        DataError: there are too few solved questions.
    """
    by_subject = {name: [one for one in solved if one.subject == name] for name in {one.subject for one in solved}}
    drawn = draw(solved, shots, seed)
    asked = []
    for question in questions:
        before = by_subject.get(question.subject, [])[:shots] if question.subject else drawn
        if len(before) < shots:
            about = f" about {question.subject}" if question.subject else ""
            raise DataError(
                f"{suite.suite}: {shots} shots are asked for, and there are {len(before)} solved questions{about}."
            )
        told = "".join(_words(suite, by, one) + _answers(suite, by, one)[one.answer] + BETWEEN for one in before)
        context = _opening(suite, question) + told + _words(suite, by, question)
        asked.append(Asked(question, context, _answers(suite, by, question)))
    return asked


def _opening(suite: Suite, question: Question) -> str:
    if question.subject and suite.subject:
        return suite.subject.replace("{subject}", question.subject.replace("_", " "))
    return suite.preamble


def _words(suite: Suite, by: By, question: Question) -> str:
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, question.options, strict=False))
    values = {"{question}": question.question, "{passage}": question.passage, "{options}": listed}
    # Each value is put in once and never read as a template: a question may hold "{options}".
    return FIELD.sub(lambda found: values[found[0]], suite.ask[by])


def _answers(suite: Suite, by: By, question: Question) -> tuple[str, ...]:
    shown = LETTERS[: len(question.options)] if by == "letter" else question.options
    # Where nothing stands before it, a text is a text and not the continuation of one.
    between = suite.before_answer if suite.ask[by] and _words(suite, by, question) else ""
    return tuple(between + text for text in shown)
