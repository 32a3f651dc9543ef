"""The code that made a model, as a git commit, though nobody committed it.

Most models are registered from a checkout with changes: dvc.lock alone is always new. Where HEAD is not the whole
truth, a commit is made beside the branch: HEAD's files, the changes to them, and new files that git does not ignore.
Author and date are fixed, so the same files on the same HEAD are the same commit. The checkout's files, index and
branch stay as they are; a ref below refs/luthier keeps git's garbage collection away.
"""

import re
import shutil
import tempfile
from pathlib import Path

from tasks.chain.git import asked, git

NO_GIT = "not in a git repository"
LARGEST_NEW = 1_000_000  # bytes; a larger untracked file is data that somebody forgot, and no code
SECRET = re.compile(
    r"(^|/)(\.env[^/]*|\.netrc|\.pgpass|id_[a-z0-9]+|[^/]*\.(pem|key|p12|pfx))$|secret|credential", re.IGNORECASE
)
MESSAGE = "The code and parameters that a model was registered from"
ALWAYS = "dvc.lock"  # even where git ignores it: it names the data
WHO = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
       for what, value in (("NAME", "Luthier"), ("EMAIL", "luthier@localhost"))}  # fmt: skip


def snapshot(root: Path) -> dict[str, str]:
    """The commit that holds the code of the checkout at `root`: {commit, changed}.

    Returns:
        commit: HEAD where it is the whole truth, else one made now, else that there is no git repository.
        changed: "yes" where a file that git knows differs from HEAD.

    Raises:
        LineageError: git cannot write the commit down.
    """
    head, top = asked(root, "rev-parse", "HEAD"), asked(root, "rev-parse", "--show-toplevel")
    if not top:
        return {"commit": NO_GIT, "changed": "no"}
    changed = "yes" if asked(root, "status", "--porcelain", "--untracked-files=no") else "no"
    tree = _tree(Path(top), root)
    if head and tree == asked(root, "rev-parse", "HEAD^{tree}"):
        commit = head
    else:
        when = asked(root, "show", "--no-patch", "--format=%ct", "HEAD") if head else "0"
        dates = {f"GIT_{role}_DATE": f"@{when} +0000" for role in ("AUTHOR", "COMMITTER")}
        parent = ["-p", head] if head else []
        commit = git(root, WHO | dates, "commit-tree", tree, *parent, "-m", MESSAGE)
    git(root, {}, "update-ref", f"refs/luthier/{commit[:12]}", commit)
    return {"commit": commit, "changed": changed}


def _tree(top: Path, root: Path) -> str:
    """Write the checkout's files as a tree, by way of an index of our own."""
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        ours = {"GIT_INDEX_FILE": str(index)}
        theirs = top / asked(top, "rev-parse", "--git-path", "index")
        if theirs.is_file():  # it knows which files did not change
            shutil.copy2(theirs, index)  # with its time, by which git tells a file changed since
        git(top, ours, "add", "--update", ":/")
        new = git(top, ours, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
        small = [name for name in filter(None, new) if _is_small(top / name) and not SECRET.search(name)]
        if (root / ALWAYS).is_file():
            small.append((root / ALWAYS).resolve().relative_to(top).as_posix())
        git(top, ours, "update-index", "--add", "-z", "--stdin", given="\0".join(small))
        return git(top, ours, "write-tree")


def _is_small(path: Path) -> bool:
    """Of a file; a git repository inside this one is none."""
    return path.is_file() and path.stat().st_size < LARGEST_NEW
