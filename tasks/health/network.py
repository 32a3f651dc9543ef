"""Broker, databases and object store that the environment names, asked as a stranger would ask: who needs no password?

A question is one packet, and changes nothing. Truth: redis.io, "Redis serialization protocol"; PostgreSQL's
documentation, "Message Flow" (the server says how it wants to be convinced before anybody has said who they are).
"""

import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from tasks.health.finding import Finding, error, or_ok, warning
from tasks.health.seen import Surroundings, is_loopback

AREA = "services"
ADDRESSES = (
    "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "MLFLOW_BACKEND_STORE_URI", "MLFLOW_TRACKING_URI",
)  # fmt: skip
STORES = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "MLFLOW_S3_ENDPOINT_URL", "S3_ENDPOINT")
PATIENCE_S = 3.0
VERSION = 196608  # 3.0 of PostgreSQL's protocol
TRUST, CLEAR, MD5 = 0, 3, 5


def check(seen: Surroundings) -> list[Finding]:
    """What this shell names, and what the running services were told."""
    found: dict[tuple[str, str], Finding] = {}
    told = [seen.environment]
    told += [process.environment for one in seen.services if one.alive and (process := seen.process(one.pid))]
    for environment in told:
        for one in [*_asked(environment), *_in_the_clear(environment)]:
            found.setdefault((one.where, one.what), one)
    return or_ok(list(found.values()), AREA, "broker, databases and object store ask for a password, as far as named")


def _asked(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in ADDRESSES:
        split = urlsplit(environment.get(name, "").removeprefix("db+"))
        scheme, host = split.scheme.partition("+")[0], split.hostname or ""
        if not host:
            continue
        try:
            if scheme == "redis":
                yield from _redis(name, host, split.port or 6379)
            elif scheme in {"postgresql", "postgres"}:
                database = split.path.lstrip("/") or "postgres"
                yield from _postgres(name, host, split.port or 5432, split.username or "postgres", database)
        except (OSError, struct.error, ValueError):
            continue  # that it does not answer, its own check says


def _redis(name: str, host: str, port: int) -> Iterator[Finding]:
    with socket.create_connection((host, port), timeout=PATIENCE_S) as asking:
        asking.sendall(b"PING\r\n")
        answer = asking.recv(64)
    if answer.startswith(b"+PONG"):
        what = "Redis answers whoever asks: a task put into its queue is run by the workers."
        yield _open(host)(AREA, what, f"{name}, {host}:{port}", "requirepass in its settings; redis://:PASSWORD@...")
    if not is_loopback(host):
        what = "The broker's password and tasks cross the network in the clear."
        yield warning(AREA, what, f"{name}, {host}:{port}", "rediss://, or a network of broker and workers alone")


def _postgres(name: str, host: str, port: int, user: str, database: str) -> Iterator[Finding]:
    words = b"".join(word.encode() + b"\0" for word in ("user", user, "database", database)) + b"\0"
    with socket.create_connection((host, port), timeout=PATIENCE_S) as asking:
        asking.sendall(struct.pack("!ii", len(words) + 8, VERSION) + words)
        answer = asking.recv(64)
    if not answer.startswith(b"R"):
        return  # it refuses: pg_hba.conf knows no such guest
    (how,) = struct.unpack("!i", answer[5:9])
    where = f"{name}, {host}:{port}"
    if how == TRUST:
        what = "PostgreSQL lets whoever says that name in, without a password (trust)."
        yield _open(host)(AREA, what, where, "scram-sha-256 in its pg_hba.conf, and a password")
    elif how in {CLEAR, MD5}:
        what = f"PostgreSQL asks for a password {'in the clear' if how == CLEAR else 'by md5, which is broken'}."
        fix = "password_encryption = scram-sha-256, the password set anew, scram-sha-256 in pg_hba.conf"
        yield warning(AREA, what, where, fix)


def _open(host: str) -> Callable[[str, str, str, str], Finding]:
    """How bad it is that anybody is let in: other users of this machine, or the whole network."""
    return warning if is_loopback(host) else error


def _in_the_clear(environment: Mapping[str, str]) -> Iterator[Finding]:
    for name in STORES:
        split = urlsplit(environment.get(name, ""))
        if split.scheme == "http" and not is_loopback(split.hostname or ""):
            what = "What is kept in the object store crosses the network in the clear, and may be changed on the way."
            yield warning(AREA, what, f"{name}, {split.hostname}", "https://, or a network of its own")
