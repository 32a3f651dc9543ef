"""What looks like a secret, by its name and by its pattern: what git, DVC or MLflow keep must hold none.

Truth: FAULTS, section 3: Airflow's own mask goes by names alone, and MLflow masks nothing.
"""

import re
from collections.abc import Iterator

from tasks.errors import ParamsError, without_logins

NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|api_?key|access_key|private_key|credentials?|auth_token|access_token"
    r"|session_token|token)(_id)?$",
    re.IGNORECASE,
)
PATTERNS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a hub's token": re.compile(r"\bhf_[A-Za-z0-9]{30,}"),
    "a GitHub token": re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{50,})"),
    "a Slack token": re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}"),
    "an API key": re.compile(r"\bsk-[A-Za-z0-9_-]{32,}"),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    "a signed token": re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    "a login inside a URL": re.compile(r"\w://[^/\s:@'\"{}$]+:[^/\s@'\"{}$]+@"),
}

NAMES_OF = {"launch.kubernetes.secret", "launch.sagemaker.secret"}  # hold the name that a secret has in its own store


def secret_keys(value: object, above: str = "") -> Iterator[str]:
    """Dotted keys that are named like a secret and hold a text."""
    for where, text in _texts(value, above):
        if where not in NAMES_OF and text.strip() and NAME.search(re.split(r"[.\[]", where.rstrip("]"))[-1]):
            yield where


def _texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Every text inside, by its dotted key."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, f"{where}[{place}]")
    elif isinstance(value, str):
        yield where, value


def refuse_secrets(value: object, what: str) -> None:
    """Refuse values that would be kept for ever by whoever reads them next.

    Args:
        value: of params.yaml, or what changes it.
        what: whose values they are, for the error.

    Raises:
        ParamsError: one of them looks like a secret; it is named and not shown.
    """
    found = [(where, "named like a secret") for where in secret_keys(value)]
    for where, text in _texts(value, ""):
        found += [(where, word) for word, pattern in PATTERNS.items() if pattern.search(text)]
        if without_logins(text) != text:
            found.append((where, "an address that is signed"))
    if found:
        where, word = found[0]
        raise ParamsError(
            f"{what} holds '{where}', {word}: git, DVC and MLflow would keep it. Take it out, replace the secret, and "
            "export it in the environment instead."
        )
