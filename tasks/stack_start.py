"""Services started in turn, each once what it needs answers to its own health check."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from tasks.compose import Declared
from tasks.data.files import read_json, write_json
from tasks.orchestrator import ServiceError
from tasks.processes import Service, end, log_of, recorded, start, tail
from tasks.stack_settings import environment

START_S = 300  # longest wait for a service
ASK_S = 1.5  # between two health checks of a service
DONE = "done.json"


def start_in_turn(
    home: Path, waiting: dict[str, Declared], ready: set[str], key: str, say: Callable[[str], object]
) -> list[str]:
    """Start each service once those that it starts after answer; return when all of them do.

    Args:
        home: where the stack's processes are recorded and write.
        waiting: the services by name.
        ready: what answers already.
        key: what a service that ends is done for (`done`).
        say: is told of each that answers.

    Raises:
        ServiceError: one ended, or did not answer in time.
    """
    since, started, begun, looked = time.monotonic(), dict[str, float](), list(waiting), dict[str, float]()
    while waiting:
        for service in waiting.values():
            if service.name not in started and set(service.after) <= ready:
                start(home, service.name, list(service.command), environment(home, service), 0)
                started[service.name] = time.monotonic()
        for name, service in list(waiting.items()):
            if name in started and time.monotonic() - looked.get(name, 0.0) > ASK_S:
                looked[name] = time.monotonic()
                if _answers(home, service, started[name]):
                    say(f"{name:<14} {'done' if service.once else 'answers'} after {time.monotonic() - since:4.0f} s")
                    ready.add(waiting.pop(name).name)
                    if service.once:
                        write_json(home / DONE, done(home) | {name: key})
        time.sleep(0.1)
    return begun


def _answers(home: Path, service: Declared, since: float) -> bool:
    """Whether a service answers, or has done its work.

    Raises:
        ServiceError: it ended, or takes too long.
    """
    process = next(one for one in recorded(home) if one.name == service.name)
    log = log_of(home, service.name)
    alive = process.alive()
    if not alive and service.once and (status := _status(process)) == 0:
        end(home, [process])
        return True
    if not alive:
        how = f"ended with {status}" if service.once else "ended while it started"
        raise ServiceError(f"{service.name} {how}. {tail(log)}")
    well = not service.once and _healthy(home, service)
    if not well and time.monotonic() - since > START_S:
        raise ServiceError(f"{service.name}: no answer in {START_S} s. {tail(log)}")
    return well


def _healthy(home: Path, service: Declared) -> bool:
    asking = subprocess.run(
        service.health, env=environment(home, service), capture_output=True, check=False, timeout=60
    )  # fmt: skip
    return asking.returncode == 0


def _status(process: Service) -> int | None:
    """The exit status of a child of ours."""
    try:
        return psutil.Process(process.pid).wait(timeout=5)
    except psutil.NoSuchProcess:
        return None


def done(home: Path) -> dict[str, str]:
    """What each service that ends was done for the last time."""
    file = home / DONE
    return dict(read_json(file)) if file.is_file() else {}
