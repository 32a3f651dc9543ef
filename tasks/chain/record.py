"""The chain of a model as register writes it (chain.json): every file of every output, and what they were made with.

    {links: [{stage, path, cached, bytes, sha256, md5, files: {name: {bytes, sha256, md5}}}, ...],  in stage order
     locks: {dvc.lock, dvc.yaml, params.yaml, requirements.lock: sha256}, code: {commit, changed}, machine: {...}}

sha256 says what the bytes are; md5 only names their object in DVC's cache. An output that is one file has the one
name "". A link's sha256 is what `tasks.data.files.sha256_of` says of its path, and so equals the version's tags.
"""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from tasks.chain.snapshot import snapshot
from tasks.data.files import Row, sha256_of
from tasks.data.sealed import digest_of
from tasks.errors import LineageError

CHUNK = 2**20  # bytes
LOCKS = ("dvc.lock", "dvc.yaml", "params.yaml", "requirements.lock")
TAGS = {  # tag of a version -> the output that it is the digest of, and the file inside it ("": all of it)
    "luthier.data.raw": ("fetch/raw", "manifest.json"),
    "luthier.data.valid": ("validate/valid", ""),
    "luthier.data.examples": ("expand/examples", ""),
    "luthier.data.test": ("expand/examples", "test.jsonl"),
    "luthier.leaks": ("expand/leaks.json", ""),
    "luthier.weights.base": ("fetch/base", ""),
    "luthier.weights.tuned": ("finetune/tuned", ""),
    "luthier.predictions": ("predict/predictions", ""),
    "luthier.metrics": ("evaluate/metrics.json", ""),
}
NOT_NEEDED = "not needed"  # said of the base model where the tuned weights are full ones
WORDS = {  # what a person calls an output; any other is called by its path
    "fetch/raw": "raw data",
    "fetch/benchmarks": "benchmarks",
    "fetch/base": "base model",
    "validate/valid": "valid rows",
    "validate/quarantine": "quarantined rows",
    "validate/validation.json": "validation",
    "expand/examples": "instruction sets",
    "expand/leaks.json": "leak certificate",
    "finetune/tuned": "tuned weights",
    "finetune/training.jsonl": "training log",
    "finetune/training_run.json": "training run",
    "predict/predictions": "predictions",
    "evaluate/metrics.json": "metrics",
    "evaluate/cards.json": "metric cards",
    "evaluate/evaluation.json": "evaluation",
    "evaluate/report.html": "report",
}


def chain_of(out: Mapping[str, Path], lock: Path) -> Row:
    """The chain of what the stages wrote.

    Args:
        out: of `tasks.wiring.outputs`, in stage order.
        lock: dvc.lock, beside dvc.yaml; a pipeline that was run without DVC has none.

    Raises:
        LineageError: an output is not there, or is not what dvc.lock says.
    """
    locked = _locked(lock)
    uncached = _uncached(lock.with_suffix(".yaml"))
    files = {path: _files(path) for path in out.values()}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        every = [file for paths in files.values() for file in paths.values()]
        digests = dict(zip(every, pool.map(_digests, every), strict=True))
    links = []
    for key, path in out.items():
        rows = {name: digests[file] for name, file in files[path].items()}
        link = _link(key.partition("/")[0], path.as_posix(), rows) | {"cached": path.as_posix() not in uncached}
        if locked and locked.get(link["path"]) != link["md5"]:
            raise LineageError(
                f"{path} is not what {lock} says: make it anew with 'dvc repro', or take it as it is with 'dvc commit'."
            )
        links.append(link)
    root = lock.parent
    locks = {name: sha256_of(root / name) for name in LOCKS if (root / name).is_file()}
    return {"links": links, "locks": locks, "code": snapshot(root), "machine": machine()}


def key_of(link: Mapping[str, Any]) -> str:
    """A link's name in `tasks.wiring.Outputs`: finetune/tuned."""
    return f"{link['stage']}/{Path(link['path']).name}"


def word_of(link: Mapping[str, Any]) -> str:
    """What a person calls a link."""
    return WORDS.get(key_of(link), str(link["path"]))


def digests_in(chain: Mapping[str, Any]) -> dict[str, str]:
    """The tags' digests as a chain has them, without reading a file; a link that it does not have is left out."""
    links = {key_of(link): link for link in chain["links"]}
    found = {}
    for tag, (key, inside) in TAGS.items():
        if key in links:
            link = links[key]
            row = link["files"].get(inside) if inside else link
            found[tag] = row["sha256"] if row else "missing"
    if "adapter_config.json" not in links.get("finetune/tuned", {"files": {}})["files"]:
        found["luthier.weights.base"] = NOT_NEEDED
    return found


def folder_md5(files: Mapping[str, Mapping[str, Any]]) -> str:
    """DVC's name for a folder of these files. Truth: dvc-data, `hashfile/tree.py`, `Tree.as_bytes`."""
    entries = [{"md5": files[name]["md5"], "relpath": name} for name in sorted(files)]
    return _md5(json.dumps(entries, sort_keys=True).encode()) + ".dir"


def machine() -> dict[str, str | int]:
    """What the last bits of a training depend on, beside the data, the code and its parameters."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    try:
        torch = version("torch")
    except PackageNotFoundError:
        torch = "none"
    cpu = models[0] if models else platform.machine()
    return {"cpu": cpu, "cores": os.cpu_count() or 1, "gpus": _gpus(), "torch": torch}


def _gpus() -> str:
    """What the driver knows of; asking torch would take seconds."""
    told = [path.read_text() for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    names = [line.partition(":")[2].strip() for text in told for line in text.splitlines() if line.startswith("Model:")]
    return ", ".join(names) or "none"


def _link(stage: str, path: str, files: dict[str, Row]) -> Row:
    whole = "" in files
    return {
        "stage": stage,
        "path": path,
        "bytes": sum(row["bytes"] for row in files.values()),
        "sha256": files[""]["sha256"] if whole else digest_of(files),
        "md5": files[""]["md5"] if whole else folder_md5(files),
        "files": files,
    }


def _files(path: Path) -> dict[str, Path]:
    if path.is_file():
        return {"": path}
    if not path.is_dir():
        raise LineageError(f"{path} is not there: 'dvc checkout {path}' brings it back, 'dvc repro' makes it.")
    return {file.relative_to(path).as_posix(): file for file in sorted(path.rglob("*")) if file.is_file()}


def _digests(path: Path) -> Row:
    """Both digests in one reading."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha256.update(chunk)
            md5.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": sha256.hexdigest(), "md5": md5.hexdigest()}


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _locked(lock: Path) -> dict[str, str]:
    """By path what dvc.lock says of the outputs."""
    if not lock.is_file():
        return {}
    stages = yaml.load(lock.read_text(), Loader=yaml.CSafeLoader)["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def _uncached(wiring: Path) -> set[str]:
    """Outputs that dvc.yaml keeps out of the cache."""
    found = set()
    for stage in yaml.safe_load(wiring.read_text())["stages"].values():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            if isinstance(entry, dict):
                found |= {path for path, options in entry.items() if (options or {}).get("cache") is False}
    return found
