"""DVC's cache, which DVC trusts without hashing: where it is, and what of a chain has to stand in it.

An object is named by its md5 (files/md5/ab/cdef...); a folder's object, with `.dir` behind its name, lists its files.
Truth: dvc 3.67, `dvc/cachemgr.py`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.chain.hashing import Claim
from tasks.chain.record import word_of
from tasks.errors import LineageError

Link = Mapping[str, Any]
SHOWN = "files/md5"  # what a person looks for below the cache


def cache_of(root: Path) -> Path:
    """The folder of DVC's objects, wherever this checkout's settings put it.

    Raises:
        LineageError: the checkout has no DVC.
    """
    from dvc.exceptions import NotDvcRepoError  # noqa: PLC0415  # half a second to import
    from dvc.repo import Repo  # noqa: PLC0415

    try:
        with Repo(str(root)) as repo:
            return Path(str(repo.cache.local.path))
    except NotDvcRepoError:
        raise LineageError(
            f"{root.resolve()} is no DVC repository, and the chain's bytes stand in a DVC cache: run this in "
            "the checkout that the model was registered from, or in a clone of it."
        ) from None


def object_of(cache: Path, md5: str) -> Path:
    """The file of an object."""
    return cache / md5[:2] / md5[2:]


def way_back(path: str, run: str = "none") -> str:
    """The command that brings an output back into the cache; a run of the scheduler has a dvc.lock of its own."""
    return f"dvc fetch {path}" if run == "none" else f"luthier runs take {run.removeprefix('runs/')}"


def claims(link: Link, cache: Path, run: str = "none") -> list[Claim]:
    """What has to stand in the cache for a link, file by file; `run`: the branch that made it, if one did."""
    found = []
    for name, row in link["files"].items():
        place = f"{SHOWN}/{row['md5'][:2]}/{row['md5'][2:]}"
        found.append(
            Claim(
                link=word_of(link),
                what=f"{_path(link, name)} in DVC's cache ({place})",
                path=object_of(cache, row["md5"]),
                sha256=row["sha256"],
                bytes=row["bytes"],
                missing=f"is not there: '{way_back(link['path'], run)}' brings it back from DVC's remote",
            )
        )
    return found


def list_fault(link: Link, cache: Path, run: str = "none") -> str:
    """What is wrong with the object that lists a folder's files; nothing where it holds, or the link is one file."""
    md5 = link["md5"]
    if not md5.endswith(".dir"):
        return ""
    listed = object_of(cache, md5)
    what = f"DVC's list of {link['path']} ({SHOWN}/{md5[:2]}/{md5[2:]})"
    if not listed.is_file():
        return f"{what} is not there: '{way_back(link['path'], run)}' brings it back from DVC's remote"
    same = hashlib.md5(listed.read_bytes(), usedforsecurity=False).hexdigest() == md5.removesuffix(".dir")
    return "" if same else f"{what} has other bytes"


def workspace_claims(link: Link, root: Path) -> list[Claim]:
    """What of a link that DVC does not keep has to stand in the checkout."""
    missing = "is not there, and DVC does not keep it (cache: false in dvc.yaml)"
    return [
        Claim(
            word_of(link), _path(link, name), root / link["path"] / name, row["sha256"], row["bytes"], missing
        )
        for name, row in link["files"].items()
    ]  # fmt: skip


def _path(link: Link, name: str) -> str:
    return f"{link['path']}/{name}" if name else str(link["path"])
