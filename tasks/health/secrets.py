"""Keys and passwords: there, strong enough, and readable by their owner alone."""

import binascii
import json
import stat
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tasks.health import containers
from tasks.health.finding import Finding, error, ok, or_ok
from tasks.health.seen import Surroundings

AREA = "secrets"
LONG = 32  # characters
# Published in manuals and compose files, so they keep nothing secret.
SAMPLES = {
    "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=", "46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=",
    "airflow_jwt_secret", "temporary_key", "airflow", "admin", "password", "password1234", "changeme", "secret",
}  # fmt: skip


def fernet_fault(key: str) -> str:
    """What is wrong with a Fernet key; nothing where it is 32 random bytes in base64."""
    if key.strip() in SAMPLES:
        return "is a published sample"
    try:
        raw = urlsafe_b64decode(key.strip())
    except (binascii.Error, ValueError):
        return "is no Fernet key"
    if len(raw) != 32:
        return "is no Fernet key"
    return "can be guessed" if len(set(raw)) < 12 else ""


def secret_fault(value: str) -> str:
    """What is wrong with a secret that signs something."""
    value = value.strip()
    if value.lower() in SAMPLES:
        return "is a published sample"
    if len(value) < LONG:
        return f"has fewer than {LONG} characters"
    return "can be guessed" if len(set(value)) < 10 else ""


def password_fault(value: str) -> str:
    """What is wrong with a password."""
    if value.lower() in SAMPLES:
        return "is a published sample"
    return "has fewer than 12 characters" if len(value) < 12 else ""


def _passwords_fault(text: str) -> str:
    try:
        rows = json.loads(text)
        faults = [password_fault(str(value)) for value in rows.values()]
    except (ValueError, AttributeError):
        return "is not the JSON object of passwords by user that Airflow reads"
    return next((f"holds a password that {fault}" for fault in faults if fault), "")


FILES: dict[str, Callable[[str], str]] = {  # in .airflow/, made by `luthier up`
    "passwords.json": _passwords_fault,
    "fernet": fernet_fault,
    "api_secret": secret_fault,
    "jwt_secret": secret_fault,
}
VARIABLES: dict[str, Callable[[str], str]] = {
    "AIRFLOW__CORE__FERNET_KEY": fernet_fault,
    "AIRFLOW__API__SECRET_KEY": secret_fault,
    "AIRFLOW__API_AUTH__JWT_SECRET": secret_fault,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": secret_fault,
    "MLFLOW_AUTH_ADMIN_PASSWORD": password_fault,
}


def check(seen: Surroundings) -> list[Finding]:
    """Airflow's secrets in their files, exported ones, and the key that signs manifests."""
    home = seen.root / ".airflow"
    found = [one for name in FILES for one in _file(seen, home / name, FILES[name])]
    if home.is_dir():
        found += _mode(seen, home, "700")
    for name, fault_of in VARIABLES.items():
        value = seen.environment.get(name)
        if value is not None and (fault := "is empty" if not value.strip() else fault_of(value)):
            fix = f"unset {name} (luthier up makes one of its own), or export a random one"
            found.append(error(AREA, f"{name} {fault}.", "this shell", fix))
    found += [*_equal(_exported(seen), "this shell, .airflow/"), *_stack(seen)]
    found += _signing_key(seen)
    if not found and not home.is_dir():
        return [ok(AREA, "none are made yet; 'luthier up' makes them, readable by you alone")]
    return or_ok(found, AREA, "Airflow's secrets and the signing key are strong, and readable by you alone")


def _file(seen: Surroundings, path: Path, fault_of: Callable[[str], str]) -> list[Finding]:
    where, again = seen.named(path), f"luthier down; rm {seen.named(path)}; luthier up (makes a new one)"
    if path.is_symlink() and not path.exists():
        return [error(AREA, "leads nowhere.", where, again)]
    if not path.exists():
        # One by itself is missing only where somebody removed it: the others are made with it.
        some = any((path.parent / name).exists() for name in FILES)
        return [error(AREA, "is not there.", where, "luthier down, then luthier up: makes it")] if some else []
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return [error(AREA, "cannot be read by you: Airflow could not read it either.", where, again)]
    fault = "is empty" if not text.strip() else fault_of(text)
    if fault and path.name == "fernet":
        again += "; connections kept in Airflow have to be entered again"
    return _mode(seen, path, "600") + ([error(AREA, f"{fault}.", where, again)] if fault else [])


def _stack(seen: Surroundings) -> Iterator[Finding]:
    """The secrets of the production stack, in the file that compose reads."""
    path = seen.root / containers.VALUES
    values = {name: value for name, value in containers.values(path).items() if containers.SECRET.search(name)}
    if not values:
        return
    yield from _mode(seen, path, "600")
    for name, value in values.items():
        fault = fernet_fault(value) if "FERNET" in name else stack_fault(name, value)
        if fault:
            yield error(AREA, f"{name} {fault}.", seen.named(path), "a random one: openssl rand -base64 32")
    yield from _equal(values, seen.named(path))


def stack_fault(name: str, value: str) -> str:
    """What is wrong with a secret of the stack: those that sign are longer than those that sign somebody in."""
    if not value:
        return "is empty"
    return password_fault(value) if name.endswith(("PASSWORD", "KEY_ID")) else secret_fault(value)


def _exported(seen: Surroundings) -> dict[str, str]:
    """Airflow's and MLflow's secrets as they would be used here, by variable."""
    found = {}
    for name, file in zip(VARIABLES, ("fernet", "api_secret", "jwt_secret"), strict=False):
        with suppress(OSError, UnicodeDecodeError):
            found[name] = (seen.root / ".airflow" / file).read_text()
    return found | {name: seen.environment[name] for name in VARIABLES if name in seen.environment}


def _equal(values: Mapping[str, str], where: str) -> Iterator[Finding]:
    """Secrets that are one and the same: who learns one has the other."""
    known: dict[str, str] = {}
    for name, value in values.items():
        if value.strip() and (first := known.setdefault(value.strip(), name)) != name:
            yield error(AREA, f"{name} is the same secret as {first}.", where, "a random one of its own for each")


def _mode(seen: Surroundings, path: Path, wanted: str) -> list[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & 0o077:
        return []
    what = f"can be read or changed by other users (mode {mode:04o})."
    return [error(AREA, what, seen.named(path), f"chmod {wanted} {seen.named(path)}")]


def _signing_key(seen: Surroundings) -> list[Finding]:
    named = seen.environment.get("LUTHIER_SIGNING_KEY")
    path = seen.root / (named or ".luthier/keys/signing.pem")
    if not path.exists():
        fix = "mend LUTHIER_SIGNING_KEY, or unset it to use this checkout's own key"
        return [error(AREA, "LUTHIER_SIGNING_KEY names no file: register will fail.", str(path), fix)] if named else []
    found = _mode(seen, path, "600")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        fix = f"openssl genpkey -algorithm ed25519 -out {seen.named(path)}; then register what it had signed again"
        found.append(error(AREA, "is no Ed25519 key without a password: register will fail.", seen.named(path), fix))
    return found
