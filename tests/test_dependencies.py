"""The bill of materials and the audit of the lock: what they hold, when none is written, and what the doctor sees."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.version import Version
from pip_audit._format import JsonFormat  # type: ignore[import-untyped]
from pip_audit._service import (  # type: ignore[import-untyped]
    ResolvedDependency,
    SkippedDependency,
    VulnerabilityResult,
)

from tasks import audit, sbom
from tasks.data.files import read_json, sha256_of, write_json
from tasks.doctor import look
from tasks.errors import LuthierError
from tasks.health import dependencies
from tasks.health.finding import Verdict

ROOT = Path(__file__).resolve().parent.parent
HASH = "\\\n    --hash=sha256:" + "0" * 64
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small lock in a checkout of its own."""
    monkeypatch.chdir(tmp_path)
    pins = ["typer==0.1.2", "uvicorn[standard]==1.0", "colorama==0.4.6 ; sys_platform == 'win32'"]
    (tmp_path / "requirements.lock").write_text("".join(f"{pin} {HASH}\n    # via luthier\n" for pin in pins))
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "luthier"\nversion = "0.1.0"\n')
    return tmp_path / "requirements.lock"


# --- the bill


def test_the_bill_in_the_repository_is_of_its_lock_and_names_every_pin() -> None:
    assert dependencies.lock_of_sbom(ROOT / dependencies.SBOM) == sha256_of(ROOT / sbom.LOCK), "run: python -m tasks.sbom"
    listed = {(one["name"], one["version"]) for one in read_json(ROOT / dependencies.SBOM)["components"]}
    lines = [line.split(" ")[0].partition("==") for line in (ROOT / sbom.LOCK).read_text().splitlines()]
    assert listed == {(name.partition("[")[0], number) for name, equal, number in lines if equal and name[0].isalnum()}
    assert (ROOT / dependencies.SBOM).stat().st_size < 300_000


def test_the_same_lock_gives_the_same_valid_bill_and_another_lock_another(lock: Path) -> None:
    from cyclonedx.schema import SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation.json import JsonStrictValidator  # noqa: PLC0415

    sbom.main()
    before = Path(dependencies.SBOM).read_bytes()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(before.decode()) is None
    Path(dependencies.SBOM).unlink()
    sbom.main()
    assert Path(dependencies.SBOM).read_bytes() == before
    lock.write_text(lock.read_text().replace("0.1.2", "0.1.3"))
    sbom.main()
    assert b"typer@0.1.3" in Path(dependencies.SBOM).read_bytes()
    assert json.loads(before)["serialNumber"] != read_json(Path(dependencies.SBOM))["serialNumber"]


# --- the audit

HOLE = {
    "id": "PYSEC-2026-1", "aliases": ["CVE-2026-2614"], "summary": "reads files for strangers",
    "affected": [{
        "package": {"name": "typer", "ecosystem": "PyPI"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.2"}]}],
    }],
}  # fmt: skip


@pytest.fixture
def advisories(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[object]]]:
    """A server that answers as OSV does; holes by package, to be filled."""
    holes: dict[str, list[object]] = {}

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = holes.get(asked["package"]["name"], [])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", f"http://127.0.0.1:{server.server_port}/v1/query")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield holes
    server.shutdown()
    server.server_close()


def _audited(where: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tasks.audit"]
    return subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)


def test_an_audit_is_kept_with_its_date_and_its_lock_and_a_hole_is_an_error(
    lock: Path, advisories: dict[str, list[object]]
) -> None:
    well = _audited(lock.parent)
    assert well.returncode == 0, well.stderr
    kept = read_json(lock.parent / dependencies.AUDIT)
    assert (kept["audited"], kept["holes"], kept["lock_sha256"]) == (2, [], sha256_of(lock))
    assert datetime.now(UTC) - datetime.fromisoformat(kept["date"]) < timedelta(minutes=5)
    advisories["typer"] = [HOLE]
    ill = _audited(lock.parent)
    assert ill.returncode == 1
    assert "typer 0.1.2 (PYSEC-2026-1; mended in 0.2)" in ill.stderr
    assert read_json(lock.parent / dependencies.AUDIT)["holes"][0]["aliases"] == ["CVE-2026-2614"]


def test_where_nobody_can_be_asked_it_says_so_exits_with_75_and_writes_nothing(
    lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")  # nothing listens on the port of "discard"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    done = _audited(lock.parent)
    assert done.returncode == 75, done.stderr
    assert "the advisories could not be asked" in done.stderr
    assert not (lock.parent / dependencies.AUDIT).exists()


def test_what_pip_audit_writes_is_read_and_an_audit_that_left_something_out_is_none() -> None:
    resolved = ResolvedDependency("mlflow", Version("3.9"))
    hole = VulnerabilityResult.create(["GHSA-1", "CVE-2026-2614"], "it reads files", [Version("3.10.0")], None)
    written = JsonFormat(True, True).format({resolved: [hole]}, [])
    found = audit.record(written, "00", NOW, "pip-audit 2")
    assert found == {
        "date": "2026-03-01T00:00:00+00:00", "lock_sha256": "00", "tool": "pip-audit 2", "audited": 1,
        "holes": [{"name": "mlflow", "version": "3.9", "id": hole.id, "aliases": sorted(hole.aliases),
                   "fixed_in": ["3.10.0"]}],
    }  # fmt: skip
    skipped = JsonFormat(True, True).format({resolved: [], SkippedDependency("torch", "not found"): []}, [])
    with pytest.raises(LuthierError, match="know nothing of torch"):
        audit.record(skipped, "00", NOW, "pip-audit 2")


# --- what the doctor sees


def _said(lock: Path, days: int = 0) -> list[tuple[Verdict, str]]:
    seen = replace(look(lock.parent), root=lock.parent)
    return [(one.verdict, f"{one.where}: {one.what}") for one in dependencies.check(seen, NOW + timedelta(days=days))]


def test_the_doctor_looks_at_hashes_bill_and_audit(lock: Path) -> None:
    kept = {"date": NOW.isoformat(), "lock_sha256": sha256_of(lock), "tool": "t", "audited": 2, "holes": []}
    assert [said for _, said in _said(lock)] == [
        "docs/sbom.cdx.json: is not there, or cannot be read: no bill of materials.",
        "docs/audit.json: Nobody has asked yet whether the locked packages have known holes.",
    ]
    sbom.main()
    write_json(lock.parent / dependencies.AUDIT, kept)
    assert [verdict for verdict, _ in _said(lock, 30)] == [Verdict.OK]
    assert _said(lock, 31) == [(Verdict.WARNING, "docs/audit.json: is 31 days old: holes are found every week.")]
    hole = {"name": "typer", "version": "0.1.2", "id": "PYSEC-2026-1"}
    write_json(lock.parent / dependencies.AUDIT, kept | {"holes": [hole]})
    assert _said(lock) == [(Verdict.ERROR, "docs/audit.json: Known holes: typer 0.1.2 (PYSEC-2026-1).")]
    (lock.parent / dependencies.AUDIT).write_text("{")
    assert _said(lock) == [(Verdict.WARNING, "docs/audit.json: cannot be read: no audit is on record.")]
    write_json(lock.parent / dependencies.AUDIT, kept)
    lock.write_text(lock.read_text() + "evil==1.0\n")
    verdicts, said = zip(*_said(lock), strict=True)
    assert verdicts == (Verdict.ERROR, Verdict.WARNING, Verdict.WARNING)
    assert "pins 1 packages without hashes, such as evil" in said[0]
    assert "bill of another lock" in said[1]
    assert "audit of another lock" in said[2]
