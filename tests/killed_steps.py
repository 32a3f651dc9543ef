"""What writes to MLflow's registry, killed after each write: a rerun ends where an undisturbed run does.

python -m tests.killed_steps moves FOLDER     # two promotions and a rollback, on bare versions
python -m tests.killed_steps steps FOLDER     # register and promote as they are, with a toy model; EVERY third: ... FOLDER 3
"""

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks import promote, register, rollback
from tasks.tracking import journal, registry, server
from tasks.tracking.champion import current, move
from tests.killed import in_child

PROJECT = "import pathlib, tests.trained as t; t.write_project(pathlib.Path.cwd())"
NAME = "luthier"


def moves() -> None:
    """As two runs of promote and one of rollback would, each doing only what is not done yet."""
    run = server.client().create_run(server.experiment())
    model = server.client().create_logged_model(server.experiment(), NAME, run.info.run_id)
    server.client().finalize_logged_model(model.model_id, "READY")
    one, two = (
        registry.add_version(NAME, run.info.run_id, model.model_id, "", {registry.IDENTITY: content})
        for content in ("one", "two")
    )
    facts = {"action": "promote", "by": "ann", "at": "now", "why": "it is better", "evidence": "e" * 64}
    back = facts | {"action": "rollback", "why": "it swears"}
    done = [entry.key for entry in journal.entries(NAME)]
    for key, version, told in (("k1", one, facts), ("k2", two, facts), ("back", one, back)):
        head = current(NAME)
        if key not in done:
            move(version, head, key, told)
    current(NAME)


def moved() -> dict[str, Any]:
    """All that a person could see, without what differs from run to run."""
    versions = [registry.get_version(NAME, str(number)) for number in (1, 2)]
    champion = registry.get_version(NAME, "champion")
    return {
        "champion": champion.number if champion else None,
        "tags": [version.tags if version else None for version in versions],
        "journal": [[entry.champion, entry.key, dict(entry.facts)] for entry in journal.entries(NAME)],
        "versions": len(server.client().search_model_versions(f"name = '{NAME}'")),
    }


def steps() -> None:
    """Register and promote."""
    register.main()
    promote.main()


def stepped() -> dict[str, Any]:
    """What is there afterwards; the version is loaded and asked."""
    version, champion = registry.get_version(NAME, "1"), registry.get_version(NAME, "champion")
    tags = version.tags if version else {}
    kept = {tag: tags.get(tag) for tag in (registry.IDENTITY, "luthier.verdict", "luthier.previous_champion")}
    told = {
        "versions": len(server.client().search_model_versions(f"name = '{NAME}'")),
        "champion": champion.number if champion else None,
        "audited": bool(champion and champion.tags.get("luthier.promoted_by")),
    }
    return kept | told | {"tried": rollback.try_out(version) if champion and version else ""}


def everywhere(
    folder: Path, call: Callable[[], None], state: Callable[[], dict[str, Any]], every: int
) -> dict[str, Any]:
    """Kill `call` after each of its writes (or every so many) in copies of folder/source, and run it again; the state of a whole run."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/warm.db"
    server.experiment()  # imports what a child would take seconds for, as does the next line
    for name in ("peft", "transformers", "mlflow.pyfunc", "tasks.model.generate", "tasks.model.stream"):
        importlib.import_module(name)

    def made(name: str) -> Path:
        return Path(shutil.copytree(folder / "source", folder / name))

    whole = made("whole")
    _, writes = in_child(whole, call)
    wanted: dict[str, Any] = in_child(whole, state)[0]
    for number in range(1, writes + 1, every):
        killed = made(f"killed {number}")
        assert in_child(killed, call, kill_after=number) is None  # it was really delivered
        (between, _, after), _ = in_child(killed, lambda: [state(), call(), state()])
        assert between["champion"] is None or "audited" not in between or between["audited"], number
        if between["champion"] and "tags" in between:
            assert between["tags"][between["champion"] - 1].get("luthier.promoted_by"), number
        assert after == wanted, (number, after, wanted)
        shutil.rmtree(killed)
    print(f"killed after {len(range(1, writes + 1, every))} of {writes} writes")
    return wanted


def main(what: str, folder: Path, every: int = 1) -> None:
    """Prepare a project and kill what works in it."""
    (folder / "source").mkdir()
    if what == "moves":
        in_child(folder / "source", server.experiment)  # the tables, which take a second to make
        wanted = everywhere(folder, moves, moved, every)
        assert (wanted["champion"], wanted["versions"], len(wanted["journal"])) == (1, 2, 3), wanted
    else:
        there = os.environ | {"PYTHONPATH": str(Path.cwd())}
        subprocess.run([sys.executable, "-c", PROJECT], cwd=folder / "source", check=True, env=there)
        wanted = everywhere(folder, steps, stepped, every)
        assert (wanted["champion"], wanted["versions"], wanted["luthier.verdict"]) == (1, 1, "promote"), wanted


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
