"""luthier noise: how much scores move with the seed alone, told from DVC's own experiments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.noise import experiments_here, spread

STAGE = """
stages:
  finetune:
    cmd: python step.py
    params: [finetune]
    deps: [step.py]
    metrics: [reports/scores.json]
"""
STEP = """
import json, pathlib, re
text = pathlib.Path("params.yaml").read_text()
seed, rate = (float(re.search(name + r": ([0-9.]+)", text)[1]) for name in ("seed", "rate"))
pathlib.Path("reports").mkdir(exist_ok=True)
pathlib.Path("reports/scores.json").write_text(json.dumps({"summarise": {"rouge1": 20 + seed + 100 * rate}}))
"""


@pytest.mark.service
def test_experiments_that_differ_in_their_seed_alone_are_told_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "test")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "test@localhost")
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    Path("dvc.yaml").write_text(STAGE)
    Path("step.py").write_text(STEP)
    Path("params.yaml").write_text("finetune: {seed: 17, rate: 0.5}\n")
    dvc = [sys.executable, "-m", "dvc"]
    commands = [
        ["git", "init", "--quiet"],
        [*dvc, "init", "--quiet"],
        ["git", "add", "."],
        ["git", "commit", "-qm", "x"],
    ]
    settings = ["finetune.seed=1", "finetune.seed=2", "finetune.seed=3"]
    commands += [[*dvc, "exp", "run", "--quiet", "-S", setting, "-S", "finetune.rate=0.5"] for setting in settings]
    commands += [[*dvc, "exp", "run", "--quiet", "-S", "finetune.seed=4", "-S", "finetune.rate=0.1"]]
    for command in commands:
        subprocess.run(command, check=True, capture_output=True)
    assert spread(experiments_here()) == {"summarise.rouge1": (3, 72.0, 1.0)}
