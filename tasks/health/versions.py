"""What is installed against what the lock file says, and programs that steps call."""

import re
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.health.finding import Finding, error, not_checked, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "versions"
PYTHON = (3, 11)
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^\s;\\]+)(?P<marker>\s*;)?", re.MULTILINE)
# Older ones have holes that are known and mended: mlflow reads and writes files for strangers (CVE-2026-2614, -2651,
# -4137), torch runs code in weights in spite of weights_only (CVE-2025-32434).
FLOORS = {"mlflow": (3, 11), "torch": (2, 6)}
SHOWN = 6
AGAIN = "make env"


def check(seen: Surroundings) -> list[Finding]:
    """Python, packages and programs."""
    found = []
    if sys.version_info[:2] != PYTHON:
        what = f"Python {sys.version_info.major}.{sys.version_info.minor} runs this, and 3.11 is what it is tested on."
        found.append(error(AREA, what, sys.executable, AGAIN))
    found += _floors()
    lock = seen.root / "requirements.lock"
    found += _differences(lock) if lock.is_file() else [not_checked(AREA, "there is no requirements.lock")]
    bin_folder = str(Path(sys.executable).parent)
    for program, fix in {"git": "install git", "dvc": f"{AGAIN}; source .venv/bin/activate"}.items():
        if not shutil.which(program, path=f"{bin_folder}:{seen.environment.get('PATH', '')}"):
            found.append(error(AREA, f"There is no {program}.", "PATH", fix))
    on_path = shutil.which("python", path=seen.environment.get("PATH", ""))
    if on_path is None or Path(on_path).parent != Path(sys.executable).parent:
        what = "'python' is another than this one, and dvc.yaml's commands say 'python'."
        found.append(warning(AREA, what, on_path or "PATH", f"source {Path(bin_folder).parent.name}/bin/activate"))
    return or_ok(found, AREA, f"Python 3.11, git, DVC, and {_count(lock)} packages as locked")


def _floors() -> list[Finding]:
    found = []
    for name, floor in FLOORS.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue  # which the comparison with the lock says
        if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < floor:
            what = f"Known holes in {name} {installed}; {floor[0]}.{floor[1]} is the oldest without."
            found.append(error(AREA, what, sys.prefix, AGAIN))
    return found


def _differences(lock: Path) -> list[Finding]:
    missing, other = [], []
    for match in PIN.finditer(lock.read_text()):
        name, locked = match["name"], match["version"]
        try:
            installed = version(name)
        except PackageNotFoundError:
            if not match["marker"]:  # of another platform
                missing.append(name)
            continue
        if installed.partition("+")[0] != locked.partition("+")[0]:  # 2.13.0+cpu is a build of 2.13.0
            other.append(f"{name} {installed} (locked {locked})")
    found = []
    if missing:
        what = f"{len(missing)} locked packages are not installed: {_few(missing)}."
        found.append(error(AREA, what, lock.name, AGAIN))
    if other:
        what = f"{len(other)} packages differ from the lock: {_few(other)}."
        found.append(warning(AREA, what, lock.name, AGAIN))
    return found


def _few(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _count(lock: Path) -> int:
    return len(PIN.findall(lock.read_text())) if lock.is_file() else 0
