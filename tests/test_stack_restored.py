"""The production stack out of its backup, on a machine that has nothing else: docs/stack.md, *Backup*, as processes.

python -m pytest -m "" tests/test_stack_restored.py      # about five minutes on two cores
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks import stack
from tasks.runs.asked import slug_of
from tasks.stack_settings import HOME, SECRETS, declared, environment, places, secrets
from tests import small
from tests.stack_ground import DAG, Stack, project, require_services

pytestmark = [pytest.mark.service, pytest.mark.long, pytest.mark.slow, pytest.mark.nightly]
KEPT = ("objects.tar", "git.bundle", "stack.sql", "env", "signing")


def postgres(root: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of PostgreSQL's own programs, signed in as its administrator."""
    where = {"PGHOST": "127.0.0.1", "PGPORT": places(root)["POSTGRES_PORT"], "PGUSER": "postgres"}
    where |= {"PGPASSWORD": secrets(root)["POSTGRES_PASSWORD"]}
    return subprocess.run([program, *arguments], env=os.environ | where, text=True, capture_output=True, check=True)


def back_up_what_runs(there: Stack, to: Path) -> None:
    """The databases first: what they name is in the copies of the stores, which come later."""
    (to / "stack.sql").write_text(postgres(there.root, "pg_dumpall").stdout)
    small.call(Path(places(there.root)["GIT_URL"]), "git", "bundle", "create", "--quiet", str(to / "git.bundle"), "--all")
    shutil.copyfile(there.root / SECRETS, to / "env")
    shutil.copyfile(places(there.root)["SIGNING_KEY_FILE"], to / "signing")


def restore(root: Path, kept: Path, signing: Path) -> None:
    """Into new folders, before the first start."""
    shutil.copyfile(kept / "env", root / SECRETS)
    signing.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept / "signing", signing)
    (root / HOME / "s3").mkdir(parents=True)
    small.call(root, "tar", "-C", str(root / HOME / "s3"), "-xf", str(kept / "objects.tar"))
    small.call(root, "git", "clone", "--quiet", "--mirror", str(kept / "git.bundle"), str(root / HOME / "luthier.git"))
    stack.up(root, ["postgres"])
    said = postgres(root, "psql", "--quiet", "--output", os.devnull, "--file", str(kept / "stack.sql"), "postgres").stderr
    assert [line for line in said.splitlines() if "ERROR" in line and 'role "postgres" already exists' not in line] == []


def by_worker(root: Path, *command: str) -> str:
    """What a command says in a worker's own environment and clone, as `docker compose exec worker` gives it."""
    told = environment(root / HOME, declared(root)["worker"])
    clone = root / HOME / "state/worker/project"
    done = subprocess.run(command, cwd=clone, env=told, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seen(there: Stack, run: str) -> dict[str, Any]:
    """What people and machines know of a run, once it has ended."""
    states = there.ended(run)
    versions = [{key: one[key] for key in ("name", "version", "run_id", "source", "tags")} for one in there.versions()]
    steps = {one["run_id"]: there.steps(one["run_id"], "loss") for one in versions}
    return {"versions": versions, "steps": steps, "outputs": there.lock(run), "states": states}


def test_a_restored_stack_has_every_version_whole_and_goes_on(tmp_path: Path) -> None:
    require_services()
    root, kept = project(tmp_path / "small").resolve(), tmp_path / "kept"
    kept.mkdir()
    with Stack.begin(root) as there:
        run = there.trigger()
        before = seen(there, run)
        assert len(before["versions"]) == 1 and before["steps"]
        back_up_what_runs(there, kept)
        signing, data = Path(places(root)["SIGNING_KEY_FILE"]), Path(places(root)["POSTGRES_DATA"])
    small.call(root, "tar", "-C", str(root / HOME / "s3"), "-cf", str(kept / "objects.tar"), ".")  # it stands still
    assert sorted(path.name for path in kept.iterdir()) == sorted(KEPT)
    shutil.rmtree(root / HOME)
    for gone in (root / SECRETS, signing):
        gone.unlink()
    assert not data.exists()

    try:
        restore(root, kept, signing)
        with Stack.begin(root) as there:
            assert seen(there, run) == before
            by_worker(root, "luthier", "runs", "take", slug_of(f"{DAG}/{run}"))
            said = by_worker(root, "luthier", "lineage", "models:/luthier/1", "--verify")
            assert "models:/luthier/1 verified: " in said
            again = there.trigger({"finetune.seed": 18})
            assert set(there.ended(again).values()) <= {"success", "skipped"}
            assert [one["version"] for one in there.versions()] in (["1", "2"], ["2", "1"])
    finally:
        stack.down(root)
        shutil.rmtree(data, ignore_errors=True)
