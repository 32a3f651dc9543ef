"""git: every run is a branch of this repository, from one of its commits."""

from tasks.health.finding import Finding, error, ok, or_ok, warning
from tasks.health.git import asked, told
from tasks.health.seen import Surroundings

AREA = "git"


def check(seen: Surroundings) -> list[Finding]:
    """A repository, a commit, a name to commit under; what is kept nowhere else."""
    top, why = told(seen.root, "rev-parse", "--show-toplevel")
    if not top:
        if "dubious ownership" in why:
            fix = f"git config --global --add safe.directory {seen.root}"
            return [error(AREA, "belongs to another user, and git refuses it: no run can start.", str(seen.root), fix)]
        what = f"This is no git repository ({why.removeprefix('fatal: ')}): no run can start."
        return [error(AREA, what, str(seen.root), "git init && git add . && git commit, or clone it")]
    commit = asked(seen.root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if not commit:
        return [error(AREA, "There is no commit: a run is pinned to one.", str(seen.root), "git add . && git commit")]
    found = []
    if told(seen.root, "var", "GIT_COMMITTER_IDENT")[1]:
        fix = "git config user.name ... ; git config user.email ..."
        found.append(warning(AREA, "git knows no name to commit under, and runs are committed.", "", fix))
    return [*or_ok(found, AREA, f"runs start from commit {commit[:12]}"), *_kept_here_alone(seen)]


def _kept_here_alone(seen: Surroundings) -> list[Finding]:
    remotes = asked(seen.root, "remote").splitlines()
    count = len(asked(seen.root, "for-each-ref", "--format=%(refname)", "refs/heads/runs", "refs/luthier").splitlines())
    if not remotes or not count:
        return []
    remote = remotes[0]
    pushed = asked(seen.root, "config", "--get-all", f"remote.{remote}.push")
    if "refs/luthier" in pushed or "runs/" in pushed:
        return []
    what = f"runs whose branches or code this repository alone has, so that no clone can rebuild their models: {count}"
    return [ok(AREA, f"{what}; git push {remote} 'refs/luthier/*' 'refs/heads/runs/*'")]
