"""sha256 of many files side by side, each inode once: a hard link needs no second reading.

hashlib lets other threads work, so two cores hash twice as fast as one; the largest files go first.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tasks.data.files import sha256_of


@dataclass(frozen=True)
class Claim:
    """Bytes that were recorded, and where they are now."""

    link: str
    """What a person calls the link that they belong to."""
    what: str
    """Which file, for the error."""
    path: Path
    sha256: str
    bytes: int
    missing: str
    """What the error says where there is no such file: "is not there: ..."."""


@dataclass(frozen=True)
class Checked:
    """What became of a claim."""

    claim: Claim
    fault: str
    """What is wrong, as a sentence without its full stop; nothing: it holds."""
    seconds: float
    """Of hashing; none where another name of the same inode was read."""


class Hashing:
    """One verification: the pool that hashes, the inodes that it has read, and how much that was."""

    def __init__(self) -> None:
        self.bytes = 0
        """Read so far."""
        self.shared = 0
        """Bytes that stood under a second name and were not read again."""
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._read: dict[tuple[int, int], Future[tuple[str, float]]] = {}

    def __enter__(self) -> "Hashing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def check(self, claims: Sequence[Claim]) -> list[Checked]:
        """Read every file and compare; the claims keep their order."""
        states = [_stat(claim.path) for claim in claims]
        largest = sorted(range(len(claims)), key=lambda at: -(states[at].st_size if states[at] else 0))  # type: ignore[union-attr]
        owners = {at for at in largest if self._start(claims[at].path, states[at])}
        return [
            self._checked(claim, state, at in owners)
            for at, (claim, state) in enumerate(zip(claims, states, strict=True))
        ]

    def _start(self, path: Path, state: os.stat_result | None) -> bool:
        """Whether this is the first name of its inode."""
        if state is None:
            return False
        inode = (state.st_dev, state.st_ino)
        if inode in self._read:
            self.shared += state.st_size
            return False
        self._read[inode] = self._pool.submit(_timed, path)
        self.bytes += state.st_size
        return True

    def _checked(self, claim: Claim, state: os.stat_result | None, owner: bool) -> Checked:
        if state is None:
            return Checked(claim, f"{claim.what} {claim.missing}", 0.0)
        try:
            sha256, seconds = self._read[state.st_dev, state.st_ino].result()
        except OSError as error:
            return Checked(claim, f"{claim.what} cannot be read ({error.strerror})", 0.0)
        same = (sha256, state.st_size) == (claim.sha256, claim.bytes)
        return Checked(claim, "" if same else f"{claim.what} has other bytes", seconds if owner else 0.0)


def _stat(path: Path) -> os.stat_result | None:
    return path.stat() if path.is_file() else None


def _timed(path: Path) -> tuple[str, float]:
    started = time.perf_counter()
    return sha256_of(path), time.perf_counter() - started
