"""Airflow and MLflow on this machine, for one person.

    up(root)         start what does not run and wait until it answers
    down(root)       end all of it, running tasks included
    addresses(root)  where they are and how to sign in

Everything listens on 127.0.0.1 alone. State is in `.airflow/` (database, secrets, task logs), `mlflow.db` and
`mlruns/`; `.luthier/services.json` says what runs, `.luthier/logs/` holds the services' logs.
"""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import httpx

from tasks.orchestrator import USER, Airflow, ServiceError, environment, password
from tasks.processes import Service, end, free_port, give_ports, log_of, recorded, start, tail

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
START_S = 240  # longest wait for a start; 30 s is usual on two cores


def status(root: Path) -> dict[str, Service]:
    """The running services by name."""
    return {service.name: service for service in recorded(root) if service.alive()}


def up(root: Path, names: Iterable[str] = (*AIRFLOW, "mlflow"), say: Callable[[str], object] = print) -> list[str]:
    """Start those of `names` that do not run and wait until they answer.

    No MLflow server is started while MLFLOW_TRACKING_URI names one.

    Returns:
        The names that were started.

    Raises:
        ServiceError: one of them ended or did not answer in time; what was started is ended again.
    """
    root = root.resolve()
    with _locked(root):
        running = status(root)
        missing = [name for name in names if name not in running]
        if "mlflow" in missing and os.environ.get("MLFLOW_TRACKING_URI"):
            missing.remove("mlflow")
        if not missing:
            return []
        say(f"Starting {', '.join(missing)} (up to a minute) ...")
        # What is left of a service whose first process died must not run beside its successor.
        end(root, [service for service in recorded(root) if service.name not in running])
        since = time.time()
        try:
            _start(root, missing, running)
            _wait(root, since, set(missing))
        except BaseException:
            end(root, [service for service in recorded(root) if service.name in missing])
            raise
        finally:
            give_ports()
    return missing


def down(root: Path, names: Iterable[str] | None = None) -> list[str]:
    """End services (all, or those named) with everything under them, running tasks included.

    Returns:
        The names of those that were running.
    """
    root = root.resolve()
    with _locked(root):
        ending = [service for service in recorded(root) if names is None or service.name in names]
        were_running = [service.name for service in ending if service.alive()]
        # The API server last, so that a task that is stopped can still say so.
        end(root, [service for service in ending if service.name != "api-server"])
        end(root, [service for service in ending if service.name == "api-server"])
    return were_running


def addresses(root: Path) -> str:
    """What to tell the person who started the services."""
    running, lines = status(root), []
    if not running:
        return "Nothing runs. Start Airflow and MLflow with: luthier up"
    if "api-server" in running:
        lines.append(f"Airflow  {running['api-server'].url}   user {USER}, password {password(root)}")
    if "mlflow" in running:
        lines.append(f"MLflow   {running['mlflow'].url}   no sign-in, it answers to this machine alone")
    elif os.environ.get("MLFLOW_TRACKING_URI"):
        lines.append("MLflow   the one that MLFLOW_TRACKING_URI names")
    return "\n".join([*lines, "Stop with: luthier down"])


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    (root / ".luthier/logs").mkdir(parents=True, exist_ok=True)
    with (root / ".luthier/services.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServiceError(
                "another luthier command is starting or ending services in this checkout: wait for it."
            ) from None
        yield


def _start(root: Path, missing: list[str], running: dict[str, Service]) -> None:
    beside = next((running[name] for name in AIRFLOW if name in running), None)
    port = beside.port if beside else free_port(8080)
    settings = os.environ | environment(root, port)
    settings["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    if "mlflow" in missing:  # first: it makes its database while Airflow makes its own
        _start_mlflow(root, settings)
    if any(name in AIRFLOW for name in missing):
        _migrate(root, settings)
    for name in AIRFLOW:
        if name in missing:
            # Task logs are read from this disk: no log server, which would listen on every interface.
            extra = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
            start(root, name, [sys.executable, "-m", "airflow", name, *extra], settings, port)


def _start_mlflow(root: Path, settings: dict[str, str]) -> None:
    port = free_port(5000)
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
        "--backend-store-uri", f"sqlite:///{root}/mlflow.db",
        # Artifacts by file path, so that a client of mlflow.db and one of the server name the same place.
        "--default-artifact-root", (root / "mlruns").as_uri(), "--no-serve-artifacts",
        "--allowed-hosts", f"127.0.0.1:{port},localhost:{port}",
        "--cors-allowed-origins", f"http://127.0.0.1:{port},http://localhost:{port}",
    ]  # fmt: skip
    # Its job processes serve features that are not used here; its log says why it ended, also where tasks.tracking
    # has silenced the client in this process.
    own = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_LOGGING_LEVEL": "INFO"}
    start(root, "mlflow", command, settings | own, port)


def _migrate(root: Path, settings: dict[str, str]) -> None:
    """Make Airflow's database, or bring it to the installed version, once."""
    done, installed = root / ".airflow/migrated", version("apache-airflow")
    if done.exists() and done.read_text() == installed:
        return
    log = log_of(root, "migrate")
    with log.open("wb") as file:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        if subprocess.run(command, env=settings, cwd=root, stdout=file, stderr=file, check=False).returncode:
            raise ServiceError(f"'airflow db migrate' failed. {tail(log)}")
    done.write_text(installed)


def _wait(root: Path, since: float, started: set[str]) -> None:
    """Wait until every started service answers, then make the pool that the DAGs name."""
    services = {service.name: service for service in recorded(root)}
    airflow = next((services[name] for name in AIRFLOW if name in services), None)
    with Airflow(airflow.url if airflow else "", password(root)) as api:
        while waiting := _silent(api, services, started, since):
            for name in started:
                if _ended(services[name]):
                    raise ServiceError(f"{name} ended while it started. {tail(log_of(root, name))}")
            if time.time() - since > START_S:
                late = ", ".join(sorted(waiting))
                raise ServiceError(f"{late}: no answer in {START_S} s. {tail(log_of(root, min(waiting)))}")
            time.sleep(0.3)
        if "api-server" in started:
            api.make_pool()


def _ended(service: Service) -> bool:
    """Not alive at a second look either: a process that calls exec is unknown for an instant, and a log lags."""
    if service.alive():
        return False
    time.sleep(1)
    return not service.alive()


def _silent(api: Airflow, services: dict[str, Service], started: set[str], since: float) -> set[str]:
    """Which of the started services do not answer yet."""
    silent = api.waiting_for(started, since) if started & set(AIRFLOW) else set()
    if "mlflow" in started:
        try:
            answer = httpx.get(services["mlflow"].url + "/health", trust_env=False, timeout=10)
            silent |= set() if answer.is_success else {"mlflow"}
        except httpx.HTTPError:
            silent |= {"mlflow"}
    return silent
