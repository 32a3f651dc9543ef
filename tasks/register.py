"""7 register: the tuned model and all that speaks for it -> a version in MLflow, alias `challenger`.

In:  what the stages of dvc.yaml wrote. Out: the training's MLflow run, completed with its evidence, and one
version of the registered model for this content: run twice, it finds the version that it made before. In a run of the
scheduler that found one which another run had made, it exits with 99: nothing new, and nobody is asked to promote it.
Not a DVC stage, because it changes a registry; so it reads the paths out of dvc.yaml.

    python -m tasks.register
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tasks.cards import read_files, write_cards
from tasks.chain.record import chain_of
from tasks.data.files import link_or_copy, read_json, read_rows, sha256_of, write_json
from tasks.data.sealed import MANIFEST, seal
from tasks.health.dependencies import AUDIT, SBOM
from tasks.lineage import RECORD, circumstances, digests
from tasks.package import package
from tasks.params import PARAMS, Section, load
from tasks.report.version import describe, numbers
from tasks.step import COSTS, run
from tasks.tracking import check
from tasks.tracking.evidence import TRAINED_AS, add_files, add_metrics, training_run
from tasks.tracking.models import add_model
from tasks.tracking.registry import IDENTITY, Version, add_version, find_version, page, set_alias
from tasks.wiring import LOCK, WIRING, Outputs, outputs


class Register(Section):
    """What a version is made of."""

    model: str
    """The registered model's name in MLflow."""


REPORTS = (
    "evaluate/metrics.json",
    "evaluate/evaluation.json",
    "evaluate/cards.json",
    "evaluate/report.html",
    "expand/leaks.json",
    "validate/validation.json",
    "finetune/training.jsonl",
    "finetune/training_run.json",
    "predict/predictions",
)
ENVIRONMENT = (Path("requirements.lock"), SBOM, AUDIT)  # as far as they are there
FORMAT = {"luthier.format": "2"}  # of a version; 2: its manifest covers the code too. Older ones are registered again
RUN = "luthier.run"  # tag: the branch of the run that made a version
NOTHING_NEW = 99  # what Airflow's BashOperator takes for "skipped"


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def costs(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds and peak memory of each step's last run that ended well."""
    last = {row["step"]: row for row in rows if row["exit"] == 0}
    return {f"cost.{step}.{unit}": row[unit] for step, row in last.items() for unit in ("seconds", "peak_mb")}


def lay_out(out: Outputs, folder: Path) -> None:
    """Copy the files that speak for the model into `folder`, which is made: linked where the disk allows it."""
    folder.mkdir(parents=True)
    named = [*(out[name] for name in REPORTS), PARAMS, WIRING]
    for path in [*named, *(path for path in (LOCK, *ENVIRONMENT) if path.exists())]:
        if path.is_dir():
            shutil.copytree(path, folder / path.name, copy_function=_link)
        else:
            link_or_copy(path, folder / path.name)


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))


def make_version(name: str, out: Outputs, chain: dict[str, str], identity: str) -> Version:
    """Complete the training's run, log the model and make it a version with its evidence."""
    trained = read_json(out["finetune/training_run.json"])
    params = yaml.safe_load(PARAMS.read_text())
    links = chain_of(out, LOCK)
    facts = chain | circumstances(links["code"])
    data = {key.removeprefix("luthier.data."): sha for key, sha in chain.items() if ".data." in key}
    log = read_rows(out["finetune/training.jsonl"])
    run_id = training_run(trained["run_id"], params["finetune"], facts, data, log)
    where = f"evidence/{identity[:12]}"
    with tempfile.TemporaryDirectory(dir=out["finetune/tuned"].parent, prefix=".register-") as folder:
        served, papers = package(out, Path(folder) / "data", chain), Path(folder) / where
        lay_out(out, papers)
        write_cards(out, facts, served.example, papers)
        write_json(papers / RECORD, links)
        sealed = sha256_of(served.data / MANIFEST)
        seal(papers, {"identity": identity, "chain": chain, "model_manifest_sha256": sealed})
        add_files(run_id, {papers: "evidence"})
        code = [sha256_of(file) for file in sorted(served.code.rglob("*.py"))]
        weights = [chain["luthier.weights.base"], chain["luthier.weights.tuned"], sealed]
        model_id = add_model(run_id, name, served, _sha256([weights, code]))
    results = read_json(out["evaluate/metrics.json"])
    spent = costs(read_rows(COSTS)) if COSTS.exists() else {}
    add_metrics(run_id, model_id, numbers(results) | spent)
    text = describe(read_files(out), facts, served.example, f"{where}/model_card.md")
    tags = facts | {IDENTITY: identity, "luthier.evidence": where, TRAINED_AS: trained["run_id"], RUN: run_here()}
    return add_version(name, run_id, model_id, text, tags)


def run_here() -> str:
    """The branch of the run that this process is part of (`tasks/workspace.py`)."""
    return os.environ.get("LUTHIER_BRANCH", "none")


def main() -> None:
    """Register what the pipeline made and call it the challenger."""
    params = load("register", Register)
    out = outputs()
    check()
    chain = digests(out)
    identity = _sha256(chain | FORMAT)
    found = find_version(params.model, identity)
    if found and "LUTHIER_BRANCH" in os.environ and found.tags.get(RUN) != run_here():
        print(f"nothing new: {found.uri} holds the very same model and evidence. {page(found)}")
        raise SystemExit(NOTHING_NEW)
    version = found or make_version(params.model, out, chain, identity)
    set_alias("challenger", version)
    print(f"{version.uri} {'was' if found else 'is now'} registered and is the challenger. {page(version)}")


if __name__ == "__main__":
    run(main)
