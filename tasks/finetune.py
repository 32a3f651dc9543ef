"""4 finetune: instructions -> the tuned model, its prompt contract, the training run.

Input: train and dev examples, models/base, section `finetune` of params.yaml. Output: models/tuned (an adapter, or
full weights; always with tokenizer and prompt contract), reports/xray.txt (which tokens carry loss), reports/curves
(losses by step, written as it goes), reports/training.jsonl (values by step, no clocks) and models/training_run.json
(the MLflow run). MLflow is asked, and the labels are looked through, before anything is spent. Killed anywhere, the
same command goes on from the last whole checkpoint to the same weights. By several processes: `finetune.processes`, on
several machines by tasks/nodes.py, or torchrun and its like in front of it.

    python -m tasks.finetune data/examples models/base models/tuned reports/training.jsonl models/training_run.json \
        reports/xray.txt reports/curves
"""

import math
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from tasks import tracking
from tasks.data.files import Row, read_json, read_rows, remove, sha256_of, staged, write_json, write_rows
from tasks.data.sources import digest
from tasks.errors import SourceError
from tasks.model import distributed
from tasks.model.adapter import prepare, save
from tasks.model.checkpoints import Checkpoints, require_space
from tasks.model.distributed import World
from tasks.model.fence import sole_writer
from tasks.model.fit import fit
from tasks.model.footprint import disk_bytes
from tasks.model.launch import launch
from tasks.model.load import Model, device, load_base, use_threads
from tasks.model.loss import ResponseLoss
from tasks.model.optimizer import put_weights, trained, weights_of
from tasks.model.prepared import Prepared, prepared, require_sound_start, xray_of
from tasks.model.settings import FREE, Finetune
from tasks.model.setup import Setup
from tasks.model.turn import turn
from tasks.model.unfinished import FOLDER, fingerprint_of, key_of, training_folder
from tasks.nodes import node
from tasks.params import load
from tasks.step import deferred, run
from tasks.tracking import Run


@dataclass(frozen=True)
class Outputs:
    """What the step writes."""

    tuned: Path
    training_log: Path
    training_run: Path
    sheet: Path
    curves: Path


def digests_of(examples: Path, base: Path) -> dict[str, str]:
    """Sha256s of what is trained, and on what; the base weights are the ones that fetch wrote.

    Raises:
        SourceError: they are not.
    """
    weights = digest(sorted(base.glob("*.safetensors")))
    if weights != read_json(base / "source.json")["weights_sha256"]:
        raise SourceError(f"the weights in {base} are not those that fetch wrote: run 'dvc repro --force fetch'.")
    files = [examples / f"{split}.jsonl" for split in ("train", "dev")]  # the test split decides nothing here
    return {"examples_sha256": digest(files), "base_weights_sha256": weights}


DRAW_S = 5.0  # between two drawings of the curves, which are written whole


class Told:
    """Where a training's values go: the training log, the curves, MLflow."""

    def __init__(self, curves: Path, run: Run | None) -> None:
        self.curves, self.run = curves, run
        self.rows: list[Row] = []
        self.drawn = -math.inf

    def log(self, values: dict[str, float], step: int) -> None:
        """Values that depend on nothing but the training."""
        self.rows.append({"step": step, **values})
        if self.run:
            self.run.log(values, step)
            if time.monotonic() - self.drawn > DRAW_S:
                self.draw()

    def draw(self) -> None:
        """Write the curves, whole."""
        self.drawn = time.monotonic()
        for name, key in (("training", "loss"), ("dev", "dev_loss")):
            points = [{"step": row["step"], key: row[key]} for row in self.rows if key in row]
            write_json(self.curves / f"{name}.json", points)

    def cost(self, values: dict[str, float], step: int) -> None:
        """Values that depend on the machine: for MLflow alone."""
        if self.run:
            self.run.log(values, step)


def tracked(
    params: Finetune, digests: dict[str, str], folder: Path, world: World
) -> AbstractContextManager[Run | None]:
    """The training's MLflow run, the same one after a kill; None in all processes but the first."""
    if not world.first:
        return nullcontext()
    return tracking.start_run("finetune", {**params.model_dump(), **digests}, {}, digests, key_of(folder))


def look_through(params: Finetune, ready: Prepared, rows: list[Row], sheet: Path) -> None:
    """X-ray the labels and say what will be trained; what is wrong stops the step, and stands in the sheet."""
    seen = xray_of(ready, rows, params.private)
    with staged(sheet) as partial:
        partial.write_text(seen.text)
    require_sound_start(ready, rows, seen, params.initial_loss.low, params.initial_loss.high)
    how = "packed" if ready.setup.packed else "padded"
    cut = f", {seen.counts.prompts_cut:,} prompts cut" if seen.counts.prompts_cut else ""
    print(
        f"finetune  {len(rows):,} examples, {seen.counts.tokens:,} tokens, {seen.counts.share:.1%} carry loss{cut} "
        f"({sheet}); {how}, {ready.setup.precision} ({ready.why})", flush=True,
    )  # fmt: skip


def require_room(folder: Path, ready: Prepared, keep: int) -> None:
    """Refuse to begin where the checkpoints and the model will not fit on the disk."""
    count = sum(parameter.numel() for parameter in trained(ready.setup.model).values())
    require_space(folder, disk_bytes(count, keep))


def train(params: Finetune, examples: Path, base: Path, outputs: Outputs, world: World) -> None:
    """Prepare, look the labels through, train, write the outputs."""
    ready = prepared(params, examples, base, world)
    if world.first:
        look_through(params, ready, read_rows(examples / "train.jsonl"), outputs.sheet)
    digests = digests_of(examples, base)
    chosen = {"precision": ready.setup.precision, "device": world.device.type, "compiled": ready.compiled}
    fingerprint = fingerprint_of(params.model_dump(exclude=FREE), digests, chosen)
    folder = world.in_turn(lambda: training_folder(fingerprint))
    world.require_same(int(folder.name, 16), "parameters, examples, base weights, code or versions")
    if node().size == 1:  # those of a job have a disk each, where nothing lies to go on from
        world.require_same(int(key_of(folder)[:12], 16), "training folder")  # a random key, made with the folder
    checkpoints = Checkpoints(folder, fingerprint, params.care.keep)
    require_room(folder, ready, params.care.keep)
    setup = replace(ready.setup, model=distributed.spread(ready.setup.model, world, params.sharding), world=world)
    with tracked(params, digests, folder, world) as run_:
        told = Told(outputs.curves, run_)
        if run_:
            run_.log_file(outputs.sheet, "xray")
        with deferred() as asking:
            result = fit(setup, ready.train, ready.dev, params.care, checkpoints, asking, told.log, told.cost)
        model = whole_model(params, ready, setup, base)
        if run_:
            with staged(outputs.tuned) as partial:
                save(model, ready.tokenizer, ready.contract, partial)
            write_rows(outputs.training_log, told.rows)
            told.draw()
            how = {"precision": setup.precision, "compiled": bool(ready.compiled)}  # measured where they are auto
            write_json(outputs.training_run, {"run_id": run_.run_id, "tracking_uri": tracking.uri(), **how, **result})
    if world.first:
        checkpoints.clear()  # before the key of its MLflow run: killed in between, it is still the same training
        remove(folder)
        print(
            f"dev loss {result['dev_loss_before']:.3f} -> {result['dev_loss_after']:.3f} at step "
            f"{result['best_step']}; weights sha256 {sha256_of(outputs.tuned)[:12]}"
        )


def whole_model(params: Finetune, ready: Prepared, setup: Setup, base: Path) -> Model:
    """The trained model in one process; weights that are spread over processes are gathered into a fresh one."""
    if params.sharding == "none":
        return ready.model
    weights = weights_of(setup.model)
    model = prepare(load_base(base), params.method, params.lora, setup.precision)
    put_weights(ResponseLoss(model), weights)
    return model


def join(params: Finetune, examples: Path, base: Path, outputs: Outputs) -> None:
    """Be this training's only process, or one of its several."""
    use_threads(params.threads)
    with distributed.joined(device()) as world, sole_writer(FOLDER) if world.first else nullcontext():
        if world.first:
            tracking.check()
        train(params, examples, base, outputs, world)


def main(
    examples: Path, base: Path, tuned: Path, training_log: Path, training_run: Path, sheet: Path, curves: Path
) -> None:
    """Fine-tune the base model on the instruction set."""
    params = load("finetune", Finetune)
    if distributed.launched():  # by us, in the block below, or by who knows which devices are free
        return join(params, examples, base, Outputs(tuned, training_log, training_run, sheet, curves))
    here = node()
    with turn(params.processes):
        if params.processes > 1 or here.size > 1:
            sys.exit(launch(params.processes, "tasks.finetune", sys.argv[1:], here))
        join(params, examples, base, Outputs(tuned, training_log, training_run, sheet, curves))


if __name__ == "__main__":
    run(main)
