"""Templates: wordings of an instruction, kept as data in `prompts/library/*.yaml`.

A template is plain text and bare `{field}` names. It is divided at those names by one pattern and joined again, and
never handed to a language that could evaluate it: what Python's formatting (`{a.b}`, `{a[0]}`, `{a!r}`, `{a:>9}`) and
Jinja (`{{ }}`, `{% %}`, `{# #}`) would run is refused when the file is loaded. What a record holds is put in once and
never read as a template again, so braces in a record stay braces.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import ParamsError, did_you_mean
from tasks.params import Section

LIBRARY = Path(__file__).parent / "library"
MAX_BYTES = 100_000  # of a family's file
MAX_CHARACTERS = 600  # a template has fewer
FIELD = re.compile(r"\{([a-z_]+)\}")
BRACES = re.compile(r"\{\{.*?\}\}|\{[^{}]*\}?|\}")
ALLOWED_INVISIBLE = "\n\u200c\u200d"  # the joiners are part of Persian and Indic spelling
CONTROL_TOKEN = re.compile(  # of the model families that are in use: ChatML, Llama, T5, Gemma, Mistral, BERT, DeepSeek
    r"<[|\uff5c][^|\uff5c\s]{1,40}[|\uff5c]>|<</?SYS>>|\[/?(?:INST|SYS|CLS|SEP|PAD|MASK|UNK)\]"
    r"|</?(?:s|pad|unk|bos|eos|mask|cls|sep|start_of_turn|end_of_turn|extra_id_\d+)>",
    re.IGNORECASE,
)
Name = Annotated[str, Field(pattern="^[a-z_]+$")]


class Template(Section):
    """One wording."""

    id: str = Field(pattern="^[a-z0-9-]+$")
    """Unique within its family."""
    text: str
    """The wording, with `{field}` where a record's text goes."""


class Family(Section):
    """Templates of one kind of instruction."""

    family: Name
    """Its name, which is its file's name."""
    version: int = Field(strict=True, ge=1)
    """Raised whenever a wording changes."""
    origin: str = Field(min_length=1)
    """Who wrote the wordings, and when."""
    task: str = Field(min_length=1)
    """One sentence: what it teaches, and which columns it wants."""
    inverse_of: Name | None = None
    """The family that has this one's target as input and the other way round: one record in both would leak."""
    fields: list[Name] = Field(min_length=1)
    """The fields that a template may name; each template names all of them."""
    target: Name
    """The field that the model is to write; no template may name it."""
    templates: list[Template] = Field(min_length=1)
    """The wordings; those that are held out come last."""


def load_family(name: str, library: Path = LIBRARY) -> Family:
    """Read a family, and refuse one whose templates could do more than insert its fields.

    Raises:
        ParamsError: the family is unknown, its file is not what a family's file is, or one of its templates is not
            plain text with all of its fields.
    """
    known = sorted(file.stem for file in library.glob("*.yaml"))
    if name not in known:  # which is why no name can lead out of the library
        raise ParamsError(
            f"'{name}' is no template family; known: {', '.join(known)}.{did_you_mean(name, known)} Add a file to "
            "prompts/library for a new one."
        )
    family = _read(library / f"{name}.yaml")
    where = f"{name}.yaml"
    if family.family != name:
        raise ParamsError(f"{where} says that its family is '{family.family}': a family is called as its file is.")
    if family.target in family.fields:
        raise ParamsError(f"{where}: its target '{family.target}' is among its fields, so it would be shown.")
    if twice := _repeated(family.fields):
        raise ParamsError(f"{where}: two fields are called '{twice}'.")
    if twice := _repeated(template.id for template in family.templates):
        raise ParamsError(f"{where}: two templates are called '{twice}'.")
    for template in family.templates:
        _require_plain(template.text, family.fields, f"{where}, template '{template.id}'")
    if twice := _repeated(_words(template.text) for template in family.templates):
        ids = "' and '".join(template.id for template in family.templates if _words(template.text) == twice)
        raise ParamsError(f"{where}: the templates '{ids}' say the same: keep one of them.")
    if family.inverse_of is not None:
        _require_inverse(family, library, known)
    return family


def parse(text: str, where: str = "template") -> list[tuple[str, str | None]]:
    """Divide a template into (literal text, field name that follows or None).

    Raises:
        ParamsError: a brace stands anywhere but around a bare field name.
    """
    for braces in BRACES.finditer(text):
        if not FIELD.fullmatch(braces[0]):
            raise ParamsError(
                f"{where}: {braces[0][:80]!r} is not allowed; only a bare field name may stand in braces, as in "
                "{text}, and a brace nowhere else."
            )
    pieces = FIELD.split(text)  # literal, field, literal, ..., literal
    parts = zip(pieces[::2], [*pieces[1::2], None], strict=True)
    return [(literal, field) for literal, field in parts if literal or field]


def render(text: str, values: dict[str, str]) -> str:
    """Put `values` into a template, in one pass."""
    return "".join(literal + (values[field].strip() if field is not None else "") for literal, field in parse(text))


class _Plain(yaml.SafeLoader):
    """YAML without anchors, aliases, tags and repeated keys: no family needs them, and each hides something."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # as types-PyYAML has it
        if event.anchor or getattr(event, "tag", None):
            raise ValueError(f"line {event.start_mark.line + 1} has an anchor, alias or tag; write it out plainly.")
        node = super().compose_node(parent, index)
        if isinstance(node, yaml.MappingNode) and (twice := _repeated(str(key.value) for key, _ in node.value)):
            raise ValueError(f"line {node.start_mark.line + 1} begins an entry that has {twice!r} twice.")
        return node


def _read(path: Path) -> Family:
    if path.resolve().parent != path.parent.resolve() or not path.is_file():
        raise ParamsError(f"{path.name} is no file of the template library itself: copy it there instead of linking.")
    if path.stat().st_size > MAX_BYTES:
        raise ParamsError(f"{path.name} is larger than {MAX_BYTES:,} bytes, which no family of wordings needs.")
    try:
        return Family.model_validate(_Plain(path.read_text(encoding="utf-8")).get_single_data())
    except ValidationError as error:
        raise ParamsError(f"{path.name}{_complaint(error.errors()[0])}") from None
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ParamsError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None


def _complaint(detail: ErrorDetails) -> str:
    """What pydantic found, with the number of the template that it is about."""
    kind: type[Section] = Family
    where, place = "", detail["loc"]
    if place[:1] == ("templates",) and len(place) > 1:
        kind, where, place = Template, f", template {int(place[1]) + 1}", place[2:]
    key, known = ".".join(str(part) for part in place) or "all of it", list(kind.model_fields)
    if detail["type"] == "extra_forbidden":
        return f"{where}: {key!r} is not a key; known here: {', '.join(known)}.{did_you_mean(key, known)}"
    if detail["type"] == "missing":
        return f"{where}: '{key}' is missing; needed here: {', '.join(known)}."
    return f"{where}: '{key}' is not as it must be: {detail['msg']}."


def _require_plain(text: str, fields: list[str], where: str) -> None:
    """Refuse a wording that is more, or less, than plain text with all fields."""
    named = [field for _, field in parse(text, where) if field is not None]
    for field in named:
        if field not in fields:
            raise ParamsError(f"{where} names '{field}'; it may name {fields}.{did_you_mean(field, fields)}")
    if missing := sorted(set(fields) - set(named)):
        raise ParamsError(f"{where} does not name {missing}; it must name {fields}.")
    if text != text.strip():
        raise ParamsError(f"{where} begins or ends with white space: take it away.")
    if len(text) >= MAX_CHARACTERS:
        raise ParamsError(f"{where} has {len(text)} characters; it must have fewer than {MAX_CHARACTERS}.")
    for character in text:
        if unicodedata.category(character)[0] == "C" and character not in ALLOWED_INVISIBLE:
            raise ParamsError(f"{where} holds the invisible character U+{ord(character):04X}: take it away.")
    if token := CONTROL_TOKEN.search(text):
        raise ParamsError(
            f"{where} holds '{token[0]}', a control token of some models: a template is plain text, and the chat form "
            "is put around it later."
        )


def _require_inverse(family: Family, library: Path, known: list[str]) -> None:
    """Refuse an `inverse_of` that names no family, or one that does not run the other way."""
    where, name = f"{family.family}.yaml", str(family.inverse_of)
    if name not in known:
        raise ParamsError(f"{where}: inverse_of names '{name}'; known: {', '.join(known)}.{did_you_mean(name, known)}")
    other = _read(library / f"{name}.yaml")
    if family.target not in other.fields or other.target not in family.fields:
        raise ParamsError(
            f"{where}: inverse_of names '{name}', which does not make {other.target} out of {family.target}."
        )


def _repeated(values: Iterable[str]) -> str | None:
    """The first value that stands there more than once."""
    return next((value for value, count in Counter(values).items() if count > 1), None)


def _words(text: str) -> str:
    return " ".join(text.casefold().split())
