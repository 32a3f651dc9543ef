"""A suite as data: what is asked, in which words, how an answer is told, and where it all comes from.

library/*.yaml holds a file for each. To add a suite, add a file; to add a layout that its questions may come in, add a
reader to layouts.py. The words are those of lm-evaluation-harness where it has the suite, so that scores compare.
"""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError

from tasks.errors import ParamsError, did_you_mean
from tasks.params import Section

LIBRARY = Path(__file__).parent / "library"
By = Literal["letter", "text"]


class Suite(Section):
    """One suite."""

    suite: str = Field(pattern="^[a-z0-9_]+$")
    """Its name, which is its file's name."""
    version: int = Field(ge=1)
    """Raised whenever what is asked changes."""
    title: str
    """What a reader is shown."""
    measure: Literal["accuracy", "stereotype", "stereoset", "bbq"]
    """What the answers are counted for: right ones, or which kind of text is held more probable."""
    licence: str
    """Of the questions."""
    origin: str
    """Who published them, and where."""
    paper: str
    """What to cite."""
    prompt_of: str
    """Whose wording this is, with its version."""
    published: dict[str, int]
    """By split: questions that the makers published; a file with fewer is said to have fewer."""
    subject: str
    """What a model is told of a question's subject, before the first one; may name {subject}; "" for nothing."""
    preamble: str
    """What stands before the first question where its subject is not known; "" for nothing."""
    ask: dict[By, str] = Field(min_length=1)
    """How a question is put: letter, where the options are listed and their letters compared, or text, where the
    options' texts are; may name {question}, {passage} and {options}."""
    before_answer: Literal[" ", ""]
    """Between what is asked and an option."""
    length: Literal["none", "characters", "bytes"]
    """What the log-probability of an option's text is divided by, so that short options are at no advantage."""
    most_shots: int = Field(ge=0, le=5)
    """Solved questions that may stand before a question."""
    disciplines: dict[str, list[str]]
    """Subjects by discipline."""

    def discipline_of(self, subject: str) -> str:
        """The discipline that a subject belongs to; "" for none."""
        return next((name for name, subjects in self.disciplines.items() if subject in subjects), "")


def known_suites(library: Path = LIBRARY) -> list[str]:
    """Names of all suites."""
    return sorted(path.stem for path in library.glob("*.yaml"))


def load_suite(name: str, library: Path = LIBRARY) -> Suite:
    """Read a suite.

    Raises:
        ParamsError: it is unknown, or its file is not what a suite's file is.
    """
    known = known_suites(library)
    if name not in known:
        raise ParamsError(f"'{name}' is no suite.{did_you_mean(name, known)} There are {', '.join(known)}.")
    try:
        suite = Suite.model_validate(yaml.safe_load((library / f"{name}.yaml").read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ParamsError(f"suites/{name}.yaml: '{where}': {first['msg']}.") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ParamsError(f"suites/{name}.yaml is not YAML: {' '.join(str(error).split())}") from None
    if suite.suite != name:
        raise ParamsError(f"suites/{name}.yaml says that it is '{suite.suite}': a suite is called as its file is.")
    return suite


def way_of(suite: Suite, by: By | None) -> By:
    """How its options are compared: as asked for, or the first way that its file names.

    Raises:
        ParamsError: the suite is not asked that way.
    """
    if by is None:
        return next(iter(suite.ask))
    if by not in suite.ask:
        raise ParamsError(f"the suite '{suite.suite}' is not asked by {by}, only by {' or '.join(suite.ask)}.")
    return by
