"""params.yaml: one section a step, in pipeline order; it holds every value, the classes here hold none.

    params = load("expand", Expand)

A step declares its section as a small frozen `Section`; a key that is missing, unknown or out of range stops the
step before it does anything, in a sentence that names the known keys.
"""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import ParamsError, did_you_mean

PARAMS = Path("params.yaml")


class Section(BaseModel):
    """One section of params.yaml: frozen, and no key but the declared ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


S = TypeVar("S", bound=Section)


def load(section: str, kind: type[S], path: Path = PARAMS) -> S:
    """Read one section of params.yaml.

    Args:
        section: its name, which is the step's name.
        kind: the section's class.
        path: the file, relative to the working directory.

    Raises:
        ParamsError: the file, the section or a key is missing, unknown or not what the class allows.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParamsError(f"{path} is not in {Path.cwd()}: run this from the project's top folder.") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or section not in document:
        known = ", ".join(document) if isinstance(document, dict) else "none"
        raise ParamsError(f"{path} has no section '{section}'; its sections are: {known}.")
    try:
        return kind.model_validate(document[section])
    except ValidationError as error:
        sentences = [_sentence(section, kind, document[section], detail) for detail in error.errors()]
        raise ParamsError(f"{path}: " + " ".join(sentences)) from None


def _sentence(section: str, kind: type[Section], values: object, detail: ErrorDetails) -> str:
    *parents, key = [str(part) for part in detail["loc"]] or [""]
    where = ".".join([section, *parents, key]).rstrip(".")
    if detail["type"] == "extra_forbidden":
        known = _known_keys(kind, parents)
        return f"'{where}' is not a key.{did_you_mean(key, known)} Known here: {', '.join(known)}."
    if detail["type"] == "missing":
        return f"'{where}' is missing. Known here: {', '.join(_known_keys(kind, parents))}."
    return f"'{where}' = {detail['input']!r}: {detail['msg']}."


def _known_keys(kind: type[Section], parents: list[str]) -> list[str]:
    """Names of the keys of the section that `parents` leads to."""
    current: object = kind
    for part in parents:
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        if part in fields:
            current = _section_in(fields[part].annotation)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []


def _section_in(annotation: object) -> object:
    """The Section inside an annotation such as `dict[str, Source]` or `list[Mix]`, or the annotation itself."""
    for inner in getattr(annotation, "__args__", ()):
        found = _section_in(inner)
        if isinstance(found, type) and issubclass(found, Section):
            return found
    return annotation
