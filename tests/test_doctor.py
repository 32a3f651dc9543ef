"""`luthier doctor`: every fault made for real in a checkout of its own, found with its fix; a healthy one has none."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from tasks.data.files import free_bytes
from tasks.data.signing import signed
from tasks.doctor import CHECKS, examined, look
from tasks.health import pools, store
from tasks.health.finding import Finding, Verdict
from tasks.health.seen import AirflowSaid
from tasks.orchestrator import environment
from tasks.processes import MARK, Service, free_port
from tasks.processes import _record as record

ROOT = Path(__file__).resolve().parent.parent
EVERYWHERE = "0.0.0.0"  # noqa: S104  # what is to be found
LOGIN = "hunter2hunter2"
LISTEN = (
    "import socket, sys, time; s = socket.socket(); s.bind((sys.argv[1], int(sys.argv[2]))); s.listen(); time.sleep(99)"
)


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout as a fresh clone is, with Airflow's secrets made, and nothing exported."""
    root = tmp_path / "checkout"
    for name in ("params.yaml", "dvc.yaml", ".dvc/config", ".dvc/.gitignore", ".gitignore", "requirements.lock"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / name)
    shutil.copytree(ROOT / "dags", root / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    for name in list(os.environ):
        if name.startswith(("AIRFLOW", "MLFLOW_TRACKING", "MLFLOW_AUTH", "LUTHIER_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nobody"))
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "Tester")
    git(root, "config", "user.email", "tester@example.org")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--no-verify", "-m", "a clone")
    monkeypatch.chdir(root)
    environment(root, 8080)
    return root


def found(root: Path, area: str) -> list[Finding]:
    """What one area has to say that is not ok."""
    return [one for one in CHECKS[area](look(root)) if one.verdict in {Verdict.ERROR, Verdict.WARNING}]


def only(root: Path, area: str, verdict: Verdict) -> str:
    """The one finding of an area, as text; each has a fix."""
    (one,) = found(root, area)
    assert one.verdict is verdict, one
    assert one.fix
    return f"{one.where}: {one.what} {one.fix}"


@contextmanager
def process(*arguments: str, where: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of its own group, ended afterwards."""
    child = subprocess.Popen(
        [sys.executable, *arguments], cwd=where, env=os.environ | variables, start_new_session=True
    )
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def until_it_listens(host: str, port: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=1):
                return
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def a_dead_process() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_healthy_checkout_has_no_error_and_nothing_is_changed(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    started = time.monotonic()
    result = examined(look(root))
    assert [one for one in result if one.verdict is Verdict.ERROR] == []
    assert {"secrets", "open ports", "locks", "disk", "MLflow", "git"} <= {one.area for one in result}
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == before
    assert time.monotonic() - started < 5


def test_the_command_exits_with_1_and_its_json_holds_the_fix(root: Path) -> None:
    command = [sys.executable, "-m", "tasks.cli", "doctor"]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    well = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)
    assert well.returncode == 0, well.stdout + well.stderr
    assert "0 errors" in well.stdout
    (root / ".airflow/fernet").chmod(0o644)
    ill = subprocess.run([*command, "--json"], cwd=root, env=variables, capture_output=True, text=True, check=False)
    assert ill.returncode == 1
    rows = [row for row in json.loads(ill.stdout) if row["verdict"] == "error"]
    assert [row["fix"] for row in rows] == ["chmod 600 .airflow/fernet"]
    assert "1 error found" in ill.stderr


def test_no_library_that_takes_seconds_to_import_is_imported() -> None:
    code = "import sys, tasks.doctor; print({'torch', 'pandas', 'mlflow', 'dvc', 'airflow'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true", "error"),
        ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1", "error"),
        ("MLFLOW_BASIC_AUTH_FAIL_CLOSED", "false", "error"),
        ("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS", "True", "error"),
        ("AIRFLOW__API__HOST", EVERYWHERE, "error"),
        ("AIRFLOW__API__EXPOSE_CONFIG", "True", "warning"),
        ("MLFLOW_DISABLE_TELEMETRY", "false", "warning"),
        ("GX_ANALYTICS_ENABLED", "true", "warning"),
        ("HF_HUB_OFFLINE", "0", "warning"),
    ],
)
def test_an_exported_switch_that_is_unsafe_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, verdict: str
) -> None:
    monkeypatch.setenv(name, value)
    assert name in only(root, "settings", Verdict(verdict))


def test_what_a_running_service_was_started_with_counts_too(root: Path) -> None:
    (root / ".luthier").mkdir()
    unsafe = {MARK: "a mark", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    with process("-c", "import time; time.sleep(99)", where=root, **unsafe) as child:
        record(root, [Service("scheduler", child.pid, "a mark", 8080)])
        said = only(root, "settings", Verdict.ERROR)
    assert "the running scheduler" in said
    assert "luthier down" in said


def test_airflow_s_own_file_is_read(root: Path) -> None:
    (root / ".airflow/airflow.cfg").write_text("[core]\nsimple_auth_manager_all_admins = True\n[api]\nhost = 0.0.0.0\n")
    said = found(root, "settings")
    assert [(one.verdict, one.where) for one in said] == [(Verdict.ERROR, ".airflow/airflow.cfg")] * 2


@pytest.mark.parametrize("name", ["passwords.json", "fernet", "api_secret", "jwt_secret"])
@pytest.mark.parametrize("fault", ["mode", "empty", "gone", "sample"])
def test_a_secret_that_is_none_is_found_and_never_printed(root: Path, name: str, fault: str) -> None:
    path = root / ".airflow" / name
    sample = '{"admin": "password"}' if name == "passwords.json" else "airflow_jwt_secret"
    if fault == "mode":
        path.chmod(0o640)
    elif fault == "gone":
        path.unlink()
    else:
        path.write_text("" if fault == "empty" else sample)
    said = only(root, "secrets", Verdict.ERROR)
    assert f".airflow/{name}" in said
    assert sample not in said


def test_keys_that_manuals_print_or_that_can_be_guessed_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("46BKJoQYlPPOexq0OhDZnIlNepKFf87WFwLbfzqDDho=", "A" * 43 + "=", "short"):
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", key)
        assert key not in only(root, "secrets", Verdict.ERROR)
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", (root / ".airflow/fernet").read_text())
    assert found(root, "secrets") == []


def test_the_folder_of_secrets_and_the_signing_key_are_the_owner_s_alone(root: Path) -> None:
    signed({"made": "by the first use"})
    assert found(root, "secrets") == []
    (root / ".luthier/keys/signing.pem").chmod(0o644)
    assert "signing.pem" in only(root, "secrets", Verdict.ERROR)
    (root / ".luthier/keys/signing.pem").chmod(0o600)
    (root / ".airflow").chmod(0o755)
    assert "chmod 700 .airflow" in only(root, "secrets", Verdict.ERROR)


def test_a_signing_key_that_is_not_there_or_is_none_is_told_before_register(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_SIGNING_KEY", str(root / "no.pem"))
    assert "names no file" in only(root, "secrets", Verdict.ERROR)
    (root / "no.pem").write_text("nonsense")
    (root / "no.pem").chmod(0o600)
    assert "no Ed25519 key" in only(root, "secrets", Verdict.ERROR)


@pytest.mark.parametrize(
    "line",
    [
        "fetch_password: hunter2hunter2",
        "note: AKIA" + "ABCDEFGHIJKLMNOP",
        "url: s3://someone:hunter2hunter2@host/bucket",
        "note: hf_" + "a" * 34,
    ],
)
def test_a_secret_in_params_is_found_by_name_and_by_pattern(root: Path, line: str) -> None:
    with (root / "params.yaml").open("a") as file:
        file.write(f"{line}\n")
    said = only(root, "written secrets", Verdict.ERROR)
    assert "params.yaml" in said
    assert "hunter2" not in said


def test_credentials_of_a_remote_belong_into_the_local_file(root: Path) -> None:
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "remote", "add", "-d", "storage", "s3://bucket/luthier"], cwd=root, check=True)
    assert "verify true" in only(root, "DVC", Verdict.WARNING)
    subprocess.run([*dvc, "remote", "modify", "storage", "verify", "true"], cwd=root, check=True)
    assert found(root, "DVC") == []
    subprocess.run([*dvc, "remote", "modify", "storage", "secret_access_key", LOGIN], cwd=root, check=True)
    said = only(root, "written secrets", Verdict.ERROR)
    assert "dvc remote modify --local storage secret_access_key" in said
    assert LOGIN not in said
    subprocess.run([*dvc, "remote", "modify", "--unset", "storage", "secret_access_key"], cwd=root, check=True)
    local = [*dvc, "remote", "modify", "--local", "storage", "secret_access_key", LOGIN]
    subprocess.run(local, cwd=root, check=True)
    (root / ".dvc/config.local").chmod(0o600)
    assert found(root, "written secrets") == []
    (root / ".dvc/config.local").chmod(0o644)
    assert "chmod 600" in only(root, "written secrets", Verdict.WARNING)


def test_a_committed_key_is_found(root: Path) -> None:
    (root / "deploy.pem").write_text("any")
    git(root, "add", "deploy.pem")
    assert "deploy.pem" in only(root, "written secrets", Verdict.ERROR)


def test_pickles_code_and_links_in_models_are_found(root: Path, tmp_path: Path) -> None:
    (root / "models/tuned").mkdir(parents=True)
    (root / "models/tuned/model.safetensors").write_bytes(b"weights")
    assert found(root, "weights") == []
    (root / "models/tuned/training_args.bin").write_bytes(b"pickle")
    assert "training_args.bin" in only(root, "weights", Verdict.ERROR)
    (root / "models/tuned/training_args.bin").unlink()
    (tmp_path / "elsewhere").write_bytes(b"weights")
    (root / "models/tuned/more.safetensors").symlink_to(tmp_path / "elsewhere")
    assert "leads out of the checkout" in only(root, "weights", Verdict.ERROR)


@pytest.mark.parametrize(
    ("name", "extra", "verdict"),
    [
        ("mlflow", (), "error"),
        ("mlflow", ("--app-name", "basic-auth"), "warning"),
        ("airflow", ("api-server",), "error"),
        ("something", (), "warning"),
    ],
)
def test_a_socket_that_the_network_reaches_is_found(
    root: Path, name: str, extra: tuple[str, ...], verdict: str
) -> None:
    port = free_port(21000)
    words = (name, *extra)
    with process("-c", LISTEN, "127.0.0.1", str(port), *words, where=root):
        until_it_listens("127.0.0.1", port)
        assert not [one for one in found(root, "open ports") if f":{port}" in one.where]
    port = free_port(21000)
    with process("-c", LISTEN, EVERYWHERE, str(port), *words, where=root):
        until_it_listens("127.0.0.1", port)
        (one,) = [one for one in found(root, "open ports") if f":{port}" in one.where]
    assert one.verdict is Verdict(verdict)
    assert one.fix


def test_hosts_and_origins_of_mlflow_are_named_one_by_one(root: Path) -> None:
    port = free_port(21000)
    words = ("mlflow", "server", "--host", "127.0.0.1", "--allowed-hosts", "*")
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with process("-c", LISTEN, "127.0.0.1", str(port), *words, where=root, **quiet) as child:
        until_it_listens("127.0.0.1", port)
        said = [one for one in found(root, "open ports") if f"process {child.pid}" in one.where]
    assert [one.verdict for one in said] == [Verdict.ERROR]


def test_every_pool_that_the_dags_name_has_to_be_there(root: Path) -> None:
    (root / "dags/more.py").write_text('POOL = "gpu"\nsettings = {"pool": POOL}\ntask(pool="cpu" if x else POOL)\n')
    named = pools.named_pools(root)
    assert {"default_pool", "gpu", "cpu"} <= set(named)
    said = AirflowSaid(frozenset(), dict.fromkeys(named, 1) | {"cpu": 0})
    del said.pools["gpu"]  # type: ignore[attr-defined]
    errors = [one for one in pools.check(replace(look(root), airflow=said), 1) if one.verdict is Verdict.ERROR]
    assert [(one.where, "waits for ever" in one.what) for one in errors] == [("dags/more.py", True)] * 2


def test_a_service_that_died_is_told(root: Path) -> None:
    (root / ".luthier").mkdir()
    record(root, [Service("scheduler", a_dead_process(), "a mark", 8080)])
    assert "nobody said 'luthier down': scheduler" in only(root, "Airflow", Verdict.ERROR)


def test_a_damaged_record_of_the_services_is_told(root: Path) -> None:
    (root / ".luthier").mkdir()
    (root / ".luthier/services.json").write_text('[{"name": "sched')
    assert "services.json is damaged" in only(root, "Airflow", Verdict.ERROR).replace(": is", " is")


def test_a_damaged_lock_of_dvc_is_found_and_its_fix_mends_it(root: Path) -> None:
    (root / ".dvc/tmp").mkdir()
    lock = root / ".dvc/tmp/rwlock"
    lock.write_text('{"write": {"/da')  # killed while it wrote
    status = [sys.executable, "-m", "dvc", "status"]
    before = subprocess.run(status, cwd=root, capture_output=True, text=True, check=False)
    assert "corrupted" in before.stderr
    assert "rm .dvc/tmp/rwlock" in only(root, "locks", Verdict.ERROR)
    lock.unlink()
    assert subprocess.run(status, cwd=root, capture_output=True, check=False).returncode == 0
    assert found(root, "locks") == []


def test_a_lock_whose_holder_is_gone_differs_from_one_whose_holder_works(root: Path) -> None:
    (root / ".dvc/tmp").mkdir()
    lock = root / ".dvc/tmp/rwlock"

    def held_by(pid: int, age: float) -> None:
        lock.write_text(json.dumps({"write": {str(root / "data"): {"pid": pid, "cmd": "dvc repro"}}, "read": {}}))
        os.utime(lock, (time.time() - age,) * 2)

    held_by(a_dead_process(), 0)
    assert "was killed" in only(root, "locks", Verdict.WARNING)
    with process("-c", "import time; time.sleep(99)", where=root) as child:
        held_by(child.pid, 0)
        assert found(root, "locks") == []
        held_by(child.pid, 3600)  # written before this process began: another had its number
        assert "rm .dvc/tmp/rwlock" in only(root, "locks", Verdict.ERROR)


def test_a_lock_that_git_left_is_found_once_it_is_old(root: Path) -> None:
    lock = root / ".git/index.lock"
    lock.touch()
    assert found(root, "locks") == []
    os.utime(lock, (time.time() - 7200,) * 2)
    assert "2 hours ago" in only(root, "locks", Verdict.ERROR)


def test_workspaces_worktrees_and_their_locks_are_looked_at(root: Path) -> None:
    workspace = root / ".luthier/runs/seven-abc123"
    git(root, "worktree", "add", "--quiet", "-b", "runs/seven-abc123", str(workspace))
    (root / ".luthier/runs/.locks").mkdir()  # of the runs, and none itself
    os.utime(root / ".luthier/runs/.locks", (time.time() - 30 * 86400,) * 2)
    assert found(root, "leftovers") == []
    (workspace / ".dvc/tmp").mkdir()
    (workspace / ".dvc/tmp/rwlock").write_text("{")
    assert "rm .luthier/runs/seven-abc123/.dvc/tmp/rwlock" in only(root, "locks", Verdict.ERROR)
    for path in [workspace, *workspace.iterdir()]:
        os.utime(path, (time.time() - 30 * 86400,) * 2)
    said = only(root, "leftovers", Verdict.WARNING)
    assert "30 days old" in said
    assert "luthier runs remove seven-abc123" in said
    with process("-c", "import time; time.sleep(99)", where=workspace):
        assert found(root, "leftovers") == []
    shutil.rmtree(workspace)
    assert "git worktree prune" in only(root, "leftovers", Verdict.WARNING)


def test_a_process_that_outlived_its_service_is_found_and_another_checkout_s_is_not(root: Path, tmp_path: Path) -> None:
    with process("-c", "import time; time.sleep(99)", where=root, **{MARK: "of nobody"}) as child:
        assert f"kill {child.pid}" in only(root, "leftovers", Verdict.ERROR)
    with process("-c", "import time; time.sleep(99)", where=tmp_path, **{MARK: "of nobody"}):
        assert found(root, "leftovers") == []


def test_a_step_whose_runner_was_killed_is_found(root: Path) -> None:
    inner = "import time; time.sleep(99)"
    outer = (
        f"import subprocess, sys, pathlib; left = subprocess.Popen([sys.executable, '-c', {inner!r}]); "
        "pathlib.Path('left').write_text(str(left.pid))"
    )
    with process("-c", outer, where=root, LUTHIER_RUN="finetune_pipeline/manual__1") as runner:
        assert runner.wait() == 0
        said = only(root, "leftovers", Verdict.WARNING)
    assert "finetune_pipeline/manual__1" in said
    assert f"kill {(root / 'left').read_text()}" in said


def test_a_step_without_its_runner_is_found_though_the_scheduler_lives(root: Path) -> None:
    (root / ".luthier").mkdir()
    inner = "import time; time.sleep(99)"
    outer = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {inner!r}])"
    with process("-c", inner, where=root, **{MARK: "a mark"}) as scheduler:
        record(root, [Service("scheduler", scheduler.pid, "a mark", 8080)])
        assert found(root, "leftovers") == []
        with process("-c", outer, where=root, LUTHIER_RUN="study/one/point", **{MARK: "a mark"}) as runner:
            runner.wait()
            assert "study/one/point" in only(root, "leftovers", Verdict.WARNING)


def test_a_dag_file_that_no_python_reads_is_told_without_airflow(root: Path) -> None:
    (root / "dags/broken.py").write_text("chain(\n")
    assert "dags/broken.py, line 1" in only(root, "Airflow", Verdict.ERROR)


def test_runs_that_no_remote_holds_are_told(root: Path, tmp_path: Path) -> None:
    git(root, "branch", "runs/one-abc123")
    git(root, "init", "--quiet", "--bare", str(tmp_path / "far"))
    git(root, "remote", "add", "origin", str(tmp_path / "far"))
    assert any("git push origin" in one.what for one in CHECKS["git"](look(root)))


def test_params_that_cannot_be_read_or_lack_a_section_are_told(root: Path) -> None:
    document = yaml.safe_load((root / "params.yaml").read_text())
    del document["expand"]
    (root / "params.yaml").write_text(yaml.safe_dump(document))
    assert "'expand'" in only(root, "params.yaml", Verdict.ERROR)
    (root / "params.yaml").write_text("fetch: [")
    assert "no YAML" in only(root, "params.yaml", Verdict.ERROR)


def test_an_approver_who_cannot_sign_in_and_code_of_a_model_are_told(root: Path) -> None:
    text = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(text.replace("approvers: [admin]", "approvers: [ada]"))
    assert "nobody can approve" in only(root, "params.yaml", Verdict.ERROR)
    (root / "params.yaml").write_text(text + "\nmore: {trust_remote_code: true}\n")
    assert "trust_remote_code" in only(root, "params.yaml", Verdict.ERROR)


def test_a_package_of_another_version_than_locked_is_listed(root: Path) -> None:
    lock = root / "requirements.lock"
    lock.write_text(lock.read_text() + "psutil==0.1 \\\nno-such-package==1.0 \\\n")
    said = {one.verdict: one.what for one in found(root, "versions")}
    assert "psutil" in said[Verdict.WARNING]
    assert "no-such-package" in said[Verdict.ERROR]


def test_a_folder_without_git_or_without_a_commit_cannot_run(root: Path) -> None:
    shutil.rmtree(root / ".git")
    assert "no git repository" in only(root, "git", Verdict.ERROR)
    git(root, "init", "--quiet")
    assert "no commit" in only(root, "git", Verdict.ERROR)


def test_too_little_room_for_a_run_is_told_with_what_it_takes(root: Path) -> None:
    free = free_bytes(root)
    (root / ".luthier").mkdir()
    (root / ".luthier/estimate.json").write_text(json.dumps({"disk_bytes": free * 2}))
    assert "luthier estimate" in only(root, "disk", Verdict.ERROR)
    (root / ".luthier/estimate.json").write_text(json.dumps({"disk_bytes": free // 2}))
    assert "room for" in only(root, "disk", Verdict.WARNING)


def test_a_locked_database_and_an_address_where_nothing_answers_are_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(root / "mlflow.db", isolation_level=None)) as database:
        database.execute("CREATE TABLE runs (id)")
        assert found(root, "MLflow") == []
        database.execute("BEGIN IMMEDIATE")
        assert "is locked" in only(root, "MLflow", Verdict.ERROR)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ada:hunter2@127.0.0.1:{free_port(22000)}")
    said = only(root, "MLflow", Verdict.ERROR)
    assert "does not answer" in said
    assert "hunter2" not in said


def test_the_file_system_of_a_path_is_the_nearest_mount_s(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nhost:/x {tmp_path}/far nfs4 rw 0 0\n")
    assert store.kind_of_disk(tmp_path / "far/mlflow.db", mounts) == "nfs4"
    assert store.kind_of_disk(tmp_path / "near/mlflow.db", mounts) == "ext4"


@pytest.mark.service
def test_an_open_mlflow_server_is_found_takes_writes_and_is_told_when_it_hangs(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(23000)
    line = ["-m", "mlflow", "server", "--host", EVERYWHERE, "--port", str(port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{root}/mlflow.db"]  # fmt: skip
    with process(*line, where=root, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false") as child:
        until_it_listens("127.0.0.1", port)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert found(root, "MLflow") == []  # no experiment yet, and none is made
        api = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments"
        assert httpx.post(f"{api}/create", json={"name": "luthier"}, trust_env=False, timeout=60).is_success
        before = httpx.get(f"{api}/search?max_results=9", trust_env=False).json()
        assert [one.what for one in CHECKS["MLflow"](look(root))] == [
            f"http://127.0.0.1:{port} answers and takes writes"
        ]
        assert httpx.get(f"{api}/search?max_results=9", trust_env=False).json() == before
        verdicts = {one.where.split(",")[0]: one.verdict for one in found(root, "open ports")}
        assert verdicts[f"0.0.0.0:{port}"] is Verdict.ERROR
        os.killpg(child.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert "is silent" in only(root, "MLflow", Verdict.ERROR)
        assert time.monotonic() - started < 30
