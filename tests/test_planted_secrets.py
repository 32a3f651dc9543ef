"""No secret of the user's gets anywhere: a whole run under a real Airflow, failures among it, then every store is read.

python -m pytest tests/test_planted_secrets.py -m long      # one Airflow, one run: minutes
"""

import base64
import gzip
import json
import os
import sqlite3
import stat
import subprocess
import sys
import time
import uuid
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from tasks import services
from tasks.errors import ParamsError
from tasks.orchestrator import Airflow, password
from tasks.processes import free_port
from tasks.runs.asked import from_environment
from tasks.runs.branch import begin
from tests import planted, small
from tests.listening import listening
from tests.stores import POSTGRES, Server

SECRET = "zQ8+/planted=w7Kd&9"  # noqa: S105  what is looked for
DAG = "finetune_pipeline"
PATIENCE_S = 900


# --- the finder finds, in every kind of place


def one(place: planted.Place) -> list[planted.Hit]:
    return planted.found({"it": SECRET}, {"here": place})


@pytest.mark.parametrize(
    ("how", "content"),
    [
        ("plain", f"a {SECRET} b".encode()),
        ("url", f"http://u:{quote(SECRET, safe='')}@h".encode()),
        ("json", json.dumps({"é": 'a"' + SECRET}).encode()),
        ("hex", b"x'" + SECRET.encode().hex().encode()),
        *(("base64", base64.b64encode(b"u:" * 2 + b"x" * at + SECRET.encode() + b"!")) for at in range(3)),
        ("base64", base64.urlsafe_b64encode(SECRET.encode())),
        ("plain", gzip.compress(f"a {SECRET}".encode(), mtime=0)),
        ("plain", zlib.compress(f"a {SECRET}".encode())),
    ],
)
def test_every_spelling_is_found_and_its_absence_is_not(how: str, content: bytes) -> None:
    assert how in {hit.how for hit in one([("x", content)])} | ({"json"} if how == "json" else set())
    assert one([("x", content)])
    assert not planted.found({"it": SECRET.replace("7", "8")}, {"here": [("x", content)]})


def test_files_names_and_git_objects_of_no_ref_are_read(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file.log").write_text(f"...{SECRET}...")
    (tmp_path / "clean").write_text("nothing")
    assert [(hit.where, hit.how) for hit in one(planted.folder(tmp_path))] == [("deep/file.log", "plain")]
    small.call(tmp_path, "git", "init", "--quiet")
    small.call(tmp_path, "git", "hash-object", "-w", "deep/file.log")
    assert one(planted.git(tmp_path))[0].where.startswith("blob ")


def test_rows_of_sqlite_are_read(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        database.execute("CREATE TABLE kept (value BLOB)")
        database.execute("INSERT INTO kept VALUES (?)", (zlib.compress(SECRET.encode()),))
        database.commit()
    assert [hit.where for hit in one(planted.sqlite(tmp_path / "a.db"))] == ["kept"]


@pytest.mark.service
def test_rows_of_postgresql_are_read() -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    dsn = POSTGRES.replace("+psycopg2", "")
    try:
        admin = psycopg2.connect(dsn.format("postgres"), connect_timeout=3)
    except psycopg2.OperationalError:
        pytest.skip("no PostgreSQL answers on 127.0.0.1:5432 for user postgres")
    admin.autocommit = True
    name = f"planted_{uuid.uuid4().hex[:12]}"
    admin.cursor().execute(f"CREATE DATABASE {name}")
    try:
        with closing(psycopg2.connect(dsn.format(name))) as database, database.cursor() as cursor:
            cursor.execute("CREATE SCHEMA mine; CREATE TABLE mine.a (x jsonb); CREATE TABLE b (x bytea, y int)")
            cursor.execute("INSERT INTO mine.a VALUES (%s)", (json.dumps({"k": [SECRET]}),))
            cursor.execute("INSERT INTO b VALUES (%s, 1)", (SECRET.encode(),))
            database.commit()
        assert {hit.where for hit in one(planted.postgres(dsn.format(name)))} == {"mine.a", "public.b"}
    finally:
        admin.cursor().execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()


@pytest.mark.service
def test_every_kind_of_value_in_redis_is_read(tmp_path: Path) -> None:
    redis = pytest.importorskip("redis")
    port = free_port(26000)
    try:
        server = subprocess.Popen(
            ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path), "--requirepass", "known"],
            stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("redis-server is not installed")
    try:
        client = redis.Redis(port=port, password="known", db=3)  # noqa: S106
        _until(client.ping, redis.RedisError)
        client.set("a", SECRET)
        client.rpush("b", "x", SECRET)
        client.sadd("c", SECRET)
        client.zadd("d", {SECRET: 1})
        client.hset("e", "key", SECRET)
        client.xadd("f", {"key": SECRET})
        client.set(f"g/{SECRET}", "x")
        hits = one(planted.redis(f"redis://:known@127.0.0.1:{port}"))
        assert sorted(hit.where[:3] for hit in hits) == ["3/a", "3/b", "3/c", "3/d", "3/e", "3/f", "3/g"]
    finally:
        server.kill()
        server.wait()


@pytest.mark.service
def test_objects_of_a_bucket_are_read() -> None:
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        where: dict[str, Any] = {
            "endpoint_url": f"http://127.0.0.1:{server.get_host_and_port()[1]}", "region_name": "us-east-1",
            "aws_access_key_id": "any", "aws_secret_access_key": "any",
        }  # fmt: skip
        store = boto3.client("s3", **where)
        store.create_bucket(Bucket="dvc")
        store.put_object(Bucket="dvc", Key="files/00", Body=b"clean")
        store.put_object(Bucket="dvc", Key="files/01", Body=gzip.compress(SECRET.encode(), mtime=0))
        assert [hit.where for hit in one(planted.bucket("dvc", **where))] == ["files/01"]
    finally:
        server.stop()


# --- what is refused before it is kept


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"api_key": SECRET}, "'api_key', named like a secret"),
        ({"more": {"fetch.sources.a.url": f"s3://u:{quote(SECRET, safe='')}@h/b"}}, "'fetch.sources.a.url', a login inside a URL"),
        ({"more": {"fetch.sources.a.url": f"https://h/b?X-Amz-Signature={quote(SECRET, safe='')}"}}, "an address that is signed"),
        ({"more": {"finetune.hub.token": SECRET}}, "'finetune.hub.token', named like a secret"),
    ],
)
def test_a_secret_in_the_form_is_named_and_not_shown(
    asked: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_RUN", "dag/run")
    monkeypatch.setenv("LUTHIER_SET", json.dumps(asked))
    with pytest.raises(ParamsError, match="git, DVC and MLflow would keep it") as told:
        from_environment()
    assert named in str(told.value)
    assert SECRET not in str(told.value)


def test_a_login_in_params_yaml_reaches_no_commit_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = small.write(tmp_path / "small")
    document = yaml.safe_load((root / "params.yaml").read_text())
    document["fetch"]["sources"]["articles"]["url"] = f"https://u:{quote(SECRET, safe='')}@127.0.0.1:9/a.csv"
    (root / "params.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("LUTHIER_RUN", "dag/run")
    monkeypatch.delenv("LUTHIER_SET", raising=False)
    with pytest.raises(ParamsError, match=r"params\.yaml holds 'fetch\.sources\.articles\.url', a login inside a URL"):
        begin(root, from_environment())
    assert not one(planted.git(root))
    done = subprocess.run(
        [sys.executable, "-m", "tasks.fetch", "raw", "benchmarks", "base"],
        cwd=root, env=small.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "an address with a login or signature in it" in done.stderr
    assert not one([("said", (done.stdout + done.stderr).encode())])


# --- a whole run


class Ground:
    """A small project under a real Airflow and a real MLflow server, with a secret wherever a user may have one."""

    def __init__(self, root: Path, mlflow: Server, secrets: dict[str, str]) -> None:
        self.root, self.mlflow, self.secrets = root, mlflow, secrets
        self.said: list[tuple[str, bytes]] = []

    def step(self, *words: str, **environment: str) -> int:
        """What a command comes to; all that it says is kept."""
        command = [sys.executable, "-m", *words]
        done = subprocess.run(
            command, cwd=self.root, env=small.environment() | os.environ | environment, capture_output=True, check=False
        )
        self.said.append((" ".join(words), done.stdout + done.stderr))
        return done.returncode

    def places(self) -> dict[str, planted.Place]:
        """Everything that is kept; what a user wrote a secret into is left out where they wrote it."""
        theirs = {".git/config", ".dvc/config.local"}
        left_out = ("toy/", ".git/objects/", "models/", ".airflow/airflow.db")  # git and databases are read by rows

        def skip(name: str) -> bool:
            return name in theirs or name.startswith(left_out) or name.endswith("/.dvc/config.local")

        return {
            "checkout": planted.folder(self.root, skip),
            "git": planted.git(self.root),
            "Airflow": planted.sqlite(self.root / ".airflow/airflow.db"),
            "MLflow": planted.sqlite(self.mlflow.folder / "s.db"),
            "MLflow's files": planted.folder(self.mlflow.folder),
            "what was said": self.said,
        }


NAMES = (
    "AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN", "tracking address", "webhook", "git remote",
    "DVC remote", "connection", "variable", "AIRFLOW_CONN", "AIRFLOW_VAR", "conf", "form address", "source",
)  # fmt: skip


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("planted")
    root = small.write(folder / "small")
    schedule = yaml.safe_load((root / "dags/schedule.yaml").read_text())
    schedule["retries"] |= {"count": 0}
    schedule["watch"]["cron"] = "0 0 1 1 *"
    (root / "dags/schedule.yaml").write_text(yaml.safe_dump(schedule))
    small.commit(root, "no second try")
    secrets = {name: f"zQ8+/{uuid.uuid4().hex[:14]}=w{number}&" for number, name in enumerate(NAMES)}
    quoted = {name: quote(value, safe="") for name, value in secrets.items()}
    small.call(root, "git", "remote", "add", "origin", f"http://planted:{quoted['git remote']}@127.0.0.1:9/repo.git")
    small.call(folder, "git", "init", "--quiet", "--bare", "bare.git")
    small.call(root, "git", "remote", "add", "bare", str(folder / "bare.git"))
    dvc = ["dvc", "remote"]
    small.call(root, *dvc, "add", "--local", "-d", "storage", "s3://bucket/luthier")
    for key, value in {"endpointurl": "http://127.0.0.1:9", "secret_access_key": secrets["DVC remote"],
                       "access_key_id": "any"}.items():  # fmt: skip
        small.call(root, *dvc, "modify", "--local", "storage", key, value)
    (folder / "mlflow").mkdir()
    mlflow = Server(folder / "mlflow")
    with pytest.MonkeyPatch.context() as patch, listening() as (hook, _):
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING", "LUTHIER_"))]:
            patch.delenv(name)
        mlflow.start()
        for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "HF_TOKEN"):
            patch.setenv(name, secrets[name])
        patch.setenv("AWS_ACCESS_KEY_ID", "any")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        patch.setenv("MLFLOW_TRACKING_USERNAME", "planted")
        patch.setenv("MLFLOW_TRACKING_URI", f"http://planted:{quoted['tracking address']}@127.0.0.1:{mlflow.port}")
        patch.setenv("LUTHIER_ALERT_URL", f"{hook}/services/{quoted['webhook']}")
        patch.setenv("AIRFLOW_CONN_STORE", f"http://planted:{quoted['AIRFLOW_CONN']}@store")
        patch.setenv("AIRFLOW_VAR_PLANTED", secrets["AIRFLOW_VAR"])
        try:
            mlflow.wait()
            services.up(root)
            yield Ground(root, mlflow, secrets)
        finally:
            services.down(root)
            with suppress(ProcessLookupError):
                mlflow.kill()


def _until(ready: Any, *patient_with: type[BaseException]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with suppress(*patient_with):
            if ready():
                return
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.5)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.service
@pytest.mark.nightly
def test_after_a_run_and_failures_no_store_holds_a_planted_secret(ground: Ground) -> None:
    root, secrets = ground.root, ground.secrets
    with Airflow(services.status(root)["api-server"].url, password(root)) as api:
        _until(lambda: api.known(DAG))
        kept = {"connection_id": "kept", "conn_type": "http", "password": secrets["connection"]}
        api.call("POST", "connections", kept)
        api.call("POST", "variables", {"key": "api_key", "value": secrets["variable"]})
        address = f"https://u:{quote(secrets['form address'], safe='')}@127.0.0.1:9/x.csv"
        asked: dict[str, dict[str, Any]] = {
            "success": {}, "api_key": {"api_key": secrets["conf"]},
            "more": {"more": {"fetch.sources.articles.url": address}},
        }  # fmt: skip
        states = {}
        for name, conf in asked.items():
            run = api.call("POST", f"dags/{DAG}/dagRuns", {"logical_date": None, "conf": conf})["dag_run_id"]
            _until(lambda run=run: api.state(DAG, run) in {"success", "failed"})
            states[name] = api.state(DAG, run)
            tasks = {task["task_id"]: task for task in api.tasks(DAG, run)}
            ground.said += [(f"{name} {task}", "\n".join(api.log(DAG, run, one)).encode())
                            for task, one in tasks.items() if one["start_date"]]  # fmt: skip
    told = "\n".join(text.decode()[-1500:] for name, text in ground.said if name.startswith("success"))
    assert states == {"success": "success", "api_key": "failed", "more": "failed"}, told
    workspace = "tasks.workspace"
    assert ground.step(workspace, "fetch", LUTHIER_RUN="by-hand/1", LUTHIER_GIT_REMOTE="origin") == 75  # git
    assert ground.step(workspace, "fetch", LUTHIER_RUN="by-hand/2", LUTHIER_GIT_REMOTE="bare") in {1, 75}  # DVC
    document = yaml.safe_load((root / "params.yaml").read_text())
    document["fetch"]["sources"]["articles"]["url"] = f"https://u:{quote(secrets['source'], safe='')}@127.0.0.1:9/x.csv"
    written = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(yaml.safe_dump(document))
    assert ground.step("tasks.fetch", "raw", "benchmarks", "base") == 1
    assert ground.step(workspace, "fetch", LUTHIER_RUN="by-hand/3") == 1
    assert ground.step("tasks.cli", "doctor", "--json") == 1
    (root / "params.yaml").write_text(written)
    ground.mlflow.kill()
    assert ground.step("tasks.register") in {1, 75}
    assert ground.step("tasks.cli", "doctor") == 1
    hits = planted.found(secrets, ground.places())
    # Airflow keeps what was typed into its form, encrypted or not as its database is: docs/security.md says so.
    typed = {("conf", "Airflow"), ("form address", "Airflow")}
    assert [hit for hit in hits if (hit.secret, hit.place) not in typed] == []
    assert typed <= {(hit.secret, hit.place) for hit in hits}  # the finder looks where they are
    for copy in root.glob(".luthier/runs/*/.dvc/config.local"):  # DVC needs it there
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
