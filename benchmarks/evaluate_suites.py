"""Multiple choice against lm-evaluation-harness, on this CPU: the same answers, and questions a second.

    python -m benchmarks.evaluate_suites --mmlu FOLDER              # 100 questions a subject
    python -m benchmarks.evaluate_suites --mmlu FOLDER --items 10   # --json for a program; without --mmlu, without MMLU

MMLU with 5 shots and without (three subjects), PIQA and OpenBookQA by text. lm-evaluation-harness 0.4.13 is asked as
its users ask it: its own task files over the same local questions, `HFLM` with the base model's folder, fp32, no chat
template, at that batch size of 1, 4, 8 and 16 that is fastest on a sample (its `auto` does not end on a CPU). Each side
is a process of its own; they take turns. Questions and prompts are compared to the character before times are.

"scoring" is `HFLM.loglikelihood` and `answer`, which both encode; "whole" is `simple_evaluate` over tasks that are
already built, and `put` with `answer`. Neither has loading the model in it. Ours has glibc's memory settings of
tasks/memory.py, as `predict` has; "their memory" says what lm-eval gains from the same settings.
"""

import json
import statistics
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.evaluate_sides import BATCHES, Job, Side, best_batch, by_lm_eval, by_luthier, jobs_of
from benchmarks.measure import in_own_process

TARGETS = {"MMLU, 5 shots": 4.0, "MMLU, 0 shots": 1.5}  # of the ratio of the whole
AGREEMENT, ACCURACY = 0.995, 0.005
NEAR = 1e-3  # nats: scores of two options that differ by less may change places by rounding


def require_the_same_work(job: Job, ours: Side, theirs: Side) -> None:
    """Stop where the prompts differ: then it is not the same work that is timed."""
    for question in job.questions:
        if ours.prompts[question.id] != theirs.prompts[question.id]:
            raise SystemExit(
                f"{job.name}: prompts of question {question.id} differ:\n{ours.prompts[question.id]}\n"
                f"{theirs.prompts[question.id]}"
            )


def compare(job: Job, ours: Side, theirs: Side) -> dict[str, Any]:
    """Whether two sides said the same.

    Args:
        job: what both were asked.
        ours: what Luthier said.
        theirs: what lm-evaluation-harness said.

    Returns:
        Share of the same predictions, accuracies (shares), the largest difference of an option's log-probability
        (nats), and each question that is answered differently, with both sides' scores and why.
    """
    require_the_same_work(job, ours, theirs)
    different = [
        {
            "id": question.id, "ours": ours.scores[question.id], "theirs": theirs.scores[question.id],
            "why": _why(ours.scores[question.id], theirs.scores[question.id]),
        }
        for question in job.questions if ours.predicted[question.id] != theirs.predicted[question.id]
    ]  # fmt: skip
    farthest = max(
        abs(one - other)
        for question in job.questions
        for one, other in zip(ours.scores[question.id], theirs.scores[question.id], strict=True)
    )
    return {
        "questions": len(job.questions), "same": 1 - len(different) / len(job.questions),
        "accuracy": {"ours": ours.accuracy, "theirs": theirs.accuracy}, "farthest": farthest, "different": different,
    }  # fmt: skip


def _why(ours: list[float], theirs: list[float]) -> str:
    first, second = sorted(ours, reverse=True)[:2]
    if max(abs(one - other) for one, other in zip(ours, theirs, strict=True)) < NEAR and first - second < NEAR:
        return f"a near tie: the two best differ by {first - second:.1e}, which rounding in fp32 turns round"
    return "no near tie: the scores themselves differ"


def rates(job: Job, rounds: list[dict[str, Side]]) -> dict[str, Any]:
    """Questions a second of every side, and how many times Luthier's are theirs; medians over rounds."""
    found: dict[str, Any] = {"rates": {}, "ratio": {}}
    for name in rounds[0]:
        found["rates"][name], found["ratio"][name] = {}, {}
        for part in ("scoring", "whole"):
            took = [(getattr(one["Luthier"], part), getattr(one[name], part)) for one in rounds]
            found["rates"][name][part] = statistics.median(len(job.questions) / own for _, own in took)
            found["ratio"][name][part] = statistics.median(own / ours for ours, own in took)
    return found


def measured(
    console: Console, jobs: list[Job], base: Path, rounds: int, tokens_at_once: int, batches: tuple[int, ...] = BATCHES
) -> dict[str, Any]:
    """Run both sides in turns.

    Args:
        console: is told of each run.
        jobs: what both are asked.
        base: folder of the model.
        rounds: how often.
        tokens_at_once: Luthier's.
        batches: lm-evaluation-harness's sizes, of which the fastest is taken.
    """
    best = in_own_process(best_batch, jobs, base, batches)
    console.print(f"  lm-evaluation-harness's fastest batch sizes: {best}")
    runs: list[dict[str, dict[str, Side]]] = []
    for number in range(rounds):
        run = {"Luthier": in_own_process(by_luthier, jobs, base, tokens_at_once)}
        run["lm-eval"] = in_own_process(by_lm_eval, jobs, base, best, False)
        run["lm-eval, our memory settings"] = in_own_process(by_lm_eval, jobs, base, best, True)
        for side, said in run.items():
            seconds = ", ".join(f"{name} {one.whole:.1f} s" for name, one in said.items())
            console.print(f"  round {number + 1}, {side}: {seconds}")
        runs.append(run)
    return {
        job.name: compare(job, runs[0]["Luthier"][job.name], runs[0]["lm-eval"][job.name])
        | rates(job, [{side: said[job.name] for side, said in run.items()} for run in runs])
        | {"batch": best[job.name]}
        for job in jobs
    }


def verdict(name: str, found: dict[str, Any]) -> list[str]:
    """What misses its target."""
    gap = abs(found["accuracy"]["ours"] - found["accuracy"]["theirs"])
    missed = []
    if found["same"] < AGREEMENT:
        missed.append(f"{name}: {found['same']:.1%} of the same answers, target {AGREEMENT:.1%}")
    if gap > ACCURACY:
        missed.append(f"{name}: accuracies differ by {100 * gap:.1f} points, target {100 * ACCURACY}")
    if found["ratio"]["lm-eval"]["whole"] < TARGETS.get(name, 0):
        missed.append(f"{name}: {found['ratio']['lm-eval']['whole']:.2f} times as fast, target {TARGETS[name]}")
    return missed


def show(console: Console, results: dict[str, Any]) -> None:
    """Print a row a job, each question that is answered differently, and what misses its target."""
    columns = ("", "questions", "same answers", "accuracy, ours / theirs", "farthest (nats)", "Luthier/s", "lm-eval/s",
               "ratio", "ratio, scoring", "ratio, their memory", "target")  # fmt: skip
    table = Table(*columns)
    for name, found in results.items():
        rate, ratio = found["rates"], found["ratio"]
        table.add_row(
            name, str(found["questions"]), f"{found['same']:.1%}",
            f"{found['accuracy']['ours']:.1%} / {found['accuracy']['theirs']:.1%}", f"{found['farthest']:.1e}",
            f"{rate['Luthier']['whole']:.2f}", f"{rate['lm-eval']['whole']:.2f}", f"{ratio['lm-eval']['whole']:.2f}",
            f"{ratio['lm-eval']['scoring']:.2f}", f"{ratio['lm-eval, our memory settings']['whole']:.2f}",
            str(TARGETS.get(name, "")),
        )  # fmt: skip
    console.print(table)
    for name, found in results.items():
        for one in found["different"]:
            console.print(f"{name}, question {one['id']}: {one['why']}; ours {one['ours']}, theirs {one['theirs']}")
        for missed in verdict(name, found):
            console.print(f"[red]{missed}[/red]")


def main(
    items: Annotated[int, typer.Option(help="Questions a subject, and of PIQA and OpenBookQA.")] = 100,
    rounds: int = 1,
    base: Path = Path("models/base"),
    mmlu: Annotated[Path | None, typer.Option(help="MMLU as published: dev/ and test/, a CSV a subject.")] = None,
    tokens_at_once: int = 1024,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Compare and time both sides."""
    console = Console(stderr=as_json, width=200)
    results = measured(console, jobs_of(items, mmlu), base.resolve(), rounds, tokens_at_once)
    show(console, results)
    if as_json:
        print(json.dumps(results))


if __name__ == "__main__":
    typer.run(main)
