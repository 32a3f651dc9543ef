"""docker/compose.yaml: each rule finds the one unsafe setting that is made in a good document, and names it."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.health.containers import check, findings
from tasks.health.finding import Finding, Verdict
from tasks.health.images import kept_out
from tests.surroundings import seen_of

ROOT = Path(__file__).resolve().parent.parent
DIGEST = "@sha256:" + "a" * 64
GOOD = f"""
x-safe: &safe
  user: "70:70"
  read_only: true
  cap_drop: [ALL]
  security_opt: ["no-new-privileges:true"]
  pids_limit: 512
  mem_limit: 1g
  healthcheck: {{test: [CMD, probe]}}
services:
  postgres:
    <<: *safe
    image: postgres:17.6{DIGEST}
    environment: {{POSTGRES_PASSWORD: "${{POSTGRES_PASSWORD:?}}", POSTGRES_INITDB_ARGS: "--auth-host=scram-sha-256"}}
    networks: [inside]
  redis:
    <<: *safe
    image: redis:8.2.1{DIGEST}
    command: [redis-server, --requirepass, "${{REDIS_PASSWORD:?}}"]
    networks: [inside]
  web:
    <<: *safe
    image: luthier:0.1.0
    build: {{context: .., dockerfile: docker/Dockerfile}}
    environment:
      DATABASE: "postgresql://web:${{DB_PASSWORD:?}}@postgres/web"
      SIGNING_KEY: ${{KEY_FILE:-/run/secrets/key}}
    volumes: ["state:/state"]
    ports: ["${{PUBLISH:-127.0.0.1}}:8080:8080"]
    networks: [inside, outside]
  setup:
    <<: *safe
    image: luthier:0.1.0
    build: {{context: .., dockerfile: docker/Dockerfile}}
    restart: "no"
    healthcheck: {{}}
    networks: [inside]
networks: {{inside: {{internal: true}}, outside: }}
"""
IMAGES = {"Dockerfile": f"ARG PYTHON=3.11.9\nFROM python:${{PYTHON}}{DIGEST} AS made\nFROM made\nUSER 50000:50000\n"}


def found(document: Any, images: dict[str, str] | None = None, **variables: str) -> list[Finding]:
    return list(findings(document, IMAGES if images is None else images, variables))


def good() -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load(GOOD))


def test_a_good_document_has_no_finding() -> None:
    assert found(good()) == []


def put(service: str, **values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["services"][service].update(values)


def without(service: str, key: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["services"][service].pop(key)


def variable(service: str, name: str, value: str) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["services"][service].setdefault("environment", {}).update({name: value})


E, W = Verdict.ERROR, Verdict.WARNING
UNSAFE: list[tuple[Callable[[dict[str, Any]], object], Verdict, str]] = [
    (without("web", "user"), E, "web runs as root"),
    (put("web", user="0:0"), E, "web runs as root"),
    (put("web", user="${WHO:-root}"), E, "web runs as root"),
    (put("web", read_only=False), E, "web may write to its own image"),
    (without("web", "read_only"), E, "web may write to its own image"),
    (put("web", cap_drop=["NET_RAW"]), E, "web keeps capabilities"),
    (put("web", cap_add=["SYS_ADMIN"]), E, "capabilities of the kernel: SYS_ADMIN"),
    (without("web", "security_opt"), E, "privileges by setuid"),
    (put("web", security_opt=["no-new-privileges:false"]), E, "privileges by setuid"),
    (put("web", security_opt=["no-new-privileges", "seccomp=unconfined"]), E, "seccomp:unconfined"),
    (put("web", privileged=True), E, "web is privileged"),
    (put("web", network_mode="host"), E, "network_mode: host"),
    (put("web", pid="host"), E, "pid: host"),
    (put("web", ipc="host"), E, "ipc: host"),
    (without("web", "mem_limit"), W, "all memory"),
    (without("web", "pids_limit"), W, "processes without end"),
    (put("web", pids_limit=-1), W, "processes without end"),
    (without("web", "healthcheck"), W, "nothing of its health"),
    (put("web", healthcheck={"test": ["CMD", "x"], "disable": True}), W, "nothing of its health"),
    (put("redis", image="redis"), E, "takes whatever 'redis' is"),
    (put("redis", image="redis:latest"), E, "takes whatever 'redis:latest' is"),
    (put("redis", image="registry:5000/redis"), E, "takes whatever"),
    (put("redis", image="redis:8.2.1"), W, "by its tag"),
    (put("web", build={"dockerfile": "docker/Other"}), E, "built from Other, which is not there"),
    (put("web", ports=["8080:8080"]), E, "publishes a port to the network (every address)"),
    (put("web", ports=["0.0.0.0:8080:8080"]), E, "publishes a port to the network (0.0.0.0)"),
    (put("web", ports=["[::]:8080:8080"]), E, "publishes a port to the network"),
    (put("web", ports=["8080"]), E, "publishes a port to the network"),
    (put("web", ports=[{"target": 8080, "published": "8080"}]), E, "publishes a port to the network"),
    (put("web", ports=[{"target": 8080, "host_ip": "10.0.0.1"}]), E, "publishes a port to the network (10.0.0.1)"),
    (put("redis", networks=["inside", "outside"]), E, "network that leads out (outside)"),
    (without("postgres", "networks"), E, "network that leads out (default)"),
    (lambda document: document["networks"]["inside"].pop("internal"), E, "postgres is a database, broker or store"),
    (put("postgres", ports=["127.0.0.1:5432:5432"]), E, "store, and publishes a port"),
    (put("web", volumes=["/var/run/docker.sock:/var/run/docker.sock"]), E, "the engine's socket"),
    (put("web", volumes=[{"type": "bind", "source": "/run/docker.sock", "target": "/x"}]), E, "the engine's socket"),
    (put("web", volumes=["/:/host:ro"]), E, "holds / of this machine"),
    (put("web", volumes=["/etc/:/host"]), E, "holds /etc/ of this machine"),
    (variable("web", "API_SECRET_KEY", "changeme"), E, "default for the secret API_SECRET_KEY"),
    (variable("web", "API_SECRET_KEY", "${API_SECRET_KEY:-changeme}"), E, "default for the secret API_SECRET_KEY"),
    (variable("web", "AWS_ACCESS_KEY_ID", "${AWS_ACCESS_KEY_ID}"), E, "default for the secret AWS_ACCESS_KEY_ID"),
    (variable("postgres", "POSTGRES_PASSWORD", ""), E, "default for the secret POSTGRES_PASSWORD"),
    (variable("web", "DATABASE", "postgresql://web:web@postgres/web"), E, "a password inside a URL"),
    (variable("web", "DATABASE", "postgresql://web:${P:-web}@postgres/web"), E, "a password inside a URL"),
    (put("web", command=["serve", "--broker=redis://:secret@redis/0"]), E, "a password inside a URL"),
    (variable("postgres", "POSTGRES_HOST_AUTH_METHOD", "trust"), E, "be anybody (trust)"),
    (variable("postgres", "POSTGRES_INITDB_ARGS", "--auth-host=trust"), E, "be anybody (trust)"),
    (put("redis", command=["redis-server"]), E, "asks nobody for a password"),
    (lambda document: document.pop("services"), E, "names no services"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "verdict", "said"), UNSAFE, ids=[row[2] for row in UNSAFE])
def test_every_unsafe_setting_is_found_and_nothing_else(
    change: Callable[[dict[str, Any]], object], verdict: Verdict, said: str
) -> None:
    document = good()
    change(document)
    told = found(document)
    assert told
    assert {one.verdict for one in told} == {verdict}
    assert all(one.fix for one in told)
    assert said in f"{told[0].where.rpartition(', ')[2]} {told[0].what}"
    assert len({one.what for one in told}) == 1


def test_what_a_variable_is_set_to_counts() -> None:
    assert "0.0.0.0" in found(good(), PUBLISH="0.0.0.0")[0].what  # noqa: S104  what is to be found
    assert found(good(), PUBLISH="[::1]") == []


@pytest.mark.parametrize(
    ("text", "verdict", "said"),
    [
        (IMAGES["Dockerfile"].replace(DIGEST, ""), W, "'python:3.11.9' by its tag"),
        (f"FROM python:latest\nFROM python:3{DIGEST}\nUSER 1\n", E, "whatever 'python:latest'"),
        (f"FROM python:3{DIGEST}\n", E, "ends as root"),
        (f"FROM python:3{DIGEST}\nUSER 1\nUSER root\n", E, "ends as root"),
    ],
)
def test_an_image_file_begins_at_a_pinned_base_and_ends_as_somebody(text: str, verdict: Verdict, said: str) -> None:
    (one,) = found(good(), {"Dockerfile": text})
    assert (one.verdict, one.where) == (verdict, "docker/Dockerfile")
    assert said in one.what


def test_the_doctor_reads_the_file_and_what_docker_env_says(tmp_path: Path) -> None:
    assert [one.verdict for one in check(seen_of(tmp_path))] == [Verdict.OK]
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/compose.yaml").write_text(GOOD)
    (tmp_path / "docker/Dockerfile").write_text(IMAGES["Dockerfile"])
    shutil.copyfile(ROOT / ".dockerignore", tmp_path / ".dockerignore")
    assert [one.verdict for one in check(seen_of(tmp_path))] == [Verdict.OK]
    (tmp_path / "docker/.env").write_text("# where to answer\nPUBLISH='0.0.0.0'\n")
    assert [one.verdict for one in check(seen_of(tmp_path))] == [Verdict.ERROR]
    (tmp_path / "docker/compose.yaml").write_text("services: [")
    assert "cannot be read" in check(seen_of(tmp_path))[0].what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, ".git, .airflow, .luthier, .dvc, docker/.env, docker/*.pem"),
        ("**\n!docker\n", "docker/.env, docker/*.pem"),
        ("**\n!docker\ndocker/.env\ndocker/*.pem\n!.luthier\n", "lets .luthier into"),
        (".git\n.airflow\n.dvc\ndocker/.env\ndocker/*.pem\n", "lets .luthier into"),
        ("**\n!tasks\ndocker/.env\ndocker/*.pem\n", ""),
        (".git\n.airflow\n.luthier\n.dvc\ndocker/.env\ndocker/*.pem\n", ""),
    ],
)
def test_what_an_image_copies_leaves_keys_and_passwords_out(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / ".dockerignore").write_text(text)
    told = list(kept_out(tmp_path))
    assert [one.verdict for one in told] == ([E] if said else [])
    assert not said or said in told[0].what


def test_the_stack_that_is_shipped_has_no_error() -> None:
    path = ROOT / "docker/compose.yaml"
    images = {file.name: file.read_text() for file in path.parent.glob("*Dockerfile*")}
    told = found(yaml.safe_load(path.read_text()), images)
    told += kept_out(ROOT)
    assert [f"{one.where}: {one.what}" for one in told if one.verdict is Verdict.ERROR] == []
