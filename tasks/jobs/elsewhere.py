"""A stage of a run, done by a job: submitted or found, followed, and what it made taken and checked.

A job is a worker like any other: `luthier-job finetune` (docker/job.sh) clones the run's branch, does the stage by the
same command as here, pushes its outputs to DVC's remote and then the branch. So nothing of it is copied from the job
itself: the branch that the git remote has by then says, by digest, what the remote of DVC has to give.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tasks.chain.git import asked
from tasks.errors import LineageError, LuthierError, ParamsError
from tasks.jobs.declared import Launch, declared
from tasks.jobs.job import Launcher, Order
from tasks.jobs.send import NotArrivedError, Workspace, patience_of, sent
from tasks.jobs.told import environment
from tasks.runs import branch, shared
from tasks.runs.asked import Asked
from tasks.runs.calls import dvc
from tasks.runs.place import made


def kubernetes(launch: Launch) -> Launcher:
    """Jobs of a cluster."""
    from tasks.jobs.kubernetes import Cluster  # noqa: PLC0415  a second to import

    return Cluster(launch)


def sagemaker(launch: Launch) -> Launcher:
    """Training jobs of SageMaker."""
    from tasks.jobs.sagemaker import Account  # noqa: PLC0415

    return Account(launch)


LAUNCHERS: dict[str, Callable[[Launch], Launcher]] = {"kubernetes": kubernetes, "sagemaker": sagemaker}


def chosen(project: Path, stage: str, whole: bool = False) -> Launch | None:
    """The launch of a run's stage that is done elsewhere; None: it is done here.

    Args:
        project: the run's workspace.
        stage: of dvc.yaml.
        whole: with all stages before it, in one go.

    Raises:
        ParamsError: params.yaml or the environment says something else than it may.
    """
    launch = declared(project)
    if launch is None or all(launch.where(name) == "local" for name in (launch.stages if whole else [stage])):
        return None
    if whole:
        raise ParamsError(
            f"launch.launcher is {launch.launcher}, and --all does every stage here, in one go, as studies do: do the "
            'stages one by one, or set {"launch.launcher": "local"}.'
        )
    return launch


def done(root: Path, project: Path, run: Asked, stage: str, launch: Launch) -> int:
    """Have a stage of a run done by a job, and take what it made.

    Args:
        root: the checkout.
        project: the run's workspace, as the run's branch has it.
        run: what it is a run of.
        stage: of dvc.yaml; its inputs are in the workspace.
        launch: where.

    Returns:
        As `tasks.runs.calls.call`: 0, SKIPPED, EX_TEMPFAIL, EX_IOERR or another.

    Raises:
        LuthierError: it cannot be done there, before anything is submitted; or what came back is not what it says.
    """
    told = environment(launch, root, project, run)
    launcher = LAUNCHERS[launch.where(stage)](launch)
    _push(root, run.branch)

    def order() -> Order:
        return Order(_begun(root, run.branch), run.slug, stage, branch.tip(root, run.branch), 1, told)

    def take() -> bool:
        made(root, run)  # as the git remote has it by now, the bytes from DVC's remote
        return untouched(project, stage)

    try:
        return sent(launcher, order, patience_of(launch), Workspace(lambda: untouched(project, stage), take))
    except NotArrivedError as error:
        raise LuthierError(_not_arrived(project, stage, str(error))) from None


def _push(root: Path, name: str) -> None:
    """Send the run's branch, where the remote lacks something of it: a job begins where the branch stands.

    Not where it lacks nothing: a job that is under way may be about to move it, which is no conflict with us.
    """
    theirs = asked(root, "rev-parse", "--verify", "--quiet", f"refs/remotes/{shared.remote()}/{name}")
    if theirs != branch.tip(root, name):
        shared.push(root, name)


def _not_arrived(project: Path, stage: str, name: str) -> str:
    lacks = [path for path in outs(project, stage) if not (project / path).exists()]
    what = f"{lacks[0]} is not there with the bytes that dvc.lock names" if lacks else "dvc.lock does not say so"
    return (
        f"job {name} says that it did {stage}, and {what}: look whether the job's git repository and DVC remote are "
        "those of this worker (launch.git_url, the launcher's secret), then run the stage again."
    )


def _begun(root: Path, name: str) -> str:
    """The commit that a run's branch began with."""
    commit = asked(root, "log", "-1", "--format=%H", "--grep=^Luthier-Run: ", name, "--")
    if not commit:
        raise LineageError(f"{name} has no commit that says which run it is of: it was not begun as a run's branch.")
    return commit


def outs(project: Path, stage: str) -> list[str]:
    """What a stage makes, by path."""
    declared_: dict[str, Any] = yaml.safe_load((project / "dvc.yaml").read_text())["stages"][stage]
    rows = [row for kind in ("outs", "metrics", "plots") for row in declared_.get(kind, [])]
    return [row if isinstance(row, str) else next(iter(row)) for row in rows]


def untouched(project: Path, stage: str) -> bool:
    """Whether a stage's outputs are there and are, by digest, what dvc.lock says of its present inputs.

    Raises:
        LuthierError: DVC cannot tell.
    """
    locked = yaml.safe_load((project / "dvc.lock").read_text())["stages"] if (project / "dvc.lock").is_file() else {}
    if stage not in locked or not all((project / path).exists() for path in outs(project, stage)):
        return False
    return dvc(project, "status", "--json", stage).strip() in {"", "{}"}

