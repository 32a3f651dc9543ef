"""Listening sockets that the network can reach, and who asks for a sign-in behind them.

Truth: mlflow 3.17, `mlflow/server/__init__.py` (without --app-name basic-auth there is no sign-in at all).
"""

from collections.abc import Iterator

from tasks.health.finding import Finding, error, not_checked, or_ok, warning
from tasks.health.seen import MARKS, Process, Surroundings, inside, is_loopback
from tasks.health.switches import SIGN_INS

AREA = "open ports"
USUAL = {5000, 8080, 8793, 8794}  # MLflow, Airflow, and Airflow's servers of task logs
AUTH = ("basic-auth", "mlflow.server.auth")


def check(seen: Surroundings) -> list[Finding]:
    """Every socket of Airflow, of MLflow and of this checkout's processes that is not on loopback."""
    found: list[Finding] = []
    told: set[int] = set()  # a server's workers share its socket
    for process in seen.processes:
        kind = kind_of(process, seen)
        if kind == "MLflow":
            found += _browsers(seen, process)
        for address, port in process.listens:
            if kind and port not in told and not is_loopback(address):
                told.add(port)
                found.append(_judged(seen, process, kind, f"{address or '*'}:{port}"))
    hidden = sorted({port for address, port in seen.unseen_ports if port in USUAL and not is_loopback(address)})
    if hidden:
        ports = ", ".join(map(str, hidden))
        why = f"port {ports} is open to the network, by a process of another user"
        found.append(not_checked(AREA, why, f"sudo ss -ltnp 'sport = :{hidden[0]}' names it"))
    return or_ok(found, AREA, "Airflow, MLflow and this checkout's processes answer to this machine alone")


def kind_of(process: Process, seen: Surroundings) -> str:
    """Airflow, MLflow, a process of this checkout, or nothing that concerns us."""
    words = " ".join(process.command)
    serves_a_model = "scoring_server" in words or " models serve" in words  # which registers nothing
    if "mlflow" in words.replace("mlflow.db", "") and not serves_a_model:
        return "MLflow"
    if process.command and ("airflow " in f"{process.command[0]} " or " airflow " in words):
        return "Airflow"
    if any(mark in process.environment for mark in MARKS) or inside(process.folder, seen.root) or serves_a_model:
        return "this checkout"
    return ""


def _judged(seen: Surroundings, process: Process, kind: str, where: str) -> Finding:
    place = f"{where}, {process.said}"
    if kind == "MLflow":
        if any(word in _words(line) for line in _line_of(seen, process) for word in AUTH):
            what = "MLflow is open to the network: passwords cross it in the clear unless TLS is put before it."
            return warning(AREA, what, place, "start it with --host 127.0.0.1, behind a proxy with TLS")
        what = "MLflow is open to the network without a sign-in: whoever reaches it may change and delete models."
        fix = "start it with --host 127.0.0.1, or behind TLS with --app-name basic-auth (package mlflow[auth])"
        return error(AREA, what, place, fix)
    if kind == "Airflow":
        everybody = process.environment.get("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "").lower() == "true"
        if "serve-log" in _words(process) or where.endswith((":8793", ":8794")):
            what = "Airflow's server of task logs is open to the network, behind a signed token."
            return warning(AREA, what, place, "start scheduler and triggerer with --skip-serve-logs on one machine")
        if process.environment.get("AIRFLOW__CORE__AUTH_MANAGER", "").endswith(SIGN_INS) and not everybody:
            what = "Airflow is open to the network: passwords cross it in the clear unless TLS is put before it."
            return warning(AREA, what, place, "export AIRFLOW__API__HOST=127.0.0.1, behind a proxy with TLS")
        what = "Airflow is open to the network, and its sign-in (SimpleAuthManager) is made for development alone."
        return error(AREA, what, place, "luthier down, luthier up (listens on 127.0.0.1), or the FAB auth manager")
    what = "A process of this checkout is open to the network, and asks nobody who they are."
    return warning(AREA, what, place, "bind it to 127.0.0.1; torchrun over several machines needs a network of its own")


def _browsers(seen: Surroundings, process: Process) -> list[Finding]:
    """What an MLflow server, told by its own command line, lets web pages do."""
    if not {"server", "ui"} & set(process.command) or "uvicorn" in _words(process):
        return []
    given = process.environment
    hosts = option(process, "--allowed-hosts") or given.get("MLFLOW_SERVER_ALLOWED_HOSTS", "")
    origins = option(process, "--cors-allowed-origins") or given.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "")
    found = []
    if "*" in hosts.split(",") or "*" in origins.split(","):
        what = "MLflow lets any web page talk to it by way of a browser on this machine."
        fix = "name hosts and origins: --allowed-hosts 127.0.0.1:5000,localhost:5000 and --cors-allowed-origins"
        found.append(error(AREA, what, process.said, fix))
    host = option(process, "--host") or option(process, "-h") or given.get("MLFLOW_HOST", "127.0.0.1")
    if not is_loopback(host) and not hosts:
        what = "MLflow names no allowed hosts: it refuses its own name, and accepts any that looks local."
        found.append(warning(AREA, what, process.said, "--allowed-hosts NAME:PORT,127.0.0.1:PORT"))
    if given and given.get("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true").lower() in {"true", "1"}:
        what = "MLflow starts processes for jobs that nothing here uses, and that its sign-in does not cover."
        found.append(warning(AREA, what, process.said, "export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false before it"))
    if any(option(process, name) for name in ("--gunicorn-opts", "--waitress-opts")):
        what = "MLflow under gunicorn or waitress checks neither hosts nor origins."
        found.append(warning(AREA, what, process.said, "start it without --gunicorn-opts and --waitress-opts"))
    return found


def option(process: Process, name: str) -> str:
    """The value of an option on a command line; nothing where it is not given."""
    for place, word in enumerate(process.command):
        if word == name and place + 1 < len(process.command):
            return process.command[place + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def _words(process: Process) -> str:
    return " ".join(process.command)


def _line_of(seen: Surroundings, process: Process | None) -> Iterator[Process]:
    """A process and those above it: the option stands in the command that started the workers."""
    while process is not None and process.pid > 1:
        yield process
        process = seen.process(process.parent)
