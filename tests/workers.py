"""Two workers that share nothing but a bare git repository and a DVC remote.

both = workers(root, tmp_path)        # of a project that `root` holds, committed
both.a.step("fetch"); both.b.step("validate")
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import workspaces
from tests.workspaces import call, commit


@dataclass(frozen=True)
class Worker:
    """A clone with a home of its own."""

    root: Path
    env: dict[str, str]

    def step(self, name: str, run: str = "d/r", sets: dict[str, Any] | None = None, status: int = 0, **env: str) -> str:
        """Run a task here; what it printed."""
        return workspaces.step(self.root, name, run, sets, status, **{**self.env, **env})

    def started(self, name: str, run: str = "d/r", **env: str) -> Any:
        return workspaces.started(self.root, name, run, None, **{**self.env, **env})

    def forget(self) -> None:
        """Lose the disk, but for a fresh clone."""
        url = call(self.root, "git", "remote", "get-url", "origin").strip()
        shutil.rmtree(self.root)
        shutil.rmtree(self.env["HOME"])
        Path(self.env["HOME"]).mkdir()
        call(self.root.parent, "git", "clone", "--quiet", url, str(self.root))


@dataclass(frozen=True)
class Workers:
    """Both, and what they share."""

    a: Worker
    b: Worker
    origin: Path
    store: Path


def workers(root: Path, where: Path, **env: str) -> Workers:
    """Two clones of a project; what git does not have is on A alone."""
    origin, store = where / "origin.git", where / "store"
    store.mkdir(parents=True)
    call(root, sys.executable, "-m", "dvc", "remote", "add", "--default", "store", str(store))
    call(root, sys.executable, "-m", "dvc", "remote", "modify", "store", "verify", "true")
    commit(root, "what workers share")
    call(where, "git", "clone", "--quiet", "--bare", str(root), str(origin))
    made = []
    for name in ("a", "b"):
        home = where / f"home {name}"
        home.mkdir()
        call(where, "git", "clone", "--quiet", str(origin), str(where / name))
        own = {"HOME": str(home), "LUTHIER_CACHE": str(home / "luthier"), "LUTHIER_GIT_REMOTE": "origin"}
        made.append(Worker(where / name, own | {"DVC_SITE_CACHE_DIR": str(home / "site")} | env))
    return Workers(*made, origin, store)


def objects(store: Path) -> list[Path]:
    """The files of a DVC remote or cache, lists of folders aside."""
    return sorted(path for path in store.rglob("*") if path.is_file() and path.suffix != ".dir")


def flip(file: Path) -> None:
    """Change one bit."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
