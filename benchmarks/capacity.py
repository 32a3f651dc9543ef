"""What each stage costs as data, model and workers grow, and what that says of 10, 100 and 1,000 times the default.

    python -m benchmarks.capacity                     # measure all (an hour or two on two cores), write the page
    python -m benchmarks.capacity --only records      # one part again; the others stay as they were measured
    python -m benchmarks.capacity --render            # the page from the measurements that there are

Every figure is of a real stage, run by DVC as dvc.yaml names it, in a project of its own that is removed afterwards.
Measurements stand in docs/capacity.json, the page made of them in docs/capacity.md, its drawing in docs/capacity.svg.
One heavy process at a time, and nice: the machine may have other work, so CPU seconds and bytes are what is fitted.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks.capacity_page import write_page
from benchmarks.capacity_project import (
    ROOT,
    Row,
    articles,
    change_params,
    few_examples,
    nothing_general,
    parameters,
    write,
    write_table,
)
from benchmarks.capacity_steps import asked, metered, note, points, records, tokens
from tests.small import call

FIGURES = ROOT / "docs/capacity.json"
RECORDS = (1000, 3000, 10_000, 30_000, 100_000)
SHORT, HELD = 5000, 195  # records of the toy's examples, none of which is too long for the default's max_words
TRAIN = (125, 500, 2000)  # examples, the toy's
TEST = (50, 300, 1350)
SHARES = (0.0625, 0.125, 0.25)  # of the default's training examples
ASKED = (0.0625, 0.125, 0.25)  # of its held-out examples
FEW = {"360M": (2, 6), "1B": (1, 3)}  # training records of each part: two sizes of each, to tell the start apart
QUESTIONS = (0.0, 0.1)  # of the default's, with as many held-out examples as asked last
PAIR = 3000  # records of two pipelines at once
BRANCHES = (10, 100, 1000)


def measured(root: Path, part: str, stage: str, model: str, size: Callable[[Path], int], **more: object) -> None:
    """Run a stage, note what it took and print it; its size is read from what it left."""
    told = {"part": part, "stage": stage, "model": model} | metered(root, stage)
    told |= {"size": size(root), **more, "version": version(), "load": round(os.getloadavg()[0], 1)}
    note(FIGURES, told)
    print(
        f"{part:<10}{stage:<10}{model:<14}{told['size']:>10,}  {told['cpu_s']:>9,.1f} CPU s {told['wall_s']:>9,.1f} s "
        f"{told['peak_mb']:>7,} MB {told['written_mb']:>9,.1f} MB written", flush=True,
    )  # fmt: skip


def version() -> str:
    """The commit, with a + where what the stages run is not as committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=7", "HEAD") + ("+" if git("status", "--porcelain", "tasks", "params.yaml") else "")


def take(root: Path, split: str, count: int | None = None, share: float = 1.0) -> None:
    """Expand again, with so many records of a split in every part of the mixture, or a share of what is the default."""
    default = yaml.safe_load((ROOT / "params.yaml").read_text())["expand"]["mixture"]

    def change(document: Row) -> None:
        for part, was in zip(document["expand"]["mixture"], default, strict=False):
            part["take"][split] = max(1, round(was["take"][split] * share)) if count is None else count

    change_params(root, change)
    metered(root, "expand")


def prepared(root: Path, *stages: str) -> Path:
    """Run what comes before."""
    for stage in stages:
        metered(root, stage)
    return root


def grow_records(folder: Path) -> None:
    """fetch, validate and expand of more and more records."""
    root = write(folder / "records", made=True, model="toy")
    real = articles(root)
    for count in RECORDS:
        size = write_table(root, real, count)
        for stage in ("fetch", "validate", "expand"):
            measured(root, "records", stage, "toy", records, raw_mb=round(size, 2))


def grow_shares(folder: Path) -> None:
    """The default's model: training on an eighth, a quarter ... of its examples, and asking some of them."""
    root = write(folder / "shares", made=False, model="SmolLM2-135M", change=nothing_general)
    prepared(root, "fetch", "validate")
    size = parameters(root / "models/base")
    for share in SHARES:
        take(root, "train", share=share)
        measured(root, "shares", "finetune", "SmolLM2-135M", tokens, share=share, parameters=size)
    for share in ASKED:
        take(root, "test", share=share)
        measured(root, "shares", "predict", "SmolLM2-135M", asked, share=share, parameters=size)
    predict = yaml.safe_load((ROOT / "params.yaml").read_text())["predict"]
    questions = sum(suite["questions"] for suite in predict["suites"])
    besides = len(predict["perturbed"]["kinds"]) * predict["perturbed"]["examples"] + 2 * predict["repeated"]
    for share in QUESTIONS:
        counts = [round(share * suite["questions"]) for suite in predict["suites"]]
        some = [suite | {"questions": count} for suite, count in zip(predict["suites"], counts, strict=True) if count]
        change_params(root, lambda document: document["predict"].update(suites=some))  # noqa: B023  # at once
        size = sum(suite["questions"] for suite in some)
        measured(root, "suites", "predict", "SmolLM2-135M", lambda _: size, of=questions, besides=besides)  # noqa: B023


def grow_models(folder: Path) -> None:
    """fetch, finetune and predict of larger models, on the default's text."""
    for model, counts in FEW.items():
        root = write(folder / model, made=False, model=model, change=few_examples)
        prepared(root, "fetch", "validate")
        size = parameters(root / "models/base")
        take(root, "test", 1)
        for count in counts:
            take(root, "train", count)
            measured(root, "models", "finetune", model, tokens, parameters=size)
        measured(root, "models", "predict", model, asked, parameters=size)
        shutil.rmtree(root)


def whole_default(folder: Path) -> None:
    """Every stage of the default as it is."""
    root = write(folder / "default", made=False, model="SmolLM2-135M")
    for stage, size in WHOLE.items():
        measured(root, "default", stage, "SmolLM2-135M", size)


def grow_examples(folder: Path) -> None:
    """finetune, predict and evaluate of more and more examples, by a toy model."""
    root = write(folder / "examples", made=True, model="toy", change=nothing_general)
    short = [row for row in articles(root) if len(row["document"].split()) <= HELD]
    write_table(root, short, SHORT)
    prepared(root, "fetch", "validate")
    take(root, "test", TEST[0])
    for count in TRAIN:
        take(root, "train", count)
        measured(root, "examples", "finetune", "toy", tokens, examples=count)
        note(FIGURES, {"part": "examples", "stage": "points", "size": tokens(root), "points": points(root)})
    for count in TEST:
        take(root, "test", count)
        measured(root, "examples", "predict", "toy", asked)
        measured(root, "examples", "evaluate", "toy", asked)
        page = (root / "reports/report.html").stat().st_size
        note(FIGURES, {"part": "examples", "stage": "page", "size": asked(root), "page_mb": round(page / 1e6, 3)})


def two_at_once(folder: Path) -> None:
    """The same pipeline alone and twice at once, each with a cache of its own."""
    roots = [write(folder / name, made=True, model="toy") for name in ("first", "second")]
    for root in roots:
        write_table(root, articles(root), PAIR)
    for stage in ("fetch", "validate", "expand"):
        measured(roots[0], "workers", stage, "toy", records, at_once=1)
        with ThreadPoolExecutor(2) as pool:
            for row in pool.map(metered, roots, [stage] * 2):
                told = {"part": "workers", "stage": stage, "model": "toy", "size": PAIR, "at_once": 2}
                note(FIGURES, told | row | {"version": version()})


def many_branches(folder: Path) -> None:
    """`luthier runs` beside more and more branches of runs."""
    root = write(folder / "branches", made=True, model="toy")
    for count in BRANCHES:
        told = "".join(f"update refs/heads/runs/made-{number} HEAD\n" for number in range(count))
        subprocess.run(["git", "update-ref", "--stdin"], cwd=root, input=told, text=True, check=True)
        before, start = os.times(), time.monotonic()
        call(root, "luthier", "runs")
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        row = {"part": "branches", "stage": "runs", "model": "", "size": count, "cpu_s": round(cpu, 2)}
        note(FIGURES, row | {"wall_s": round(time.monotonic() - start, 1), "version": version()})


WHOLE = {
    "fetch": records, "validate": records, "expand": records, "finetune": tokens, "predict": asked, "evaluate": asked,
}  # fmt: skip
PARTS: dict[str, Callable[[Path], None]] = {
    "records": grow_records, "shares": grow_shares, "models": grow_models, "default": whole_default,
    "examples": grow_examples, "workers": two_at_once, "branches": many_branches,
}  # fmt: skip


def main(
    only: Annotated[list[str] | None, typer.Option(help=f"Parts alone: {', '.join(PARTS)}.")] = None,
    render: Annotated[bool, typer.Option("--render", help="Measure nothing.")] = False,
) -> None:
    """Measure, and write the page."""
    if unknown := sorted(set(only or PARTS) - set(PARTS)):
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(PARTS)}")
    for name, part in PARTS.items():
        if not render and (not only or name in only):
            note(FIGURES, without={name, "suites"} if name == "shares" else {name})
            with tempfile.TemporaryDirectory(prefix="capacity-") as folder:
                part(Path(folder))
    write_page(FIGURES)


if __name__ == "__main__":
    typer.run(main)
