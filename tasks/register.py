"""7 register: the tuned model and all that speaks for it -> a version in MLflow, alias `challenger`.

In:  what the stages of dvc.yaml wrote. Out: the training's MLflow run, completed with its evidence, and one
version of the registered model for this content: run twice, it finds the version that it made before.
Not a DVC stage, because it changes a registry; so it reads the paths out of dvc.yaml.

    python -m tasks.register
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tasks.data.files import read_json, read_rows, sha256_of
from tasks.lineage import circumstances, digests
from tasks.package import package
from tasks.params import PARAMS, Section, load
from tasks.report.version import describe, numbers
from tasks.step import COSTS, run
from tasks.tracking import check
from tasks.tracking.evidence import TRAINED_AS, add_files, add_metrics, training_run
from tasks.tracking.models import add_model
from tasks.tracking.registry import IDENTITY, Version, add_version, find_version, page, set_alias
from tasks.wiring import LOCK, Outputs, outputs


class Register(Section):
    """What a version is made of."""

    model: str
    """The registered model's name in MLflow."""


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def costs(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds and peak memory of each step's last run that ended well."""
    last = {row["step"]: row for row in rows if row["exit"] == 0}
    return {f"cost.{step}.{unit}": row[unit] for step, row in last.items() for unit in ("seconds", "peak_mb")}


def evidence(out: Outputs, folder: str) -> dict[Path, str]:
    """The files that speak for the model, each with the artifact folder it goes to."""
    reports = [
        "evaluate/metrics.json",
        "evaluate/evaluation.json",
        "evaluate/cards.json",
        "evaluate/report.html",
        "expand/leaks.json",
    ]
    reports += ["validate/validation.json", "finetune/training.jsonl", "predict/predictions"]
    lock = [LOCK] if LOCK.exists() else []  # a pipeline that was run without DVC has none
    return dict.fromkeys([*(out[name] for name in reports), PARAMS, *lock], folder)


def make_version(name: str, out: Outputs, chain: dict[str, str], identity: str) -> Version:
    """Complete the training's run, log the model and make it a version with its evidence."""
    trained = read_json(out["finetune/training_run.json"])
    params = yaml.safe_load(PARAMS.read_text())
    facts = chain | circumstances()
    data = {key.removeprefix("luthier.data."): sha for key, sha in chain.items() if ".data." in key}
    log = read_rows(out["finetune/training.jsonl"])
    run_id = training_run(trained["run_id"], params["finetune"], facts, data, log)
    where = f"evidence/{identity[:12]}"
    add_files(run_id, evidence(out, where))
    with tempfile.TemporaryDirectory(dir=out["finetune/tuned"].parent, prefix=".served-") as folder:
        served = package(out, Path(folder) / "data", chain)
        code = [sha256_of(file) for file in sorted(served.code.rglob("*.py"))]
        weights = [chain["luthier.weights.base"], chain["luthier.weights.tuned"]]
        model_id = add_model(run_id, name, served, _sha256([weights, code]))
    results, cards = read_json(out["evaluate/metrics.json"]), read_json(out["evaluate/cards.json"])
    spent = costs(read_rows(COSTS)) if COSTS.exists() else {}
    add_metrics(run_id, model_id, numbers(results) | spent)
    text = describe(results, cards["primary"], cards["sentence"], facts, served.example)
    tags = facts | {IDENTITY: identity, "luthier.evidence": where, TRAINED_AS: trained["run_id"]}
    return add_version(name, run_id, model_id, text, tags)


def main() -> None:
    """Register what the pipeline made and call it the challenger."""
    params = load("register", Register)
    out = outputs()
    check()
    chain = digests(out)
    identity = _sha256(chain)
    found = find_version(params.model, identity)
    version = found or make_version(params.model, out, chain, identity)
    set_alias("challenger", version)
    print(f"{version.uri} {'was' if found else 'is now'} registered and is the challenger. {page(version)}")


if __name__ == "__main__":
    run(main)
