"""A sealed folder (tasks/data/sealed.py) as claims about its files, so that each broken one is named, not the first."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.chain.hashing import Claim
from tasks.data.files import Row, read_json
from tasks.data.sealed import MANIFEST
from tasks.data.signing import require_signed
from tasks.errors import SealError


def manifest_of(folder: Path, known: Collection[str]) -> tuple[Row, str]:
    """A folder's manifest and the key that signed it; its files are not looked at.

    Raises:
        SealError: it is not there, not what was signed, or signed by nobody known.
    """
    what = f"its {MANIFEST}"
    try:
        document = read_json(folder / MANIFEST)
    except FileNotFoundError:
        raise SealError(f"{what} is not there: register the model again.") from None
    except ValueError:
        raise SealError(f"{what} is no JSON any more.") from None
    return require_signed(document, what, known), str(document["signature"]["key"])


def claims_of(link: str, place: str, folder: Path, files: Mapping[str, Any]) -> list[Claim]:
    """What a manifest says of a folder's files.

    Args:
        link: what a person calls the folder.
        place: behind a file's name, for the error.
        folder: where it is now.
        files: by name {bytes, sha256}.
    """
    return [
        Claim(link, f"{name} {place}", folder / name, row["sha256"], row["bytes"], "is not there any more")
        for name, row in files.items()
    ]


def strangers(folder: Path, files: Collection[str]) -> list[str]:
    """Files that no manifest knows, as sentences without their full stop."""
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return [f"{name} does not belong to it" for name in sorted(here - set(files) - {MANIFEST})]
