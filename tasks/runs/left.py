"""What a run leaves on workers that did not do its last step: its worktree, which is removed once the branch says so.

tell(project, root, branch)      # the last step: no worker needs its worktree any more
tidy(root)                       # any worker, behind any of its steps
"""

from pathlib import Path

from tasks.chain.git import NO_HOOKS, asked, git
from tasks.errors import OutageError
from tasks.locks import give_back, take
from tasks.runs import branch, shared
from tasks.runs.asked import BRANCHES
from tasks.runs.attempt import LOCKS
from tasks.runs.place import FOLDER

OVER = "the run is over"


def tell(project: Path, root: Path, name: str) -> None:
    """Say on a run's branch that its work is done; a no-op where all of it is done on this machine."""
    if shared.remote():
        branch.note(project, OVER, "--allow-empty")
        shared.push(root, name)


def tidy(root: Path) -> list[str]:
    """Remove the worktrees of runs that ended on another worker; the names of those that were removed.

    Where the git remote does not answer now, it is said, and left to the next step: the one behind us is done.
    """
    removed = []
    folders = sorted((root / FOLDER).glob("[!.]*")) if shared.remote() else []
    for folder in folders:
        descriptor = take(root / LOCKS / folder.name)
        if descriptor is None:  # in use
            continue
        try:
            if not _is_over(root, f"{BRANCHES}/{folder.name}"):
                continue
            git(root, {}, *NO_HOOKS, "worktree", "remove", "--force", "--force", str(folder))
            removed.append(folder.name)
        except OutageError as error:
            print(f"worktrees of runs that ended elsewhere stay for now: {error}", flush=True)
            break
        finally:
            give_back(descriptor)
    return removed


def _is_over(root: Path, name: str) -> bool:
    shared.fetch(root, name)
    return asked(root, "log", "-1", "--format=%s", shared.theirs(name)) == OVER
