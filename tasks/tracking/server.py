"""Where MLflow is and whether it answers.

The server that MLFLOW_TRACKING_URI names, else `mlflow.db` (sqlite) with `mlruns` beside it, in the working
directory. mlflow takes 3 to 8 s to import: the first call that needs it does, after a probe of the address.
Truth: mlflow 3.17, `mlflow/store/db/utils.py` and `mlflow/utils/rest_utils.py`.
"""

import functools
import logging
import os
import re
import socket
import sqlite3
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tasks.errors import TrackingError, TrackingOutageError, without_logins

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "luthier"
PROBE_S = 5.0
# MLflow's own bounds (120 s a request, 7 retries) take minutes to tell of an outage. What is exported wins.
SWITCHES = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "6",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it refuses is told once, by TrackingError
}
UPLOAD_TIMEOUT_S = "600"
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
OUTAGE = re.compile(  # what requests, urllib3, sqlite3 and SQLAlchemy call it, and MLflow where it hides their errors
    "ConnectionError|Timeout|MaxRetryError|Max retries exceeded|database is locked|Connection (refused|reset|aborted)"
    "|server closed the connection|TEMPORARILY_UNAVAILABLE|HTTP code 50[234]|error code 50[234]"
)
AT_ONCE = {"BAD_REQUEST", "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"}  # codes of a write that another was faster to
ATTEMPTS = 5
PAUSE_S = 0.05


def address() -> str:
    """The tracking URI in use, absolute."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def uri() -> str:
    """`address()` as it may be written down: without a login."""
    return without_logins(address())


def check() -> None:
    """Make sure that MLflow answers and takes what we write; a step calls this before it spends any time.

    Raises:
        TrackingError: it does not: told at once, or within 30 s where something accepts and never answers.
    """
    experiment()


def client() -> "MlflowClient":
    """The client of `address()`, connected once.

    Raises:
        TrackingError: nothing answers there.
    """
    return _connect(address())


@functools.cache
def _connect(where: str) -> "MlflowClient":
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    _probe(where)
    with refusals():
        from mlflow import MlflowClient  # noqa: PLC0415

        # mlflow reads the level as it is imported, and somebody else may have done that before us.
        logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"].upper())
        return MlflowClient(tracking_uri=where, registry_uri=where)


def _probe(whole: str) -> None:
    """Ask before mlflow does: it tries a database that cannot be opened again for most of an hour."""
    where = urlsplit(whole)
    scheme = where.scheme.partition("+")[0]
    try:
        if scheme == "sqlite":
            with closing(sqlite3.connect(_file_of(whole), timeout=20)) as database:
                database.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not block each other
        elif where.hostname and scheme in PORTS:
            with socket.create_connection((where.hostname, where.port or PORTS[scheme]), timeout=PROBE_S):
                pass
            if scheme.startswith("http"):
                _ask_health(whole)
    except (OSError, ValueError, sqlite3.Error) as error:
        raise TrackingOutageError(
            f"MLflow at {uri()} does not answer ({error}). Start it with 'luthier up', mend "
            "MLFLOW_TRACKING_URI, or unset it to keep track in mlflow.db here."
        ) from None


def _ask_health(where: str) -> None:
    try:
        # urllib takes a login for part of the host's name; /health asks for none.
        with urllib.request.urlopen(f"{bare(where).rstrip('/')}/health", timeout=PROBE_S):  # noqa: S310  http(s) only
            pass
    except urllib.error.HTTPError as error:
        if error.code >= 500:  # 401 or 404 is an answer: what it means is for mlflow to say
            raise
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # mlflow has certificate settings of its own
            raise


def _file_of(where: str) -> Path:
    return Path(where.partition(":///")[2])


def bare(url: str) -> str:
    """A URL that leads to the same place and signs nobody in."""
    return without_logins(url).replace("(hidden)@", "")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what MLflow, or the database under it, raises into one sentence."""
    try:
        yield
    except Exception as error:
        # By name: importing mlflow's classes here would cost its seconds before the probe has spoken.
        if not {kind.__module__.split(".")[0] for kind in type(error).__mro__} & {"mlflow", "sqlalchemy"}:
            raise
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        kind = TrackingOutageError if _is_outage(error) else TrackingError
        raise kind(f"MLflow at {uri()} refuses: {without_logins(told)[:500]}") from error


def _is_outage(error: BaseException) -> bool:
    """Whether the same call may succeed later: no connection, no answer in time, a server or database that is busy."""
    chain: BaseException | None = error
    while chain is not None:
        if OUTAGE.search(f"{type(chain).__name__}: {chain}"):
            return True
        chain = chain.__cause__ or chain.__context__
    return False


def error_code(error: BaseException | None) -> str | None:
    """What MLflow calls an error, where it is one of MLflow's."""
    return getattr(error, "error_code", None)


def insist(write: Callable[[], object]) -> None:
    """Write what may be written twice: where two write the same at once, MLflow's database refuses the later one."""
    for attempt in range(ATTEMPTS):
        try:
            with refusals():
                write()
        except TrackingError as error:
            if attempt == ATTEMPTS - 1 or error_code(error.__cause__) not in AT_ONCE:
                raise
            time.sleep(PAUSE_S * (attempt + 1))
        else:
            return


def patience() -> AbstractContextManager[None]:
    """Long requests as long as this lasts: a server answers an upload once it has stored the last byte."""
    return _set("MLFLOW_HTTP_REQUEST_TIMEOUT", UPLOAD_TIMEOUT_S)


def once() -> AbstractContextManager[None]:
    """No request is sent again as long as this lasts: the answer may be what was lost, and not the request."""
    return _set("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    """Another value for one of SWITCHES, in this whole process: not while other threads send requests."""
    before = os.environ[name]
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ[name] = before


def experiment() -> str:
    """Id of the experiment 'luthier', created if it is not there."""
    mlflow_client, where = client(), address()
    # mlflow would put a sqlite store's artifacts into whatever directory it is called from.
    artifacts = (_file_of(where).resolve().parent / "mlruns").as_uri() if where.startswith("sqlite") else None
    with refusals():
        found = mlflow_client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        try:
            return mlflow_client.create_experiment(EXPERIMENT, artifacts)
        except Exception:  # another process was first
            found = mlflow_client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
            return str(found.experiment_id)
