"""Several runs of the pipeline at once: each has its own parameters, weights, version and evidence, and no lock error.

    python -m tests.operated together [--rounds 20]

In each round three runs are triggered at the same moment, with three seeds. The same seed has to give the same weights
in every round, another seed others; whether a stage was run or taken from DVC's cache.
"""

import re
import shutil
import time
from contextlib import closing
from pathlib import Path

import yaml

from tasks.chain.git import asked
from tests.operated_ground import DAG, Operated, git_lock, processes_of

SEEDS = (21, 22, 23)


def weights_of(operated: Operated, run: str) -> str:
    """The md5 of models/tuned, as the run's branch has it."""
    outs = git_lock(operated.root, operated.branch(run)).get("stages", {}).get("finetune", {}).get("outs", [])
    return next((out["md5"] for out in outs if out["path"] == "models/tuned"), "none")


def seed_of(operated: Operated, run: str) -> int:
    """The seed that stands in the params.yaml of the run's branch."""
    return int(yaml.safe_load(asked(operated.root, "show", f"{operated.branch(run)}:params.yaml"))["finetune"]["seed"])


def evidence_wrong(operated: Operated, runs: dict[str, int], before: int) -> list[str]:
    """Whether the registry has one version for each seed, with the weights, the training and the run of that seed."""
    versions, by_seed = sorted(operated.versions(), key=lambda one: int(one["version"]))[before:], dict[int, str]()
    wrong = [] if len(versions) == len(SEEDS) else [f"{len(versions)} versions of {len(SEEDS)} models"]
    with closing(operated.store()) as store:
        for version in versions:
            trained = version.get("luthier.trained_as", version["run_id"])
            query = "select value from params where run_uuid = ? and key = 'seed'"
            seeds = [int(value) for (value,) in store.execute(query, (trained,))]
            tuned = [value for key, value in version.items() if key == "luthier.weights.tuned"]
            if len(seeds) != 1 or not tuned:
                wrong.append(f"version {version['version']} says neither seed nor weights: {sorted(version)}")
            elif by_seed.setdefault(seeds[0], tuned[0]) != tuned[0]:
                wrong.append(f"version {version['version']} has the weights of another seed than {seeds[0]}")
            elif runs.get(version["luthier.airflow.run"]) != seeds[0]:
                wrong.append(f"version {version['version']} names the run {version['luthier.airflow.run']}")
    if len(set(by_seed.values())) != len(SEEDS):
        wrong.append(f"the registry has the weights {by_seed}")
    return wrong


def one_round(operated: Operated, number: int, known: dict[int, str], runs: dict[str, int]) -> list[str]:
    """Three runs at once; what is wrong with them.

    Args:
        operated: the project.
        number: of the round.
        known: the weights of each seed in the rounds before; added to.
        runs: the seed of each run so far; added to.
    """
    started = time.monotonic()
    now = {operated.trigger({"finetune.seed": seed}): seed for seed in SEEDS}
    runs |= now
    wrong = []
    for run, seed in now.items():
        if (state := operated.ended(run)) != "success":
            last = {name: lines[-6:] for name, lines in operated.logs(run).items()}
            wrong.append(f"seed {seed}: {run} is {state}: {last}")
            continue
        if (found := seed_of(operated, run)) != seed:
            wrong.append(f"the branch of seed {seed} has seed {found}")
        if known.setdefault(seed, weights_of(operated, run)) != weights_of(operated, run):
            wrong.append(f"seed {seed} has other weights than in the rounds before")
        wrong += [f"seed {seed}: {line}" for line in operated.locked(run)]
        if processes_of(operated.mark(run)) or Path(operated.mark(run)).exists():
            wrong.append(f"seed {seed} left processes or a worktree")
    if len(set(known.values())) != len(SEEDS) or "none" in known.values():
        wrong.append(f"not {len(SEEDS)} different models: {known}")
    tries = sum(task["try_number"] - 1 for run in now for task in operated.airflow.tasks(DAG, run))
    print(f"round {number:2}: {time.monotonic() - started:5.0f} s, {tries} tries again; "
          f"{'; '.join(wrong) or 'nothing wrong'}", flush=True)  # fmt: skip
    return wrong


def rounds(operated: Operated, count: int, before: int = 0) -> list[str]:
    """So many rounds; what was wrong. In every other one nothing is cached, so that all stages work at once.

    Args:
        operated: the project.
        count: of rounds.
        before: versions that the registry had already.
    """
    known, runs = dict[int, str](), dict[str, int]()
    wrong = []
    for number in range(1, count + 1):
        if number % 2:
            shutil.rmtree(operated.root / ".dvc/cache", ignore_errors=True)
        wrong += one_round(operated, number, known, runs)
    wrong += evidence_wrong(operated, runs, before)
    if left := re.findall(r"\.luthier/runs/\S+", asked(operated.root, "worktree", "list")):
        wrong.append(f"worktrees left: {left}")
    return wrong


def together(folder: Path, count: int) -> bool:
    """The command."""
    with Operated.begin(folder / "together") as operated:
        wrong = rounds(operated, count)
        print(f"together: {count} rounds of {len(SEEDS)} runs; {'; '.join(wrong) or 'nothing wrong'}")
    return not wrong
