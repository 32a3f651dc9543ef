"""docker/compose.yaml read as a container engine reads it, its variables put in.

    services = read(Path("docker/compose.yaml"), variables)

Only what that file uses, and what it uses else is refused. Truth: the Compose specification, compose-spec.io.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import ParamsError

VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:-|:\?)(?P<rest>[^}]*))?\})")


@dataclass(frozen=True)
class Declared:
    """One service, with every variable put in."""

    name: str
    command: tuple[str, ...]
    """Program and arguments; empty: its image knows."""
    environment: Mapping[str, str]
    health: tuple[str, ...]
    """A command that exits with 0 once the service answers; empty: it is one that ends."""
    after: Mapping[str, str]
    """Other services, and what has to be true of each: service_healthy, service_completed_successfully."""
    once: bool
    """Whether it does its work and ends."""


def filled(text: str, variables: Mapping[str, str]) -> str:
    """A text with ${NAME}, ${NAME:-default} and ${NAME:?} replaced; $$ is a dollar.

    Raises:
        ParamsError: a variable that has no default is not set.
    """

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        if given := variables.get(found["name"]):
            return given
        if found["how"] != ":-":
            raise ParamsError(f"compose.yaml needs {found['name']}, which is not set and has no default.")
        return found["rest"]

    return VARIABLE.sub(value, text)


def read(file: Path, variables: Mapping[str, str]) -> dict[str, Declared]:
    """The services of a Compose file by name, as processes run them: `x-process` is the command where it is said.

    Raises:
        ParamsError: a variable lacks.
    """
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    found = {name: _declared(name, _filled(service, variables)) for name, service in document["services"].items()}
    for service in found.values():
        for other in service.after:
            if other not in found:
                raise ParamsError(f"{file}: {service.name} starts after '{other}', which is no service.")
    return found


def required(file: Path) -> list[str]:
    """The variables without a default: secrets, in the order of the file."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    found = VARIABLE.finditer("\n".join(lines))
    return list(dict.fromkeys(one["name"] for one in found if one["name"] and one["how"] == ":?"))


def _filled(node: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    return filled(node, variables) if isinstance(node, str) else node


def _declared(name: str, service: Mapping[str, Any]) -> Declared:
    test = service.get("healthcheck", {}).get("test", [])
    if test and test[0] != "CMD":
        raise ParamsError(f"compose.yaml: the health check of {name} has to be [CMD, program, arguments ...].")
    return Declared(
        name=name,
        command=tuple(service.get("x-process") or service.get("command", ())),
        environment={key: str(value) for key, value in service.get("environment", {}).items()},
        health=tuple(test[1:]),
        after={other: asked["condition"] for other, asked in service.get("depends_on", {}).items()},
        once=service.get("restart") == "no",
    )
