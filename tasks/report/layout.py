"""What the pages share: how a layout becomes HTML, and how a text is made short.

Everything that came from data or a model is escaped (Jinja's autoescape is on, nothing is marked safe). The pages have
no script, and their content security policy allows none. Their style: style.css, beside this file.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def environment() -> Environment:
    """What fills a layout of this folder; an unknown name in it is an error."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def cut(text: str, most: int) -> str:
    """A text's first characters, and how many more there are."""
    return text if len(text) <= most else f"{text[:most].rstrip()} … ({len(text) - most:,} characters more)"
