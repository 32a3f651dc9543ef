"""What fine-tuning will take, before any of it is spent: `luthier estimate`.

Reads section `finetune` of params.yaml, the examples and the base model, prepares the training in a process of its own
(`tasks.model.trial`), trains on two real parts at a rate of 0 and draws the rest out from there. Beside the token
ids that finetune uses too, it writes `.luthier/estimate.json`, and no training state, output or MLflow run.
When finetune has run under the same params and data since, the next estimate says what it really took.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tasks.data.files import Row, read_json, read_rows, sha256_of, write_json
from tasks.errors import TrainingError
from tasks.model.cost import Estimate, judged
from tasks.model.footprint import ram
from tasks.model.settings import Finetune
from tasks.model.trial import Trial, tried
from tasks.params import load
from tasks.progress import clock
from tasks.step import COSTS, exit_status
from tasks.wiring import outputs

RECORD = Path(".luthier/estimate.json")
SAMPLE_BYTES = 16_000_000  # written to the disk, to see how fast it is


def estimate(as_json: bool) -> None:
    """Estimate the fine-tuning of this checkout, say so, and note it.

    Args:
        as_json: print the note instead of a table.

    Raises:
        LuthierError: it will not fit, or would be refused.
    """
    console = Console(soft_wrap=True)
    there, params = outputs(), load("finetune", Finetune)
    examples, base = there["expand/examples"], there["fetch/base"]
    key = key_of(params, examples, base)
    checked = checked_against_what_it_took(key)
    found = judged(params, in_a_process(examples, base), write_rate(Path.cwd()))
    write_json(RECORD, {"key": key, "at": time.time(), "checked": checked, **asdict(found)})
    if as_json:
        print(json.dumps(read_json(RECORD), indent=2))
    else:
        show(found, console)
        if checked:
            console.print(compared(checked))
    if not found.fits:
        raise TrainingError(found.verdict)


def key_of(params: Finetune, examples: Path, base: Path) -> str:
    """What decides the cost: params, examples, base model."""
    files = [sha256_of(examples / f"{split}.jsonl") for split in ("train", "dev")]
    parts = [params.model_dump(), *files, read_json(base / "source.json")["weights_sha256"]]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def in_a_process(examples: Path, base: Path) -> Trial:
    """Try the training in a process that ends afterwards, its memory with it."""
    size, free = sum(file.stat().st_size for file in base.glob("*.safetensors")), ram()[0]
    if size > free:
        raise TrainingError(
            f"the base model's weights alone are {size / 1e9:.1f} GB and {free / 1e9:.1f} GB of memory are free: "
            "choose a smaller fetch.model, or a machine with more."
        )
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "trial.json"
        command = [sys.executable, "-m", "tasks.estimate", str(examples), str(base), str(result)]
        status = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        if status < 0:
            raise TrainingError(
                f"the trial was killed by signal {-status}: most likely this machine has too little memory. Lower "
                "finetune.optimizer.max_tokens_at_once, or choose a smaller fetch.model."
            )
        if status:
            raise TrainingError("the training would be refused, for the reason above.")
        row = read_json(result)
    return Trial(**{**row, "measured": tuple(row["measured"])})


def write_rate(folder: Path) -> float:
    """Bytes a second that reach the disk, hashed as checkpoints are."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        started = time.perf_counter()
        file.write(bytes(SAMPLE_BYTES))
        file.flush()
        sha256_of(Path(file.name))
        return SAMPLE_BYTES / (time.perf_counter() - started)


def checked_against_what_it_took(key: str) -> Row | None:
    """The last estimate under this key beside what finetune then took, if it has run to its end since."""
    if not RECORD.is_file() or (last := read_json(RECORD))["key"] != key:
        return None
    rows = read_rows(COSTS) if COSTS.is_file() else []
    # By their ends: a process's start is told by another clock, to a second.
    mine = [row for row in rows if row["step"] == "finetune" and row["started"] + row["seconds"] > last["at"]]
    ends = [place for place, row in enumerate(mine) if row["exit"] == 0]
    if not ends:
        kept: Row | None = last["checked"]
        return kept
    tries = mine[: ends[0] + 1]  # one that was killed and those that went on
    return {
        "estimated_s": last["seconds"], "took_s": sum(row["seconds"] for row in tries),
        "estimated_bytes": last["peak_bytes"], "took_bytes": max(row["peak_mb"] for row in tries) * 1024**2,
        "device": last["trial"]["device"],
    }  # fmt: skip


def compared(checked: Row) -> str:
    """One sentence: estimated against taken. A GPU's memory is not in a step's cost."""
    memory = [f", {checked[name] / 1e9:.1f} GB" for name in ("estimated_bytes", "took_bytes")]
    first, second = memory if checked["device"] == "cpu" else ("", "")
    return (
        f"The last training under these params: estimated {clock(checked['estimated_s'])}{first}; "
        f"took {clock(checked['took_s'])}{second}."
    )


def show(found: Estimate, console: Console) -> None:
    """Print it."""
    trial, giga = found.trial, 1e9
    table = Table(box=None, show_header=False, pad_edge=False)
    rows: list[tuple[str, str]] = [
        ("examples", f"{trial.examples:,}, {trial.tokens:,} tokens an epoch, {trial.supervised:,} with loss"),
        ("steps", f"{trial.steps:,}; at most {trial.longest_batch:,} tokens each, {trial.largest_part:,} at once"),
        ("trained", f"{trial.trained:,} of {trial.parameters:,} parameters, {trial.why}"),
        ("memory", f"{found.peak_bytes / giga:.1f} GB at peak, of {found.memory_bytes / giga:.1f} GB ({trial.device})"),
        ("", ", ".join(
            f"{name} {size / giga:.2f}" for name, size in (
                ("program and weights", trial.held_bytes), ("gradients, moments, best weights", trial.update_bytes),
                ("activations", trial.activation_bytes), ("logits", trial.logit_bytes), ("a dev loss", trial.dev_bytes),
            )
        )),
        ("time", f"{clock(found.seconds)}: start {clock(trial.start_s)}, steps {clock(trial.train_s)}, "
                 f"a dev loss {clock(trial.look_s)}"),
        ("disk", f"{found.disk_bytes / giga:.1f} GB, of {found.disk_free / giga:.1f} GB free"),
        ("verdict", found.verdict),
    ]  # fmt: skip
    for name, said in rows:
        table.add_row(name, said)
    console.print(table)
    console.print(
        f"Measured: training steps of {trial.measured[0]:,} and {trial.measured[1]:,} tokens, drawn out in a line.",
        style="dim",
    )


def main(examples: Path, base: Path, result: Path) -> None:
    """Try the training, and write what was measured."""
    write_json(result, asdict(tried(load("finetune", Finetune), examples, base)))


if __name__ == "__main__":
    sys.exit(exit_status(lambda: main(*map(Path, sys.argv[1:])), "estimate"))  # no cost noted: it is no step
