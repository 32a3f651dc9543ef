"""A run's branch from worker to worker, through the git remote that LUTHIER_GIT_REMOTE names; unset: one machine.

The remote's branch counts. Whoever pushes second to the same place of it has lost, and goes on from the first's.
"""

import os
from pathlib import Path

from tasks.chain.git import NO_HOOKS, asked, git
from tasks.errors import BusyError, LineageError, OutageError, ParamsError
from tasks.runs.branch import tip

REMOTE = "LUTHIER_GIT_REMOTE"


def remote() -> str:
    """The git remote that carries runs from worker to worker; empty: all of them work on this machine."""
    return os.environ.get(REMOTE, "")


def fetch(root: Path, branch: str) -> None:
    """Bring a run's branch here, where another machine has it; a no-op without LUTHIER_GIT_REMOTE.

    Raises:
        ParamsError: git knows no such remote here.
        OutageError: it does not answer.
    """
    if not remote():
        return
    if remote() not in (known := asked(root, "remote").split()):
        raise ParamsError(f"{REMOTE} is '{remote()}', and git's remotes here are: {', '.join(known) or 'none'}.")
    there = f"refs/heads/{branch}"
    if _ask(root, "ls-remote", remote(), there):
        _ask(root, "fetch", "--quiet", "--no-tags", remote(), f"+{there}:{theirs(branch)}")
        if not tip(root, branch):
            asked(root, "update-ref", there, theirs(branch), "")


def _ask(root: Path, *arguments: str) -> str:
    try:
        return git(root, {}, *NO_HOOKS, *arguments)
    except LineageError as error:
        raise OutageError(f"the git remote '{remote()}', which {REMOTE} names, does not answer: {error}") from None


def theirs(branch: str) -> str:
    """Where the remote's branch is known here, since the last `fetch`."""
    return f"refs/remotes/{remote()}/{branch}"


def newer(root: Path, branch: str) -> str:
    """The commit of the remote's branch, where ours is behind it or beside it; empty: it is not."""
    there = asked(root, "rev-parse", "--verify", "--quiet", theirs(branch)) if remote() else ""
    return there if there and asked(root, "merge-base", there, branch) != there else ""


def push(root: Path, branch: str) -> None:
    """Send a run's branch to where the next worker looks for it; a no-op without LUTHIER_GIT_REMOTE.

    Raises:
        BusyError: another worker went on with the run meanwhile.
        OutageError: the remote does not answer.
        LineageError: it cannot be pushed.
    """
    if not remote():
        return
    try:
        git(root, {}, *NO_HOOKS, "push", "--quiet", remote(), f"refs/heads/{branch}:refs/heads/{branch}")
    except LineageError:
        fetch(root, branch)
        if newer(root, branch):
            raise BusyError(f"another worker went on with {branch} meanwhile: this attempt ends here.") from None
        raise
