"""`luthier doctor`: everything that would bite later, each with its fix. It changes nothing and prints no secret.

Looks at this checkout, the environment, the processes and disks of this machine, and at Airflow and MLflow where they
run. The checks are in tasks/health/, one module a subject. Exits with 1 where it finds an error.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tasks import SWITCHES
from tasks.devices import devices
from tasks.errors import LuthierError
from tasks.health import (
    containers,
    declared,
    dependencies,
    disk,
    dvc,
    leftovers,
    locks,
    network,
    pools,
    ports,
    repository,
    secrets,
    store,
    switches,
    versions,
    weights,
    written,
)
from tasks.health.finding import Finding, Verdict, error
from tasks.health.seen import AirflowSaid, Running, Surroundings, look_at_processes
from tasks.orchestrator import USER, Airflow, password
from tasks.processes import Service, recorded
from tasks.tracking.server import address

COLOURS = {Verdict.ERROR: "bold red", Verdict.WARNING: "yellow", Verdict.NOT_CHECKED: "dim", Verdict.OK: "green"}
SILENT_S = 60  # a heartbeat older than that is none
CHECKS: dict[str, Callable[[Surroundings], list[Finding]]] = {
    "versions": versions.check,
    "dependencies": dependencies.check,
    "git": repository.check,
    "params.yaml": declared.check,
    "settings": switches.check,
    "secrets": secrets.check,
    "written secrets": written.check,
    "weights": weights.check,
    "open ports": ports.check,
    "containers": containers.check,
    "services": network.check,
    "Airflow": lambda seen: pools.check(seen, len(devices())),
    "MLflow": store.check,
    "DVC": dvc.check,
    "locks": locks.check,
    "leftovers": leftovers.check,
    "disk": disk.check,
}


class UnhealthyError(LuthierError):
    """The doctor found an error."""


def doctor(root: Path, as_json: bool) -> None:
    """Look, and print what was found.

    Raises:
        UnhealthyError: something is unsafe or will fail.
    """
    found = examined(look(root.resolve()))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=2, ensure_ascii=False))
    else:
        show(found, Console())
    errors = sum(one.verdict is Verdict.ERROR for one in found)
    if errors:
        raise UnhealthyError(f"{errors} error{'s' if errors > 1 else ''} found: do what stands behind 'fix:'.")


def look(root: Path) -> Surroundings:
    """All that the checks need to know."""
    processes, unseen = look_at_processes()
    running = tuple(
        Running(one.name, one.pid, one.mark, one.port, one.alive()) for one in _recorded(root)
    )  # fmt: skip
    return Surroundings(
        root=root,
        environment=dict(os.environ),
        processes=processes,
        unseen_ports=unseen,
        services=running,
        users=frozenset({USER}),
        tracking=address(),
        airflow=_ask_airflow(root, running),
        switches=SWITCHES,
    )


def _recorded(root: Path) -> list[Service]:
    try:
        return recorded(root)
    except (ValueError, TypeError, OSError):
        return []  # a damaged .luthier/services.json; what it named is found as orphans


def _ask_airflow(root: Path, running: tuple[Running, ...]) -> AirflowSaid | None:
    alive = {one.name: one for one in running if one.alive}
    if "api-server" not in alive:
        return None
    try:
        with Airflow(f"http://127.0.0.1:{alive['api-server'].port}", password(root)) as api:
            silent = api.waiting_for(set(alive), time.time() - SILENT_S)  # answers within 10 s, or counts as silent
            if "api-server" in silent:
                return AirflowSaid(frozenset(silent), refused="Airflow's API does not answer.")
            slots = {pool["name"]: int(pool["slots"]) for pool in api.call("GET", "pools", limit=100)["pools"]}
            return AirflowSaid(frozenset(silent), slots, tuple(api.import_errors()))
    except (LuthierError, OSError, ValueError, KeyError) as fault:
        said = str(fault) if isinstance(fault, LuthierError) else "Its password in .airflow/ cannot be read."
        return AirflowSaid(frozenset(), refused=said)


def examined(seen: Surroundings) -> list[Finding]:
    """What every check found, the worst first; a check that fails is a finding itself and stops no other."""
    found: list[Finding] = []
    for area, check in CHECKS.items():
        try:
            found += check(seen)
        except Exception as fault:
            kind = f"{type(fault).__name__}: {fault}" if isinstance(fault, OSError) else type(fault).__name__
            found.append(error(area, f"This could not be looked at ({kind}).", "luthier doctor", "report it as a bug"))
    return sorted(found, key=lambda one: list(Verdict).index(one.verdict))


def show(found: list[Finding], console: Console) -> None:
    """Print a line a finding, its fix below it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found:
        said = Text(sentence(one))
        if one.fix:
            said.append("\nfix: ", style="bold").append(one.fix, style="not bold")
        table.add_row(Text(one.verdict, style=COLOURS[one.verdict]), one.area, said)
    console.print(table)
    counts = Counter(one.verdict for one in found)
    console.print("\n" + ", ".join(f"{counts[verdict]} {_plural(verdict, counts[verdict])}" for verdict in Verdict))


def sentence(one: Finding) -> str:
    """The place and what is wrong with it: a sentence about the place goes on from it."""
    return f"{one.where}{' ' if one.what[0].islower() else ': '}{one.what}" if one.where else one.what


def _plural(verdict: Verdict, count: int) -> str:
    return f"{verdict}s" if verdict in {Verdict.ERROR, Verdict.WARNING} and count != 1 else str(verdict)
