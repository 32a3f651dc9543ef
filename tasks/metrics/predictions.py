"""Everything that predict wrote, read and checked at once."""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.files import Row, read_json
from tasks.metrics.pairs import Choice, Generation, Perturbed, Repeated, RepeatedChoice, read_pair


@dataclass(frozen=True)
class Answers:
    """Everything that one model answered, by file."""

    generations: list[Row]
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
    """All files of predictions/, checked.

    Raises:
        DataError: as `paired` does.
    """
    read = [read_pair(predictions, kind) for kind in (Generation, Choice, Perturbed, Repeated, RepeatedChoice)]
    base, tuned = (Answers(*(pair[side] for pair in read)) for side in (0, 1))
    return Predictions(base, tuned, read_json(predictions / "how.json"))
