"""The branch of a run: what it began from, its parameters, and what DVC says of each stage that is done.

`runs/<slug>` begins with a commit that pins the code (HEAD, or the checkout as it is) and holds the run's own
params.yaml. It appears whole: a commit is made first, and a reference to it last, which fails where there is one
already. After each stage dvc.lock is committed. Whoever has the branch and DVC's cache or remote has the run.
"""

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from tasks.chain.git import NO_HOOKS, asked, git, has_commit
from tasks.chain.snapshot import MESSAGE, NO_GIT, WHO, snapshot
from tasks.data.secrets import refuse_secrets
from tasks.data.sources import digest_at, may_change
from tasks.errors import LineageError, ParamsError, did_you_mean
from tasks.runs.asked import BRANCHES, Asked
from tasks.runs.changed import changed, with_section

KEPT = ("params.yaml", "dvc.lock")
PINNED = "params.yaml"  # where most runs have the pins of their raw data from
DATA_OF = "%(trailers:key=Luthier-Data,valueonly,separator=%x20)"


def tip(root: Path, branch: str) -> str:
    """The commit that a branch stands at; empty: there is no such branch."""
    return asked(root, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")


def begin(root: Path, run: Asked) -> str:
    """Make a run's branch, if there is none; return where it stands.

    Raises:
        LineageError: this is no git repository.
        ParamsError: the revision is not known, or an override is of no key.
    """
    if there := tip(root, run.branch):
        return there
    base = revision(root, run.revision) if run.revision else _as_it_is(root)
    inside = asked(root, "rev-parse", "--show-prefix")
    text = git(root, {}, "show", f"{base}:{inside}params.yaml") + "\n"
    files = {}
    if run.data_of:
        earlier = revision(root, run.data_of)
        text = with_section(text, "fetch", git(root, {}, "show", f"{earlier}:{inside}params.yaml"))
        files[f"{inside}dvc.lock"] = _fetched(asked(root, "show", f"{earlier}:{inside}dvc.lock"), run.data_of)
    seen = _as_seen(root, text, run) if run.event else {}
    files[f"{inside}params.yaml"] = changed(text, {**seen, **run.overrides})
    commit = _commit(root, run, base, files)
    unlock(root, f"refs/heads/{run.branch}")
    asked(root, "update-ref", f"refs/heads/{run.branch}", commit, "")  # of two, the first
    return tip(root, run.branch)


def unlock(folder: Path, *names: str) -> None:
    """Remove locks that a killed git left; only for what nobody but the caller changes now."""
    for name in names:
        (folder / asked(folder, "rev-parse", "--git-path", f"{name}.lock")).unlink(missing_ok=True)


def revision(root: Path, name: str) -> str:
    """The commit that a person means: a git revision, an earlier run, or the newest state of data up to a moment.

    Raises:
        ParamsError: there is none.
    """
    for candidate in (name, f"{BRANCHES}/{name}"):
        commit = asked(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
        if commit and has_commit(root, commit):
            return commit
    try:
        moment = datetime.fromisoformat(name)
    except ValueError:
        newest = ("--count=5", "--sort=-committerdate", "--format=%(refname:short)", "refs/heads")
        known = ", ".join(asked(root, "for-each-ref", *newest).split())
        raise ParamsError(f"'{name}' is no git revision, run or date here; the newest are: {known}.") from None
    return _newest_of(root, moment if moment.tzinfo else moment.replace(tzinfo=UTC), name)


def _newest_of(root: Path, moment: datetime, name: str) -> str:
    """The newest commit up to a moment that has a dvc.lock: of the checkout's history, or of a run."""
    refs = ("HEAD", f"--glob=refs/heads/{BRANCHES}/*")
    log = asked(root, "log", f"--until={int(moment.timestamp())}", f"--format=%H%x09%s%x09{DATA_OF}", *refs, "--")
    # A snapshot bears the date of the commit that it was made beside, and a run with data of another time says nothing
    # about its own.
    rows = [line.split("\t") for line in log.splitlines() if line.count("\t") == 2]
    commits = [commit for commit, subject, data in rows if subject != MESSAGE and data in {"", PINNED}]
    inside = asked(root, "rev-parse", "--show-prefix")
    given = "".join(f"{commit}:{inside}dvc.lock\n" for commit in commits)
    there = git(root, {}, "cat-file", "--batch-check", given=given).splitlines()
    for commit, found in zip(commits, there, strict=True):
        if not found.endswith(" missing"):
            return commit
    raise ParamsError(f"no run and no commit of dvc.lock is as old as {name}: there are no raw data of that time.")


def _as_it_is(root: Path) -> str:
    if (root / PINNED).is_file():
        refuse_secrets(yaml.safe_load((root / PINNED).read_text()), PINNED)  # a commit would keep them
    commit = snapshot(root)["commit"]
    if commit == NO_GIT:
        raise LineageError(
            f"{root.resolve()} is not in a git repository, and a run is pinned to a commit: git init, then commit."
        )
    return commit


def _as_seen(root: Path, params: str, run: Asked) -> dict[str, str]:
    """Pins of the sources as whoever told of new data saw them, or as they are now where nobody said.

    Raises:
        ParamsError: the event is of a source that params.yaml does not have.
    """
    sources = yaml.safe_load(params)["fetch"]["sources"]
    for name in set(run.pins) - set(sources):
        hint = did_you_mean(name, sources)
        raise ParamsError(f"the event is of a source '{name}'.{hint} params.yaml has: {', '.join(sources)}.")
    found = {
        name: run.pins.get(name) or digest_at(_from(root, source["url"]))
        for name, source in sources.items() if may_change(source["url"])
    }  # fmt: skip
    return {f"fetch.sources.{name}.sha256": sha256 for name, sha256 in found.items()}


def _from(root: Path, url: str) -> str:
    return url if ":" in url else str(root / url)


def _fetched(lock: str, name: str) -> str:
    """A dvc.lock that knows of the stage fetch alone, as another one does."""
    document = yaml.safe_load(lock)
    if "fetch" not in (document or {}).get("stages", {}):
        raise ParamsError(f"{name} has no raw data: the stage fetch was not done there.")
    return yaml.safe_dump({"schema": document["schema"], "stages": {"fetch": document["stages"]["fetch"]}})


def _commit(root: Path, run: Asked, base: str, files: Mapping[str, str]) -> str:
    """A commit on top of `base` with other files, that no branch knows of yet."""
    blobs = {path: git(root, {}, "hash-object", "-w", "--stdin", given=text) for path, text in files.items()}
    with tempfile.TemporaryDirectory() as folder:
        ours = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, ours, "read-tree", base)
        for path, blob in blobs.items():
            git(root, ours, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}")
        tree = git(root, ours, "write-tree")
    told = json.dumps({**run.overrides}, sort_keys=True)
    trailers = f"Luthier-Run: {run.run}\nLuthier-Set: {told}\nLuthier-Data: {run.data_of or run.revision or PINNED}"
    message = f"{run.run} begins\n\n{trailers}"
    return git(root, WHO, "commit-tree", tree, "-p", base, "-m", message)


def keep(project: Path, done: str) -> None:
    """Commit params.yaml and dvc.lock of a run's worktree, if they changed."""
    names = [name for name in KEPT if (project / name).is_file()]
    unlock(project, "index", "HEAD", asked(project, "symbolic-ref", "HEAD"))
    git(project, {}, "add", "--force", "--", *names)
    if asked(project, "diff", "--cached", "--name-only"):
        note(project, f"{done} is done")


def note(project: Path, subject: str, *options: str) -> None:
    """Commit on a run's branch, in its worktree, what the index holds."""
    unlock(project, "index", "HEAD", asked(project, "symbolic-ref", "HEAD"))
    data = asked(project, "log", "-1", f"--format={DATA_OF}") or PINNED
    command = ("-c", "commit.gpgsign=false", *NO_HOOKS, "commit", "--quiet", "--no-verify", *options)
    git(project, WHO, *command, "-m", f"{subject}\n\nLuthier-Data: {data}")
