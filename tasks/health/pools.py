"""Airflow as it runs: pools that the DAGs name, services that went silent, DAG files that do not load."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

from tasks.health.finding import Finding, error, not_checked, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "Airflow"
POOLS = "pools"
ALWAYS = "default_pool"
DEVICE = "device"


def check(seen: Surroundings, devices: int) -> list[Finding]:
    """Whether the running Airflow would run what dags/ asks of it.

    Args:
        seen: of the machine.
        devices: how many trainings this machine bears at once.
    """
    found = [*_dead(seen), *_syntax(seen)]
    if seen.airflow is None:
        return found or [not_checked(AREA, "it does not run: its pools and DAG files were not looked at", "luthier up")]
    said = seen.airflow
    if said.refused:
        return [*found, error(AREA, said.refused, ".luthier/logs/api-server.log", "luthier down, then luthier up")]
    found += [
        error(AREA, f"The {name} has given no sign of life for a minute.", f".luthier/logs/{name}.log",
              "wait, where the machine is very busy; else luthier up, or luthier down and luthier up")
        for name in sorted(said.silent)
    ]  # fmt: skip
    found += [error(AREA, "A DAG file does not load.", text, "mend it") for text in said.import_errors]
    missing = _pools(seen)
    return [
        *or_ok(found, AREA, "its services answer and every DAG file loads"),
        *or_ok(missing, POOLS, f"every pool that dags/ names is there: {', '.join(sorted(named_pools(seen.root)))}"),
        *_more_slots_than_devices(seen, devices),
    ]


def _dead(seen: Surroundings) -> list[Finding]:
    record = seen.root / ".luthier/services.json"
    if record.exists() and not _is_json(record):
        where, fix = seen.named(record), "end the processes named under leftovers, then rm .luthier/services.json"
        return [error(AREA, "is damaged: 'luthier up' and 'luthier down' cannot read what runs.", where, fix)]
    dead = [service.name for service in seen.services if not service.alive]
    if not dead:
        return []
    what = f"Not running any more, though nobody said 'luthier down': {', '.join(dead)}."
    return [error(AREA, what, ".luthier/logs/", "luthier up: starts what is missing, and ends what is left of it")]


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def _syntax(seen: Surroundings) -> list[Finding]:
    """Files that no Python reads: Airflow itself says so minutes later."""
    found = []
    for path in sorted((seen.root / "dags").glob("*.py")):
        try:
            ast.parse(path.read_text())
        except (SyntaxError, ValueError) as fault:
            where = f"{seen.named(path)}, line {getattr(fault, 'lineno', '?')}"
            found.append(error(AREA, "is no Python: none of its DAGs runs.", where, f"git diff {seen.named(path)}"))
    return found


def _pools(seen: Surroundings) -> list[Finding]:
    slots, found = seen.airflow.pools if seen.airflow else {}, []
    for name, file in sorted(named_pools(seen.root).items()):
        if name not in slots:
            what = f"The pool '{name}' is not there: a task that names it waits for ever."
            found.append(
                error(POOLS, what, file, "luthier down, then luthier up: makes it; or Airflow's page Admin, Pools")
            )
        elif slots[name] == 0:
            what = f"The pool '{name}' has no slot: a task that names it waits for ever."
            found.append(error(POOLS, what, file, "give it one on Airflow's page Admin, Pools"))
    return found


def _more_slots_than_devices(seen: Surroundings, devices: int) -> list[Finding]:
    slots = (seen.airflow.pools if seen.airflow else {}).get(DEVICE, 0)
    if 0 <= slots <= devices:
        return []
    what = f"The pool '{DEVICE}' lets {'any number of' if slots < 0 else slots} trainings start, and {devices} can run."
    fix = f"{devices} slots on Airflow's page Admin, Pools; LUTHIER_DEVICE_SLOTS says that this machine bears more"
    return [warning(POOLS, what, "Airflow", fix)]


def named_pools(root: Path) -> dict[str, str]:
    """Pools that the DAG files name, with a file that does: arguments and defaults called pool, constants resolved."""
    trees: dict[str, ast.Module] = {}
    for path in sorted((root / "dags").glob("*.py")):
        try:
            trees[path.name] = ast.parse(path.read_text())
        except (SyntaxError, ValueError, OSError):
            continue  # which Airflow says
    constants = {
        target.id: node.value.value
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = {ALWAYS: "dags/"}
    for name, tree in trees.items():
        for value in _values(tree):
            pool = constants.get(value.id) if isinstance(value, ast.Name) else getattr(value, "value", None)
            if isinstance(pool, str):
                found[pool] = f"dags/{name}"
    return found


def _values(tree: ast.Module) -> Iterator[ast.expr]:
    """Expressions that stand for a pool; of a choice between two, both."""
    for node in ast.walk(tree):
        given: list[ast.expr] = []
        if isinstance(node, ast.keyword) and node.arg == "pool":
            given = [node.value]
        elif isinstance(node, ast.Dict):
            given = [v for k, v in zip(node.keys, node.values, strict=True) if getattr(k, "value", None) == "pool"]
        elif isinstance(node, ast.arguments):
            given = _defaults(node)
        for value in given:
            yield from (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,)


def _defaults(node: ast.arguments) -> list[ast.expr]:
    positional = [*node.posonlyargs, *node.args]
    pairs = list(zip(reversed(positional), reversed(node.defaults), strict=False))
    both = [*pairs, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]
    return [value for argument, value in both if argument.arg == "pool" and value is not None]
