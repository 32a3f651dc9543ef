"""What a check finds: a verdict, a sentence, the place, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is; the order is the one of the printed list."""

    ERROR = "error"
    """Unsafe, or something will fail, or wait for ever."""
    WARNING = "warning"
    """Works now; will bite some day, or somebody else."""
    NOT_CHECKED = "not checked"
    """Could not be told from here, and why."""
    OK = "ok"


@dataclass(frozen=True)
class Finding:
    """One line of what the doctor says. No field ever holds a secret's value."""

    area: str
    """Subject, one word or two."""
    verdict: Verdict
    what: str
    """A sentence; where it begins in lower case, it goes on from `where`."""
    where: str = ""
    """A file, a variable, a process."""
    fix: str = ""
    """A command, or what to change."""


def error(area: str, what: str, where: str, fix: str) -> Finding:
    """Something that is unsafe or will fail."""
    return Finding(area, Verdict.ERROR, what, where, fix)


def warning(area: str, what: str, where: str, fix: str) -> Finding:
    """Something that works now."""
    return Finding(area, Verdict.WARNING, what, where, fix)


def not_checked(area: str, why: str, fix: str = "") -> Finding:
    """Something that cannot be told from here."""
    return Finding(area, Verdict.NOT_CHECKED, why, fix=fix)


def ok(area: str, what: str) -> Finding:
    """Looked at, and nothing is wrong."""
    return Finding(area, Verdict.OK, what)


def or_ok(found: list[Finding], area: str, what: str) -> list[Finding]:
    """What was found, or that nothing is wrong."""
    return found or [ok(area, what)]
