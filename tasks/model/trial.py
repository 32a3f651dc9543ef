"""A few steps on real examples, to learn what a training costs: seconds and bytes, measured and drawn out in lines.

    trial = tried(params, examples, base)

The model is prepared as for the training. Two parts of different size are trained on at a learning rate of 0, each
three times: the first one warms up, and the faster of the others counts. Time and memory are lines through the two:
both grow with the tokens of a part, whatever the architecture. Of attention's square, short next to the rest at the
lengths of instructions, such a line sees only what lies between the two. Nothing is written but token ids, kept by
content.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil
import torch

from tasks.data.files import read_rows
from tasks.model.batches import cells
from tasks.model.distributed import World, blocks
from tasks.model.encode import Encoded
from tasks.model.encoded import lengths_of
from tasks.model.footprint import activation_bytes, free_bytes, logit_bytes, update_bytes
from tasks.model.load import Model, device, use_threads
from tasks.model.optimizer import adamw, trained
from tasks.model.peak import peak_bytes, reset_peak
from tasks.model.prepared import prepared, xray_of
from tasks.model.settings import Finetune
from tasks.model.setup import Setup, batches, mean_loss, steps_of, update

LOOKED_AT = 2000  # steps whose parts are counted: a random sample, where there are more
IN_UPDATE = 3 / 4  # of what an update takes, what is there in the second one: all but the best weights


@dataclass(frozen=True)
class Trial:
    """What was counted and measured."""

    device: str
    why: str
    """Precision and why, and what is done about memory."""
    examples: int
    tokens: int
    """Real ones of an epoch."""
    supervised: int
    """Those of them that carry loss."""
    steps: int
    longest_batch: int
    """Real tokens of the largest step."""
    largest_part: int
    """Tokens that are computed at once, at most."""
    trained: int
    """Parameters."""
    parameters: int
    """In all."""
    measured: tuple[int, int]
    """Tokens of the two parts."""
    start_s: float
    """From the start of the process until the first step, the labels' X-ray included."""
    train_s: float
    """Of all steps."""
    look_s: float
    """Of one dev loss."""
    held_bytes: int
    """With the model loaded, before the first step."""
    update_bytes: int
    """Gradients, moments, best weights."""
    activation_bytes: int
    """Of the largest part, workspaces included."""
    logit_bytes: int
    """Likewise."""
    dev_bytes: int
    """Of the largest part of a dev loss, logits included."""
    free_bytes: int
    """Not taken yet when the model was loaded."""


@dataclass(frozen=True)
class Plan:
    """The parts of an epoch's steps."""

    parts: list[list[Encoded]]
    """The largest of each step, by size."""
    computed: int
    """Tokens of all steps of all epochs, padding included."""
    longest_batch: int
    """Real tokens."""


def tried(params: Finetune, examples: Path, base: Path) -> Trial:
    """Prepare a training and try it, in a process that does nothing else: its peak memory is read.

    Args:
        params: of the training.
        examples: the folder of train.jsonl and dev.jsonl.
        base: the base model's folder.

    Raises:
        LuthierError: the training would be refused.
    """
    use_threads(params.threads)
    where = device()
    ready = prepared(params, examples, base, World(0, 1, where))
    setup, model = ready.setup, ready.model
    xray_of(ready, read_rows(examples / "train.jsonl"), params.private)
    plan, total = planned(setup, ready.train), steps_of(params.optimizer, len(ready.train))
    free, held = free_bytes(where), reset_peak(where)
    begun_s = time.time() - psutil.Process().create_time()
    pair = two_parts(plan, setup, activation_bytes(model, setup.precision), free)
    warm_s, seconds, peaks = measured(setup, pair, where)
    sizes = [computed(setup, part) for part in pair]
    known = [held + IN_UPDATE * update_bytes(model) + logit_bytes(model) * _responses(part) for part in pair]
    kept = line(sizes, [peak - rest for peak, rest in zip(peaks, known, strict=True)])
    if peaks[0] == peaks[1]:  # hidden by what loading took, or all parts are alike
        kept = 0.0, activation_bytes(model, setup.precision)
    a_pass, a_token = line(sizes, seconds)
    started = time.perf_counter()
    mean_loss(setup, pair[1])
    dev_tokens = sum(lengths_of(ready.dev))
    largest = plan.parts[-1]
    return Trial(
        device=str(where), why=f"{setup.precision}: {ready.why}", examples=len(ready.train),
        tokens=sum(lengths_of(ready.train)), supervised=sum(len(one.response) for one in ready.train), steps=total,
        longest_batch=plan.longest_batch, largest_part=computed(setup, largest),
        trained=sum(one.numel() for one in trained(model).values()),
        parameters=sum(one.numel() for one in model.parameters()), measured=(sizes[0], sizes[1]),
        start_s=begun_s + max(0.0, warm_s - seconds[0]), train_s=a_pass * total + a_token * plan.computed,
        look_s=(time.perf_counter() - started) / sizes[1] * dev_tokens,
        held_bytes=held, update_bytes=update_bytes(model),
        activation_bytes=round(kept[0] + kept[1] * computed(setup, largest)),
        logit_bytes=logit_bytes(model) * max(map(_responses, plan.parts)),
        dev_bytes=dev_bytes(setup, model, ready.dev), free_bytes=free,
    )  # fmt: skip


def planned(setup: Setup, train: Sequence[Encoded]) -> Plan:
    """Draw the steps as the training will, and split them into parts."""
    lengths, total = lengths_of(train), steps_of(setup.optimizer, len(train))
    drawn = [[train[index] for index in chosen] for _, chosen in islice(batches(setup, lengths, 0), LOOKED_AT)]
    parts = [max((part for part, _ in setup.rounds(step)), key=lambda part: computed(setup, part)) for step in drawn]
    return Plan(
        sorted(parts, key=lambda part: computed(setup, part)),
        round(sum(map(setup.cells, drawn)) * total / len(drawn)),
        max(sum(map(len, step)) for step in drawn),
    )


def computed(setup: Setup, part: Sequence[Encoded]) -> int:
    """Tokens that a part takes, padding included."""
    return cells(part, setup.kind, setup.packed)


def dev_bytes(setup: Setup, model: Model, dev: Sequence[Encoded]) -> int:
    """What a dev loss takes at most: no layer keeps anything for the next."""
    longest = sorted(dev, key=len)[-setup.optimizer.batch_size :]
    a_token = activation_bytes(model, setup.precision) / len(blocks(model))
    return round(
        max(
            a_token * computed(setup, part) + logit_bytes(model) * _responses(part) for part, _ in setup.rounds(longest)
        )
    )


def two_parts(plan: Plan, setup: Setup, bytes_a_token: float, free: int) -> tuple[list[Encoded], list[Encoded]]:
    """The shortest example, and the median part or what surely fits of it."""
    large = plan.parts[len(plan.parts) // 2]
    while len(large) > 1 and computed(setup, large) * bytes_a_token > free / 4:
        large = large[:-1]
    if len(large) == 1:
        large = plan.parts[-1][:1]
    return [min(min(plan.parts, key=lambda part: min(map(len, part))), key=len)], large


def measured(
    setup: Setup, pair: Sequence[list[Encoded]], where: torch.device
) -> tuple[float, tuple[float, float], tuple[int, int]]:
    """Train on each part three times, at a rate of 0.

    Returns:
        Seconds of the very first time; of the faster of the others of each part; the peak in bytes after each.
    """
    optimizer = adamw(setup.model, setup.optimizer)
    seconds, peaks = [], []
    for part in pair:
        for _ in range(3):
            seconds.append(_timed(lambda part=part: update(setup, optimizer, part, 1, 0.0), where))  # type: ignore[misc]
        peaks.append(peak_bytes(where))
    return seconds[0], (min(seconds[1:3]), min(seconds[4:6])), (peaks[0], peaks[1])


def line(sizes: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """What is there alone, and for each token, of two measurements; neither is below 0."""
    (low, high), (first, second) = sizes, values
    rise = max(0.0, (second - first) / (high - low)) if high > low else second / high
    rise = min(rise, max(0.0, second) / high)  # more than proportional is noise, or warming up
    return max(0.0, second - rise * high), rise


def _timed(work: Callable[[], object], where: torch.device) -> float:
    started = time.perf_counter()
    work()
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    return time.perf_counter() - started


def _responses(part: Sequence[Encoded]) -> int:
    return sum(len(one.response) for one in part)
