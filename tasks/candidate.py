"""A model version with all that speaks for and against it, read from MLflow and verified to the last byte.

What is not what was sealed stops here, with the file's name; what is whole but of another version is told to the gate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.files import read_json, read_rows, sha256_of
from tasks.data.sealed import MANIFEST, digest_of, require_sealed
from tasks.data.shipped import REGISTERED_BEFORE, SHIPPED, require_shipped
from tasks.data.signing import known_keys
from tasks.errors import TrackingError
from tasks.metrics.compare import Resampling
from tasks.metrics.evidence import Evidence
from tasks.prompts import contract
from tasks.tracking.evidence import fetch_files
from tasks.tracking.models import logged_folder, model_folder
from tasks.tracking.registry import IDENTITY, Version

LINKS = {"metrics.json": "luthier.metrics", "leaks.json": "luthier.leaks"}  # files that the chain has a digest of


@dataclass(frozen=True)
class Candidate:
    """A version that may be judged, or be judged against."""

    version: Version
    folder: Path
    """Its evidence, here."""
    model: Path
    """Its model as it is delivered, here."""
    evidence: Evidence
    sealed: str
    """sha256 of the evidence's manifest: one number for all of it."""

    @property
    def private(self) -> bool:
        """Whether no value of the data may be shown."""
        return bool(read_json(self.folder / "validation.json").get("private"))


def read_candidate(version: Version, into: Path) -> Candidate:
    """Read what register put into MLflow for a version, by way of a folder of its own.

    Raises:
        TrackingError: some of it is not there.
        SealError: some of it is not what was sealed, or nobody known sealed it.
    """
    if "luthier.evidence" not in version.tags:
        raise TrackingError(f"{version.uri} has no evidence: register it with 'python -m tasks.register'.")
    try:
        folder = fetch_files(version.run_id, version.tags["luthier.evidence"], into / "evidence")
        manifest = require_sealed(folder, f"the evidence of {version.uri}", known_keys())
        model = model_folder(version, into / "model")
        packed = require_sealed(model, f"the model of {version.uri}", known_keys())
        if SHIPPED in packed["about"]:
            require_shipped(logged_folder(model), packed["about"], version.uri)
        evidence = _evidence(version, folder, manifest, model, packed)
    except (FileNotFoundError, KeyError) as error:
        raise TrackingError(f"the evidence of {version.uri} lacks {error}: register it again.") from None
    return Candidate(version, folder, model, evidence, sha256_of(folder / MANIFEST))


def _evidence(
    version: Version, folder: Path, manifest: Mapping[str, Any], model: Path, packed: Mapping[str, Any]
) -> Evidence:
    cards, validation = read_json(folder / "cards.json"), read_json(folder / "validation.json")
    intervals = cards["intervals"]
    return Evidence(
        version=version.number,
        weights=digest_of(_under("tuned/", packed["files"])),
        evaluated=cards["weights_sha256"]["tuned"],
        contract=contract.digest(contract.read(model / "tuned")),
        evaluated_contract=cards["decoding"].get("contract_sha256"),
        stale=_stale(version, manifest, model, cards) + ([] if SHIPPED in packed["about"] else [REGISTERED_BEFORE]),
        test=version.tags["luthier.data.test"],
        leaks_clean=read_json(folder / "leaks.json").get("clean"),
        critical=_critical(validation),
        metrics=read_json(folder / "metrics.json"),
        forgetting=read_json(folder / "evaluation.json").get("forgetting", {}).get("suites"),
        resampling=Resampling(intervals["seed"], intervals["resamples"], intervals["confidence"]),
        generations=read_rows(folder / "predictions/tuned/generations.jsonl"),
        choices=read_rows(folder / "predictions/tuned/choices.jsonl"),
        card=cards,
        rolled_back=version.tags.get("luthier.rolled_back"),
    )


def _under(prefix: str, files: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): file for name, file in files.items() if name.startswith(prefix)}


def _stale(version: Version, manifest: Mapping[str, Any], model: Path, cards: Mapping[str, Any]) -> list[str]:
    """What is whole, and yet of another version: clauses."""
    about, files = manifest["about"], manifest["files"]
    chain: Mapping[str, str] = about["chain"]
    said = [
        f"{tag} is {version.tags.get(tag)}, not {sha}" for tag, sha in chain.items() if version.tags.get(tag) != sha
    ]
    if about["identity"] != version.tags.get(IDENTITY):
        said.append(f"it was sealed for {about['identity'][:12]}")
    if about["model_manifest_sha256"] != sha256_of(model / MANIFEST):
        said.append("it was sealed for another model")
    said += [
        f"{name} is not the one in the chain" for name, tag in LINKS.items() if files[name]["sha256"] != chain[tag]
    ]
    if digest_of(_under("predictions/", files)) != chain["luthier.predictions"]:
        said.append("the predictions are not those in the chain")
    if cards["sha256"]["test"] != chain["luthier.data.test"]:
        said.append("the metrics are of another test split")
    return said


def _critical(validation: Mapping[str, Any]) -> list[str]:
    """Critical rules that the data break, with their source."""
    return [
        f"{source}: {rule['rule']} ({rule['observed']})"
        for source, found in validation["sources"].items()
        for rule in found["rules"]
        if rule["severity"] == "critical" and not rule["passed"]
    ]
