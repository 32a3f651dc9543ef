"""register and promote, killed after each write to MLflow: a rerun ends where undisturbed ones do.

python -m tests.killed_steps FOLDER
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks import promote, register, rollback
from tasks.tracking import registry, server
from tests.killed import in_child

PROJECT = "import sys, pathlib, tests.trained as t; t.write_project(pathlib.Path.cwd())"


def steps() -> None:
    """What is killed."""
    register.main()
    promote.main()


def state() -> dict[str, Any]:
    """What is there afterwards, without what differs from run to run; the version is loaded and asked."""
    found = server.client().search_model_versions("name = 'luthier'")
    version, champion = registry.get_version("luthier", "1"), registry.get_version("luthier", "champion")
    tags = version.tags if version else {}
    kept = {tag: tags.get(tag) for tag in (registry.IDENTITY, "luthier.verdict", "luthier.previous_champion")}
    told = {"versions": len(found), "champion": champion.number if champion else None}
    return kept | told | {"tried": rollback.try_out(version) if version else ""}


def main(folder: Path) -> None:
    """Make a project and kill the steps in copies of it."""
    source = folder / "project"
    source.mkdir()
    there = os.environ | {"PYTHONPATH": str(Path.cwd())}
    subprocess.run([sys.executable, "-c", PROJECT], cwd=source, check=True, env=there)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/warm.db"
    server.experiment()  # imports what a child would take seconds for

    def made(name: str) -> Path:
        return Path(shutil.copytree(source, folder / name))

    whole = made("whole")
    _, writes = in_child(whole, steps)
    wanted, _ = in_child(whole, state)
    assert (wanted["versions"], wanted["champion"], wanted["luthier.verdict"]) == (1, 1, "promote"), wanted
    for number in range(1, writes + 1):
        killed = made(f"killed {number}")
        assert in_child(killed, steps, kill_after=number) is None  # it was really delivered
        (_, found), _ = in_child(killed, lambda: [steps(), state()])
        assert found == wanted, (number, found)
        shutil.rmtree(killed)
    print(f"killed after each of {writes} writes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
