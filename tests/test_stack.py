"""The production stack, brought up for real: a pipeline through Celery workers, kills of its services, its closed doors.

python -m pytest tests/test_stack.py       # PostgreSQL and Redis installed; ten minutes beside other tests
"""

import re
from collections.abc import Iterator
from pathlib import Path

import boto3
import httpx
import psycopg2
import pytest
import redis
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tasks import stack
from tasks.errors import ParamsError
from tasks.stack_settings import HOME, places, secrets
from tests import planted
from tests.stack_ground import DAG, Stack, alone, in_parts, points, project, require_services

pytestmark = [pytest.mark.service, pytest.mark.long, pytest.mark.slow]
HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    require_services()
    with Stack.begin(in_parts(project(tmp_path_factory.mktemp("stack") / "small"), 2)) as stack:
        print(f"the stack was up after {stack.started_s:.0f} s")
        yield stack


@pytest.fixture(scope="module")
def expected(there: Stack) -> dict[str, str]:
    """What `dvc repro` comes to on one machine."""
    return alone(there.root, there.root.with_name("alone"))


@pytest.fixture(scope="module")
def run(there: Stack) -> str:
    return there.trigger()


def test_a_pipeline_goes_through_both_workers_to_a_version_and_is_what_dvc_repro_makes(
    there: Stack, run: str, expected: dict[str, str]
) -> None:
    assert there.wrong(run, expected, points(there.root.with_name("alone"))) == []
    (version,) = there.versions()
    assert version["name"] == "luthier"
    stored = there.bucket("mlflow")
    assert any("/artifacts/" in key and key.endswith("adapter_model.safetensors") for key in stored), stored[:20]
    stored = there.bucket("dvc")
    for path, md5 in there.lock(run).items():
        assert any(key.endswith(f"/{md5[:2]}/{md5[2:]}") for key in stored), path


def test_two_homes_share_nothing_but_the_stores(there: Stack, run: str) -> None:
    there.ended(run)
    states = there.root / HOME / "state"
    clones = [states / name / "project" for name in ("worker", "device-worker")]
    for clone in clones:
        assert "s3://dvc/luthier" in (clone / ".dvc/config.local").read_text()
        assert not (clone / "mlflow.db").exists()
    caches = [{path.name for path in (clone / ".dvc/cache/files").rglob("*") if path.is_file()} for clone in clones]
    assert all(caches) and caches[0] != caches[1]
    done = {name: task["queue"] for name, task in there.tasks(run).items()}
    assert {name for name, queue in done.items() if queue == "device"} == {"finetune", "predict_part", "predict"}


def test_predict_finds_every_shard_that_its_mapped_tasks_made(there: Stack, run: str) -> None:
    there.ended(run)
    tasks = [task for task in there.api.tasks(DAG, run) if task["task_id"].startswith("predict")]
    assert [task["state"] for task in tasks] == ["success"] * 3
    logs = {task["map_index"]: "\n".join(there.api.log(DAG, run, task)) for task in tasks}
    for index in (0, 1):
        assert f"predict {index + 1}/2" in logs[index]
    found = re.search(r"predict  (\d+) of (\d+) shards were there", logs[-1])
    assert found and found[1] == found[2], logs[-1]


def test_the_log_of_a_task_on_either_worker_is_read_in_airflow(there: Stack, run: str) -> None:
    there.ended(run)
    tasks = there.tasks(run)
    for name in ("validate", "finetune"):
        assert any(f"Running stage '{name}'" in line for line in there.api.log(DAG, run, tasks[name])), name


@pytest.mark.nightly
def test_whatever_service_dies_the_run_ends_the_same(there: Stack, run: str) -> None:
    """One kill or two in every stage; `python -m tests.stack_kills` does each service in each stage."""
    there.ended(run)
    once_more = there.trigger({"finetune.seed": 18})
    for stage, services in {
        "fetch": ["postgres"], "validate": ["redis"], "expand": ["objects", "worker"], "finetune": ["mlflow", "scheduler"],
        "predict": ["device-worker", "api-server"], "evaluate": ["dag-processor"], "register": ["triggerer"],
    }.items():  # fmt: skip
        there.reaches(once_more, stage)
        for service in services:
            there.kill(service)
    other = there.root.with_name("other")
    assert there.wrong(once_more, alone(there.root, other, {"finetune.seed": 18}), points(other)) == []
    assert {"postgres", "redis", "objects", "mlflow", "scheduler", "device-worker", "worker"} <= set(there.kept)


def test_nobody_gets_in_without_a_key(there: Stack) -> None:
    where, known = places(there.root), secrets(there.root)
    mlflow, airflow = f"http://{where['MLFLOW_PUBLIC']}", f"http://{where['AIRFLOW_PUBLIC']}"
    ask = httpx.Client(trust_env=False, timeout=60)
    search = "/api/2.0/mlflow/registered-models/search"
    assert ask.get(mlflow + search).status_code == 401
    assert ask.get(mlflow + search, auth=("admin", "password1234")).status_code == 401
    admin = ("admin", known["MLFLOW_ADMIN_PASSWORD"])
    assert ask.get(mlflow + search, auth=admin, headers={"Host": "evil.example"}).status_code == 403
    assert ask.get(f"{airflow}/api/v2/dags").status_code == 401
    token = ask.post(f"{airflow}/auth/token", json={"username": "admin", "password": "admin"})
    assert token.status_code == 401
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(HERE, int(where["REDIS_PORT"])).ping()
    for user, database in (("mlflow", "airflow"), ("airflow", "mlflow"), ("airflow", "mlflow_auth")):
        password = known[f"{user.upper()}_DB_PASSWORD"]
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            psycopg2.connect(host=HERE, port=where["POSTGRES_PORT"], user=user, password=password, dbname=database)
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(host=HERE, port=where["POSTGRES_PORT"], user="postgres", dbname="postgres", password=known["REDIS_PASSWORD"])


def test_a_key_of_the_object_store_opens_its_own_bucket_alone(there: Stack) -> None:
    there.bucket("dvc", "WORKER")
    there.bucket("mlflow", "MLFLOW")
    for identity, other in (("WORKER", "mlflow"), ("MLFLOW", "dvc")):
        with pytest.raises(ClientError, match="AccessDenied"):
            there.bucket(other, identity)
    url = f"http://{HERE}:{places(there.root)['S3_PORT']}"
    nobody = boto3.client("s3", endpoint_url=url, region_name="us-east-1", config=Config(signature_version=UNSIGNED))
    with pytest.raises(ClientError):
        nobody.list_objects_v2(Bucket="dvc")


def test_no_secret_is_found_in_any_store_or_log_after_a_run(there: Stack, run: str) -> None:
    there.ended(run)
    where, known = places(there.root), secrets(there.root)
    admin = f"postgresql://postgres:{known['POSTGRES_PASSWORD']}@{HERE}:{where['POSTGRES_PORT']}"
    s3 = {
        "endpoint_url": f"http://{HERE}:{where['S3_PORT']}", "region_name": "us-east-1",
        "aws_access_key_id": known["ADMIN_S3_KEY_ID"], "aws_secret_access_key": known["ADMIN_S3_SECRET"],
    }  # fmt: skip
    home = there.root / HOME
    stores = {name: planted.postgres(f"{admin}/{name}") for name in ("airflow", "mlflow", "mlflow_auth")}
    stores |= {f"bucket {name}": planted.bucket(name, **s3) for name in ("dvc", "mlflow")}
    stores["redis"] = planted.redis(f"redis://:{known['REDIS_PASSWORD']}@{HERE}:{where['REDIS_PORT']}/0")
    stores["git"] = planted.git(Path(where["GIT_URL"]))
    stores["task logs"] = planted.folder(home / "logs")
    stores["service logs"] = planted.folder(home / ".luthier/logs")
    stores["worktrees and caches"] = planted.folder(home / "state")
    assert planted.found(known, stores) == []


def test_a_second_start_starts_nothing_and_says_what_a_wrong_name_is(there: Stack) -> None:
    assert stack.up(there.root, say=lambda _: None) == []
    with pytest.raises(ParamsError, match=r"there is no service 'flower'; compose\.yaml has postgres, redis"):
        stack.up(there.root, ["flower"])
    assert all(stack.status(there.root).values())
