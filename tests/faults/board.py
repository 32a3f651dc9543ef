"""Every fault, delivered: a table of what was done, what the stock trainer makes of it, and what Luthier does.

    python -m tests.faults.board [A3 C1 ...]      # exit 1 where a row is red or a fault was not delivered

The rows also go to .luthier/faults.json. Some need root (a disk of their own, another user) and say so where it lacks.
"""

import sys
import tempfile
import time
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tasks.data.files import write_json
from tests.faults.damage import damage
from tests.faults.ground import NEEDS_ROOT, Finding, Ground
from tests.faults.kills import kills
from tests.faults.machine import machine
from tests.faults.meaning import meaning

BOARD = Path(".luthier/faults.json")
COLUMNS = ("fault", "injected", "proof", "stock", "luthier", "verdict")


def row(finding: Finding) -> dict[str, str]:
    """A finding as text."""
    told = {**asdict(finding), "verdict": finding.verdict}
    return {name: str(told[name]) for name in COLUMNS}


def main(wanted: set[str]) -> int:
    """Deliver all faults, or those named; print the board."""
    started, findings = time.monotonic(), list[Finding]()
    console = Console()
    with tempfile.TemporaryDirectory(prefix="luthier-faults-") as place, Ground(Path(place)) as ground:
        for finding in chain(
            meaning(ground, wanted), machine(ground, wanted), damage(ground, wanted), kills(ground, wanted)
        ):
            findings.append(finding)
            console.print(f"{len(findings):4} {' · '.join(row(finding).values())}", markup=False, highlight=False)
    table = Table(*COLUMNS, title="Faults", show_lines=True)
    for finding in findings:
        table.add_row(*row(finding).values(), style="red" if finding.verdict == "RED" else "")
    console.print(table)
    write_json(BOARD, [row(finding) for finding in findings])
    bad = [finding for finding in findings if finding.verdict not in ("good", NEEDS_ROOT)]
    killed = sum(finding.fault in ("A1", "A2") for finding in findings)
    minutes = (time.monotonic() - started) / 60
    print(
        f"{len(findings)} faults, {killed} of them kill points, {len(bad)} not as they have to be; {minutes:.1f} min; {BOARD}"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(set(sys.argv[1:])))
