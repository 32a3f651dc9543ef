"""Templates: wordings of an instruction, kept as data in `prompts/library/*.yaml`.

A template holds bare `{field}` names and nothing else: no attribute access, no index, no conversion, no code. What a
record holds is put in once and never read as a template again, so braces in a record stay braces.
"""

import string
from pathlib import Path

import yaml
from pydantic import Field

from tasks.errors import ParamsError
from tasks.params import Section

LIBRARY = Path(__file__).parent / "library"


class Template(Section):
    """One wording."""

    id: str
    """Unique within its family."""
    text: str
    """The wording, with `{field}` where a record's text goes."""


class Family(Section):
    """Templates of one kind of instruction."""

    family: str
    """Its name, which is its file's name."""
    version: int
    """Raised whenever a wording changes."""
    origin: str
    """Who wrote the wordings, and when."""
    fields: list[str]
    """The fields that a template may name; each template names all of them."""
    target: str
    """The field that the model is to write; no template may name it."""
    templates: list[Template] = Field(min_length=1)
    """The wordings; those that are held out come last."""


def load_family(name: str, library: Path = LIBRARY) -> Family:
    """Read a family and refuse templates that could do more than insert its fields.

    Raises:
        ParamsError: the family is unknown, or a template is not made of its bare fields.
    """
    path = library / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in library.glob("*.yaml")))
        raise ParamsError(
            f"'{name}' is no template family; known: {known}. Add a file to prompts/library for a new one."
        )
    try:
        family = Family.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValueError, yaml.YAMLError) as error:
        raise ParamsError(f"{path.name}: {' '.join(str(error).split())}") from None
    if family.target in family.fields:
        raise ParamsError(f"{path.name}: its target '{family.target}' is among its fields, so it would be shown.")
    ids = [template.id for template in family.templates]
    if twice := [name for name in ids if ids.count(name) > 1]:
        raise ParamsError(f"{path.name}: two templates are called '{twice[0]}'.")
    for template in family.templates:
        found = sorted({field for _, field in parse(template.text, path.name) if field is not None})
        if found != sorted(family.fields):
            raise ParamsError(f"{path.name}, template '{template.id}' names {found}; it must name {family.fields}.")
    return family


def parse(text: str, where: str = "template") -> list[tuple[str, str | None]]:
    """Divide a template into (literal text, field name that follows or None).

    Raises:
        ParamsError: a brace is unbalanced, or something other than a bare field name stands in braces.
    """
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ParamsError(f"{where}: unbalanced brace ({error}) in: {text}") from None
    for _, field, spec, conversion in parts:
        if field is not None and (not field.isidentifier() or spec or conversion):
            written = field + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ParamsError(f"{where}: '{{{written}}}' is not allowed; only a bare field name may stand in braces.")
    return [(literal, field) for literal, field, _, _ in parts]


def render(text: str, values: dict[str, str]) -> str:
    """Put `values` into a template, in one pass."""
    return "".join(literal + (values[field].strip() if field is not None else "") for literal, field in parse(text))
