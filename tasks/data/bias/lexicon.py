"""Lexicons: lists of words that tell whom a text mentions, kept as data in `lexicons/*.yaml` with their origin.

    groups:
      female: {words: [she, mother], names: [Mary]}
      male: {words: [he, father], names: [John]}

Words count in any case, names only as written, both only whole: "he" is not in "the", "Mary" is in "Mary's". The
search is one RE2 expression a group (through pyarrow), whose time grows with the text and not with the list.
"""

import re
from collections import Counter
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from pydantic import Field, StringConstraints, ValidationError

from tasks.errors import ParamsError, did_you_mean
from tasks.params import Section

LEXICONS = Path(__file__).parent / "lexicons"
SEVERAL, NONE = "several", "none"  # what a text is that has terms of several groups, or of none
NOT_IN_WORD = r"[^\pL\pM\pN_]"  # RE2's \b knows ASCII only: it would find "Ren" in "René"
Term = Annotated[str, StringConstraints(pattern=r"^[^\W\d_]+(?:[ '-][^\W\d_]+)*$")]


class Terms(Section):
    """What tells one group."""

    words: list[Term]
    """Counted in any case: pronouns and nouns; a space stands for any run of spaces."""
    names: list[Term]
    """Counted only as written, with a capital: first names, titles."""


class Lexicon(Section):
    """Groups and their terms."""

    name: str
    """Its name, which is its file's name."""
    version: int
    """Raised whenever a term changes."""
    origin: str
    """Who listed the terms, or which public record they are from."""
    groups: dict[str, Terms] = Field(min_length=2)
    """By group."""


def load_lexicon(name: str, folder: Path = LEXICONS) -> Lexicon:
    """Read a lexicon.

    Raises:
        ParamsError: the lexicon is unknown, has an unknown key, or a term that does not tell its groups apart.
    """
    path = folder / f"{name}.yaml"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in known:
        raise ParamsError(
            f"'{name}' is no lexicon.{did_you_mean(name, known)} Known: {', '.join(known)}. Add a file to "
            "data/bias/lexicons for one."
        )
    try:
        lexicon = Lexicon.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ParamsError(f"{path.name}: {_sentence(error)}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise ParamsError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from None
    if lexicon.name != name:
        raise ParamsError(f"{path.name}: its name is '{lexicon.name}'; it must be its file's, '{name}'.")
    _refuse_unclear(lexicon, path.name)
    return lexicon


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"'{where}' is not a key; a lexicon has name, version, origin and groups, a group has words and names."
    if first["type"] == "string_pattern_mismatch":
        return f"{first['input']!r} ({where}) is no term: letters, and single spaces, hyphens or apostrophes in them."
    return f"'{where}': {first['msg']}."


def _refuse_unclear(lexicon: Lexicon, file: str) -> None:
    for group, terms in lexicon.groups.items():
        if group in (SEVERAL, NONE):
            raise ParamsError(f"{file}: no group may be called '{group}': that is what a text is with several, or no.")
        if not terms.words + terms.names:
            raise ParamsError(f"{file}: group '{group}' has no term.")
        if lower := [term for term in terms.names if not term[0].isupper()]:
            raise ParamsError(
                f"{file}: '{lower[0]}' is among the names of '{group}' without a capital: add it to words."
            )
    said = Counter(term.casefold() for terms in lexicon.groups.values() for term in terms.words + terms.names)
    if twice := sorted(term for term, count in said.items() if count > 1):
        holders = [
            group
            for group, terms in lexicon.groups.items()
            if twice[0] in {term.casefold() for term in terms.words + terms.names}
        ]
        raise ParamsError(f"{file}: '{twice[0]}' is listed twice (in {' and '.join(holders)}): keep it once, or not.")


def groups_in(texts: pa.ChunkedArray, lexicon: Lexicon) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Which group each text mentions.

    Args:
        texts: any number, without nulls.
        lexicon: from `load_lexicon`.

    Returns:
        Names: the lexicon's groups, then "several" and "none"; and for each text its place among the names.
    """
    names = [*lexicon.groups, SEVERAL, NONE]
    found = np.zeros((len(lexicon.groups), len(texts)), dtype=bool)
    for place, terms in enumerate(lexicon.groups.values()):
        found[place] = pc.match_substring_regex(texts, _expression(terms)).to_numpy()
    groups = found.sum(axis=0)
    return names, np.where(groups == 1, found.argmax(axis=0), np.where(groups > 1, len(names) - 2, len(names) - 1))


def _expression(terms: Terms) -> str:
    words = "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in terms.words)
    names = "|".join(re.escape(name).replace(r"\ ", r"\s+") for name in terms.names)
    either = "|".join(part for part in (f"(?i:{words})" if words else "", names) if part)
    return f"(?:^|{NOT_IN_WORD})(?:{either})(?:{NOT_IN_WORD}|$)"
