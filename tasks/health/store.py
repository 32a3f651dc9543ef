"""MLflow: whether its address answers and takes writes, asked without importing it and without leaving anything behind.

A database is asked by a transaction that is rolled back. A server is asked to create the experiment that it has
already: it tries the insert, the database refuses the second one, and nothing is changed.
Truth: mlflow 3.17, `store/tracking/sqlalchemy_store.py` (create_experiment) and `server/auth/config.py`.
"""

import configparser
import socket
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from tasks.health.finding import Finding, error, not_checked, ok, warning
from tasks.health.seen import Surroundings, is_loopback

AREA = "MLflow"
EXPERIMENT = "luthier"
PATIENCE_S = 5.0  # an answer; three are asked for
LOCKED_S = 3
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "ceph", "lustre", "gluster", "9p", "beegfs", "gpfs")
OWN_FILE = "export MLFLOW_AUTH_CONFIG_PATH, a file with default_permission = NO_PERMISSIONS"
UP = "start it, mend MLFLOW_TRACKING_URI, or unset it to write to mlflow.db here"


def check(seen: Surroundings) -> list[Finding]:
    """The address that steps would write to, the disk under it, and the permissions that a server of ours gives."""
    scheme = urlsplit(seen.tracking).scheme.partition("+")[0]
    if scheme == "sqlite":
        found = _database(seen)
    elif scheme in {"http", "https"}:
        found = [*_server(seen.tracking, seen.environment), *_in_the_clear(seen.tracking)]
    elif scheme in PORTS:
        found = _port(seen.tracking, PORTS[scheme])
    elif scheme in {"file", ""}:
        what = "MLFLOW_TRACKING_URI names a folder; MLflow keeps no runs in folders any more."
        found = [error(AREA, what, "MLFLOW_TRACKING_URI", "unset MLFLOW_TRACKING_URI, or name a server")]
    else:
        found = [not_checked(AREA, f"an address of the kind {scheme}:")]
    beside = [one for one in seen.services if one.alive and one.name == "mlflow"]
    own = [one for service in beside for one in _server(f"http://127.0.0.1:{service.port}", {})]
    return [*found, *own, *_network_disk(seen), *_permissions(seen)]


def _database(seen: Surroundings) -> list[Finding]:
    path = Path(seen.tracking.partition(":///")[2])
    where = seen.named(path)
    if not path.exists():
        return [ok(AREA, f"{where} is made by the first step that writes")]
    try:
        uri = f"{path.as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=LOCKED_S, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
            (journal,) = database.execute("PRAGMA journal_mode").fetchone()
    except sqlite3.Error as fault:
        if "locked" in str(fault):
            what = f"is locked: another process has been writing for over {LOCKED_S} s, and steps give up after 20."
            return [error(AREA, what, where, f"fuser {where} names who holds it")]
        return [error(AREA, f"takes no write ({fault}).", where, f"ls -l {where}; 'luthier lineage' needs it")]
    return [ok(AREA, f"{where} takes writes{' (WAL)' if journal == 'wal' else ''}")]


def _server(address: str, environment: Mapping[str, str]) -> list[Finding]:
    split = urlsplit(address)
    host = split.hostname or ""
    base = f"{split.scheme}://{host}{f':{split.port}' if split.port else ''}{split.path.rstrip('/')}"
    try:
        with httpx.Client(
            base_url=base, timeout=PATIENCE_S, auth=_login(address, environment), headers=_token(environment),
            trust_env=not is_loopback(host), verify=environment.get("MLFLOW_TRACKING_INSECURE_TLS") != "true",
        ) as client:  # fmt: skip
            client.get("/health")
            api = "/api/2.0/mlflow/experiments"
            there = client.get(f"{api}/get-by-name", params={"experiment_name": EXPERIMENT})
            if there.status_code == 200:
                there = client.post(f"{api}/create", json={"name": EXPERIMENT})
    except httpx.HTTPError as fault:
        kind = "does not answer" if isinstance(fault, httpx.ConnectError) else f"is silent for {PATIENCE_S:.0f} s"
        return [error(AREA, f"The server {kind}: a step stops before it begins.", base, UP)]
    return [_answered(there, base)]


def _answered(answer: httpx.Response, base: str) -> Finding:
    try:
        code = str(answer.json().get("error_code", ""))
    except (ValueError, AttributeError):
        code = ""
    if code == "RESOURCE_ALREADY_EXISTS":
        return ok(AREA, f"{base} answers and takes writes")
    if code == "RESOURCE_DOES_NOT_EXIST":
        return ok(AREA, f"{base} answers; the first step makes the experiment '{EXPERIMENT}'")
    if answer.status_code == 401:
        fix = "export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        return error(AREA, "The server asks for a sign-in, and does not accept the one exported here.", base, fix)
    if answer.status_code == 403:
        fix = "ask its admin for EDIT on the experiment; or, started here, add this name to its --allowed-hosts"
        return error(AREA, "The server refuses this user, or this name of it.", base, fix)
    what = f"The server takes no write (HTTP {answer.status_code} {code})."
    return error(AREA, what.replace(" )", ")"), base, "see its log: .luthier/logs/mlflow.log, where it runs here")


def _login(address: str, environment: Mapping[str, str]) -> tuple[str, str] | None:
    split = urlsplit(address)
    if split.username:
        return unquote(split.username), unquote(split.password or "")
    user = environment.get("MLFLOW_TRACKING_USERNAME")
    if user:
        return user, environment.get("MLFLOW_TRACKING_PASSWORD", "")
    parser = configparser.RawConfigParser()
    try:  # where MLflow looks last
        parser.read(Path(environment.get("HOME", "~")).expanduser() / ".mlflow/credentials")
        return parser.get("mlflow", "mlflow_tracking_username"), parser.get("mlflow", "mlflow_tracking_password")
    except (configparser.Error, UnicodeDecodeError):
        return None


def _token(environment: Mapping[str, str]) -> dict[str, str]:
    token = environment.get("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _in_the_clear(address: str) -> list[Finding]:
    split = urlsplit(address)
    if split.scheme == "https" or is_loopback(split.hostname or ""):
        return []
    what = "Runs, and passwords where there are any, go to MLflow in the clear."
    return [warning(AREA, what, f"http://{split.hostname}", "https://, or an SSH tunnel to its 127.0.0.1")]


def _port(address: str, usual: int) -> list[Finding]:
    split = urlsplit(address)
    host, port = split.hostname or "localhost", split.port or usual
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S):
            return [not_checked(AREA, f"the database at {host}:{port} accepts; whether it takes writes was not tried")]
    except OSError as fault:
        return [error(AREA, f"The database does not answer ({fault.strerror or fault}).", f"{host}:{port}", UP)]


def _network_disk(seen: Surroundings) -> list[Finding]:
    """The locks of sqlite do not hold on a network disk: two writers damage the file."""
    found = []
    fix = "a Postgres for it, or a checkout on a local disk"
    for path in (seen.root / "mlflow.db", seen.root / ".airflow/airflow.db"):
        kind = kind_of_disk(path)
        if kind.startswith(NETWORK):
            what = f"lies on a network disk ({kind}), where sqlite's locks do not hold."
            found.append(warning(AREA if path.name == "mlflow.db" else "Airflow", what, seen.named(path), fix))
    return found


def kind_of_disk(path: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The file system that a path lies on, such as ext4 or nfs4."""
    best, kind = Path("/"), ""
    try:
        rows = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return ""
    for row in rows:
        place = Path(row[1].replace("\\040", " "))
        if path.resolve().is_relative_to(place) and len(place.parts) >= len(best.parts):
            best, kind = place, row[2]
    return kind


def _permissions(seen: Surroundings) -> list[Finding]:
    """What MLflow's sign-in gives to everybody who has one."""
    found: list[Finding] = [
        warning(AREA, "gives READ on every model to everybody who can sign in (its own default).", one.said, OWN_FILE)
        for one in seen.processes
        if "server" in one.command and any("basic-auth" in word for word in one.command)
        and one.environment and not one.environment.get("MLFLOW_AUTH_CONFIG_PATH")
    ]  # fmt: skip
    for environment in [seen.environment, *(one.environment for one in seen.processes if "mlflow" in one.command)]:
        told = environment.get("MLFLOW_AUTH_CONFIG_PATH")
        if not told or any(one.where == told for one in found):
            continue
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(Path(told).read_text())
            given = parser.get("mlflow", "default_permission", fallback="READ")
        except (OSError, UnicodeDecodeError, configparser.Error):
            found.append(error(AREA, "cannot be read: the server would not start.", told, "mend it"))
            continue
        if given != "NO_PERMISSIONS":
            what = f"gives {given} on every model to everybody who can sign in."
            found.append(warning(AREA, what, told, "default_permission = NO_PERMISSIONS"))
    return found
