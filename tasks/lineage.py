"""Where a model version comes from, from raw data to its numbers, as digests.

    python -m tasks.lineage models:/luthier@champion

What is shown was written on the version by register; the run's artifacts hold the dvc.lock and params.yaml to
rebuild it with (`git checkout COMMIT`, then `dvc repro`).
"""

import os
import subprocess
from typing import Annotated

import typer

from tasks.data.files import sha256_of
from tasks.errors import TrackingError
from tasks.step import run
from tasks.tracking.registry import Version, get_version, page
from tasks.wiring import Outputs

CHAIN = {  # tag written by register: what a reader is shown, in the order in which each was made
    "luthier.data.raw": "raw data (manifest)",
    "luthier.data.valid": "valid records",
    "luthier.data.examples": "examples",
    "luthier.data.test": "of these, the test split",
    "luthier.weights.base": "base model",
    "luthier.weights.tuned": "tuned weights",
    "luthier.predictions": "predictions",
    "luthier.metrics": "metrics",
    "luthier.code.commit": "code (git commit)",
    "luthier.code.changed": "uncommitted changes",
    "luthier.airflow.run": "Airflow run",
    "luthier.trained_as": "training run",
}


def digests(out: Outputs) -> dict[str, str]:
    """The chain from raw data to metrics, as tags; a tuned model that needs no base has none."""
    return {
        "luthier.data.raw": sha256_of(out["fetch/raw"] / "manifest.json"),
        "luthier.data.valid": sha256_of(out["validate/valid"]),
        "luthier.data.examples": sha256_of(out["expand/examples"]),
        "luthier.data.test": sha256_of(out["expand/examples"] / "test.jsonl"),
        "luthier.leaks": sha256_of(out["expand/leaks.json"]),
        "luthier.weights.base": sha256_of(out["fetch/base"]) if is_adapter(out) else "not needed",
        "luthier.weights.tuned": sha256_of(out["finetune/tuned"]),
        "luthier.predictions": sha256_of(out["predict/predictions"]),
        "luthier.metrics": sha256_of(out["evaluate/metrics.json"]),
    }


def is_adapter(out: Outputs) -> bool:
    """Whether the tuned model needs its base."""
    return (out["finetune/tuned"] / "adapter_config.json").is_file()


def circumstances() -> dict[str, str]:
    """Tags that say which code is running, and for which Airflow run."""
    commit = _git("rev-parse", "HEAD")
    return {
        "luthier.code.commit": commit or "not in a git repository",
        "luthier.code.changed": "yes" if _git("status", "--porcelain", "--untracked-files=no") else "no",
        "luthier.airflow.run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "not run by Airflow"),
    }


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def chain(tags: dict[str, str]) -> list[tuple[str, str]]:
    """What a version's tags say of each link: (its name, its digest or "not recorded")."""
    return [(shown, tags.get(tag, "not recorded")) for tag, shown in CHAIN.items()]


def version_of(uri: str) -> Version:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/NUMBER` names.

    Raises:
        TrackingError: the URI is neither, or there is no such version.
    """
    name, _, which = uri.removeprefix("models:/").replace("@", "/").partition("/")
    if not uri.startswith("models:/") or not which:
        raise TrackingError(f"'{uri}' is no model version: write models:/NAME@ALIAS or models:/NAME/NUMBER.")
    version = get_version(name, which)
    if version is None:
        raise TrackingError(f"there is no {uri} in MLflow: 'python -m tasks.register' makes a version.")
    return version


def main(model: Annotated[str, typer.Argument()] = "models:/luthier@champion") -> None:
    """Print the chain of digests that a model version (models:/NAME@ALIAS) stands on."""
    version = version_of(model)
    print(f"{version.uri}   {page(version)}")
    for shown, digest in chain(version.tags):
        print(f"  {shown:<26} {digest}")


if __name__ == "__main__":
    run(main)
