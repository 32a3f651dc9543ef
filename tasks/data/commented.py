"""YAML that is read, changed and written with its comments, quotes and order: for params.yaml, which people read."""

import io
from typing import Any

from ruamel.yaml import YAML


def reader() -> YAML:
    """A reader and writer that leaves what it does not change as the file has it."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1000
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.representer.add_representer(
        float, lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:float", _decimal(value))
    )
    return yaml


def _decimal(value: float) -> str:
    """1.0e-05 and not 1e-05, which YAML 1.1 takes for a text."""
    text = repr(value)
    return text.replace("e", ".0e", 1) if "e" in text and "." not in text else text


def text_of(yaml: YAML, document: Any) -> str:
    """The document as text."""
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()
