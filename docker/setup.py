"""What all services of the stack need, made once: databases, buckets, the git repository, the first user, the pool.

    sh docker/airflow.sh setup       # databases, buckets, repository: the service `setup` of compose.yaml
    sh docker/airflow.sh migrate     # Airflow's tables, its first user, its pool: the service `migrate`

Each part finds what is there and makes what lacks: after an upgrade, a new password or a kill it is run again.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
import psycopg2
from botocore.config import Config
from botocore.exceptions import ClientError
from psycopg2 import sql

DATABASES = {"airflow": "airflow", "mlflow": "mlflow", "mlflow_auth": "mlflow"}  # and whose
BUCKETS = ("dvc", "mlflow")
USER = "admin"


def databases(url: str, passwords: dict[str, str]) -> None:
    """A user for each service, who owns its databases and sees no other's."""
    with_admin = psycopg2.connect(url)
    with_admin.autocommit = True  # CREATE DATABASE is no part of a transaction
    with with_admin.cursor() as ask:
        for name, password in passwords.items():
            ask.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name])
            verb = "ALTER" if ask.fetchone() else "CREATE"
            role = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}")
            ask.execute(role.format(sql.Identifier(name), sql.Literal(password)))
        for name, owner in DATABASES.items():
            ask.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
            if not ask.fetchone():
                ask.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*map(sql.Identifier, (name, owner))))
                ask.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    with_admin.close()


def buckets(endpoint: str) -> None:
    """One for DVC, one for MLflow; a key opens one of them."""
    store = boto3.client("s3", endpoint_url=endpoint, config=Config(retries={"max_attempts": 10}))
    for name in BUCKETS:
        try:
            store.head_bucket(Bucket=name)
        except ClientError:
            store.create_bucket(Bucket=name)


def repository(source: Path, where: Path) -> None:
    """The bare repository that carries runs from worker to worker, with the source's commits on its main."""
    git = ["git", "-c", "safe.directory=*"]
    if not where.exists():
        new = where.with_name(where.name + ".new")
        subprocess.run(["rm", "-rf", new], check=True)
        subprocess.run([*git, "init", "--quiet", "--bare", "--initial-branch=main", new], check=True)
        new.rename(where)
    subprocess.run([*git, "push", "--quiet", where, "HEAD:refs/heads/main"], cwd=source, check=True)


def airflow(password: str, slots: int) -> None:
    """Airflow's tables, its first user, and the pool that DAGs name."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    from airflow.models.pool import Pool  # noqa: PLC0415  # after the tables are there
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder  # noqa: PLC0415

    with get_application_builder() as builder:  # not by its command line, which would show the password
        people = builder.sm
        if known := people.find_user(USER):
            people.reset_password(known.id, password)
        else:
            role = people.find_role("Admin")
            people.add_user(USER, "First", "Admin", f"{USER}@localhost", role, password)
    told = "tasks that train or answer, a slot for each device"
    Pool.create_or_update_pool("device", slots, told, include_deferred=False)


def main(which: str) -> None:
    """Make what lacks, and say how long each part took."""
    given = os.environ

    def passwords() -> dict[str, str]:
        return {"airflow": given["AIRFLOW_DB_PASSWORD"], "mlflow": given["MLFLOW_DB_PASSWORD"]}

    parts = {
        "setup": {
            "databases": lambda: databases(given["POSTGRES_ADMIN_URL"], passwords()),
            "buckets": lambda: buckets(given["S3_ENDPOINT"]),
            "repository": lambda: repository(Path(given["SOURCE"]), Path(given["GIT_URL"])),
        },
        "migrate": {"airflow": lambda: airflow(given["AIRFLOW_ADMIN_PASSWORD"], int(given["DEVICE_SLOTS"]))},
    }[which]
    for name, make in parts.items():
        since = time.monotonic()
        make()
        print(f"{which}: {name} in {time.monotonic() - since:.1f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
