"""Whether the links of a chain hang together: tags, manifest, dvc.lock and evidence have to say the same.

Nothing is read here but what is given; every answer is a list of (link, sentence without its full stop).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.chain.findings import Fault
from tasks.chain.record import NOT_NEEDED, digests_in, folder_md5, word_of
from tasks.data.sealed import Files, digest_of

Chain = Mapping[str, Any]


def tag_faults(chain: Chain, tags: Mapping[str, str], about: Mapping[str, Any]) -> list[Fault]:
    """Where the version's tags, its manifest and its chain tell different digests."""
    told: Mapping[str, str] = about.get("chain", {})
    faults = [
        ("version", f"its tag {tag} says {_short(tags.get(tag))}, and the manifest of its evidence {_short(said)}")
        for tag, said in told.items()
        if tags.get(tag) != said
    ]
    found = digests_in(chain)
    faults += [
        ("chain", f"chain.json says {_short(found[tag])} of {tag}, and the manifest of the evidence {_short(said)}")
        for tag, said in told.items()
        if tag in found and found[tag] != said
    ]
    if about.get("identity") != tags.get("luthier.identity"):
        faults.append(("version", "its evidence is that of another version (luthier.identity)"))
    return faults


def evidence_faults(chain: Chain, files: Files) -> list[Fault]:
    """Where a copy in the evidence is not what the chain says of the output that it is a copy of."""
    faults = []
    for link in chain["links"]:
        name = Path(link["path"]).name
        if "" in link["files"]:
            copy = files[name]["sha256"] if name in files else None
        else:
            inside = {file.removeprefix(f"{name}/"): row for file, row in files.items() if file.startswith(f"{name}/")}
            copy = digest_of(inside) if inside else None
        if copy not in {None, link["sha256"]}:
            faults.append((word_of(link), f"the evidence has another {link['path']} than the chain"))
    for name, sha256 in chain["locks"].items():
        if name in files and files[name]["sha256"] != sha256:
            faults.append((name, f"the evidence has another {name} than the chain"))
    return faults


def served_faults(chain: Chain, files: Files, base: Files | None) -> list[Fault]:
    """Where the model is served with other weights than the chain's.

    Args:
        chain: of `chain_of`.
        files: of the served model's manifest.
        base: files of the base model that it refers to, if it does.
    """
    found = digests_in(chain)
    tuned = {name.removeprefix("tuned/"): row for name, row in files.items() if name.startswith("tuned/")}
    served = {
        "luthier.weights.tuned": digest_of(tuned),
        "luthier.weights.base": digest_of(base) if base else NOT_NEEDED,
    }
    return [
        ("served model", f"its weights ({tag}) are {_short(sha256)}, and those of the chain {_short(found.get(tag))}")
        for tag, sha256 in served.items()
        if found.get(tag) != sha256
    ]


def lock_faults(chain: Chain, lock: Mapping[str, Any]) -> list[Fault]:
    """Where dvc.lock and the chain tell different md5s, or a stage read something else than was made for it.

    Args:
        chain: of `chain_of`.
        lock: the document dvc.lock.
    """
    links = {link["path"]: link for link in chain["links"]}
    faults = []
    for name, stage in lock["stages"].items():
        for out in stage.get("outs", []):
            link = links.get(out["path"])
            if link and link["md5"] != out["md5"]:
                faults.append((word_of(link), f"dvc.lock knows {out['path']} by another md5 than chain.json"))
        for dep in stage.get("deps", []):
            owner = next((link for path, link in links.items() if _within(dep["path"], path)), None)
            if owner and dep["md5"] != _md5_inside(owner, dep["path"]):
                told = f"the stage {name} read another {dep['path']} than the stage {owner['stage']} made (dvc.lock)"
                faults.append((word_of(owner), told))
    return faults


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _md5_inside(link: Mapping[str, Any], path: str) -> str | None:
    """DVC's name for a link, for one of its files, or for a folder in it."""
    if path == link["path"]:
        return str(link["md5"])
    inside = path.removeprefix(f"{link['path']}/")
    if inside in link["files"]:
        return str(link["files"][inside]["md5"])
    below = {name.removeprefix(f"{inside}/"): row for name, row in link["files"].items() if _within(name, inside)}
    return folder_md5(below) if below else None


def _short(digest: str | None) -> str:
    return digest if digest in {NOT_NEEDED, "missing"} else f"{digest[:16]}..." if digest else "nothing"
