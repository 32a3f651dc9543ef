"""Known holes of the locked packages, asked of the advisories where a network is, and kept with the date.

    python -m tasks.audit       # requirements.lock -> docs/audit.json

Exits with 1 where a package has a known hole, and with 75 where nobody could be asked: then nothing is written, for
an audit that did not happen is none. `luthier doctor` looks at what is on record; register keeps it with each model.
PIP_AUDIT_VULNERABILITY_SERVICE=osv asks OSV instead of the package index. Truth: pip-audit 2, `_format/json.py`.
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tasks.data.files import Row, sha256_of, write_json
from tasks.errors import LuthierError, OutageError
from tasks.health.dependencies import AUDIT
from tasks.step import run

LOCK = Path("requirements.lock")
LONGEST_S = 1800


class AuditError(LuthierError):
    """A locked package has a known hole."""


class AuditOutageError(OutageError):
    """Nobody who knows of holes could be asked."""


def asked(lock: Path) -> str:
    """What pip-audit prints of a lock: a JSON document.

    Raises:
        AuditOutageError: it could not ask about every package.
    """
    command = [sys.executable, "-m", "pip_audit", "--strict", "--requirement", str(lock), "--require-hashes"]
    command += ["--disable-pip", "--format", "json", "--aliases", "on", "--desc", "off", "--progress-spinner", "off"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        raise AuditOutageError(f"pip-audit asked for {LONGEST_S / 60:.0f} minutes and had no end: try again.") from None
    if done.stdout.lstrip().startswith("{"):
        return done.stdout
    told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "No module named" in told:
        raise LuthierError("pip-audit is not installed: 'make env' installs it.")
    raise AuditOutageError(
        f"the advisories could not be asked ({told[:300]}): run this where a network is, or name another service with "
        f"PIP_AUDIT_VULNERABILITY_SERVICE=osv. {AUDIT} is as it was."
    )


def record(answer: str, lock_sha256: str, at: datetime, tool: str) -> Row:
    """What is kept of an audit.

    Args:
        answer: pip-audit's JSON.
        lock_sha256: of the lock that it asked about.
        at: when, with its time zone.
        tool: name and version.

    Raises:
        AuditOutageError: some package was left out.
    """
    rows = json.loads(answer)["dependencies"]
    if left_out := [row["name"] for row in rows if "skip_reason" in row]:
        raise AuditOutageError(f"the advisories know nothing of {', '.join(left_out[:5])}: this is no whole audit.")
    holes = [
        {"name": row["name"], "version": row["version"], "id": hole["id"], "aliases": sorted(hole.get("aliases", [])),
         "fixed_in": hole["fix_versions"]}
        for row in rows for hole in row["vulns"]
    ]  # fmt: skip
    date = at.astimezone(UTC).isoformat(timespec="seconds")
    return {"date": date, "lock_sha256": lock_sha256, "tool": tool, "audited": len(rows), "holes": holes}


def main() -> None:
    """Ask about this checkout's lock, and keep the answer."""
    if not LOCK.is_file():
        raise LuthierError(f"{LOCK} is not there: run this in a checkout's top folder, or 'make lock' first.")
    found = record(asked(LOCK), sha256_of(LOCK), datetime.now(UTC), f"pip-audit {version('pip-audit')}")
    write_json(AUDIT, found)
    if holes := found["holes"]:
        one, mended = holes[0], ", ".join(holes[0]["fixed_in"]) or "no version yet"
        where = f"{one['name']} {one['version']} ({one['id']}; mended in {mended})"
        raise AuditError(f"{len(holes)} known holes in {LOCK}, the first in {where}: all are in {AUDIT}.")
    print(f"{AUDIT}: {found['audited']} packages of {LOCK}, no known hole")


if __name__ == "__main__":
    run(main)
