"""params.yaml as far as a glance tells: sections, approvers, code from a hub. Each step checks its own values."""

from collections.abc import Iterator
from typing import Any

import yaml

from tasks.health.finding import Finding, error, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "params.yaml"


def check(seen: Surroundings) -> list[Finding]:
    """Whether it can be read, whom it asks, and what it allows."""
    try:
        document = yaml.load((seen.root / "params.yaml").read_text(), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        return [error(AREA, "is not there: no step can run.", AREA, "git checkout -- params.yaml")]
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        line = getattr(getattr(fault, "problem_mark", None), "line", None)
        where = AREA if line is None else f"{AREA}, line {line + 1}"
        return [error(AREA, "is no YAML: no step can run.", where, "git diff params.yaml shows what changed")]
    if not isinstance(document, dict):
        return [error(AREA, "holds no sections: no step can run.", AREA, "git checkout -- params.yaml")]
    found = [*_sections(seen, document), *_remote_code(document), *_approvers(seen, document.get("promote"))]
    return or_ok(found, AREA, "every stage has its section, and every approver can sign in to Airflow")


def document_of(seen: Surroundings) -> dict[str, Any]:
    """params.yaml; nothing where it cannot be read."""
    try:
        document = yaml.load((seen.root / "params.yaml").read_text(), Loader=yaml.CSafeLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


def _sections(seen: Surroundings, document: dict[str, Any]) -> Iterator[Finding]:
    try:
        stages = yaml.load((seen.root / "dvc.yaml").read_text(), Loader=yaml.CSafeLoader)["stages"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        yield error(AREA, "has no dvc.yaml beside it that lists the stages.", "dvc.yaml", "git checkout -- dvc.yaml")
        return
    for name in [*stages, "register", "promote"]:
        if not isinstance(document.get(name), dict):
            yield error(AREA, f"has no section '{name}': that step stops.", AREA, "git diff params.yaml")


def _remote_code(value: object) -> Iterator[Finding]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if "trust_remote_code" in str(key) and inner not in {False, None}:
                yield error(AREA, f"'{key}' lets a model bring its own code.", AREA, f"take '{key}' out")
            yield from _remote_code(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _remote_code(inner)


def _approvers(seen: Surroundings, promote: object) -> Iterator[Finding]:
    """Airflow waits for a named user's answer; a name that cannot sign in makes it wait until the time is up."""
    section = promote if isinstance(promote, dict) else {}
    if section.get("approval") == "none":
        yield warning(AREA, "promotes without asking a person.", "promote.approval", "promote.approval: airflow")
        return
    if seen.environment.get("AIRFLOW__CORE__AUTH_MANAGER"):
        return  # whoever runs that knows its users
    names = section.get("approvers")
    unknown = [name for name in names if name not in seen.users] if isinstance(names, list) else []
    if unknown and isinstance(names, list):
        nobody = len(unknown) == len(names)
        what = f"names who cannot sign in to Airflow, {', '.join(map(str, unknown))}" + (
            ": nobody can approve, and every promotion ends as a no." if nobody else "."
        )
        fix = f"name of {', '.join(sorted(seen.users))}, or use an auth manager that knows them"
        yield (error if nobody else warning)(AREA, what, "promote.approvers", fix)
