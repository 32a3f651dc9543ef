"""git, as far as a chain needs it: commits that are there, and one of them as a folder of its own."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.data.files import remove
from tasks.errors import LineageError, LineageOutageError

LOCKED = re.compile(r"\.lock': File exists|cannot lock ref|could not lock|unable to lock", re.IGNORECASE)
NO_HOOKS = ("-c", f"core.hooksPath={os.devnull}")  # DVC's own would check out everything


def git(root: Path, environment: Mapping[str, str], *arguments: str, given: str = "") -> str:
    """What a git command prints, run in `root`.

    Args:
        root: of the checkout.
        environment: beside the process's own.
        arguments: of git.
        given: its standard input.

    Raises:
        LineageError: it failed, or there is no git.
    """
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, input=given, env=os.environ | environment,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except FileNotFoundError:
        raise LineageError("git is not installed here: without it nobody can say which code made a model.") from None
    except subprocess.CalledProcessError as error:
        told = error.stderr.strip().splitlines() or ["without a word"]
        locked = LOCKED.search(error.stderr)
        kind, line = (LineageOutageError, told[0]) if locked else (LineageError, told[-1])
        raise kind(f"'git {' '.join(arguments)}' failed in {root.resolve()} ({line}).") from None
    return done.stdout.rstrip("\n")


def asked(root: Path, *arguments: str) -> str:
    """What a git command prints; nothing where it has no answer."""
    try:
        return git(root, {}, *arguments)
    except LineageError:
        return ""


def has_commit(root: Path, commit: str) -> bool:
    """Whether this git repository holds a commit with its tree."""
    return bool(asked(root, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")) and bool(
        asked(root, "ls-tree", "-r", "--name-only", commit)
    )


@contextmanager
def worktree(root: Path, commit: str, folder: Path, keep: bool) -> Iterator[Path]:
    """A commit as a git worktree at `folder`, which is not there yet; yield where the checkout at `root` stands in it.

    Args:
        root: of the checkout; may be below the top of the git repository.
        commit: of this repository.
        folder: is removed at the end, whatever happens meanwhile, unless it is to be kept.
        keep: whether it stays.
    """
    inside = asked(root, "rev-parse", "--show-prefix")
    try:
        git(root, {}, *NO_HOOKS, "worktree", "add", "--quiet", "--detach", str(folder), commit)
        yield folder / inside
    finally:
        if not keep:
            remove(folder)  # git's own removal refuses where files are new
            asked(root, "worktree", "prune")
