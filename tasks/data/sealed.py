"""Sealed folders: a signed manifest with every file's sha256, so that no byte changes unseen.

    seal(folder, {"identity": ...})          writes folder/manifest.json, signed
    manifest = require_sealed(folder, known) every file is there, whole, and no other; or a SealError that names one

Files are hashed side by side: hashlib lets other threads work, so two cores hash twice as fast as one.
"""

import hashlib
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.data.files import Row, read_json, sha256_of, write_json
from tasks.data.signing import require_signed, signed
from tasks.errors import SealError

MANIFEST = "manifest.json"
Files = Mapping[str, Row]  # path inside the folder -> {bytes, sha256}


def files_in(folder: Path) -> dict[str, Row]:
    """Every file of a folder but for its manifest, by its path inside: {bytes, sha256}."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    digests = hashed(paths)
    return {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": digest}
        for path, digest in zip(paths, digests, strict=True)
    }


def hashed(paths: Collection[Path]) -> list[str]:
    """Hex sha256 of each file's bytes."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(sha256_of, paths))


def digest_of(files: Files) -> str:
    """What `tasks.data.files.sha256_of` says of the folder that holds exactly these files."""
    names = sorted(files, key=Path)
    return hashlib.sha256("".join(f"{files[name]['sha256']}  {name}\n" for name in names).encode()).hexdigest()


def seal(folder: Path, about: Row) -> Row:
    """Write the folder's manifest, {files, about, signature}; return it.

    Raises:
        SealError: it holds a symbolic link, whose bytes anybody could change from elsewhere.
    """
    if links := links_in(folder):
        raise SealError(
            f"{folder} holds {links[0]}, a symbolic link: put the file itself there. Links of DVC's cache become files "
            "by 'dvc config cache.type reflink,hardlink,copy', then 'dvc checkout --relink'."
        )
    manifest = signed({"files": files_in(folder), "about": about})
    write_json(folder / MANIFEST, manifest)
    return manifest


def require_sealed(folder: Path, what: str, known: Collection[str] | None) -> Row:
    """The manifest of a folder that is what was sealed, without its signature.

    Args:
        folder: of `seal`, wherever it is now.
        what: whose folder it is, for the error.
        known: public keys that may have signed it; None: any.

    Raises:
        SealError: naming the first file that differs, is missing or does not belong there.
    """
    if not (folder / MANIFEST).is_file():
        raise SealError(f"{what} has no manifest ({MANIFEST}): register the model again.")
    try:
        document = read_json(folder / MANIFEST)
    except ValueError:
        raise SealError(f"{what} is not what was signed: its {MANIFEST} is no JSON any more.") from None
    manifest = require_signed(document, f"the manifest of {what}", known)
    if found := broken(folder, manifest["files"]):
        raise SealError(f"{what} is not what was sealed: {found[0]}.")
    return manifest


def broken(folder: Path, files: Files) -> list[str]:
    """What is wrong with a folder, as clauses; none if it holds exactly these files."""
    return [f"{name} is a symbolic link" for name in links_in(folder)] + differences(files_in(folder), files)


def links_in(folder: Path) -> list[str]:
    """Symbolic links of a folder, by their path inside: what they lead to is not theirs."""
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_symlink()]


def differences(now: Files, files: Files) -> list[str]:
    """How files that are there differ from those that were sealed, as clauses."""
    said = [f"{name} is missing" for name in files if name not in now]
    said += [f"{name} has other bytes" for name in files if name in now and dict(now[name]) != dict(files[name])]
    return said + [f"{name} does not belong to it" for name in now if name not in files]
