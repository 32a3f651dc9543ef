"""expand against `datasets.map(batched=True)`: examples a second, from records on disk to examples on disk.

    python -m benchmarks.expand                      # the ratios
    python -m benchmarks.expand --flat 10000000      # and the peak memory of so many examples

Both read the same JSON lines of invented short dialogues and put the same eight wordings of one family around them.
Luthier's time is that of surveying, splitting, drawing, rendering and writing; the leak certificate has a benchmark of
its own. `datasets` loads the file and maps a plain function with `str.format`, at the best of several batch sizes, into
its own Arrow files: once with all that Luthier's examples hold (where each comes from, its wording and group; split and
group would yet have to be made), once with nothing but input and target. Each is timed in a process of its own, imports
not counted; all take turns, as often as each other, and the best of each counts. The default's output, 1.5 GB, stays
under what Linux begins to write back to disk: with --records 500000 it is the disk that is measured.
"""

import os
import random
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measure import in_own_process, peak_gb

WORDINGS = 8
BATCH_SIZES = (200, 1000, 5000)
TARGET_RATIO, TARGET_GB = 3.0, 2.0


@dataclass(frozen=True)
class Run:
    """One measurement."""

    count: int
    """Examples."""
    seconds: float
    """From records on disk to examples on disk."""
    map_seconds: float
    """Without the loading."""
    peak_gb: float


def write_records(path: Path, count: int) -> None:
    """Dialogues of about 370 characters with summaries of about 100, in the form of data/valid."""
    draw = random.Random(17)  # noqa: S311
    words = ["".join(draw.choices("etaoinshrdlucmfw", k=draw.randint(2, 9))) for _ in range(3000)]
    turns = [" ".join(draw.choices(words, k=draw.randint(6, 14))) for _ in range(20_000)]
    with path.open("w") as file:
        for row in range(1, count + 1):
            said = "\\n".join(f"#Person{turn % 2 + 1}#: {turns[draw.randrange(20_000)]}" for turn in range(5))
            about = f"{turns[draw.randrange(20_000)]} {row}"
            file.write(f'{{"_file": "made.jsonl", "_row": {row}, "dialogue": "{said}", "summary": "{about}"}}\n')


def by_luthier(records: Path, out: Path) -> Run:
    """Render with Luthier."""
    from tasks.data.splits import SPLITS  # noqa: PLC0415
    from tasks.memory import keep_memory  # noqa: PLC0415
    from tasks.prompts.declared import Expand  # noqa: PLC0415
    from tasks.prompts.mixing import choose  # noqa: PLC0415
    from tasks.prompts.parts import examples_of  # noqa: PLC0415

    part = {
        "family": "summarise", "source": records.stem, "fields": {"document": "dialogue", "summary": "summary"},
        "constants": {}, "max_words": {"input": None, "target": None}, "wordings": WORDINGS, "weight": None,
        "replay": False, "take": dict.fromkeys(SPLITS),
    }  # fmt: skip
    params = Expand.model_validate({
        "seed": 17, "split": {"train": 0.98, "dev": 0.01, "test": 0.01}, "held_out_wordings": 2, "near_duplicate": 0.5,
        "accepted_leaks": 0, "replay_share": 0.0, "mixture": [part],
        "sources": {records.stem: {"group": None, "text": "dialogue", "given_split": None}},
    })  # fmt: skip
    keep_memory()
    start = time.perf_counter()
    (chosen,) = choose(records.parent, params)
    with ExitStack() as stack:
        files = {split: stack.enter_context((out / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for split, lines in examples_of(chosen, params.seed, params.held_out_wordings):
            files[split].write(lines)
    seconds = time.perf_counter() - start
    return Run(sum(chosen.examples(split) for split in SPLITS), seconds, seconds, peak_gb())


def by_map(records: Path, out: Path, batch_size: int, whole: bool) -> Run:
    """Render with `datasets.map`: all columns, or input and target alone."""
    import datasets  # noqa: PLC0415

    from tasks.prompts.templates import load_family  # noqa: PLC0415

    datasets.disable_progress_bars()
    templates = [(template.id, template.text) for template in load_family("summarise").templates[:WORDINGS]]

    def render(batch: dict[str, list[str]]) -> dict[str, list[str]]:
        made: dict[str, list[str]] = {"input": [], "target": []}
        for document, summary in zip(batch["dialogue"], batch["summary"], strict=True):
            for _, text in templates:
                made["input"].append(text.format(document=document))
                made["target"].append(summary)
        return made if not whole else made | provenance(batch)

    def provenance(batch: dict[str, list[str]]) -> dict[str, list[str]]:
        rows = [f"made/{file}:{row}" for file, row in zip(batch["_file"], batch["_row"], strict=True)]
        every = [(row, name) for row in rows for name, _ in templates]
        return {
            "id": [f"summarise/{row}/{name}" for row, name in every], "family": ["summarise"] * len(every),
            "template": [name for _, name in every], "wording": ["seen"] * len(every), "group": ["0" * 16] * len(every),
            "source": ["made"] * len(every), "record": [row for row, _ in every],
        }  # fmt: skip

    start = time.perf_counter()
    rows = datasets.load_dataset("json", data_files=str(records), split="train", cache_dir=str(out))
    loaded = time.perf_counter()
    made = rows.map(render, batched=True, batch_size=batch_size, remove_columns=rows.column_names)
    end = time.perf_counter()
    return Run(len(made), end - start, end - loaded, peak_gb())


def measured(work: Callable[..., Run], records: Path, *arguments: int) -> Run:
    """Run `work` in a process of its own, into an empty folder."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as out:
        return in_own_process(work, records, Path(out), *arguments)


def add(runs: dict[str, list[Run]], name: str, run: Run, note: str = "") -> None:
    """Keep a measurement and print it."""
    runs.setdefault(name, []).append(run)
    print(f"  {name:<17} {run.count / run.seconds:>10,.0f} examples/s  {note}", flush=True)


def main(
    records: Annotated[int, typer.Option(help="Records of the comparison.")] = 250_000,
    rounds: Annotated[int, typer.Option(help="Alternating rounds; the best of each counts.")] = 3,
    flat: Annotated[int, typer.Option(help="Examples whose peak memory is measured; 0: none.")] = 0,
) -> None:
    """Print examples a second of both, their ratio, and the peak memory."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        path = Path(folder) / "made.jsonl"
        write_records(path, records)
        size = path.stat().st_size / records
        print(f"{records:,} records of {size:.0f} bytes x {WORDINGS} wordings, {os.cpu_count()} cores")
        runs: dict[str, list[Run]] = {}
        for turn in range(rounds):
            print(f"round {turn + 1}")
            for batch_size in BATCH_SIZES:  # Luthier has no such knob; it runs as often as the others
                add(runs, "luthier", measured(by_luthier, path))
                for whole, columns in ((True, "all columns"), (False, "input and target")):
                    add(runs, columns, measured(by_map, path, batch_size, whole), f"batches of {batch_size}")
        ours = max(run.count / run.seconds for run in runs["luthier"])
        print(f"\nluthier {ours:,.0f} examples/s, peak {max(run.peak_gb for run in runs['luthier']):.2f} GB")
        for columns in ("all columns", "input and target"):
            theirs = max(run.count / run.seconds for run in runs[columns])
            alone = max(run.count / run.map_seconds for run in runs[columns])
            print(f"datasets.map, {columns:<17} {theirs:>10,.0f} examples/s: ratio {ours / theirs:.2f}"
                  f"   (its map alone {alone:>10,.0f}: {ours / alone:.2f})")  # fmt: skip
        print(f"target: a ratio of {TARGET_RATIO}")
        if flat:
            write_records(path, flat // WORDINGS)
            run = measured(by_luthier, path)
            print(
                f"{run.count:,} examples in {run.seconds:.0f} s, peak {run.peak_gb:.2f} GB (target: under {TARGET_GB})"
            )


if __name__ == "__main__":
    typer.run(main)
