"""A model made again from its chain, to see whether it is the same: identical weights, or scores that are equal.

    luthier rebuild models:/luthier@champion [--keep DIR]

In a clean git worktree of the commit that the version was registered from, with its params.yaml and dvc.lock: what
fetch made is taken from DVC's cache, hashed first; every later stage runs anew, and neither the team's MLflow nor its
cache hears of it. Weights are promised identical on the same class of machine alone; where they differ, the model is
asked and scored again too, and every score has to be as it was within its noise floor.
"""

import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from tasks.chain import cache
from tasks.chain.findings import COLUMN
from tasks.chain.git import has_commit, worktree
from tasks.chain.links import tag_faults
from tasks.chain.record import digests_in, key_of, machine
from tasks.chain.remake import Remaking, pin
from tasks.chain.scores import Moved, moved
from tasks.chain.snapshot import NO_GIT
from tasks.data.files import read_json
from tasks.data.sealed import require_sealed
from tasks.data.signing import known_keys
from tasks.errors import LineageError
from tasks.lineage import RECORD, evidence_of, version_of
from tasks.orphan import Terminated
from tasks.step import run
from tasks.tracking.registry import Version

TRAINING = "finetune"  # its weights decide
Chain = Mapping[str, Any]


def rebuild(version: Version, root: Path, keep: Path | None) -> str:
    """Make a version's model again; return what came of it, as a sentence.

    Args:
        version: of the registry.
        root: the checkout whose git repository and DVC cache are used.
        keep: where the worktree stays; None: it does not.

    Raises:
        SealError: the evidence is not what was sealed.
        LineageError: the model cannot be made again, or is another one.
    """
    with tempfile.TemporaryDirectory(prefix="luthier-evidence-") as folder:
        evidence = evidence_of(version, Path(folder))
        about = require_sealed(evidence, f"the evidence of {version.uri}", known_keys())["about"]
        if not (evidence / RECORD).is_file():
            raise LineageError(f"{version.uri} was registered by older code, without a chain: register it again.")
        chain = read_json(evidence / RECORD)
        if faults := tag_faults(chain, version.tags, about):
            raise LineageError(f"{version.uri} does not verify: {faults[0][0]}: {faults[0][1]}.")
        return rebuild_chain(chain, evidence, root, keep, version.tags.get("luthier.run", "none"))


def rebuild_chain(chain: Chain, evidence: Path, root: Path, keep: Path | None, run: str = "none") -> str:
    """Make the model of a chain again; as `rebuild`, whose evidence holds params.yaml, dvc.lock and metrics.json."""
    _require_rebuildable(chain, root)
    if keep is not None and keep.exists():
        raise LineageError(f"{keep} is there already: name a folder that is not.")
    objects, commit = cache.cache_of(root), chain["code"]["commit"]
    same_class = _same_machine(chain)
    with tempfile.TemporaryDirectory(prefix="luthier-rebuild-", ignore_cleanup_errors=True) as folder:
        store = Path(folder).resolve()
        at = keep.resolve() if keep else store / "worktree"
        with worktree(root, commit, at, keep is not None) as project:
            print(f"  {'code':<{COLUMN}} commit {commit[:12]} in {at}", flush=True)
            for name in ("params.yaml", "dvc.lock"):
                (project / name).write_bytes((evidence / name).read_bytes())
            pin(project / "params.yaml", read_json(evidence / "training_run.json"))
            remaking = Remaking(chain, project, objects, store, run)
            remaking.dvc("cache", "dir", "--local", str(objects.parent.parent))
            remaking.dvc("config", "--local", "core.no_scm", "true")  # else it advises to commit what is removed
            if _identical(remaking):
                return f"identical: the tuned weights have sha256 {digests_in(chain)['luthier.weights.tuned']}"
            (link,) = [link for link in chain["links"] if key_of(link) == "evaluate/metrics.json"]
            scores = moved(read_json(evidence / "metrics.json"), read_json(project / link["path"]))
    where = "the same class of machine" if same_class else "another class of machine"
    return f"equal within the noise: the weights are others, on {where}, and {judged(scores)} scores are as they were"


def _require_rebuildable(chain: Chain, root: Path) -> None:
    commit = chain["code"]["commit"]
    if commit == NO_GIT or "dvc.lock" not in chain["locks"]:
        lacking = "git" if commit == NO_GIT else "DVC"
        raise LineageError(f"this model was registered without {lacking}: nothing says how to make it again.")
    if not has_commit(root, commit):
        raise LineageError(
            f"commit {commit}, the code of this model, is not in this git repository: run this in the checkout that it "
            "was registered from, or bring it with 'git fetch origin refs/luthier/*:refs/luthier/*'."
        )


def _same_machine(chain: Chain) -> bool:
    """Whether identical weights are promised here; says so."""
    made_on, now = chain["machine"], machine()
    others = [f"{name} {made_on.get(name)}, here {now[name]}" for name in now if now[name] != made_on.get(name)]
    told = f"another class: {'; '.join(others)}" if others else "the same class as where it was registered"
    print(f"  {'machine':<{COLUMN}} {told}", flush=True)
    return not others


def _identical(remaking: Remaking) -> bool:
    """Run the stages up to the training, and those behind it if its weights are others; return whether they are not.

    Raises:
        LineageError: the data differ.
    """
    first, *stages = remaking.stages
    remaking.take(first)
    last = stages.index(TRAINING)
    for stage in stages[:last]:
        if others := remaking.make(stage):
            raise LineageError(
                f"the rebuilt {', '.join(others)} is not the recorded one: nothing that follows would prove anything."
            )
    if not remaking.make(TRAINING):
        return True
    for stage in stages[last + 1 :]:
        remaking.make(stage)
    return False


def judged(scores: Sequence[Moved]) -> int:
    """How many scores are as they were, within their noise floors; prints those that moved.

    Raises:
        LineageError: one is not, or none has a floor.
    """
    for score in scores:
        if score.now != score.before:
            floor = "no noise floor: does not decide" if score.floor is None else f"noise floor {score.floor:.2f}"
            print(f"  {score.name:<44} {score.before:>8.2f} -> {score.now:>8.2f}  {floor}", flush=True)
    judged = [score for score in scores if score.floor is not None]
    if not judged:
        raise LineageError("the weights are others, and no score has a noise floor: nothing shows the same model.")
    if beyond := [score for score in judged if not score.within]:
        worst = max(beyond, key=lambda score: abs(score.now - score.before) / (score.floor or 1e-9))
        raise LineageError(
            f"this is another model: its weights differ, and {len(beyond)} of {len(judged)} scores by more than their "
            f"noise; {worst.name} was {worst.before:.2f} and is {worst.now:.2f} (noise floor {worst.floor:.2f})."
        )
    return len(judged)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


def main(
    model: Annotated[str, typer.Argument()] = "models:/luthier@champion",
    keep: Annotated[Path | None, typer.Option(help="Leave the worktree in this folder.")] = None,
) -> None:
    """Make a model version (models:/NAME@ALIAS) again from its chain, and say whether it is the same."""
    signal.signal(signal.SIGTERM, _terminate)  # the worktree is removed then too
    version = version_of(model)
    print(f"{version.uri}   rebuilt from its chain", flush=True)
    started = time.monotonic()
    said = rebuild(version, Path.cwd(), keep)
    print(f"{said} ({time.monotonic() - started:.0f} s).")
    if keep:
        print(f"The worktree is kept: 'git worktree remove --force {keep}' removes it.")


if __name__ == "__main__":
    run(main)
