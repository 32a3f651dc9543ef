"""`luthier runs`: a person sees the scheduler's runs, takes one's results home, and clears it away."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.chain.git import git
from tasks.errors import LineageError, LineageOutageError, LuthierError, OutageError
from tasks.runs import home
from tasks.runs.asked import slug_of
from tests.workspaces import call, commit, step, write

ROOT = Path(__file__).resolve().parent.parent
RUN = "d/manual__2026-11-26T17:24:00+00:00"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a run that has done two of three stages, with a seed of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(write(tmp_path / "here"))
    root = Path.cwd()
    for name in ("fetch", "validate"):
        step(root, name, RUN, {"finetune.seed": 3})
    return root


def luthier(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.cli", *arguments], capture_output=True, text=True, check=False,
        env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_run_is_listed_taken_and_removed(root: Path) -> None:
    (known,) = home.runs(root)
    assert (known.run, known.slug, known.done) == (RUN, slug_of(RUN), ["fetch", "validate"])
    assert known.worktree == root / ".luthier/runs" / known.slug
    listed = luthier("runs")
    assert known.slug in listed
    assert "validate" in listed
    step(root, "finetune", RUN)
    assert "are those of" in luthier("runs", "take", known.slug[-6:])  # its last letters name it
    assert json.loads((root / "models/tuned.json").read_text())["finetune"]["seed"] == 3
    assert "seed: 3" in (root / "params.yaml").read_text()
    assert luthier("runs", "remove", known.slug) == f"{known.slug} is removed.\n"
    assert home.runs(root) == []
    assert not known.worktree.exists()
    assert "No run yet" in luthier("runs")


def test_results_that_another_machine_made_are_taken_out_of_dvc_s_remote(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote, other, (known,) = tmp_path / "remote", tmp_path / "other", home.runs(root)
    home.take(root, known)
    call(root, "dvc", "remote", "add", "--local", "--default", "there", str(remote))
    call(root, "dvc", "push", "--quiet")
    call(root, "git", "clone", "--quiet", str(root), str(other))
    monkeypatch.chdir(other)
    monkeypatch.setenv("LUTHIER_GIT_REMOTE", "origin")
    known = home.found(other, known.slug)
    with pytest.raises(LuthierError, match=r"not in DVC's cache here, and there is no remote .*: data/.* Take it on"):
        home.take(other, known)
    call(other, "dvc", "remote", "add", "--local", "--default", "there", str(remote))
    home.take(other, known)
    assert (other / "data/valid.csv").exists()
    shutil.rmtree(remote)  # what is here needs no remote
    home.take(other, known)


def test_changes_that_nobody_committed_are_not_taken_over(root: Path) -> None:
    (known,) = home.runs(root)
    params = root / "params.yaml"
    params.write_text(params.read_text() + "# mine\n")
    with pytest.raises(LuthierError, match=r"params\.yaml has changes that are not committed"):
        home.take(root, known)
    assert params.read_text().endswith("# mine\n")
    commit(root, "mine")
    home.take(root, known)
    assert "seed: 3" in params.read_text()


def test_an_unknown_name_is_answered_with_those_that_there_are(root: Path) -> None:
    with pytest.raises(LuthierError, match=f"no run is called 'nothing': {slug_of(RUN)}"):
        home.found(root, "nothing")


def test_a_git_that_somebody_is_using_is_worth_another_attempt_and_a_broken_one_is_not(root: Path) -> None:
    (root / ".git/index.lock").touch()
    with pytest.raises(LineageOutageError, match=r"index\.lock"):
        git(root, {}, "add", "params.yaml")
    with pytest.raises(LineageError) as refused:
        git(root, {}, "rev-parse", "--verify", "no-such-branch")
    assert not isinstance(refused.value, OutageError)
