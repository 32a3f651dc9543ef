"""Verified checkpoints: a training that is killed anywhere goes on from the newest one that is whole.

    checkpoints = Checkpoints(folder, fingerprint, keep=2)
    start = checkpoints.newest()                                   # None: begin at step 0
    checkpoints.save(step, {"weights": ..., "optimizer": ...}, state, log)
    checkpoints.clear()                                            # the training is finished

    step-00000034/                    one checkpoint: see tasks/model/manifest.py
    quarantine/000001-step-00000051/  reason.json, and of the one set aside last its files, in checkpoint/
    fingerprint.json                  for people; what decides is the fingerprint in each manifest

Order is by step, never by a clock. At most keep + 2 checkpoints lie on the disk at any moment: those kept, the one
being saved and the one set aside last. One process at a time may use a folder: see tasks/model/fence.py.
"""

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from tasks.data.files import Row, free_bytes, remove, staged, write_json
from tasks.errors import TrainingError
from tasks.model.manifest import (
    DamagedError,
    Manifest,
    Tensors,
    differences,
    name_of,
    naming,
    read,
    sync,
    verified,
    write,
)

QUARANTINE, FINGERPRINT = "quarantine", "fingerprint.json"
PARTIAL, REMOVED = ".partial", ".removed"
FOLDER = re.compile(r"\.?step-(\d+)(\.partial)?(\.removed)?")  # saved; being saved; being removed


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step."""

    step: int
    tensors: dict[str, dict[str, torch.Tensor]]
    """By file, then by name; on the CPU, in memory of their own, with the types that they were saved with."""
    state: dict[str, Any]
    log: list[Row]
    """Rows of the training log up to this step."""


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: theirs, outside of what DVC removes before a stage runs.
        fingerprint: JSON values that decide the result; a checkpoint with any other is refused.
        keep: checkpoints that stay, at least 2: where the last is damaged, the one before it is needed.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], keep: int) -> None:
        if keep < 2:
            raise ValueError(f"keep is {keep}; at least 2, since a damaged checkpoint needs one before it")
        self.folder, self.keep = folder, keep
        self.fingerprint = json.loads(json.dumps(fingerprint, allow_nan=False))  # as it reads back from a manifest
        self._whole: dict[int, Manifest] | None = None

    @property
    def steps(self) -> list[int]:
        """Steps of the whole checkpoints here, oldest first."""
        return sorted(self._known)

    @property
    def _known(self) -> dict[int, Manifest]:
        return self._sweep() if self._whole is None else self._whole

    def newest(self) -> Checkpoint | None:
        """The whole checkpoint with the highest step, or None; whatever is not whole is set aside with its reason.

        Raises:
            TrainingError: a whole checkpoint here belongs to a training with another fingerprint. Nothing is changed.
        """
        whole = self._sweep()
        if not whole:
            return None
        step = max(whole)
        return Checkpoint(step, *read(self.folder / name_of(step), whole[step]))

    def save(
        self,
        step: int,
        tensors: Tensors,
        state: Mapping[str, Any],
        log: Sequence[Row],
        same_as_before: AbstractSet[str] = frozenset(),
    ) -> None:
        """Save a checkpoint, so that a kill at any moment leaves it whole or not there; then remove the oldest.

        Args:
            step: steps done; higher than that of any checkpoint here.
            tensors: by file, then by name; contiguous, no two sharing memory.
            state: JSON values; NaN is refused.
            log: rows of the training log up to this step.
            same_as_before: names in `tensors` whose content the checkpoint before has already. They are linked, not
                written: one file on the disk, so that damage to it sets aside every checkpoint that shares it.

        Raises:
            OSError: the disk is full or the like, always with a file name. The checkpoints before are as they were.
        """
        whole = self._known
        before = max(whole, default=-1)
        if step <= before:
            raise ValueError(f"step {step} is to be saved, and step {before} lies there already")
        target = self.folder / name_of(step)
        known = (self.folder / name_of(before), whole[before]) if whole else None
        with naming(target):
            with staged(target) as partial:
                manifest = write(partial, step, self.fingerprint, tensors, state, log, known, same_as_before)
            sync(self.folder)
            whole[step] = manifest
            self._rotate(whole)

    def clear(self) -> None:
        """The training is finished: remove all of it, the newest checkpoint last. A lock file beside them stays."""
        for _, path in self._found():
            _drop(path)
        remove(self.folder / QUARANTINE)
        remove(self.folder / FINGERPRINT)
        self._whole = {}

    def _found(self) -> list[tuple[int, Path]]:
        """Whatever is named as a checkpoint, or as one half saved or half removed; by step."""
        paths = self.folder.iterdir() if self.folder.is_dir() else []
        return sorted((int(match[1]), path) for path in paths if (match := FOLDER.fullmatch(path.name)))

    def _sweep(self) -> dict[int, Manifest]:
        """Verify all that lies here: keep what is whole, set aside what is not, refuse what is another training's."""
        whole: dict[int, Manifest] = {}
        damaged: list[tuple[int, Path, str]] = []
        for step, path in self._found():
            try:
                if path.name.endswith(REMOVED):
                    remove(path)
                elif path.name.endswith(PARTIAL):
                    raise DamagedError("its save was interrupted before its manifest was in place")
                else:
                    whole[step] = verified(path)
            except DamagedError as reason:
                damaged.append((step, path, str(reason)))
        for step, manifest in whole.items():
            self._refuse_another(step, manifest["fingerprint"])
        with naming(self.folder):
            self._tidy(damaged, f"going on from step {max(whole)}" if whole else "beginning at step 0")
            self._rotate(whole)
        self._whole = whole
        return whole

    def _refuse_another(self, step: int, fingerprint: object) -> None:
        if said := differences(fingerprint, self.fingerprint):
            raise TrainingError(
                f"{self.folder / name_of(step)} is a checkpoint of another training: {'; '.join(said)}. "
                f"Set these back to go on with it, or remove {self.folder} to begin anew."
            )

    def _tidy(self, damaged: Sequence[tuple[int, Path, str]], onward: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / FINGERPRINT).exists():  # processes that are not the first come here at the same time
            write_json(self.folder / FINGERPRINT, self.fingerprint)
        for step, path, reason in damaged:
            self._set_aside(step, path, reason)
            print(f"finetune  checkpoint {name_of(step)} set aside: {reason}; {onward}", flush=True)

    def _set_aside(self, step: int, path: Path, reason: str) -> None:
        """Move a damaged checkpoint into quarantine; those there before it keep their reason, not their bytes."""
        earlier = sorted((self.folder / QUARANTINE).glob(f"{'[0-9]' * 6}-step-*"))
        number = int(earlier[-1].name.partition("-")[0]) + 1 if earlier else 1
        entry = self.folder / QUARANTINE / f"{number:06d}-{name_of(step)}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(entry / "reason.json", {"reason": reason, "step": step, "time": now})
        for old in earlier:
            remove(old / "checkpoint")
        path.rename(entry / "checkpoint")

    def _rotate(self, whole: dict[int, Manifest]) -> None:
        for step in sorted(whole)[: -self.keep]:
            _drop(self.folder / name_of(step))
            del whole[step]


def require_space(folder: Path, bytes_needed: int) -> None:
    """Refuse to begin where the disk of `folder`, which need not be there yet, has less room than this.

    Raises:
        TrainingError: with the path, the bytes needed and the bytes free.
    """
    free = free_bytes(folder)
    if free < bytes_needed:
        raise TrainingError(
            f"the checkpoints in {folder} need {bytes_needed:,} bytes, and its disk has {free:,} bytes free: "
            "make room (e.g. 'dvc gc -w') and run the step again."
        )


def _drop(path: Path) -> None:
    """Remove a checkpoint. It loses its name first: one half removed is never taken for a damaged one."""
    doomed = path
    if not path.name.endswith(REMOVED):
        doomed = path.with_name(f".{path.name.removeprefix('.')}{REMOVED}")
        path.rename(doomed)
    remove(doomed)
