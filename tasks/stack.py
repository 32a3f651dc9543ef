"""The production stack as processes of this machine: the services of docker/compose.yaml, started without containers.

    python -m tasks.stack up [SERVICE ...]      # start what does not run, wait until it answers, say where it is
    python -m tasks.stack down [SERVICE ...]
    python -m tasks.stack status
    python -m tasks.stack keep                  # start again what ends, as a container engine does
    python -m tasks.stack secrets               # docker/.env and docker/signing.pem alone, for `docker compose`

Commands, environments and health checks are compose.yaml's own; here they get other hosts, ports and folders. State is
in `.luthier/stack/`, every service listens on 127.0.0.1, and two workers share no folder but the task logs.
"""

import hashlib
import shutil
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tasks.chain.git import asked
from tasks.compose import Declared
from tasks.data.signing import own_key
from tasks.errors import ParamsError
from tasks.orchestrator import ServiceError
from tasks.processes import end, give_ports, recorded
from tasks.stack_settings import COMPOSE, HOME, SECRETS, choose_ports, declared, places, secrets
from tasks.stack_start import done, start_in_turn
from tasks.step import exit_status

SIGNING_KEY = Path("docker/signing.pem")
STORES = ("postgres", "redis", "objects")  # ended last: the others still write


def up(root: Path, names: Collection[str] = (), say: Callable[[str], object] = print) -> list[str]:
    """Start those services that do not run, each once those before it answer, and wait for all of them.

    Args:
        root: the checkout.
        names: of services; none: all.
        say: is told of each that answers.

    Returns:
        The names that were started.

    Raises:
        ServiceError: one ended, or did not answer in time; what runs is left running, for its log to be looked at.
    """
    root = root.resolve()
    (root / HOME / ".luthier/logs").mkdir(parents=True, exist_ok=True)
    home = root / HOME
    alive = {service.name for service in recorded(home) if service.alive()}
    if not alive:
        choose_ports(root)  # the last ones may be another's by now
    services = declared(root)
    _require(services, names)
    key = _key(root)
    over = {name for name, value in done(home).items() if value == key}
    waiting = {name: services[name] for name in names or services if name not in alive | over}
    end(home, [service for service in recorded(home) if service.name in waiting])  # what a dead one left
    ready = {name for name in services if name not in waiting}  # others are taken to answer
    try:
        return start_in_turn(home, waiting, ready, key, say)
    finally:
        give_ports()


def keep(root: Path, over: threading.Event, say: Callable[[str], object] = print) -> None:
    """Start again whatever ends, as a container engine does, until it is over."""
    while not over.wait(2):
        for name, runs in status(root).items():
            if not runs:
                say(name)
                with suppress(ServiceError):  # what it needs does not run yet: tried again
                    up(root, [name], lambda _: None)


def _key(root: Path) -> str:
    """What a service that ends has been done for: the stack as declared, its secrets, the code, the installed lock."""
    parts = [(root / name).read_bytes() for name in (COMPOSE, SECRETS)]
    parts.append(asked(root, "rev-parse", "HEAD").encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _require(services: Mapping[str, Declared], names: Collection[str]) -> None:
    if unknown := [name for name in names if name not in services]:
        raise ParamsError(f"there is no service '{unknown[0]}'; compose.yaml has {', '.join(services)}.")


def down(root: Path, names: Collection[str] = ()) -> list[str]:
    """End services, all or those named, the stores last; the names of those that ran."""
    home = root.resolve() / HOME
    if names:
        _require(declared(root.resolve()), names)
    ending = [service for service in recorded(home) if not names or service.name in names]
    ran = [service.name for service in ending if service.alive()]
    end(home, [service for service in ending if service.name not in STORES])
    end(home, [service for service in ending if service.name in STORES])
    return ran


def status(root: Path) -> dict[str, bool]:
    """Whether each service runs; those that end are left out."""
    root = root.resolve()
    alive = {service.name for service in recorded(root / HOME) if service.alive()}
    return {name: name in alive for name, service in declared(root).items() if not service.once}


def told(root: Path) -> str:
    """Where a person finds it."""
    where = places(root.resolve())
    return "\n".join([
        f"Airflow  http://{where['AIRFLOW_PUBLIC']}   user admin, password AIRFLOW_ADMIN_PASSWORD in {SECRETS}",
        f"MLflow   http://{where['MLFLOW_PUBLIC']}   user admin, password MLFLOW_ADMIN_PASSWORD in {SECRETS}",
        f"Logs     {HOME}/.luthier/logs; runs: {HOME}/luthier.git",
        "Stop with: make unstack",
    ])  # fmt: skip


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(metavar="[SERVICE ...]")]


def _guarded(call: Callable[[], object]) -> None:
    raise typer.Exit(exit_status(call, "stack"))


@app.command("up")
def _up(names: Names = None) -> None:
    """Start what does not run and wait until it answers."""

    def call() -> None:
        up(Path(), names or ())
        print(told(Path()))

    _guarded(call)


@app.command("down")
def _down(names: Names = None) -> None:
    """End it, running tasks included."""
    _guarded(lambda: print("ended: " + (", ".join(down(Path(), names or ())) or "nothing ran")))


@app.command("keep")
def _keep() -> None:
    """Start again whatever ends, until Ctrl-C."""
    again = "{} ended, and is started again".format
    _guarded(lambda: keep(Path(), threading.Event(), lambda name: print(again(name), flush=True)))


@app.command("status")
def _status_of_all() -> None:
    """Say what runs."""
    _guarded(lambda: [print(f"{name:<14} {'runs' if runs else '-'}") for name, runs in status(Path()).items()])


@app.command("secrets")
def _secrets() -> None:
    """Make docker/.env and docker/signing.pem where they lack."""

    def call() -> None:
        secrets(Path())
        if not SIGNING_KEY.exists():
            SIGNING_KEY.touch(0o600)
            shutil.copyfile(own_key(Path()), SIGNING_KEY)
        print(f"{SECRETS} and {SIGNING_KEY}: keep them as you keep passwords, and a copy elsewhere.")

    _guarded(call)


if __name__ == "__main__":
    app()
