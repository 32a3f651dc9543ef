"""Whether a model version still is what was registered: every link of its chain hashed again, the broken one named.

    luthier lineage models:/luthier@champion --verify

Read anew: the evidence in MLflow's store, the model as it is served, the objects in DVC's cache (which DVC trusts
without hashing), the packet that was approved. Compared: signatures, tags, dvc.lock, the code's commit. A hard link is
read once. What cannot be found is not verified, and that is a fault too.
"""

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.chain import approval, cache, links
from tasks.chain.findings import Findings, amount_of
from tasks.chain.folder import claims_of, manifest_of, strangers
from tasks.chain.git import has_commit
from tasks.chain.hashing import Claim, Hashing
from tasks.chain.record import WORDS, word_of
from tasks.chain.snapshot import NO_GIT
from tasks.data.files import Row, read_json
from tasks.data.sealed import MANIFEST
from tasks.data.shipped import faults as code_faults
from tasks.data.signing import known_keys
from tasks.errors import LineageError, LuthierError, TrackingError
from tasks.lineage import RECORD, evidence_of
from tasks.model.served import BASE
from tasks.tracking.evidence import fetch_files
from tasks.tracking.models import base_folder, fetch_base, logged_folder, model_folder
from tasks.tracking.registry import Version, get_version

Served = tuple[Row, Row | None]  # files of the model and of the base model that it refers to
EVIDENCE = "manifest of the evidence"
SERVED, SERVED_BASE = "served model", "base model as served"
NAMES = {key.partition("/")[2]: word for key, word in WORDS.items()}
NAMES |= {"model_card.md": "model card", "data_card.md": "data card", RECORD: "chain"}


def verify(version: Version, root: Path = Path()) -> None:
    """Verify a version, printing a line a link.

    Args:
        version: of the registry.
        root: the checkout whose DVC cache and git repository are looked into.

    Raises:
        LineageError: a link is broken or cannot be found; the first is named.
    """
    started = time.perf_counter()
    report = Findings()
    with tempfile.TemporaryDirectory(prefix="luthier-verify-") as folder, Hashing() as hashing:
        evidence, manifest = _evidence(version, Path(folder), hashing, report)
        served = _served(version, manifest, Path(folder), hashing, report)
        if evidence is not None and manifest is not None:
            chain = read_json(evidence / RECORD)
            run = version.tags.get("luthier.run", "none")
            _cached(chain, manifest["files"], root, hashing, report, run)
            _together(version, chain, manifest, evidence, report)
            if served:
                report.say_each(links.served_faults(chain, *served), SERVED, "the weights of the chain")
            _code(version, chain, root, report)
        _approval(version, evidence, report)
        seconds = time.perf_counter() - started
        told = f"{amount_of(hashing.bytes)} in {seconds:.1f} s, {hashing.bytes / seconds / 1e9:.2f} GB/s"
        also = f"; {amount_of(hashing.shared)} more are hard links to them" if hashing.shared else ""
    if report.faults:
        link, sentence = report.faults[0]
        more = f" And {len(report.faults) - 1} more." if len(report.faults) > 1 else ""
        raise LineageError(f"{version.uri} does not verify: {link}: {sentence.rstrip('.')}.{more} ({told}{also})")
    print(f"{version.uri} verified: {told}{also}.")


def _evidence(version: Version, into: Path, hashing: Hashing, report: Findings) -> tuple[Path | None, Row | None]:
    """The evidence as a folder here, with its manifest; None where the chain in it cannot be believed."""
    report.head(f"Evidence in MLflow ({version.tags.get('luthier.evidence', 'none')})")
    try:
        folder = evidence_of(version, into / "evidence")
        manifest, key = manifest_of(folder, known_keys())
    except LuthierError as error:
        report.say(EVIDENCE, [str(error).rstrip(".")], "")
        return None, None
    report.say(EVIDENCE, [], f"signed by {key[:16]}...")
    claims = [
        Claim(
            NAMES.get(Path(name).parts[0], Path(name).parts[0]), f"{version.tags['luthier.evidence']}/{name}",
            folder / name, row["sha256"], row["bytes"], "is not among the run's artifacts any more",
        )
        for name, row in manifest["files"].items()
    ]  # fmt: skip
    checked = hashing.check(claims)
    report.say_checked(checked)
    report.say("evidence", strangers(folder, manifest["files"]), "no file more than those")
    if RECORD not in manifest["files"]:
        report.say("chain", [f"the evidence has no {RECORD}: register the model again"], "")
    kept = {one.claim.path for one in checked if not one.fault}
    return (folder, manifest) if folder / RECORD in kept else (None, manifest)


def _served(version: Version, evidence: Row | None, into: Path, hashing: Hashing, report: Findings) -> Served | None:
    """The model as MLflow would load it, and the base model that it refers to; None where they are not whole."""
    report.head("The model as it is served")
    try:
        folder = model_folder(version, into / "model")
        manifest, key = manifest_of(folder, known_keys())
    except LuthierError as error:
        report.say(SERVED, [str(error).rstrip(".")], "")
        return None
    report.say(f"manifest of the {SERVED}", [], f"signed by {key[:16]}...")
    claims = claims_of(SERVED, f"of the {SERVED}", folder, manifest["files"])
    if evidence is not None:
        due, where = evidence["about"]["model_manifest_sha256"], folder / MANIFEST
        claims.append(Claim(SERVED, f"{MANIFEST} of the {SERVED}", where, due, where.stat().st_size, ""))
    whole = report.say_checked(hashing.check(claims))
    report.say("code as served", code_faults(logged_folder(folder), manifest["about"])[:1], "as it was signed")
    if more := strangers(folder, manifest["files"]):
        report.say(SERVED, more, "")
    base = read_json(folder / BASE) if whole and (folder / BASE).is_file() else None
    if base:
        try:
            where = base_folder(base["uri"]) or fetch_base(base["uri"], into / "base")
        except LuthierError as error:
            report.say(SERVED_BASE, [str(error).rstrip(".")], "")
            return None
        checked = hashing.check(claims_of(SERVED_BASE, f"of the {SERVED_BASE}", where, base["files"]))
        report.say_checked(checked)
    return (manifest["files"], base["files"] if base else None) if whole else None


def _cached(
    chain: Row, evidence: Mapping[str, Any], root: Path, hashing: Hashing, report: Findings, run: str
) -> None:
    """Every file of every output, in DVC's cache; of those that DVC does not keep, in the checkout."""
    if "dvc.lock" in chain["locks"]:
        try:
            objects = cache.cache_of(root)
        except LineageError as error:
            report.say("DVC's cache", [str(error).rstrip(".")], "")
            return
        inside = [link for link in chain["links"] if link["cached"]]
        report.head("DVC's cache")
    else:  # made without DVC: the checkout's own files are all there is
        inside, objects = [], root
        report.head("This checkout, for it was made without DVC")
    beside = [link for link in chain["links"] if link not in inside and Path(link["path"]).name not in evidence]
    claims = [claim for link in inside for claim in cache.claims(link, objects, run)]
    claims += [claim for link in beside for claim in cache.workspace_claims(link, root)]
    report.say_checked(hashing.check(claims))
    lists = [(word_of(link), told) for link in inside if (told := cache.list_fault(link, objects, run))]
    if inside:
        report.say_each(lists, "lists of folders", "each names the files of its folder")


def _together(version: Version, chain: Row, manifest: Row, evidence: Path, report: Findings) -> None:
    """Tags, manifest, chain and dvc.lock say the same."""
    report.head("What they say of each other")
    found = links.tag_faults(chain, version.tags, manifest["about"])
    report.say_each(found + links.evidence_faults(chain, manifest["files"]), "tags and digests", "the same everywhere")
    lock = evidence / "dvc.lock"
    if lock.is_file():
        try:
            document = yaml.load(lock.read_text(), Loader=yaml.CSafeLoader)
            broken = links.lock_faults(chain, document)
        except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
            broken = [("dvc.lock", "it cannot be read any more")]
        report.say_each(broken, "stages in dvc.lock", "each read what the one before it made")


def _code(version: Version, chain: Row, root: Path, report: Findings) -> None:
    commit = version.tags.get("luthier.code.commit", NO_GIT)
    if commit != chain["code"]["commit"]:
        told = [f"the version says commit {commit[:12]}, and the chain {chain['code']['commit'][:12]}"]
    elif commit == NO_GIT:
        told = []
    elif not has_commit(root, commit):
        told = [f"commit {commit} is not in this git repository: 'git fetch origin refs/luthier/*' may bring it"]
    else:
        told = []
    report.say("code", told, commit if commit == NO_GIT else f"commit {commit[:12]} is in this git repository")


def _approval(version: Version, evidence: Path | None, report: Findings) -> None:
    champion = get_version(version.name, "champion")
    promoted = "luthier.promoted_at" in version.tags or (champion is not None and champion.number == version.number)
    asked = _params(evidence).get("promote", {}).get("approval", "none") != "none"

    with tempfile.TemporaryDirectory() as folder:

        def packet(sha256: str) -> bytes | None:
            try:
                return fetch_files(version.run_id, f"packets/{sha256}.md", Path(folder)).read_bytes()
            except (TrackingError, OSError):
                return None

        told = approval.faults(version.tags, version.number, promoted and asked, known_keys(), packet)
    report.say("approval", told, approval.sentence(version.tags))


def _params(evidence: Path | None) -> dict[str, Any]:
    """params.yaml as it was registered."""
    if evidence is None or not (evidence / "params.yaml").is_file():
        return {}
    try:
        document = yaml.safe_load((evidence / "params.yaml").read_text())
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}
