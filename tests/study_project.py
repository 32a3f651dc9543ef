"""A project whose stages take a second: real expand and evaluate, invented training and answers.

The invented model keeps a share of the target's words that grows with the examples that it was trained on. It fails at
40 records, as a training may.
"""

import subprocess
from pathlib import Path

import yaml

from tasks.data.files import write_json, write_rows
from tests.invented import PARAMS, write_run
from tests.test_expand import grouping, records, section

TOY = """
import json, pathlib, random, shutil, sys
import yaml
params = yaml.safe_load(pathlib.Path("params.yaml").read_text())
read = lambda path: [json.loads(line) for line in open(path)]
def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\\n" for row in rows))
P, step = pathlib.Path, sys.argv[1]
if step == "validate":
    shutil.copytree("given/valid", "data/valid")
    shutil.copytree("given/benchmarks", "data/benchmarks")
    P("reports").mkdir(exist_ok=True)
    shutil.copy("given/validation.json", "reports/validation.json")
elif step == "finetune":
    rows = read("data/examples/train.jsonl")
    if len({row["record"] for row in rows}) == 40:
        sys.exit("luthier: finetune: no training of 40 records")
    P("models/tuned").mkdir(parents=True)
    P("models/tuned/prompt_contract.json").write_text("{}")
    P("models/tuned/skill.json").write_text(json.dumps(len(rows)))
    rate = params["finetune"]["optimizer"]["learning_rate"]
    told = {"run_id": f"{len(rows):032d}", "tokens": 100 * len(rows), "precision": "fp32", "rate": rate}
    P("models/training_run.json").write_text(json.dumps(told))
    write(P("reports/training.jsonl"), [{"step": 1, "loss": 2.0}])
elif step == "predict":
    examples = json.loads(P("models/tuned/skill.json").read_text())
    how = json.loads(P("given/how.json").read_text())
    for model, kept in (("base", 0.2), ("tuned", 0.9 * examples / (examples + 40))):
        draw = random.Random(5)
        rows = []
        for row in read("data/examples/test.jsonl"):
            words = [word if draw.random() < kept else "other" for word in row["target"].split()]
            more = {"output": " ".join(words), "output_tokens": 8, "prompt_tokens": 60, "finished": True}
            rows.append({key: row[key] for key in ("id", "family", "template", "wording", "group", "input", "target")} | more)
        write(P(f"predictions/{model}/generations.jsonl"), rows)
        for name in ("choices", "repeated", "repeated_choices", "perturbed"):
            write(P(f"predictions/{model}/{name}.jsonl"), [])
    P("predictions/how.json").write_text(json.dumps(how))
    P("reports/efficiency.json").write_text(P("given/efficiency.json").read_text())
"""
EVALUATE = (
    "python -m tasks.evaluate predictions data/examples/test.jsonl models/tuned/prompt_contract.json "
    "reports/training.jsonl reports/validation.json reports/leaks.json reports/efficiency.json reports/metrics.json "
    "reports/scores.json reports/evaluation.json reports/cards.json reports/report.html reports/plots"
)
EXPAND = "python -m tasks.expand data/valid data/benchmarks data/examples reports/leaks.json reports/mixture.json"
STAGES = {
    "validate": ("python toy.py validate", ["given"], ["data/valid", "data/benchmarks", "reports/validation.json"]),
    "expand": (EXPAND, ["data/valid"], ["data/examples", "reports/leaks.json", "reports/mixture.json"]),
    "finetune": (
        "python toy.py finetune", ["data/examples"],
        ["models/tuned", "models/training_run.json", "reports/training.jsonl"],
    ),
    "predict": (
        "python toy.py predict", ["models/tuned", "data/examples"], ["predictions", "reports/efficiency.json"],
    ),
    "evaluate": (
        EVALUATE, ["predictions", "data/examples"],
        [f"reports/{name}" for name in ("metrics.json", "scores.json", "evaluation.json", "cards.json", "report.html", "plots")],
    ),
}  # fmt: skip


def write_project(root: Path) -> None:
    """Write it, as a git repository with one commit."""
    root.mkdir(parents=True)
    write_run(root / "given", examples=2)
    for name, source in (("validation.json", "reports/validation.json"), ("how.json", "predictions/how.json")):
        (root / "given" / source).rename(root / "given" / name)
    (root / "given/reports/efficiency.json").rename(root / "given/efficiency.json")
    write_rows(root / "given/valid/mine.jsonl", records(range(300)))
    write_json(root / "given/benchmarks/manifest.json", {"sources": {}})
    params = {
        "validate": {}, "expand": section(sources={"mine": grouping()}, wordings=1),
        "finetune": {"seed": 1, "optimizer": {"learning_rate": 1e-3, "epochs": 1}},
        "predict": {"suites": [], "perturbed": {"examples": 0}, "repeated": 0},
        "evaluate": PARAMS | {"metrics": {"summarise": ["rouge1"]}},
    }  # fmt: skip
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    stages = {
        name: {"cmd": cmd, "deps": deps, "params": [name], "outs": outs} for name, (cmd, deps, outs) in STAGES.items()
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (root / "toy.py").write_text(TOY)
    (root / ".gitignore").write_text(
        "/data\n/models\n/predictions\n/reports\n/.luthier\n/mlflow.db*\n/mlruns\ndvc.lock\n"
    )
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(command, cwd=root, check=True, capture_output=True)
    subprocess.run(["git", *who, "commit", "--quiet", "-m", "toy"], cwd=root, check=True, capture_output=True)
