"""A project whose three stages take no time, for what is said of workspaces: real git, real DVC, invented stages.

root = write(tmp_path / "here")
step(root, "validate", run="d/r")       # what an Airflow task of a run calls
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

GIT = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
OLD, NEW = "a,b\n1,2\n", "a,b\n1,2\n3,4\n"

TOY = """
import hashlib, json, pathlib, sys
import yaml
P, step = pathlib.Path, sys.argv[1]
params = yaml.safe_load(P("params.yaml").read_text())
def write(path, text):
    P(path).parent.mkdir(parents=True, exist_ok=True)
    P(path).write_text(text)
if step == "fetch":
    for name, source in params["fetch"]["sources"].items():
        text = P(source["url"]).read_text()
        if hashlib.sha256(text.encode()).hexdigest() != source["sha256"]:
            sys.exit("luthier: fetch: other bytes than pinned")
        write(f"data/raw/{name}.csv", text)
elif step == "validate":
    write("data/valid.csv", P("data/raw/table.csv").read_text().upper())
else:
    seen = {"code": CODE, "finetune": params["finetune"], "rows": P("data/valid.csv").read_text()}
    write("models/tuned.json", json.dumps(seen))
"""
STAGES = {
    "fetch": {"deps": ["toy.py"], "outs": ["data/raw"]},
    "validate": {"deps": ["toy.py", "data/raw"], "outs": ["data/valid.csv"]},
    "finetune": {"deps": ["toy.py", "data/valid.csv"], "outs": ["models/tuned.json"]},
}
PARAMS = """# what the toy does
fetch:
  model: {name: none, sha256: null}   # no model
  sources:
    table: {url: given/table.csv, sha256: %s}   # pinned
  benchmarks: {}
validate:
  rules: [{at_least: 1}, {at_least: 2}]
finetune:
  seed: 17        # of the toy
  optimizer: {epochs: 1, learning_rate: 1.0e-3}
"""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(root: Path, top: Path | None = None) -> Path:
    """Write it; a git repository of one commit at `top`, which may be above it."""
    (root / "given").mkdir(parents=True)
    (root / "given/table.csv").write_text(OLD)
    (root / "params.yaml").write_text(PARAMS % sha256(OLD))
    stages = {name: {"cmd": f"python toy.py {name}", "params": [name], **stage} for name, stage in STAGES.items()}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (root / "toy.py").write_text(TOY.replace("CODE", "'one'"))
    (root / ".gitignore").write_text("/data\n/models\n/given\n/.luthier\n/mlflow.db*\n")
    call(top or root, "git", "init", "--quiet", "--initial-branch=main")
    call(root, sys.executable, "-m", "dvc", "init", "--quiet", *(["--subdir"] if top else []))
    commit(root, "a toy")
    return root


def commit(root: Path, message: str) -> str:
    call(root, "git", *GIT, "add", ".")
    call(root, "git", *GIT, "commit", "--quiet", "--allow-empty", "-m", message)
    return call(root, "git", "rev-parse", "HEAD").strip()


def call(root: Path, *command: str, **env: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environment(env))
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(more: dict[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MLFLOW_TRACKING"))}
    return ours | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])} | more


def started(root: Path, name: str, run: str = "d/r", sets: dict[str, Any] | None = None, **env: str) -> subprocess.Popen[str]:
    """Begin a task of a run."""
    told = {"LUTHIER_RUN": run, "LUTHIER_SET": json.dumps(sets or {})} | env
    return subprocess.Popen(
        [sys.executable, "-m", "tasks.workspace", *name.split()], cwd=root, env=environment(told),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def ended(task: subprocess.Popen[str], status: int = 0) -> str:
    """What it printed, once it has ended as it has to."""
    said, _ = task.communicate(timeout=300)
    assert task.returncode == status, f"{task.returncode}:\n{said}"
    return said


def step(root: Path, name: str, run: str = "d/r", sets: dict[str, Any] | None = None, status: int = 0, **env: str) -> str:
    """Run a task of a run; what it printed."""
    return ended(started(root, name, run, sets, **env), status)


def shown(root: Path, branch: str, name: str) -> str:
    """A file as a branch has it."""
    return call(root, "git", "show", f"{branch}:./{name}")


def state(root: Path) -> list[str]:
    """What of a checkout a run must leave alone: branch, index, files, stash."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and not {".git", ".luthier", "tmp", "cache"} & set(path.relative_to(root).parts))
    return [
        call(root, "git", "symbolic-ref", "HEAD"), call(root, "git", "rev-parse", "HEAD"),
        call(root, "git", "status", "--porcelain"), call(root, "git", "diff", "--cached"),
        call(root, "git", "stash", "list"), *(f"{path} {sha256(path.read_text(errors='replace'))}" for path in files),
    ]  # fmt: skip
