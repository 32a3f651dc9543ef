"""What the stack's services are told on this machine: secrets, hosts, ports, folders, and their whole environment.

services = declared(root)       # docker/compose.yaml with docker/.env and this machine's places put in
"""

import base64
import hashlib
import os
import secrets as random
import sys
import tempfile
from pathlib import Path

from tasks.compose import Declared, read, required
from tasks.data.files import read_json, write_json
from tasks.data.signing import own_key
from tasks.devices import devices
from tasks.orchestrator import ServiceError
from tasks.processes import free_port

COMPOSE = Path("docker/compose.yaml")
SECRETS = Path("docker/.env")
HOME = Path(".luthier/stack")
PORTS_FILE = "ports.json"
PORTS = {"AIRFLOW": 8080, "MLFLOW": 5000, "POSTGRES": 5442, "REDIS": 6390, "S3": 8333}
PASSED_ON = ("PATH", "LANG", "TMPDIR", "PIP_", "SSL_CERT", "REQUESTS_CA", "HTTP_PROXY", "HTTPS_PROXY", "OPENBLAS_")


def secrets(root: Path) -> dict[str, str]:
    """What docker/.env holds; what lacks there is made, of random bytes, readable by its owner alone."""
    file = root / SECRETS
    lines = file.read_text().splitlines() if file.is_file() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if lacking := [name for name in required(root / COMPOSE) if not found.get(name)]:
        made = {name: random.token_urlsafe(32) for name in lacking}
        if "AIRFLOW_FERNET_KEY" in made:
            made["AIRFLOW_FERNET_KEY"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as out:
            out.write("".join(f"{name}={value}\n" for name, value in made.items()))
        found |= made
    return found


def choose_ports(root: Path) -> None:
    """Ports that are free now, kept from others until `give_ports`: only while nothing of the stack runs."""
    found = {name: free_port(first) for name, first in PORTS.items()} | {"SEAWEED": free_port(9300, together=8)}
    write_json(root / HOME / PORTS_FILE, found)


def places(root: Path) -> dict[str, str]:
    """Hosts, ports and folders of this machine, for the variables of compose.yaml.

    Raises:
        ServiceError: the stack was never started here.
    """
    home = root / HOME
    if not (home / PORTS_FILE).is_file():
        raise ServiceError(f"the stack was never started in {root}: make stack.")
    ports = read_json(home / PORTS_FILE)
    here = "127.0.0.1"
    found = {f"{name}_{part}": here for name in PORTS for part in ("HOST", "BIND", "PROBE")}
    found |= {f"{name}_PORT": str(port) for name, port in ports.items()}
    found |= {f"{name}_PUBLIC": f"{here}:{ports[name]}" for name in ("AIRFLOW", "MLFLOW")}
    found |= {f"{name}_DATA": str(home / name.lower()) for name in ("REDIS", "S3")}
    return found | {
        "POSTGRES_DATA": str(_postgres_data(home)),
        "MLFLOW_ALLOWED_HOSTS": f"{here}:{ports['MLFLOW']},localhost:{ports['MLFLOW']}",
        "STATE": str(home / "state"), "LOGS": str(home / "logs"), "LUTHIER_HOME": str(root), "SOURCE": str(root),
        "GIT_URL": str(home / "luthier.git"), "SIGNING_KEY_FILE": str(own_key(root).resolve()),
        "WORKER_TMP": tempfile.gettempdir(),
        "DEVICE_SLOTS": os.environ.get("DEVICE_SLOTS") or str(len(devices())),
    }  # fmt: skip


def _postgres_data(home: Path) -> Path:
    """PostgreSQL does not run as root, and another user may not be let into our folders."""
    if os.geteuid() != 0:
        return home / "postgres"
    return Path("/var/tmp") / f"luthier-postgres-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"  # noqa: S108


def declared(root: Path) -> dict[str, Declared]:
    """The services of compose.yaml, for this machine."""
    return read(root / COMPOSE, os.environ | secrets(root) | places(root))


def environment(home: Path, service: Declared) -> dict[str, str]:
    """Its own, and of ours what says how this machine reaches programs and packages: no container has more."""
    ours = {key: value for key, value in os.environ.items() if key.upper().startswith(PASSED_ON)}
    ours["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    state = home / "state" / service.name
    state.mkdir(parents=True, exist_ok=True)
    return ours | {"HOME": str(state)} | dict(service.environment)
