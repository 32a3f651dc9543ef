"""Files that are whole or not there: JSON lines in and out, and outputs that appear by one rename."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.errors import DataError

Row = dict[str, Any]


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; rename it to `path` only if nothing failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.partial")
    remove(temporary)
    try:
        yield temporary
        if path.is_dir():  # a folder cannot be replaced in one call; a file can
            remove(path)
        temporary.replace(path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, link or whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write sorted, indented JSON: the same value gives the same bytes. NaN is refused."""
    with staged(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write one JSON object a line; return how many."""
    count = 0
    with staged(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_json(path: Path) -> Any:
    """Read one JSON document."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_rows(path: Path) -> list[Row]:
    """Read JSON lines.

    Raises:
        DataError: a line is no JSON object, with its number.
    """
    with path.open(encoding="utf-8", newline="\n") as file:
        return [row_of(line, path, number) for number, line in enumerate(file, start=1)]


def row_of(line: str | bytes, path: Path, number: int) -> Row:
    """The object of one line.

    Raises:
        DataError: it is no JSON object.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}, line {number}: not JSON ({error}).") from None
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: a JSON object is expected, not {type(row).__name__}.")
    return row


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes; of a folder, of its files' names and sha256s in name order."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        lines = "".join(f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
        return hashlib.sha256(lines.encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Give `target` the bytes of `source`, without a second copy on disk where the file system allows a hard link."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def free_bytes(path: Path) -> int:
    """Bytes free on the disk of a path, which need not be there yet."""
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    return shutil.disk_usage(there).free
