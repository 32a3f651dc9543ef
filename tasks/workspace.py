"""One step of a run, in the run's own workspace: what each task of an Airflow DAG calls.

    LUTHIER_RUN=my-dag/my-run python -m tasks.workspace finetune          # one stage of dvc.yaml
    LUTHIER_RUN=my-dag/my-run python -m tasks.workspace register          # last: the worktree goes, the branch stays
    LUTHIER_RUN=my-study/my-run/n100 python -m tasks.workspace evaluate --all    # with all stages before it
    LUTHIER_RUN=my-dag/my-run python -m tasks.workspace predict --part 2/4    # a share of it, for all to find

A run has a branch (`runs/<slug>`: code, params.yaml, dvc.lock) and a worktree below `.luthier/runs`, made by whichever
task comes first on whichever machine and found again by all others and by every retry. Several runs are side by side.
Exit: 0 done, 99 nothing to do, 75 and 74 worth another attempt, any other not.
"""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from tasks.chain.git import NO_HOOKS, git
from tasks.data.files import read_rows
from tasks.data.shards import PARTS, part_of
from tasks.data.signing import own_key
from tasks.jobs import elsewhere
from tasks.nodes import node
from tasks.orphan import Terminated
from tasks.runs import branch, left, parts, shared
from tasks.runs.asked import RUN, Asked, from_environment
from tasks.runs.attempt import MARK, PART, PATIENCE_S, end, forget_locks, sole_attempt
from tasks.runs.calls import SKIPPED, call, dvc, end_with_starter, lacking, own, require
from tasks.runs.place import FOLDER, bring, made, place_of
from tasks.step import COSTS, exit_status
from tasks.wiring import WIRING

LAST = "register"  # after it nothing of a run is needed but its branch


@dataclass(frozen=True)
class Workspace:
    """Where a run works."""

    root: Path
    """The checkout that it is a run of."""
    run: str
    """Its full name."""
    slug: str
    branch: str
    project: Path
    """The checkout inside its worktree."""


def open_workspace(root: Path, run: Asked) -> Workspace:
    """A run's workspace: found, or made of its branch, which is made if there is none.

    Raises:
        LuthierError: it cannot be made; an OutageError where that may be otherwise later.
    """
    return Workspace(root, run.run, run.slug, run.branch, made(root, run))


def keep(workspace: Workspace, stage: str) -> None:
    """Note on the branch that a stage is done; where other machines work too, first send what it made."""
    if shared.remote():
        dvc(workspace.project, "push", *([stage] if stage else []))
    branch.keep(workspace.project, stage or "everything")
    shared.push(workspace.root, workspace.branch)


def close(workspace: Workspace) -> None:
    """Remove the worktree. The branch stays: `open_workspace` makes it again."""
    left.tell(workspace.project, workspace.root, workspace.branch)  # first: where it fails, all of this is done again
    costs = workspace.project / COSTS
    if costs.is_file():  # what its steps took stays, beside those of the checkout's own
        rows = [row | {"run": workspace.slug} for row in read_rows(costs)]
        (workspace.root / COSTS).parent.mkdir(exist_ok=True)
        with (workspace.root / COSTS).open("a") as file:
            file.write("".join(json.dumps(row) + "\n" for row in rows))
    folder = folder_of(workspace.root, workspace.slug)
    git(workspace.root, {}, *NO_HOOKS, "worktree", "remove", "--force", "--force", str(folder))


def folder_of(root: Path, slug: str) -> Path:
    """The worktree of a run, whether or not it is there."""
    return (root / FOLDER / slug).resolve()


def store_of(workspace: Workspace) -> parts.Store:
    """Where parts of the run's stages are."""
    return parts.Store(workspace.project, (workspace.root / parts.FOLDER / workspace.slug).resolve(), workspace.slug)


def environment(workspace: Workspace) -> dict[str, str]:
    """What a step of a run is told: whose it is, and what all runs of the checkout share."""
    ours = {
        RUN: workspace.run,
        "LUTHIER_BRANCH": workspace.branch,
        "LUTHIER_SIGNING_KEY": str(own_key(workspace.root).resolve()),
        "MLFLOW_TRACKING_URI": f"sqlite:///{workspace.root.resolve() / 'mlflow.db'}",
        "PYTHONUNBUFFERED": "1",  # else the log shows nothing until the end
    }
    here = {MARK: str(folder_of(workspace.root, workspace.slug)), PARTS: str(store_of(workspace).folder)}
    return {**ours, **os.environ, RUN: workspace.run, **here}


def stages_of(workspace: Workspace, name: str, whole: bool = False) -> dict[str, Any]:
    """The stages of a run's dvc.yaml; what one of them reads is there, or it is said who makes it."""
    stages: dict[str, Any] = (yaml.safe_load((workspace.project / WIRING).read_text()) or {}).get("stages", {})
    if name in stages and not whole and lacking(workspace.project, stages, name):
        bring(workspace.project)  # it may be there by now
        require(workspace.project, stages, name)
    return stages


def step(workspace: Workspace, name: str, whole: bool) -> int:
    """Run a stage, or a step that is none, and keep what it made; what it came to, as `call` says it."""
    stages = stages_of(workspace, name, whole)
    if name in stages and (launch := elsewhere.chosen(workspace.project, name, whole)):
        return elsewhere.done(workspace.root, workspace.project, Asked(workspace.run), name, launch)
    if name in stages:
        command = ["-m", "dvc", "repro", *([] if whole else ["--single-item"]), name]
        stage = "" if whole else name
    else:
        command, stage = ["-m", f"tasks.{name}"], name
    if name in parts.SPLIT:
        store_of(workspace).receive()
    status = call(workspace.project, [sys.executable, *command], environment(workspace), stage)
    if status in {0, SKIPPED} and command[1] == "dvc":
        keep(workspace, stage)
        if whole or name in parts.SPLIT:
            store_of(workspace).clear()
    elif name in parts.SPLIT:
        store_of(workspace).send()  # another worker may go on with it
    return status


def help_with(workspace: Workspace, name: str) -> int:
    """Run a stage's own command beside the first machine, which does the stage: what it makes is that one's to keep."""
    stages = stages_of(workspace, name)
    if elsewhere.untouched(workspace.project, name):  # so it is on the first
        print(f"Stage '{name}' didn't change, and nobody needs help", flush=True)
        return 0
    return call(workspace.project, own(stages[name]), environment(workspace))


def make_part(workspace: Workspace, name: str, part: str) -> int:
    """Make a part of a stage's shards, for whoever runs the stage; what it came to, as `call` says it."""
    stages, store = stages_of(workspace, name), store_of(workspace)
    command = parts.command(stages, name, part)
    if elsewhere.chosen(workspace.project, name):
        print(f"{name} is done by a job (params.yaml: launch), which does the whole of it: no part of it is made here")
        return SKIPPED
    if parts.untouched(workspace.root, workspace.project, name):
        print(f"Stage '{name}' has nothing to do, and so has a part of it", flush=True)
        return SKIPPED
    store.receive()
    status = call(workspace.project, command, environment(workspace) | {PART: part})
    store.send()  # what is finished, if not all is
    return status


@contextmanager
def _attempt(root: Path, run: Asked, part: str) -> Iterator[None]:
    """This process is the run's only attempt here (at that part, if said); what it started ends with it."""
    folder = folder_of(root, run.slug)
    with sole_attempt(root, run, folder, part):
        forget_locks(place_of(root, run.slug))
        try:
            yield
        except Terminated:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not keep us from ending the others
            end(folder, PATIENCE_S, part)
            raise


def _terminate(_number: int, _frame: object) -> None:
    raise Terminated


def main(
    name: Annotated[str, typer.Argument(metavar="STEP", help="A stage of dvc.yaml, or register.")],
    whole: Annotated[bool, typer.Option("--all", help="With all stages before it, in one go.")] = False,
    part: Annotated[str, typer.Option(help="Only a share of its work, such as 2/4, for the stage to find.")] = "",
) -> None:
    """Run one step of the run that LUTHIER_RUN names, in its own workspace."""
    signal.signal(signal.SIGTERM, _terminate)
    outcome = 0

    def work() -> None:
        nonlocal outcome
        if "AIRFLOW_CTX_DAG_ID" in os.environ:
            end_with_starter()
        run, root = from_environment(), Path.cwd()
        if part:
            part_of(part)
        with _attempt(root, run, part):
            workspace = open_workspace(root, run)
            print(f"workspace {workspace.project.relative_to(root)}, branch {workspace.branch}", flush=True)
            if part:
                outcome = make_part(workspace, name, part)
            else:
                outcome = step(workspace, name, whole) if node().first else help_with(workspace, name)
            if name == LAST and outcome in {0, SKIPPED}:
                close(workspace)
        left.tidy(root)

    raise typer.Exit(exit_status(work, "workspace") or outcome)


if __name__ == "__main__":
    typer.run(main)
