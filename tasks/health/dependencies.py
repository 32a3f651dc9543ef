"""What is known of the locked packages: their bill of materials, and the last audit for known holes.

Both are made elsewhere (tasks/sbom.py, tasks/audit.py) and kept in docs/ with the digest of the lock that they are of.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.data.files import sha256_of
from tasks.health.finding import Finding, error, not_checked, or_ok, warning
from tasks.health.seen import Surroundings

AREA = "dependencies"
SBOM, AUDIT = Path("docs/sbom.cdx.json"), Path("docs/audit.json")
LOCK_SHA256 = "luthier:requirements.lock:sha256"  # a property of the bill
OLD = timedelta(days=30)
ASK = "python -m tasks.audit, where a network is"


def lock_of_sbom(sbom: Path) -> str:
    """The sha256 of the lock that a bill is of; nothing where there is no bill that can be read."""
    try:
        properties = json.loads(sbom.read_text())["metadata"]["properties"]
        return str({one["name"]: one["value"] for one in properties}[LOCK_SHA256])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def check(seen: Surroundings, now: datetime | None = None) -> list[Finding]:
    """Whether every pin has hashes, and whether bill and audit are of this lock."""
    lock = seen.root / "requirements.lock"
    if not lock.is_file():
        return [not_checked(AREA, "there is no requirements.lock")]
    digest = sha256_of(lock)
    found = list(_hashes(lock))
    if (of := lock_of_sbom(seen.root / SBOM)) != digest:
        what = "is the bill of another lock." if of else "is not there, or cannot be read: no bill of materials."
        found.append(warning(AREA, what, str(SBOM), "python -m tasks.sbom"))
    found += _audit(seen.root / AUDIT, digest, now or datetime.now(UTC))
    return or_ok(found, AREA, "every pin has its hashes; bill of materials and audit are of this lock")


def _hashes(lock: Path) -> Iterator[Finding]:
    """Pins that a package index could answer with any bytes."""
    pins = [line for line in lock.read_text().replace("\\\n", " ").splitlines() if "==" in line.split("#")[0]]
    bare = [line.split("==")[0].strip() for line in pins if "--hash=sha256:" not in line]
    if bare:
        what = f"pins {len(bare)} packages without hashes, such as {bare[0]}: whoever answers may send other bytes."
        yield error(AREA, what, lock.name, "make lock")


def _audit(path: Path, digest: str, now: datetime) -> Iterator[Finding]:
    where = str(AUDIT)
    if not path.is_file():
        yield warning(AREA, "Nobody has asked yet whether the locked packages have known holes.", where, ASK)
        return
    try:
        told: dict[str, Any] = json.loads(path.read_text())
        age, of, holes = now - datetime.fromisoformat(told["date"]), told["lock_sha256"], told["holes"]
        named = ", ".join(sorted({f"{one['name']} {one['version']} ({one['id']})" for one in holes}))
    except (ValueError, KeyError, TypeError, OSError):
        yield warning(AREA, "cannot be read: no audit is on record.", where, ASK)
        return
    if of != digest:
        yield warning(AREA, "is the audit of another lock.", where, ASK)
    elif age > OLD:
        yield warning(AREA, f"is {age.days} days old: holes are found every week.", where, ASK)
    if holes and of == digest:
        yield error(AREA, f"Known holes: {named[:300]}.", where, "raise their versions in pyproject.toml, make lock")
