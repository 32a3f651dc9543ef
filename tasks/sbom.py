"""The software bill of materials: every package of requirements.lock, as CycloneDX, beside the lock's digest.

    python -m tasks.sbom        # requirements.lock -> docs/sbom.cdx.json

No clock and no random number: the same lock gives the same bytes. The hashes of the wheels are in the lock, whose
sha256 the document names. register keeps both with each model. Truth: CycloneDX 1.6, cyclonedx-bom's `cyclonedx-py`.
"""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

from tasks.data.files import Row, sha256_of, write_json
from tasks.errors import LuthierError
from tasks.health.dependencies import LOCK_SHA256, SBOM, lock_of_sbom
from tasks.step import run

LOCK = Path("requirements.lock")
PIN = re.compile(r"^[A-Za-z0-9][\w.\[\]-]*==[^\s\\]+(?: ; [^\\\n]+?)?(?= \\\n|\n|$)", re.MULTILINE)


def bill(lock: Path, pyproject: Path) -> Row:
    """The bill of a lock file.

    Raises:
        LuthierError: cyclonedx-bom is not installed, or does not understand the lock.
    """
    pins = [pin.split(" \\")[0] for pin in PIN.findall(lock.read_text())]
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", "requirements", "-", "--short-PURLs"]
    command += ["--output-reproducible", "--no-validate", "--output-format", "JSON", "--spec-version", "1.6"]
    done = subprocess.run(command, input="\n".join(pins), capture_output=True, text=True, check=False)
    if done.returncode:
        told = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise LuthierError(f"cyclonedx-bom makes no bill of {lock} ({told}): 'make env' installs it.")
    document: Row = json.loads(done.stdout)
    if (count := len(document["components"])) != len(pins):
        raise LuthierError(f"cyclonedx-bom read {count} packages in {lock}, which pins {len(pins)}.")
    digest = sha256_of(lock)
    for component in document["components"]:
        component["bom-ref"] = component["purl"]
        for lengthy in ("description", "externalReferences"):
            component.pop(lengthy, None)
    document["dependencies"] = [{"ref": component["purl"]} for component in document["components"]]
    document["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(digest.encode()).digest()[:16], version=4)}"
    about = tomllib.loads(pyproject.read_text())["project"]
    document["metadata"]["component"] = {"type": "application", "name": about["name"], "version": about["version"]}
    document["metadata"]["properties"] = [{"name": LOCK_SHA256, "value": digest}]
    return document


def main() -> None:
    """Write the bill of this checkout's lock."""
    if not LOCK.is_file():
        raise LuthierError(f"{LOCK} is not there: run this in a checkout's top folder, or 'make lock' first.")
    if lock_of_sbom(SBOM) != sha256_of(LOCK):
        write_json(SBOM, bill(LOCK, Path("pyproject.toml")))
    print(f"{SBOM}: {len(json.loads(SBOM.read_text())['components'])} packages of {LOCK}")


if __name__ == "__main__":
    run(main)
