"""Where a model version comes from, from the raw bytes to a person's yes: each link with its digest.

    luthier lineage models:/luthier@champion             what the version says of itself
    luthier lineage models:/luthier@champion --verify    every link hashed again, the broken one named: tasks/verify.py

What is printed was written by register on the version and into its evidence (chain.json, manifest.json); the digests
are sha256, a folder's that of its files' names and sha256s.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tasks.chain import approval
from tasks.chain.findings import amount_of
from tasks.chain.record import NOT_NEEDED, TAGS, key_of
from tasks.chain.snapshot import snapshot
from tasks.data.files import read_json, sha256_of
from tasks.data.sealed import MANIFEST
from tasks.errors import TrackingError
from tasks.step import run
from tasks.tracking.evidence import fetch_files
from tasks.tracking.registry import Version, get_version, page
from tasks.wiring import Outputs

CHAIN = {  # tag written by register: what a reader is shown, in the order in which each was made
    "luthier.data.raw": "of these, the manifest",
    "luthier.data.valid": "valid rows",
    "luthier.data.examples": "instruction sets",
    "luthier.data.test": "of these, the test split",
    "luthier.leaks": "leak certificate",
    "luthier.weights.base": "base model",
    "luthier.weights.tuned": "tuned weights",
    "luthier.predictions": "predictions",
    "luthier.metrics": "metrics",
}
CIRCUMSTANCES = {
    "luthier.code.commit": "code (git commit)",
    "luthier.code.changed": "uncommitted changes",
    "luthier.airflow.run": "Airflow run",
    "luthier.trained_as": "training run",
}
RECORD = "chain.json"
NAME_WIDTH, SIZE_WIDTH = 25, 8  # characters; with a digest of 64 a line stays below 100


def digests(out: Outputs) -> dict[str, str]:
    """The chain from raw data to metrics, as tags; a tuned model that needs no base has none."""
    found = {tag: sha256_of(out[key] / inside if inside else out[key]) for tag, (key, inside) in TAGS.items()}
    return found if is_adapter(out) else found | {"luthier.weights.base": NOT_NEEDED}


def is_adapter(out: Outputs) -> bool:
    """Whether the tuned model needs its base."""
    return (out["finetune/tuned"] / "adapter_config.json").is_file()


def circumstances(code: Mapping[str, str] | None = None) -> dict[str, str]:
    """Tags that say which code is running, and for which Airflow run.

    Args:
        code: of the chain, where it is known already; else git is asked.
    """
    found = code or snapshot(Path())
    return {
        "luthier.code.commit": found["commit"],
        "luthier.code.changed": found["changed"],
        "luthier.airflow.run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "not run by Airflow"),
    }


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


def evidence_of(version: Version, into: Path) -> Path:
    """A version's evidence as a folder below `into`; whether it is what was sealed, nobody has looked.

    Raises:
        TrackingError: it has none, or MLflow does not give it.
    """
    if "luthier.evidence" not in version.tags:
        raise TrackingError(f"{version.uri} has no evidence: register it with 'python -m tasks.register'.")
    return fetch_files(version.run_id, version.tags["luthier.evidence"], into)


def evidence_file(version: Version, name: str) -> Any:
    """One JSON document of a version's evidence, or None where it has none, as versions of older code have not."""
    where = version.tags.get("luthier.evidence")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return read_json(fetch_files(version.run_id, f"{where}/{name}", Path(folder))) if where else None
        except (TrackingError, OSError, ValueError):
            return None


def lines(version: Version, chain: Mapping[str, Any] | None, manifest: Mapping[str, Any] | None) -> list[str]:
    """What is printed of a version: a line a link, none longer than 100 characters unless a name in it is."""
    tags = version.tags
    sizes = _sizes(chain)
    raw = [link for link in (chain or {"links": []})["links"] if key_of(link) == "fetch/raw"]
    told = [_line("raw data", link["bytes"], link["sha256"]) for link in raw]
    told += [_line(shown, sizes.get(tag), tags.get(tag, "not recorded")) for tag, shown in CHAIN.items()]
    told += [_line("approval", None, approval.sentence(tags)), ""]
    told += [_line(shown, None, tags.get(tag, "not recorded")) for tag, shown in CIRCUMSTANCES.items()]
    locks = (chain or {}).get("locks", {})
    told += [
        _line("DVC lock", None, locks.get("dvc.lock", "none")),
        _line("environment lock", None, locks.get("requirements.lock", "none")),
    ]
    if chain:
        made_on = chain["machine"]
        told.append(_line("machine", None, f"{made_on['cores']} cores, {made_on['cpu']}; torch {made_on['torch']}"))
    return [*told, _line("signing key", None, (manifest or {}).get("signature", {}).get("key", "none"))]


def _line(shown: str, size: int | None, said: str) -> str:
    amount = "" if size is None else amount_of(size)
    return f"  {shown:<{NAME_WIDTH}}{amount:>{SIZE_WIDTH}} {said}".rstrip()


def _sizes(chain: Mapping[str, Any] | None) -> dict[str, int]:
    """Bytes by tag."""
    links = {key_of(link): link for link in (chain or {"links": []})["links"]}
    found = {}
    for tag, (key, inside) in TAGS.items():
        if key in links and not (inside and inside not in links[key]["files"]):
            found[tag] = links[key]["files"][inside]["bytes"] if inside else links[key]["bytes"]
    return found


def main(
    model: Annotated[str, typer.Argument()] = "models:/luthier@champion",
    verify: Annotated[bool, typer.Option("--verify", help="Hash every link again and name the broken one.")] = False,
) -> None:
    """Print the chain of digests that a model version (models:/NAME@ALIAS) stands on."""
    version = version_of(model)
    print(f"{version.uri}   {page(version)}", flush=True)
    if verify:
        from tasks.verify import verify as verify_version  # noqa: PLC0415  # which needs this module

        verify_version(version)
    else:
        print("\n".join(lines(version, evidence_file(version, RECORD), evidence_file(version, MANIFEST))))


if __name__ == "__main__":
    run(main)
