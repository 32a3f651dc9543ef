"""One checkpoint's folder: written so that every byte is vouched for, and verified before any of it is read.

    manifest = write(folder, step, fingerprint, tensors, state, log, before=None, same_as_before=set())
    manifest = verified(folder)                 # DamagedError names the file that is not what was written
    tensors, state, log = read(folder, manifest)

    weights.safetensors  optimizer.safetensors  ...  state.json  log.jsonl  manifest.json

manifest.json is written last: {format, step, fingerprint, files: {name: {sha256, bytes}}, sha256}, where the last is
the digest of the rest, so that it vouches for itself as well. Nothing is pickled.
"""

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tasks.data.files import Row, read_json, read_rows, sha256_of, write_json, write_rows

FORMAT = 1
MANIFEST, STATE, LOG, TENSORS = "manifest.json", "state.json", "log.jsonl", ".safetensors"
Manifest = dict[str, Any]
Tensors = Mapping[str, Mapping[str, torch.Tensor]]  # by file, then by name


class DamagedError(Exception):
    """A checkpoint is not what was saved; the message says which of its files, and how."""


def name_of(step: int) -> str:
    """The name of a checkpoint's folder."""
    return f"step-{step:08d}"


def write(
    folder: Path,
    step: int,
    fingerprint: Mapping[str, Any],
    tensors: Tensors,
    state: Mapping[str, Any],
    log: Sequence[Row],
    before: tuple[Path, Manifest] | None,
    same_as_before: AbstractSet[str],
) -> Manifest:
    """Write a checkpoint to a folder that is not there yet, and have the disk take it.

    Args:
        folder: what the checkpoint is written to; renamed by the caller once this returns.
        step: steps done.
        fingerprint: JSON values.
        tensors: contiguous, no two sharing memory.
        state: JSON values; NaN is refused.
        log: rows of the training log.
        before: a verified checkpoint on the same disk.
        same_as_before: names in `tensors` whose files it has with the same content, to be linked.

    Returns:
        The manifest.

    Raises:
        OSError: always with a file name.
    """
    folder.mkdir()
    there, known = (before[0], before[1]["files"]) if before else (folder, {})
    files = {}
    for name, content in tensors.items():
        file = folder / f"{name}{TENSORS}"
        if name in same_as_before and file.name in known and _linked(there / file.name, file):
            files[file.name] = known[file.name]
            continue
        with naming(file):
            save_file(dict(content), file)
            files[file.name] = _settled(file)
    with naming(folder):
        write_json(folder / STATE, {"step": step, "state": dict(state)})
        write_rows(folder / LOG, log)
        files |= {name: _settled(folder / name) for name in (STATE, LOG)}
        manifest = {"format": FORMAT, "step": step, "fingerprint": fingerprint, "files": files}
        (folder / MANIFEST).write_bytes(_rendered(manifest))
        _settled(folder / MANIFEST)
        sync(folder)
    return manifest


def differences(there: object, here: object) -> list[str]:
    """`train.seed is 7 there and 8 here`, for every dotted key whose JSON value differs between two fingerprints."""
    theirs, ours = _leaves(there), _leaves(here)
    keys = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    return [f"{key} is {theirs.get(key, 'not set')} there and {ours.get(key, 'not set')} here" for key in keys]


def read(folder: Path, manifest: Manifest) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any], list[Row]]:
    """Tensors, state and log of a checkpoint whose files `verified` found whole."""
    files = [name for name in manifest["files"] if name.endswith(TENSORS)]
    # pread: mapped tensors would keep the space of removed checkpoints taken for as long as they live
    tensors = {name.removesuffix(TENSORS): load_file(folder / name, backend="pread") for name in files}
    return tensors, read_json(folder / STATE)["state"], read_rows(folder / LOG)


def verified(folder: Path) -> Manifest:
    """The manifest of a whole checkpoint. Files are hashed in pieces, and no tensor is parsed.

    Raises:
        DamagedError: a file is changed, cut, missing, too many, no plain file, or of another checkpoint.
        PermissionError: a file may not be read by this user, which says nothing about its bytes.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise DamagedError(f"{folder.name} is no folder")
    manifest = _manifest_of(folder)
    if name_of(manifest["step"]) != folder.name:
        raise DamagedError(f"{MANIFEST} is that of step {manifest['step']}")
    expected, found = manifest["files"], {path.name for path in folder.iterdir()} - {MANIFEST}
    for name in sorted(expected.keys() | found):
        if name not in found:
            raise DamagedError(f"{name} is missing")
        if name not in expected:
            raise DamagedError(f"{name} is not in the manifest")
        _check_file(folder / name, expected[name])
    if (step := read_json(folder / STATE)["step"]) != manifest["step"]:
        raise DamagedError(f"{STATE} is that of step {step}")
    return manifest


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError that names no file this one; make safetensors' own error the OSError that it was."""
    try:
        yield
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def sync(path: Path) -> None:
    """Have the disk take a file's bytes, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _settled(file: Path) -> dict[str, Any]:
    """Give a written file the rights that this user's new files have (safetensors writes 0600); its entry."""
    file.chmod(stat.S_IMODE(file.parent.stat().st_mode) & 0o666)
    sync(file)
    return {"sha256": sha256_of(file), "bytes": file.stat().st_size}


def _linked(source: Path, target: Path) -> bool:
    with suppress(OSError):  # a file system without hard links: the file is written
        os.link(source, target)
        return True
    return False


def _leaves(value: object, key: str = "") -> dict[str, str]:
    """{"a": {"b": 7}} -> {"a.b": "7"}: JSON values as text."""
    if not isinstance(value, dict) or not value:
        return {key: json.dumps(value)}
    parts = [_leaves(inner, f"{key}.{name}" if key else name) for name, inner in value.items()]
    return {name: text for part in parts for name, text in part.items()}


def _rendered(manifest: Manifest) -> bytes:
    """The bytes of a manifest with its own sha256 in it; the same manifest always gives the same bytes."""
    plain = {key: value for key, value in manifest.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    return (json.dumps({**plain, "sha256": digest}, indent=2, sort_keys=True) + "\n").encode()


def _manifest_of(folder: Path) -> Manifest:
    file = folder / MANIFEST
    if not os.path.lexists(file):
        raise DamagedError(f"{MANIFEST} is missing")
    if file.is_symlink() or not file.is_file():
        raise DamagedError(f"{MANIFEST} is no plain file")
    content = file.read_bytes()
    try:
        manifest = json.loads(content)
        whole = isinstance(manifest, dict) and _rendered(manifest) == content
    except (ValueError, RecursionError):  # no UTF-8, no JSON, or brackets without end
        whole = False
    if not whole:
        raise DamagedError(f"{MANIFEST} has other bytes than were written")
    if manifest["format"] != FORMAT:
        raise DamagedError(f"{MANIFEST} has format {manifest['format']}, and this version reads {FORMAT}")
    return dict(manifest)


def _check_file(file: Path, entry: Mapping[str, Any]) -> None:
    if file.is_symlink() or not file.is_file():
        raise DamagedError(f"{file.name} is no plain file")
    size = file.stat().st_size
    if size != entry["bytes"]:
        raise DamagedError(f"{file.name} has {size:,} bytes where its manifest says {entry['bytes']:,}")
    try:
        digest = sha256_of(file)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise DamagedError(f"{file.name} cannot be read from the disk ({error.strerror})") from None
    if digest != entry["sha256"]:
        raise DamagedError(f"{file.name} has other bytes than its manifest says")
