"""Security as shipped: of every row of docs/security.md, the unsafe setting is made for real, and found or refused.

The rows are FAULTS, section 3. Each names the tests that fail where its guard is taken out; that they are there, a test
here says. What the rows have in common, a parametrised one does: a variable that is exported, and what the doctor says.
"""

import json
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import httpx
import pytest
import torch

from tasks.doctor import CHECKS
from tasks.errors import SourceError
from tasks.health import network, secrets, switches, versions, written
from tasks.health.finding import Verdict
from tasks.health.seen import Process
from tasks.model.load import load_base
from tasks.processes import free_port
from tests import toys
from tests.stores import POSTGRES, Server
from tests.surroundings import seen_of

ROOT = Path(__file__).resolve().parent.parent
DOC = (ROOT / "docs/security.md").read_text()
EVERYWHERE = "0.0.0.0"  # noqa: S104  what is to be found
E, W = Verdict.ERROR, Verdict.WARNING
ROWS = {
    "MLflow auth", "MLflow network", "MLflow pickles", "MLflow version floor", "Airflow auth", "Airflow secrets",
    "Secrets in logs", "Shell injection", "Weights", "Remote code", "Templates", "Containers", "Dependencies",
    "Model signing", "DVC credentials", "GX data docs", "Telemetry", "Path traversal",
}  # fmt: skip


# --- the page


def rows_of_the_page() -> dict[str, str]:
    lines = [line for line in DOC.splitlines() if line.startswith("| ") and not line.startswith(("| Row", "| ---"))]
    return {line.split("|")[1].strip(): line for line in lines}


def test_the_page_has_every_row_and_every_test_that_it_names_is_there() -> None:
    assert set(rows_of_the_page()) == ROWS
    for row, line in rows_of_the_page().items():
        named = re.findall(r"`(tests/\w+\.py)::(\w+)`", line)
        assert named, row
        for file, test in named:
            assert f"\ndef {test}(" in (ROOT / file).read_text(), f"{row}: {test}"


def test_every_area_that_the_page_names_is_one_of_the_doctor_s() -> None:
    named = DOC.split("doctor: ")[1:]
    assert len(named) > 20
    assert [text[:30] for text in named if not text.startswith(tuple(CHECKS))] == []


# --- what is exported

STRONG = "Zq8w7KdX0pLm3RtYvB5nJs2HfGc9TeAaUi4O"
SAMPLE = "81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs="
EXPORTED: list[tuple[str, str, str, str, Verdict]] = [
    ("MLflow auth", "settings", "MLFLOW_BASIC_AUTH_FAIL_CLOSED", "false", E),
    ("MLflow auth", "secrets", "MLFLOW_AUTH_ADMIN_PASSWORD", "password1234", E),
    ("MLflow auth", "secrets", "MLFLOW_AUTH_ADMIN_PASSWORD", "short", E),
    ("MLflow auth", "secrets", "MLFLOW_FLASK_SERVER_SECRET_KEY", "my-secret-key", E),
    ("MLflow network", "settings", "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "true", E),
    ("MLflow network", "settings", "MLFLOW_TRACKING_INSECURE_TLS", "true", W),
    ("MLflow pickles", "settings", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true", E),
    ("MLflow version floor", "settings", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true", W),
    ("Airflow auth", "settings", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True", E),
    ("Airflow auth", "settings", "AIRFLOW__API__HOST", EVERYWHERE, E),
    ("Airflow auth", "settings", "AIRFLOW__API__HOST", "::", E),
    ("Airflow secrets", "settings", "AIRFLOW__API__EXPOSE_CONFIG", "True", W),
    ("Airflow secrets", "settings", "AIRFLOW__API__EXPOSE_CONFIG", "non-sensitive-only", W),
    ("Airflow secrets", "secrets", "AIRFLOW__CORE__FERNET_KEY", SAMPLE, E),
    ("Airflow secrets", "secrets", "AIRFLOW__CORE__FERNET_KEY", "", E),
    ("Airflow secrets", "secrets", "AIRFLOW__API__SECRET_KEY", "temporary_key", E),
    ("Airflow secrets", "secrets", "AIRFLOW__API__SECRET_KEY", "a" * 40, E),
    ("Airflow secrets", "secrets", "AIRFLOW__API_AUTH__JWT_SECRET", "airflow_jwt_secret", E),
    ("Airflow secrets", "secrets", "AIRFLOW__API_AUTH__JWT_SECRET", "tooShort123", E),
    ("Weights", "settings", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1", E),
    ("Remote code", "settings", "HF_DATASETS_TRUST_REMOTE_CODE", "1", E),
    ("Telemetry", "settings", "MLFLOW_DISABLE_TELEMETRY", "false", W),
    ("Telemetry", "settings", "GX_ANALYTICS_ENABLED", "true", W),
    ("Telemetry", "settings", "HF_HUB_DISABLE_TELEMETRY", "0", W),
    ("Telemetry", "settings", "SCARF_NO_ANALYTICS", "false", W),
    ("Containers", "services", "MLFLOW_S3_ENDPOINT_URL", "http://objects.example.org:8333", W),
    ("Containers", "services", "AWS_ENDPOINT_URL", "http://10.0.0.7:9000", W),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "area", "name", "value", "verdict"), EXPORTED, ids=[f"{r[0]}: {r[2]}={r[3][:12]}" for r in EXPORTED]
)
def test_an_unsafe_variable_is_found_with_its_fix(
    row: str, area: str, name: str, value: str, verdict: Verdict, tmp_path: Path
) -> None:
    assert row in ROWS
    found = CHECKS[area](seen_of(tmp_path, {name: value}))
    assert [one.verdict for one in found] == [verdict]
    assert found[0].fix
    assert name in f"{found[0].where} {found[0].what}"
    assert len(value) < 12 or value not in found[0].what


@pytest.mark.parametrize("first", ["AIRFLOW__API__SECRET_KEY", "MLFLOW_FLASK_SERVER_SECRET_KEY"])
def test_two_secrets_that_are_one_are_found(first: str, tmp_path: Path) -> None:
    """Airflow secrets."""
    apart = {"AIRFLOW__API_AUTH__JWT_SECRET": STRONG, first: STRONG[::-1]}
    assert [one.verdict for one in secrets.check(seen_of(tmp_path, apart))] == [Verdict.OK]
    (one,) = secrets.check(seen_of(tmp_path, apart | {first: STRONG}))
    assert (one.verdict, "is the same secret as" in one.what) == (E, True)
    assert STRONG not in one.what


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("AIRFLOW_API_SECRET_KEY=changeme", "is a published sample|fewer than 32"),
        ("AIRFLOW_API_SECRET_KEY=", "is empty"),
        (f"REDIS_PASSWORD={STRONG[:8]}", "fewer than 12"),
        (f"AIRFLOW_FERNET_KEY={SAMPLE}", "published sample"),
        (f"MLFLOW_SECRET_KEY={STRONG}\nREDIS_PASSWORD={STRONG}", "is the same secret as MLFLOW_SECRET_KEY"),
    ],
)
def test_weak_secrets_of_the_stack_are_found(line: str, said: str, tmp_path: Path) -> None:
    """Airflow secrets, Containers."""
    (tmp_path / "docker").mkdir()
    file = tmp_path / "docker/.env"
    file.touch(mode=0o600)
    file.write_text(f"PUBLISH=127.0.0.1\nREDIS_PASSWORD={STRONG}\n")
    assert [one.verdict for one in secrets.check(seen_of(tmp_path))] == [Verdict.OK]
    file.write_text(f"{line}\n")
    (one,) = secrets.check(seen_of(tmp_path))
    assert one.verdict is E
    assert re.search(said, one.what)
    assert STRONG not in one.what
    file.write_text(f"REDIS_PASSWORD={STRONG}\n")
    file.chmod(0o644)
    assert "chmod 600" in secrets.check(seen_of(tmp_path))[0].fix


def test_airflow_s_own_file_may_not_open_it_either(tmp_path: Path) -> None:
    """Airflow auth."""
    (tmp_path / ".airflow").mkdir()
    (tmp_path / ".airflow/airflow.cfg").write_text(f"[api]\nhost = {EVERYWHERE}\nexpose_config = True\n")
    said = [(one.verdict, one.where) for one in switches.check(seen_of(tmp_path))]
    assert said == [(W, ".airflow/airflow.cfg"), (E, ".airflow/airflow.cfg")]


def test_a_sign_in_made_for_more_than_development_may_be_opened_behind_tls(tmp_path: Path) -> None:
    """Airflow auth."""
    opened = {"AIRFLOW__API__HOST": EVERYWHERE, "AIRFLOW__CORE__AUTH_MANAGER": "sign_in.Named"}
    (one,) = switches.check(seen_of(tmp_path, opened))
    assert (one.verdict, "put TLS before it" in one.what) == (W, True)


def test_older_versions_with_known_holes_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow version floor, Weights; and the lock is above both floors."""
    pins = dict(re.findall(r"^(mlflow|torch)==(\d+\.\d+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {name: tuple(map(int, pin.split("."))) >= versions.FLOORS[name] for name, pin in pins.items()} == {
        "mlflow": True, "torch": True,
    }  # fmt: skip
    before = [one for one in versions.check(seen_of(tmp_path, {"PATH": os.environ["PATH"]})) if one.verdict is E]
    old = {"mlflow": "3.10.1", "torch": "2.5.1"}
    monkeypatch.setattr(versions, "version", lambda name: old[name])
    now = [one.what for one in versions.check(seen_of(tmp_path, {"PATH": os.environ["PATH"]})) if one.verdict is E]
    assert len(now) - len(before) == 2
    assert sum("Known holes in" in what for what in now) == 2


# --- MLflow, really asked


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as `luthier up` starts it: with the hosts and origins that it may be asked by."""

    class Guarded(Server):
        def start(self) -> None:
            names = f"127.0.0.1:{self.port},localhost:{self.port}"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", names)
                patch.setenv("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", f"http://127.0.0.1:{self.port}")
                super().start()

    server = Guarded(tmp_path_factory.mktemp("mlflow"))
    server.start()
    try:
        server.wait()
        yield server
    finally:
        with suppress(ProcessLookupError):
            server.kill()


@pytest.mark.long
@pytest.mark.service
@pytest.mark.parametrize("host", ["evil.com", "10.evil.com", "127.0.0.1.evil.com", "mlflow:5000"])
def test_a_foreign_host_is_refused(mlflow: Server, host: str) -> None:
    """MLflow network: what a page does that rebinds its name to this machine."""
    there = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    assert httpx.get(mlflow.uri + there, trust_env=False).status_code == 200
    assert httpx.get(mlflow.uri + there, headers={"Host": host}, trust_env=False).status_code == 403


@pytest.mark.long
@pytest.mark.service
def test_a_foreign_origin_writes_nothing(mlflow: Server) -> None:
    """MLflow network."""
    make = f"{mlflow.uri}/api/2.0/mlflow/experiments/create"
    theirs = httpx.post(make, json={"name": "x"}, headers={"Origin": "http://evil.com"}, trust_env=False)
    assert theirs.status_code == 403
    ours = httpx.post(make, json={"name": "x"}, headers={"Origin": mlflow.uri}, trust_env=False)
    assert ours.status_code == 200


@pytest.mark.long
@pytest.mark.service
def test_an_artifact_s_path_cannot_lead_out_of_its_run(mlflow: Server) -> None:
    """Path traversal."""
    (mlflow.folder / "secret").write_text("of another")
    api = f"{mlflow.uri}/api/2.0/mlflow"
    made = httpx.post(f"{api}/runs/create", json={"experiment_id": "0"}, trust_env=False).json()
    run = made["run"]["info"]["run_id"]
    for path in ("../../../secret", "..%2f..%2f..%2fsecret", str(mlflow.folder / "secret")):
        answer = httpx.get(f"{mlflow.uri}/get-artifact?path={path}&run_uuid={run}", trust_env=False)
        assert answer.status_code >= 400, path
        assert "of another" not in answer.text


@pytest.mark.long
@pytest.mark.service
def test_a_sign_in_without_a_secret_of_its_own_does_not_start(tmp_path: Path) -> None:
    """MLflow auth."""
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--port", str(free_port(27000))]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/s.db"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False, timeout=120, start_new_session=True
    )
    assert done.returncode
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY" in done.stderr + done.stdout


def server_process(*options: str, **environment: str) -> Process:
    return Process(4, 1, ("mlflow", "server", *options), "/", {"HOME": "/"} | environment, 0.0)


def test_what_a_server_gives_to_everybody_who_signs_in_is_found(tmp_path: Path) -> None:
    """MLflow auth."""
    found = [
        one
        for one in CHECKS["MLflow"](seen_of(tmp_path, None, server_process("--app-name", "basic-auth")))
        if one.verdict is W
    ]
    assert "gives READ" in found[0].what
    config = tmp_path / "auth.ini"
    for given, verdicts in (("READ", [W]), ("EDIT", [W]), ("NO_PERMISSIONS", [])):
        config.write_text(f"[mlflow]\ndefault_permission = {given}\n")
        server = server_process("--app-name", "basic-auth", MLFLOW_AUTH_CONFIG_PATH=str(config))
        told = CHECKS["MLflow"](seen_of(tmp_path, None, server))
        assert [one.verdict for one in told if one.verdict in {E, W}] == verdicts, given


def test_a_server_that_starts_jobs_is_found(tmp_path: Path) -> None:
    """MLflow version floor: its jobs were open to whoever asked."""
    for value, verdicts in (("true", [W]), ("", [W]), ("false", [])):
        told = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": value} if value else {}
        found = CHECKS["open ports"](seen_of(tmp_path, None, server_process("--host", "127.0.0.1", **told)))
        assert [one.verdict for one in found if one.verdict in {E, W}] == verdicts


MAKE = """
import sys, mlflow, mlflow.pyfunc
class Trap(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input): return model_input
    def __reduce__(self): return (open, (sys.argv[2], "w"))
mlflow.pyfunc.save_model(sys.argv[1], python_model=Trap(), pip_requirements=[])
"""
OPEN = "import sys, tasks, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])"


@pytest.mark.long
def test_a_pickled_model_in_mlflow_runs_no_code(tmp_path: Path) -> None:
    """MLflow pickles; with the switch the other way it does run, or this would prove nothing."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")}
    own |= {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "PYTHONPATH": str(ROOT)}
    sprung, model = tmp_path / "sprung", str(tmp_path / "model")

    def python(code: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, env=own | more, cwd=tmp_path, capture_output=True, text=True, check=False)

    made = python(MAKE, model, str(sprung), MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true")
    assert made.returncode == 0, made.stderr
    sprung.unlink(missing_ok=True)
    refused = python(OPEN, model)
    assert refused.returncode
    assert "ickle" in refused.stderr
    assert not sprung.exists()
    python(OPEN, model, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true")
    assert sprung.exists()


# --- broker and database, really asked


@contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """A server on loopback that says one thing."""

    class Says(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1024)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Says) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.service
@pytest.mark.parametrize("password", ["", "known"])
def test_a_redis_that_answers_whoever_asks_is_found(password: str, tmp_path: Path) -> None:
    """Containers: the broker."""
    port = free_port(26000)
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    try:
        server = subprocess.Popen(
            [*command, *(["--requirepass", password] if password else [])], stdout=subprocess.DEVNULL
        )
    except FileNotFoundError:
        pytest.skip("redis-server is not installed")
    try:
        _until_it_listens(port)
        seen = seen_of(tmp_path, {"AIRFLOW__CELERY__BROKER_URL": f"redis://:{password}@127.0.0.1:{port}/0"})
        assert [one.verdict for one in network.check(seen)] == [Verdict.OK if password else W]
    finally:
        server.kill()
        server.wait()


def _until_it_listens(port: int) -> None:
    import socket  # noqa: PLC0415
    import time  # noqa: PLC0415

    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.service
def test_a_postgresql_that_trusts_whoever_asks_is_found(tmp_path: Path) -> None:
    """Containers: the database. The server here trusts, or asks by SCRAM: either is told as it is."""
    psycopg2 = pytest.importorskip("psycopg2")
    dsn = POSTGRES.format("postgres")
    try:
        with closing(psycopg2.connect(dsn.replace("+psycopg2", ""), connect_timeout=3)):
            pass  # it let us in without a password
    except psycopg2.OperationalError:
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432 for user postgres")
    (one,) = network.check(seen_of(tmp_path, {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": dsn}))
    assert (one.verdict, "without a password (trust)" in one.what) == (W, True)  # on loopback


@pytest.mark.parametrize(
    ("code", "verdict"), [(0, E), (3, W), (5, W), (10, Verdict.OK)], ids=["trust", "clear", "md5", "scram"]
)
def test_how_a_database_wants_to_be_convinced_is_read(
    code: int, verdict: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers: over the network trust is an error."""
    monkeypatch.setattr(network, "is_loopback", lambda _host: False)
    with _answering(b"R" + (8).to_bytes(4, "big") + code.to_bytes(4, "big")) as port:
        seen = seen_of(tmp_path, {"AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql://a:b@127.0.0.1:{port}/airflow"})
        assert [one.verdict for one in network.check(seen)] == [verdict]


# --- shell


SHELL = """
import copy, json, os, sys
sys.path.append(sys.argv[1])
from airflow.providers.standard.operators.bash import BashOperator
from command import command
line = "exec python -c 'import os; print(os.environ[\\"TYPED\\"])'"
ours = command("it", line, env={"TYPED": "{{ params | tojson }}"}, do_xcom_push=True)
theirs = BashOperator(task_id="other", bash_command="true {{ params.x }}", cwd=os.getcwd())
for typed in json.loads(sys.argv[2]):
    for kept in (ours, theirs):
        task, context = copy.deepcopy(kept), {"params": {"x": typed}, "ti": None}
        task.render_template_fields(context)
        try:
            said = BashOperator.execute(task, context)
        except Exception as error:
            said = type(error).__name__
        print(json.dumps([task.task_id, typed, said, os.path.exists("sprung")]))
        if os.path.exists("sprung"):
            os.remove("sprung")
"""


TYPED = ["$(touch sprung)", "`touch sprung`", "'; touch sprung; '", '"; touch sprung; "', "; touch sprung"]


@pytest.mark.service
def test_what_is_typed_into_the_form_is_never_a_command(tmp_path: Path) -> None:
    """Shell injection; Airflow's own operator, with the text in its command, does run it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own |= {"AIRFLOW_HOME": str(tmp_path / "home"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    command = [sys.executable, "-c", SHELL, str(ROOT / "dags"), json.dumps(TYPED)]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    assert len(rows) == 2 * len(TYPED), done.stderr[-2000:]
    for name, typed, said, sprung in rows:
        assert name == "other" or (json.loads(said), sprung) == ({"x": typed}, False)
    assert sum(sprung for name, _, _, sprung in rows if name == "other") >= 3


# --- weights and code that come with a model


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, sprung: str) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (self.sprung, "w")


def _model(folder: Path) -> Path:
    toys.model("causal").save_pretrained(folder)
    toys.tokenizer("causal").save_pretrained(folder)
    return folder


def test_weights_in_a_pickle_are_not_loaded(tmp_path: Path) -> None:
    """Weights."""
    folder = _model(tmp_path / "model")
    load_base(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(str(tmp_path / "sprung"))))
    with pytest.raises(SourceError, match="holds no model that can be loaded"):
        load_base(folder)
    assert not (tmp_path / "sprung").exists()


def test_torch_reads_a_pickle_as_weights_alone_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    """Weights: what TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD would switch off."""
    torch.save({"w": Trap(str(tmp_path / "sprung"))}, tmp_path / "evil.pt")
    (tmp_path / "sprung").unlink(missing_ok=True)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "evil.pt")
    assert not (tmp_path / "sprung").exists()
    code = "import sys, torch; torch.load(sys.argv[1])"
    forced = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "evil.pt")], env=forced, check=True, capture_output=True)
    assert (tmp_path / "sprung").exists()


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    """Remote code."""
    folder = _model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\nclass Evil: pass\n")
    with pytest.raises(SourceError, match="holds no model that can be loaded"):
        load_base(folder)
    assert not (tmp_path / "sprung").exists()


# --- credentials


@pytest.mark.parametrize(
    "url",
    ["https://someone:hunter2hunter2@example.org/r.git", f"https://{STRONG}@example.org/r.git",
     "ssh://someone:hunter2hunter2@example.org/r.git"],
)  # fmt: skip
def test_a_login_in_the_address_of_a_git_remote_is_found(url: str, tmp_path: Path) -> None:
    """DVC credentials."""
    for command in (["init", "--quiet"], ["remote", "add", "good", "git@example.org:r.git"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert [one.verdict for one in written.check(seen_of(tmp_path))] == [Verdict.OK]
    subprocess.run(["git", "remote", "add", "origin", url], cwd=tmp_path, check=True)
    (one,) = written.check(seen_of(tmp_path))
    assert (one.verdict, "git remote set-url origin" in one.fix) == (E, True)
    assert url not in one.what


@pytest.mark.parametrize("name", ["docker/.env", ".env", "deep/key.pem", ".dvc/config.local"])
def test_a_file_of_secrets_that_git_tracks_is_found(name: str, tmp_path: Path) -> None:
    """DVC credentials, Airflow secrets."""
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("x")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "--force", name], cwd=tmp_path, check=True)
    (one,) = written.check(seen_of(tmp_path))
    assert (one.verdict, one.where) == (E, name)


# --- telemetry


def test_every_switch_against_telemetry_is_set_by_importing_the_package(tmp_path: Path) -> None:
    """Telemetry; and a request to their makers would be seen: none is made by a step that imports them."""
    code = "import tasks, os, json; print(json.dumps(dict(os.environ)))"
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    told = json.loads(subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, check=True).stdout)
    for name, value in {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GX_ANALYTICS_ENABLED": "false",
                        "HF_HUB_DISABLE_TELEMETRY": "1", "SCARF_NO_ANALYTICS": "true", "DVC_NO_ANALYTICS": "1",
                        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}.items():  # fmt: skip
        assert told[name] == value
    assert "analytics = false" in (ROOT / ".dvc/config").read_text()


TRACKED = """
import tasks
import mlflow, time, great_expectations as gx
mlflow.set_tracking_uri("sqlite:///m.db")
with mlflow.start_run(): mlflow.log_param("a", 1)
gx.get_context(mode="ephemeral")
time.sleep(3)  # a thread of its own tells them
"""


@pytest.mark.long
def test_nothing_is_told_to_the_makers_of_what_is_used(tmp_path: Path) -> None:
    """Telemetry: every request would have to pass this proxy, and none does."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_error(502)

        do_GET = do_POST = do_CONNECT  # noqa: N815  names of http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    through = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "https_proxy"), f"http://127.0.0.1:{server.server_port}")
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)} | through
    told = {"MLFLOW_DISABLE_TELEMETRY": "false", "DO_NOT_TRACK": "false"}
    try:
        for more, known in (({}, False), (told, True)):
            command = [sys.executable, "-c", TRACKED]
            done = subprocess.run(command, env=bare | more, cwd=tmp_path, capture_output=True, check=False)
            assert done.returncode == 0, done.stderr
            assert bool(asked) == known, asked  # MLflow does ask them where it is told to
    finally:
        server.shutdown()
        server.server_close()
