"""Airflow and MLflow as processes: started in a folder of their own, asked, and ended."""

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tasks import processes, services
from tasks.devices import devices
from tasks.orchestrator import DEVICE, Airflow, ServiceError, password

pytestmark = pytest.mark.service
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the DAGs and Airflow and MLflow running in it; all of it is ended afterwards."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AIRFLOW", "MLFLOW_TRACKING"))]:
            patch.delenv(name)
        try:
            services.up(root)
            yield root
        finally:
            services.down(root)


def at_work_in(root: Path) -> list[psutil.Process]:
    """Every process that works in `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(root) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_all_services_run_and_say_where_they_are(root: Path) -> None:
    running = services.status(root)
    assert set(running) == {"api-server", "scheduler", "dag-processor", "triggerer", "mlflow"}
    said = services.addresses(root)
    assert running["api-server"].url in said
    assert running["mlflow"].url in said
    assert password(root) in said
    assert services.up(root) == []  # a second `up` finds them


def test_they_listen_on_loopback_alone(root: Path) -> None:
    listening = [
        connection.laddr.ip
        for process in at_work_in(root)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 2
    assert set(listening) == {"127.0.0.1"}


def test_airflow_lets_in_only_who_has_the_password(root: Path) -> None:
    url = services.status(root)["api-server"].url
    with httpx.Client(base_url=url, trust_env=False) as stranger:
        assert stranger.get("/api/v2/dags").status_code == 401
        for body in ({"username": "admin", "password": "admin"}, {"username": "admin", "password": ""}):
            assert stranger.post("/auth/token", json=body).status_code in (400, 401)
    with Airflow(url, "wrong") as airflow, pytest.raises(ServiceError, match="does not accept the password"):
        airflow.known("finetune_pipeline")
    with Airflow(url, password(root)) as airflow:
        assert airflow.call("GET", f"pools/{DEVICE}")["slots"] == len(devices())


def test_airflow_reads_the_dags_without_an_error(root: Path) -> None:
    with Airflow(services.status(root)["api-server"].url, password(root)) as airflow:
        deadline = time.monotonic() + 60
        names = ("finetune_pipeline", "promote_model", "rollback_model", "watch_raw_data")
        while not all(airflow.known(name) for name in names):
            assert airflow.import_errors() == []
            assert time.monotonic() < deadline
            time.sleep(0.5)


def test_mlflow_answers_under_its_own_name_only(root: Path) -> None:
    url = services.status(root)["mlflow"].url
    search = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert httpx.get(search, trust_env=False).status_code == 200
    for name in ("evil.example", "10.evil.example"):
        assert httpx.get(search, headers={"Host": name}, trust_env=False).status_code == 403


def test_secrets_are_for_their_owner_alone(root: Path) -> None:
    home = root / ".airflow"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for name in ("passwords.json", "fernet", "api_secret", "jwt_secret"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600


def test_down_ends_a_step_that_outlived_its_scheduler_and_nothing_else(root: Path) -> None:
    scheduler = services.status(root)["scheduler"]
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    settings = os.environ | {processes.MARK: scheduler.mark}
    step = subprocess.Popen(sleep, env=settings, cwd=root, start_new_session=True)
    bystander = subprocess.Popen(sleep, cwd=root)
    try:
        os.kill(scheduler.pid, 9)  # the step is nobody's child now
        assert "api-server" in services.down(root)
        assert step.wait(timeout=1) < 0
        assert bystander.poll() is None
        assert [process.pid for process in at_work_in(root)] == [bystander.pid]
        assert services.status(root) == {}
    finally:
        for child in (step, bystander):
            child.kill()
            child.wait()


def test_a_service_that_dies_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    with pytest.raises(ServiceError, match=r"(?s)mlflow ended while it started.*file is not a database"):
        services.up(tmp_path, ["mlflow"])
    assert services.status(tmp_path) == {}
    assert at_work_in(tmp_path) == []


def test_a_stale_record_ends_nobody_else(tmp_path: Path) -> None:
    (tmp_path / ".luthier/logs").mkdir(parents=True)
    processes._record(tmp_path, [processes.Service("scheduler", os.getpid(), "0" * 16, 8080)])
    assert services.status(tmp_path) == {}
    assert services.down(tmp_path) == []  # and this process goes on


def test_two_commands_do_not_start_services_at_once(tmp_path: Path) -> None:
    with services._locked(tmp_path), pytest.raises(ServiceError, match="wait for it"):
        services.down(tmp_path)


def test_an_mlflow_server_named_by_the_user_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert services.up(tmp_path, ["mlflow"]) == []


def test_a_port_is_promised_to_one_service_of_the_machine_at_a_time() -> None:
    mine = processes.free_port(8700)
    ask = "from tasks.processes import free_port; print(free_port(8700))"
    try:
        theirs = int(subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, check=True).stdout)
        assert theirs > mine
    finally:
        processes.give_ports()
    assert processes.free_port(8700) == mine
    processes.give_ports()
