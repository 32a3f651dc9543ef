"""docker/compose.yaml and the image files beside it: what a container could do to its host, its network, its secrets.

Read as written, with the defaults of its variables, or their values where the environment or docker/.env sets them.
Truth: FAULTS, section 3; the Compose specification, compose-spec.io.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.health.finding import Finding, error, ok, or_ok, warning
from tasks.health.images import AREA, FOLDER, built_or_pinned, filled, image_file, kept_out
from tasks.health.seen import Surroundings, is_loopback

COMPOSE, VALUES = FOLDER / "compose.yaml", FOLDER / ".env"
REQUIRED = re.compile(r"\$\{\w+:\?[^}]*\}")
SECRET = re.compile(r"(^|_)(PASSWORD|PASSWD|SECRET|TOKEN|KEY|KEY_ID|AUTH|CREDENTIALS)$")
LOGIN = re.compile(r"://[^/\s:@]*:(?P<password>(?:\$\{[^}]*\}|[^@/\s])+)@")
INNER = re.compile(r"postgres|mysql|mariadb|redis|valkey|rabbitmq|seaweed|minio|objects|database|broker")
HOST_FOLDERS = ("/", "/etc", "/proc", "/sys", "/dev", "/run", "/var/run", "/var/lib/docker", "/root", "/home")
MEMORY = "mem_limit: ..., of what the service needs"


def check(seen: Surroundings) -> list[Finding]:
    """The compose file of this checkout, if it has one."""
    path = seen.root / COMPOSE
    if not path.is_file():
        return [ok(AREA, f"there is no {COMPOSE}")]
    try:
        document = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        images = {file.name: file.read_text() for file in sorted(path.parent.glob("*Dockerfile*"))}
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as fault:
        return [error(AREA, f"cannot be read ({type(fault).__name__}).", str(COMPOSE), f"git diff {COMPOSE}")]
    found = list(findings(document, images, values(path.parent / VALUES.name) | dict(seen.environment)))
    if any(isinstance(one, dict) and one.get("build") for one in (document.get("services") or {}).values()):
        found += kept_out(seen.root)
    return or_ok(found, AREA, f"the services of {COMPOSE} may do what they need and no more")


def values(file: Path) -> dict[str, str]:
    """NAME=value lines of a file of variables; none where there is no such file."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
    return {name.strip(): value.strip().strip("\"'") for name, _, value in pairs}


def findings(document: Any, images: Mapping[str, str], variables: Mapping[str, str]) -> Iterator[Finding]:
    """What is unsafe in a parsed compose document.

    Args:
        document: of a YAML reader, variables not put in.
        images: image files by name.
        variables: what the engine would put in.
    """
    services = document.get("services") if isinstance(document, dict) else None
    if not services:
        yield error(AREA, "names no services.", str(COMPOSE), f"git diff {COMPOSE}")
        return
    networks = document.get("networks") or {}
    internal = {name for name, one in networks.items() if (one or {}).get("internal") is True}
    for name, service in services.items():
        where = f"{COMPOSE}, {name}"
        yield from _privileges(where, service)
        yield from _limits(where, service)
        yield from built_or_pinned(where, service, images)
        yield from _reached(where, name, service, internal, variables)
        yield from _mounts(where, service)
        yield from _secrets(where, service)
    for name, text in images.items():
        yield from image_file(f"{FOLDER}/{name}", text)


def _privileges(where: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    user = filled(str(service.get("user", "")), {}).partition(":")[0]
    if user in {"", "0", "root"}:
        yield error(AREA, "runs as root.", where, 'user: "UID:GID" of somebody who owns its volumes alone')
    if service.get("privileged"):
        yield error(AREA, "is privileged: it may do to this machine what root may.", where, "take 'privileged' out")
    for kind in ("network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup"):
        if service.get(kind) == "host":
            yield error(AREA, f"shares the machine's own ({kind}: host).", where, f"take '{kind}' out")
    if "ALL" not in service.get("cap_drop", []):
        yield error(AREA, "keeps capabilities of the kernel that it needs none of.", where, "cap_drop: [ALL]")
    if given := service.get("cap_add"):
        yield error(AREA, f"is given capabilities of the kernel: {', '.join(given)}.", where, "take 'cap_add' out")
    options = [str(one).replace("=", ":") for one in service.get("security_opt", [])]
    if not {"no-new-privileges", "no-new-privileges:true"} & set(options):
        fix = 'security_opt: ["no-new-privileges:true"]'
        yield error(AREA, "lets a program gain privileges by setuid.", where, fix)
    for option in options:
        if option.endswith(("unconfined", "label:disable")):
            yield error(AREA, f"switches a guard of the kernel off ({option}).", where, "take it out of security_opt")
    if service.get("read_only") is not True:
        yield error(AREA, "may write to its own image.", where, "read_only: true, and tmpfs or volumes where it writes")


def _limits(where: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    limits = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    if not (service.get("mem_limit") or limits.get("memory")):
        yield warning(AREA, "may take all memory of this machine.", where, MEMORY)
    processes = service.get("pids_limit") or limits.get("pids") or 0
    if not isinstance(processes, str) and int(processes) <= 0:
        yield warning(AREA, "may start processes without end.", where, "pids_limit: 512")
    health = service.get("healthcheck") or {}
    if service.get("restart") != "no" and (not health.get("test") or health.get("disable")):
        what = "says nothing of its health: who waits for it waits in vain."
        yield warning(AREA, what, where, "healthcheck: {test: ...}")


def _reached(
    where: str, name: str, service: Mapping[str, Any], internal: set[str], variables: Mapping[str, str]
) -> Iterator[Finding]:
    for port in service.get("ports", []):
        host = port.get("host_ip", "") if isinstance(port, dict) else _host_of(filled(str(port), variables))
        if not is_loopback(filled(str(host), variables).strip("[]")):
            what = f"publishes a port to the network ({host or 'every address'})."
            yield error(AREA, what, where, '"127.0.0.1:PORT:PORT", and a proxy with TLS before it')
    on = service.get("networks") or ["default"]
    words = f"{name} {service.get('image', '')} {' '.join(map(str, _listed(service.get('command'))))}"
    if INNER.search(name if service.get("build") else words):
        if open_ones := sorted(set(on) - internal):
            what = f"is a database, broker or store on a network that leads out ({', '.join(open_ones)})."
            yield error(AREA, what, where, "networks: [one that has internal: true]")
        if service.get("ports"):
            yield error(AREA, "is a database, broker or store, and publishes a port.", where, "take 'ports' out")


def _host_of(port: str) -> str:
    """The address of HOST:PUBLISHED:TARGET; nothing where there is none."""
    found = re.fullmatch(r"(?:(?P<host>\[[^\]]*\]|[^:]*):)?[\d-]*:[\d-]+(?:/\w+)?", port)
    return (found["host"] or "") if found else ""


def _mounts(where: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    for volume in service.get("volumes", []):
        source = filled(str(volume.get("source", "") if isinstance(volume, dict) else volume.split(":")[0]), {})
        if source.rstrip("/").endswith("docker.sock"):
            yield error(AREA, "holds the engine's socket: it may start any container.", where, "take docker.sock out")
        elif (source.rstrip("/") or source) in HOST_FOLDERS:
            yield error(AREA, f"holds {source} of this machine.", where, "a named volume, or one folder of its own")


def _secrets(where: str, service: Mapping[str, Any]) -> Iterator[Finding]:
    environment = service.get("environment") or {}
    if isinstance(environment, list):
        environment = {one.partition("=")[0]: one.partition("=")[2] for one in environment}
    for name, value in environment.items():
        text = str(value if value is not None else "")
        path = filled(text, {}).startswith("/")
        if SECRET.search(name) and not path and not REQUIRED.fullmatch(text):
            what = f"has a default for the secret {name}, or starts without one."
            yield error(AREA, what, where, f"{name}: ${{{name}:?}}")
    for text in [*map(str, environment.values()), *map(str, _listed(service.get("command")))]:
        for login in LOGIN.finditer(text):
            if not REQUIRED.fullmatch(login["password"]):
                yield error(AREA, "holds a password inside a URL.", where, "scheme://user:${PASSWORD:?}@host")
        if re.search(r"(auth(-host|-local)?|HOST_AUTH_METHOD)[= ]trust|^trust$", text):
            yield error(AREA, "lets whoever reaches the database be anybody (trust).", where, "scram-sha-256")
    words = [*map(str, environment), *map(str, environment.values()), *map(str, _listed(service.get("command")))]
    if "redis" in str(service.get("image", "")) and not re.search("requirepass|REDIS_PASSWORD", " ".join(words)):
        yield error(AREA, "asks nobody for a password.", where, "--requirepass ${REDIS_PASSWORD:?}")


def _listed(command: Any) -> list[Any]:
    return command.split() if isinstance(command, str) else list(command or [])
