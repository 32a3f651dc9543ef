"""Environment variables that switch a protection off, in this shell, in the running services, in Airflow's own file.

Truth: airflow 3.3 config.yml; mlflow 3.17 environment_variables.py; torch 2.13 serialization.py.
"""

import configparser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from tasks.health.finding import Finding, Verdict, or_ok
from tasks.health.seen import Surroundings, is_loopback

AREA = "settings"
FILE = ".airflow/airflow.cfg"
SIGN_INS = ("FabAuthManager", "KeycloakAuthManager", "sign_in.Named")  # made for more than development; ours is a FAB


def _on(value: str) -> bool:
    return value.strip().lower() in {"1", "true", "t", "yes", "y", "on"}


def _off(value: str) -> bool:
    return not _on(value)


def _open(value: str) -> bool:
    return not is_loopback(value.strip())


@dataclass(frozen=True)
class Rule:
    """One variable, and when its value is a fault."""

    name: str
    bad: Callable[[str], bool]
    verdict: Verdict
    what: str
    in_file: bool = False
    """Whether airflow.cfg may hold it too: `luthier up` says nothing of it, or a hand-started Airflow would obey it."""


E, W = Verdict.ERROR, Verdict.WARNING
RULES = (
    Rule("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", _on, E, "lets MLflow run code hidden in a model's pickle"),
    Rule("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", _on, E, "lets torch run code hidden in a weights file"),
    Rule("HF_DATASETS_TRUST_REMOTE_CODE", _on, E, "lets a data set from a hub run its own code here"),
    Rule("MLFLOW_BASIC_AUTH_FAIL_CLOSED", _off, E, "lets MLflow answer where its sign-in fails"),
    Rule("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", _on, E, "lets any web page talk to MLflow by way of a browser"),
    Rule("MLFLOW_TRACKING_INSECURE_TLS", _on, W, "lets anybody on the way pose as the MLflow server"),
    Rule("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", _on, W, "lets an MLflow server start processes that nothing here uses"),
    Rule("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", _on, E, "makes everybody who reaches Airflow an admin", True),
    Rule("AIRFLOW__API__EXPOSE_CONFIG", lambda value: value.strip().lower() != "false", W,
         "shows Airflow's settings to everybody who can sign in", True),
    Rule("HF_HUB_OFFLINE", _off, W, "lets steps after fetch go to a hub, which hides that a file is missing"),
    Rule("MLFLOW_DISABLE_TELEMETRY", _off, W, "lets MLflow report to its makers"),
    Rule("GX_ANALYTICS_ENABLED", _on, W, "lets Great Expectations report to its makers"),
    Rule("HF_HUB_DISABLE_TELEMETRY", _off, W, "lets the hub's client report to its makers"),
    Rule("SCARF_NO_ANALYTICS", _off, W, "lets Airflow report to its makers"),
    Rule("AIRFLOW__USAGE_DATA_COLLECTION__ENABLED", _on, W, "lets Airflow report to its makers"),
)  # fmt: skip


def check(seen: Surroundings) -> list[Finding]:
    """Whether any of these is set as it should not be."""
    found: list[Finding] = []
    for where, variables, restart in _places(seen):
        for rule in RULES:
            value = variables.get(rule.name)
            if value is not None and rule.bad(value):
                fix = f"unset {rule.name}" if rule.name not in seen.switches else _wanted(seen, rule.name)
                found.append(Finding(AREA, rule.verdict, f"{rule.name} {rule.what}.", where, fix + restart))
        found += _host(variables, where, restart)
    written = _written(seen)
    found += [
        Finding(AREA, rule.verdict, f"{rule.name} {rule.what}.", FILE, "remove that line of it")
        for rule in RULES
        if rule.in_file and rule.name in written and rule.bad(written[rule.name])
    ]
    found += [replace(one, fix="remove that line of it") for one in _host(written, FILE, "")]
    return or_ok(found, AREA, "no environment variable switches a protection off, or telemetry on")


def _places(seen: Surroundings) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """(where, variables, what to do after the fix) for this shell, and for services that got them when they started."""
    yield "this shell", seen.environment, ""
    for service in seen.services:
        process = seen.process(service.pid) if service.alive else None
        if process:
            # What this shell exports too is told once, and what `luthier up` sets stands in the right place already.
            theirs = {name: value for name, value in process.environment.items() if seen.environment.get(name) != value}
            yield f"the running {service.name}", theirs, ", then luthier down, luthier up"


def _host(variables: Mapping[str, str], where: str, restart: str) -> list[Finding]:
    host = variables.get("AIRFLOW__API__HOST")
    if host is None or not _open(host):
        return []
    strong = variables.get("AIRFLOW__CORE__AUTH_MANAGER", "").endswith(SIGN_INS)
    what = "AIRFLOW__API__HOST opens Airflow to the network" + (
        ": put TLS before it." if strong else ", and its sign-in (SimpleAuthManager) is made for development alone."
    )
    return [Finding(AREA, W if strong else E, what, where, f"export AIRFLOW__API__HOST=127.0.0.1{restart}")]


def _wanted(seen: Surroundings, name: str) -> str:
    return f"export {name}={seen.switches[name]}"


def _written(seen: Surroundings) -> dict[str, str]:
    """The settings in Airflow's file, named as environment variables, which go before it."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(seen.root / FILE)
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    return {
        f"AIRFLOW__{section.upper()}__{key.upper()}": value
        for section in parser.sections()
        for key, value in parser.items(section)
    }
