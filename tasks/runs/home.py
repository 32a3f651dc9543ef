"""Runs as a person sees them: which there are, what each has done, and its results brought into the checkout."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from tasks.chain.git import asked, git
from tasks.data import files
from tasks.data.files import staged
from tasks.errors import LuthierError
from tasks.runs import shared
from tasks.runs.asked import BRANCHES
from tasks.runs.branch import KEPT, tip
from tasks.runs.calls import dvc
from tasks.runs.parts import FOLDER as PARTS
from tasks.runs.place import FOLDER


@dataclass(frozen=True)
class Known:
    """A run that has a branch here."""

    slug: str
    run: str
    """Its full name."""
    began: str
    """ISO 8601."""
    done: list[str]
    """Its stages that are done, in order."""
    worktree: Path | None
    """Where it works; None: it has ended well, or works on another machine."""


def runs(root: Path) -> list[Known]:
    """The runs of this repository, newest first."""
    listed = asked(root, "for-each-ref", "--format=%(refname:short)", f"refs/heads/{BRANCHES}")
    return sorted((_known(root, name) for name in listed.split()), key=lambda known: known.began, reverse=True)


def _known(root: Path, branch: str) -> Known:
    log = asked(root, "log", "-50", "--format=%cI%x1f%s%x1f%(trailers:key=Luthier-Run,valueonly)%x1e", branch)
    run, began, done = "", "", list[str]()
    for entry in log.split("\x1e"):
        when, subject, named = [*entry.strip().split("\x1f"), "", ""][:3]
        if named.strip():
            run, began = named.strip(), when
            break
        done.append(subject.removesuffix(" is done"))
    slug = branch.removeprefix(f"{BRANCHES}/")
    folder = root / FOLDER / slug
    return Known(slug, run, began, done[::-1], folder if folder.is_dir() else None)


def found(root: Path, name: str) -> Known:
    """The run that a person means by its slug, or by the first or last letters of it.

    One that other machines did is known by its whole slug: its branch comes from the git remote that carries runs.

    Raises:
        LuthierError: none or several.
    """
    known = runs(root)
    near = _near(known, name)
    if not near and shared.remote():
        shared.fetch(root, f"{BRANCHES}/{name}")
        near = _near(runs(root), name)
    if len(near) == 1:
        return near[0]
    which = ", ".join(one.slug for one in (near or known)[:5]) or "none yet"
    raise LuthierError(f"{'several runs are' if near else 'no run is'} called '{name}': {which}.")


def _near(known: list[Known], name: str) -> list[Known]:
    exact = [one for one in known if one.slug == name]
    return exact or [one for one in known if one.slug.startswith(name) or one.slug.endswith(name)]


def take(root: Path, run: Known) -> None:
    """Bring a run's parameters and results into the checkout: params.yaml, dvc.lock and what it made.

    Raises:
        LuthierError: the checkout's params.yaml has changes of its own, or DVC cannot bring the results.
        OutageError: its remote does not answer.
    """
    branch, inside = f"{BRANCHES}/{run.slug}", asked(root, "rev-parse", "--show-prefix")
    texts = {name: asked(root, "show", f"{tip(root, branch)}:{inside}{name}") + "\n" for name in KEPT}
    if not texts["dvc.lock"].strip():
        raise LuthierError(f"the run {run.slug} has finished no stage yet: there is nothing to take.")
    params = root / "params.yaml"
    if params.read_text().strip() != texts["params.yaml"].strip() and asked(root, "status", "--porcelain", str(params)):
        raise LuthierError(
            f"params.yaml has changes that are not committed, and the run {run.slug} has other parameters: commit "
            "them, or undo them with 'git checkout params.yaml'."
        )
    for name, text in texts.items():
        if not (root / name).exists() or (root / name).read_text().strip() != text.strip():
            with staged(root / name) as partial:
                partial.write_text(text)
    _bring(root, run.slug)


def _bring(root: Path, slug: str) -> None:
    """What dvc.lock names, out of DVC's cache or, where there is one, its remote: another machine may have made it."""
    remote = bool(dvc(root, "config", "core.remote").strip())
    dvc(root, "pull" if remote else "checkout", "--allow-missing")  # what is not done yet is not there either
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"].values()
    outs = [out["path"] for stage in stages for out in stage.get("outs", [])]
    if lacking := [path for path in outs if not (root / path).exists()]:
        where = "nor in its remote" if remote else "and there is no remote ('dvc remote add --default')"
        raise LuthierError(
            f"dvc.lock is that of {slug}, and {len(lacking)} of its {len(outs)} results are not in DVC's cache here, "
            f"{where}: {', '.join(lacking[:3])}{' ...' if lacking[3:] else ''}. Take it on the machine that did it."
        )


def remove(root: Path, run: Known) -> None:
    """Remove a run's worktree, if it has one, its branch, and what parts of its stages left here."""
    if run.worktree:
        git(root, {}, "worktree", "remove", "--force", "--force", str(run.worktree))
    git(root, {}, "branch", "--quiet", "-D", f"{BRANCHES}/{run.slug}")
    files.remove(root / PARTS / run.slug)
