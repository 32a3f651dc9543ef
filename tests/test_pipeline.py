"""dvc.yaml as DVC reads it: after a finished run nothing is stale, and a change makes stale what it touches."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.service


def call(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def dvc(root: Path, *arguments: str) -> str:
    return call(root, sys.executable, "-m", "dvc", *arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose stages have all run, as far as DVC can tell: invented outputs, committed."""
    root = tmp_path_factory.mktemp("checkout")
    files = call(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").split("\n")
    for name in filter(None, files):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / name)
    call(root, "git", "init", "--quiet")
    for stage in yaml.safe_load((root / "dvc.yaml").read_text())["stages"].values():
        for out in [*stage["outs"], *stage.get("metrics", [])]:
            is_file = Path(out).suffix != ""
            path = root / out if is_file else root / out / "content.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
    for name in ("train.jsonl", "dev.jsonl", "test.jsonl"):
        (root / "data/examples" / name).write_text("{}")
    for name in ("models/tuned/prompt_contract.json", "models/base/tokenizer.json"):
        (root / name).write_text("{}")
    dvc(root, "commit", "--force", "--quiet")
    return root


def stale_after(root: Path, name: str, change: Callable[[str], str]) -> set[str]:
    """The stages that DVC would run again after a change to one file, which is undone."""
    file = root / name
    before = file.read_text()
    changed = change(before)
    assert changed != before
    file.write_text(changed)
    try:
        return set(json.loads(dvc(root, "status", "--json")))
    finally:
        file.write_text(before)


def test_after_a_finished_run_nothing_is_stale(finished: Path) -> None:
    assert json.loads(dvc(finished, "status", "--json")) == {}
    assert "up to date" in dvc(finished, "repro")


def test_another_wording_renders_again_but_does_not_validate_again(finished: Path) -> None:
    stale = stale_after(
        finished, "tasks/prompts/library/summarise.yaml", lambda text: text.replace("in one", "in just one")
    )
    assert "expand" in stale
    assert stale.isdisjoint({"fetch", "validate", "evaluate"})


@pytest.mark.parametrize(
    ("name", "old", "new", "stale"),
    [
        ("params.yaml", r"resamples: \d+", "resamples: 7", {"evaluate"}),
        ("params.yaml", r"learning_rate: \S+", "learning_rate: 0.5", {"finetune"}),
        ("params.yaml", r"\n  tokens_at_once: \d+", "\n  tokens_at_once: 3", {"predict"}),
        ("params.yaml", r"min_examples: \d+", "min_examples: 7", set()),
        ("tasks/model/fit.py", r"\A", "# a comment\n", {"finetune"}),
        ("tasks/report/page.html.j2", r"\Z", "\n", {"evaluate"}),
        ("tasks/report/style.css", r"\Z", "\n", {"validate", "evaluate"}),
        ("tasks/data/bias/lexicons/gender.yaml", r"\Z", "\n", {"validate", "predict", "evaluate"}),
        ("data/accepted.json", r"\Z", "\n", {"validate"}),
        ("params.yaml", r"private: &private false", "private: &private true", {"validate", "finetune"}),
        ("params.yaml", r"replay_share: \S+", "replay_share: 0.1", {"expand"}),
        ("tasks/tracking/registry.py", r"\A", "# a comment\n", set()),
    ],
)
def test_a_change_makes_stale_what_it_touches_and_nothing_else(
    finished: Path, name: str, old: str, new: str, stale: set[str]
) -> None:
    assert stale_after(finished, name, lambda text: re.sub(old, new, text, count=1)) == stale
