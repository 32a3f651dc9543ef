"""Everything that predict wrote, read and checked at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.files import Row, read_json, read_rows
from tasks.metrics.pairs import Choice, Generation, Perturbed, Repeated, RepeatedChoice, files_of, read_pair


@dataclass(frozen=True)
class Answers:
    """Everything that one model answered, by file."""

    generations: Sequence[Row]
    """Read when they are asked for: the only file that grows with the examples and holds texts."""
    choices: list[Row]
    perturbed: list[Row]
    repeated: list[Row]
    repeated_choices: list[Row]


@dataclass(frozen=True)
class Predictions:
    """Both models' answers to the same examples and questions."""

    base: Answers
    tuned: Answers
    how: Row
    """What they were made with: predictions/how.json."""


def read_predictions(predictions: Path) -> Predictions:
    """All files of predictions/, checked; there may be no choices where params.yaml asked no general suite.

    Raises:
        DataError: as `paired` does.
    """
    how = read_json(predictions / "how.json")
    no_suite = not how["suites"] and not any(read_rows(path) for path in files_of(predictions, Choice))
    kinds = (Generation, Choice, Perturbed, Repeated, RepeatedChoice)
    read: list[Any] = [([], []) if no_suite and kind is Choice else read_pair(predictions, kind) for kind in kinds]
    base, tuned = (Answers(*(pair[side] for pair in read)) for side in (0, 1))
    return Predictions(base, tuned, how)
