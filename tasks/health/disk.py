"""Room on the disks that a run writes to."""

import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path

from tasks.data.files import free_bytes
from tasks.data.sources import cache as shared_cache
from tasks.health.declared import document_of
from tasks.health.dvc import cache_of
from tasks.health.finding import Finding, error, ok, warning
from tasks.health.leftovers import amount, bytes_of
from tasks.health.seen import Surroundings

AREA = "disk"
FRESH = 3e9  # the default: its wheels, the converted model, a training
REST = 1e9  # data, predictions, reports, logs, MLflow's copies
SMALL = 1e9  # of a temporary folder: wheels are unpacked there
INODES = 50_000


def check(seen: Surroundings) -> list[Finding]:
    """Free space against what one run takes."""
    need, why = needed(seen)
    wants = {seen.root: need, cache_of(seen): need, shared_cache(): SMALL, Path(tempfile.gettempdir()): SMALL}
    names = {seen.root: "checkout", cache_of(seen): "DVC's cache", shared_cache(): "shared cache",
             Path(tempfile.gettempdir()): "temporary folder"}  # fmt: skip
    disks: dict[int, list[Path]] = defaultdict(list)
    for path in wants:
        disks[_disk_of(path)].append(path)
    found = []
    for paths in disks.values():
        free, wanted = free_bytes(paths[0]), max(wants[path] for path in paths)
        said = f"{amount(free)} free for {', '.join(names[path] for path in paths)}"
        if free < wanted:
            what = f"{said}; {'a run' if wanted == need else 'it'} takes about {amount(wanted)} ({why})."
            found.append(error(AREA, what, str(paths[0]), "dvc gc -w, remove old workspaces, or use a larger disk"))
        elif free < 3 * wanted:
            what = f"{said}: room for {int(free / wanted)} runs ({why})."
            found.append(warning(AREA, what, str(paths[0]), "dvc gc -w, remove old workspaces, or use a larger disk"))
        else:
            found.append(ok(AREA, f"{said}; a run takes about {amount(wanted)} ({why})" if wanted == need else said))
        if few := _few_inodes(paths[0]):
            found.append(error(AREA, f"Only {few:,} more files fit.", str(paths[0]), "remove small files"))
    runs = seen.runs()
    if runs:
        size = sum(bytes_of(folder) for folder in runs)
        found.append(ok(AREA, f"{amount(size)} in .luthier/runs (workspaces: {len(runs)})"))
    return found


def needed(seen: Surroundings) -> tuple[float, str]:
    """(bytes that one run writes, why so many): what `luthier estimate` said, or a guess from the base model."""
    try:
        return json.loads((seen.root / ".luthier/estimate.json").read_text())["disk_bytes"] + REST, "luthier estimate"
    except (OSError, ValueError, KeyError, TypeError):
        pass
    base = sum(file.stat().st_size for file in (seen.root / "models/base").glob("*.safetensors"))
    if not base:
        return FRESH, "a guess: nothing is fetched yet"
    tuned = document_of(seen).get("finetune")
    settings = tuned if isinstance(tuned, dict) else {}
    care = settings.get("care")
    keep = care.get("keep", 2) if isinstance(care, dict) else 2
    if settings.get("method") == "full" and isinstance(keep, int):
        # A checkpoint is weights, two moments and the best weights so far; the model comes on top.
        return base * (4 * (keep + 1) + 1) + REST, "a guess from the base model, trained in full"
    return base + REST, "a guess from the base model, trained by adapters"


def _disk_of(path: Path) -> int:
    return next(above for above in (path, *path.absolute().parents) if above.exists()).stat().st_dev


def _few_inodes(path: Path) -> int:
    there = next(above for above in (path, *path.absolute().parents) if above.exists())
    status = os.statvfs(there)
    return status.f_favail if status.f_files and status.f_favail < INODES else 0
