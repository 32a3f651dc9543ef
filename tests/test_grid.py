"""Several seeds or settings through `dvc exp`: each in a workspace of its own, all in one MLflow."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.data.files import write_rows
from tests import toys
from tests.toys import PARAMS

ROOT = Path(__file__).resolve().parent.parent
STAGE = {
    "cmd": "python -m tasks.finetune examples base tuned training.jsonl training_run.json xray.txt curves",
    "deps": ["examples", "base"],
    "params": ["finetune"],
    "outs": ["tuned", "training.jsonl", "training_run.json", "xray.txt", "curves"],
}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one DVC stage: a toy's fine-tuning."""
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@localhost")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    rows = toys.examples(10)
    write_rows(tmp_path / "examples/train.jsonl", rows[:8])
    write_rows(tmp_path / "examples/dev.jsonl", rows[8:])
    toys.write_base(tmp_path / "base", "causal")
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"finetune": STAGE}}))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"finetune": PARAMS}))
    (tmp_path / ".gitignore").write_text(
        "".join(f"/{out}\n" for out in [*STAGE["outs"], ".luthier", "mlflow.db*", "mlruns"])
    )
    for command in (
        ["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"],
        ["git", "add", "."], ["git", "commit", "--quiet", "-m", "toy"],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    return tmp_path


def dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.service
@pytest.mark.long
def test_two_seeds_are_two_experiments_and_two_runs_with_other_weights(checkout: Path) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415

    dvc("exp", "run", "--queue", "-S", "finetune.seed=1,2")
    print(dvc("exp", "run", "--run-all"))
    rows = [row for row in json.loads(dvc("exp", "show", "--json")) if row.get("experiments")]
    tried = [state["rev"] for row in rows for experiment in row["experiments"] for state in experiment["revs"]]
    assert len(tried) == 2
    locks = [yaml.safe_load(subprocess.check_output(["git", "show", f"{revision}:dvc.lock"])) for revision in tried]
    weights = [out["md5"] for lock in locks for out in lock["stages"]["finetune"]["outs"] if out["path"] == "tuned"]
    assert len(set(weights)) == 2
    client = MlflowClient(f"sqlite:///{checkout}/mlflow.db")
    experiment = client.get_experiment_by_name("luthier")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["1", "2"]
    assert {run.info.status for run in runs} == {"FINISHED"}
