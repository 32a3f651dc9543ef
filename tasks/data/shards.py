"""Finished shards of a stage's work, each under a key that says all that decides its bytes.

    store = Shards(Path(".luthier/parts"))
    if not store.has(key): store.put(key, {"seconds": 3.1}, rows)

A stage asks for each shard before it computes it: so a killed one goes on where it stood, and what another worker made
is not made again. A shard is a file of the SHA-256 of all that follows, its costs, and its rows, as JSON lines. It
appears whole, and one that has other bytes than were written is refused and made again.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.data.files import Row, remove
from tasks.errors import DataError, ParamsError

PARTS = "LUTHIER_PARTS"  # in the environment of a run's steps: the folder that all workers of this machine share
FOLDER = Path(".luthier/parts")  # of a checkout that nobody told so
SUFFIX = ".shard"


def folder_told() -> Path:
    """Where a stage keeps its shards."""
    return Path(os.environ.get(PARTS) or FOLDER)


def part_of(text: str) -> tuple[int, int]:
    """The number and count of a part such as 2/4.

    Raises:
        ParamsError: it is none.
    """
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ParamsError(f"'{text}' is no part: write which of how many, from 1/4 to 4/4.")
    return int(number), int(count)


def key_of(decides: Any) -> str:
    """The key of what a shard's bytes depend on: JSON values."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]


class Shards:
    """A folder of shards.

    Args:
        folder: need not be there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        """Whether a shard is there and whole; one that has other bytes than were written is told of and removed."""
        path = self._path(key)
        if not path.is_file():
            return False
        if fault := fault_of(path):
            print(f"{path} {fault}: it is not used, and made again", flush=True)
            path.unlink()
            return False
        return True

    def put(self, key: str, cost: Row, rows: Iterable[Row]) -> None:
        """Keep a shard.

        Args:
            key: from `key_of`.
            cost: what it took.
            rows: of the file that it is a part of.
        """
        lines = [json.dumps({"key": key, **cost}, sort_keys=True)]
        lines += [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
        content = "".join(f"{line}\n" for line in lines).encode()
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f".{key}.{os.getpid()}"  # two workers may make the same one
        try:
            partial.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            partial.replace(self._path(key))
        finally:
            remove(partial)

    def cost(self, key: str) -> Row:
        """What a shard took."""
        cost: Row = json.loads(self._read(key)[0])
        return cost

    def lines(self, key: str) -> bytes:
        """The rows of a shard, as lines.

        Raises:
            DataError: it has other bytes than were written.
        """
        return self._read(key)[1]

    def clear(self) -> None:
        """Forget all shards."""
        remove(self.folder)

    def _read(self, key: str) -> tuple[bytes, bytes]:
        path = self._path(key)
        if fault := fault_of(path):
            raise DataError(f"{path} {fault}: run this again, and it is made again.")
        _, cost, rows = path.read_bytes().split(b"\n", 2)
        return cost, rows

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"


def fault_of(path: Path, name: str = "") -> str:
    """What is wrong with a shard's file; empty: nothing. `name`: what it is to be called, if not as it is."""
    digest, _, content = path.read_bytes().partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        return "has other bytes than were written"
    key = json.loads(content.partition(b"\n")[0])["key"]
    return "" if (name or path.name) == f"{key}{SUFFIX}" else f"is the shard {key}, under another name"
