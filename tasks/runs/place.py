"""The worktree of a run: found, or made anew from its branch, at `.luthier/runs/<slug>` of the checkout.

DVC's cache is the checkout's own, so nothing is stored twice and several runs are side by side, each with locks of its
own. A file that is written last says that a worktree is whole; one without it is made again.
"""

from pathlib import Path
from typing import Any

import yaml
from configobj import ConfigObj

from tasks.chain.cache import cache_of
from tasks.chain.git import NO_HOOKS, asked, git
from tasks.data.files import remove, sha256_of, write_json
from tasks.errors import LuthierError, OutageError, ParamsError
from tasks.locks import waited
from tasks.runs import branch, shared
from tasks.runs.asked import Asked
from tasks.runs.calls import dvc

FOLDER = Path(".luthier/runs")
WHOLE = Path(".luthier/workspace.json")


def place_of(root: Path, slug: str) -> Path:
    """Where a run works, whether or not it is there: the checkout inside its worktree."""
    return root / FOLDER / slug / asked(root, "rev-parse", "--show-prefix")


def made(root: Path, run: Asked) -> Path:
    """The run's project folder, ready to work in.

    Raises:
        LuthierError: it cannot be made; an OutageError where that may be otherwise later.
    """
    project = place_of(root, run.slug)
    with waited(root / FOLDER / ".making" / run.slug):  # parts of one step open the same run at once
        with waited(root / FOLDER / ".lock"):  # worktrees are registered in one place: git guards it by failing
            shared.fetch(root, run.branch)
            if not branch.tip(root, run.branch):
                branch.begin(root, run)
                shared.push(root, run.branch)  # of two workers that begin it, the first
            whole = (project / WHOLE).is_file()
            if ahead := shared.newer(root, run.branch):  # another worker went on with it
                _take(root, run, project if whole else None, ahead)
            if not whole:
                _worktree(root, run)
        if ahead or not whole:
            _settings(root, project)
            _outputs(project, run)
            _files(root, project)
            write_json(project / WHOLE, {"run": run.run, "slug": run.slug, "branch": run.branch, "root": str(root)})
    return project


def _take(root: Path, run: Asked, project: Path | None, commit: str) -> None:
    """Put a run's branch, and its worktree if there is one, where another worker's stands."""
    if project is None:
        git(root, {}, "update-ref", f"refs/heads/{run.branch}", commit)
    else:
        (project / WHOLE).unlink()  # killed from here on, it is made again
        branch.unlock(project, "index", "HEAD", f"refs/heads/{run.branch}")
        git(project, {}, *NO_HOOKS, "reset", "--quiet", "--hard", commit)


def _worktree(root: Path, run: Asked) -> None:
    folder = root / FOLDER / run.slug
    remove(folder)
    asked(root, "worktree", "prune")
    # Twice: git locks a worktree that it is about to make, and leaves the lock where it is killed.
    git(root, {}, *NO_HOOKS, "worktree", "add", "--quiet", "--force", "--force", str(folder), run.branch)


def _settings(root: Path, project: Path) -> None:
    """DVC's settings of this machine: the checkout's own, with its cache for all runs."""
    own = root / ".dvc/config.local"
    settings = ConfigObj(str(own) if own.is_file() else None, list_values=False)
    settings.setdefault("cache", {})["dir"] = str(cache_of(root).parent.parent)
    settings.setdefault("core", {})["no_scm"] = "true"  # the run's branch is ours to commit
    for name, url in _folders(root, settings).items():
        settings.setdefault(name, {})["url"] = url
    settings.filename = str(project / ".dvc/config.local")
    (project / ".dvc/config.local").touch(mode=0o600)  # it may hold a remote's credentials
    (project / ".dvc/config.local").chmod(0o600)
    settings.write()


def _folders(root: Path, settings: Any) -> dict[str, str]:
    """DVC's remotes that are folders, by section: a relative path is one from the settings' own place."""
    shared_by_all = root / ".dvc/config"
    both = ConfigObj(str(shared_by_all) if shared_by_all.is_file() else None, list_values=False)
    both.merge(settings)
    found = {}
    for section, values in both.items():
        url = values.get("url", "") if isinstance(values, dict) and "remote " in section else ""
        if url and "://" not in url and not Path(url).is_absolute():
            found[section] = str((root / ".dvc" / url).resolve())
    return found


def bring(project: Path) -> None:
    """What dvc.lock and files under DVC name, out of DVC's cache, or its remote where another machine made it."""
    tracked = [path for place in (project, project / "data", project / "tables") for path in place.glob("*.dvc")]
    if (project / "dvc.lock").is_file() or any(path.is_file() for path in tracked):
        dvc(project, "pull" if shared.remote() else "checkout", "--allow-missing", "--force")


def _outputs(project: Path, run: Asked) -> None:
    """What is done already; raw data of another time count as done."""
    bring(project)
    if run.data_of:  # raw data of another time are what fetch made, whatever its code is by now
        try:
            dvc(project, "commit", "--force", "fetch")
        except OutageError:
            raise
        except LuthierError as error:
            raise ParamsError(f"the raw data of {run.data_of} are not in DVC's cache any more: {error}") from None


def _files(root: Path, project: Path) -> None:
    """Sources that params.yaml names by a path in the checkout, and that neither git nor DVC brought: linked."""
    fetch: Any = (yaml.safe_load((project / "params.yaml").read_text()) or {}).get("fetch") or {}
    named = [one for part in ("sources", "benchmarks") for one in (fetch.get(part) or {}).values()]
    named.append({"url": (fetch.get("model") or {}).get("name", "")})
    for one in named:
        name = one["url"]
        source, target = root / name, project / name
        if not name or ":" in name or not source.exists() or not source.resolve().is_relative_to(root.resolve()):
            continue
        pin = one.get("sha256")
        if not target.exists() or (pin and _is(source, pin) and not _is(target, pin)):  # DVC's is an older one
            target.parent.mkdir(parents=True, exist_ok=True)
            remove(target)
            target.symlink_to(source.resolve())


def _is(file: Path, sha256: str) -> bool:
    return file.is_file() and sha256_of(file) == sha256
