"""The sides of `benchmarks.train`: what each is given, how its run is timed, and Luthier's own.

Each side trains one model over the same examples in a process of its own and tells what each step took. What is timed
is the whole turn from the end of one step to the end of the next: collating, forward, backward, optimizer and
book-keeping; loading, and the first steps, in which memory is first touched, are not counted.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
import transformers

from benchmarks.measure import in_own_process, peak_gb
from tasks.memory import keep_memory
from tasks.model.distributed import World
from tasks.model.encode import Encoded
from tasks.model.footprint import Switch
from tasks.model.load import use_threads
from tasks.model.loss import ResponseLoss
from tasks.model.optimizer import adamw
from tasks.model.prepared import prepared
from tasks.model.settings import Finetune
from tasks.model.setup import Setup, update

T = TypeVar("T")
WARM_UP = 2  # steps that are not counted
PAGES = "THP_MEM_ALLOC_ENABLE"  # torch's switch for pages of 2 MB; off unless tasks, or the user, sets it
T5 = transformers.T5Config(  # FLAN-T5-small's shape; no dropout, or no two losses were ever equal
    vocab_size=32128, d_model=512, d_kv=64, d_ff=1024, num_layers=8, num_heads=6, dropout_rate=0.0,
    feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False,
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What every side is given."""

    params: Finetune
    base: Path
    """Of the causal model; a T5's weights are random."""
    examples: list[Encoded]
    """In the order in which Luthier draws them, `batch_size` a step."""

    @property
    def batches(self) -> list[list[Encoded]]:
        """The examples of each step."""
        size = self.params.optimizer.batch_size
        return [self.examples[at : at + size] for at in range(0, len(self.examples), size)]


@dataclass
class Run:
    """One side's training."""

    losses: list[float] = field(default_factory=list)
    """Mean over the response tokens of each step (nats)."""
    ends: list[float] = field(default_factory=list)
    """When each step ended (s)."""
    busy: list[float] = field(default_factory=list)
    """Processor time until then, of all threads (s): what a busy machine disturbs least."""
    tokens: list[int] = field(default_factory=list)
    """Real ones of each step; an encoder's and a decoder's."""
    cells: list[int] = field(default_factory=list)
    """Likewise, with padding."""
    peak_gb: float = 0.0

    def end(self) -> None:
        """Note that a step ended."""
        self.ends.append(time.perf_counter())
        self.busy.append(time.process_time())

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a real token."""
        return 1e3 * (self.busy[-1] - self.busy[WARM_UP - 1]) / sum(self.tokens[WARM_UP : len(self.ends)])

    @property
    def rate(self) -> float:
        """Real tokens a second."""
        return sum(self.tokens[WARM_UP : len(self.ends)]) / (self.ends[-1] - self.ends[WARM_UP - 1])

    @property
    def padding(self) -> float:
        """Share of what is computed."""
        return 1 - sum(self.tokens) / sum(self.cells)


@contextmanager
def plainly(memory: bool) -> Iterator[None]:
    """Let processes that are started here have torch's own memory settings, or Luthier's."""
    before = os.environ.get(PAGES)
    os.environ[PAGES] = "1" if memory else "0"
    try:
        yield
    finally:
        del os.environ[PAGES]
        if before is not None:
            os.environ[PAGES] = before


def measured(side: Callable[..., T], *arguments: Any, memory: bool = True) -> T:
    """Run a side in a process of its own."""
    with plainly(memory):
        return in_own_process(_elsewhere, side, *arguments)


def _elsewhere(side: Callable[..., T], *arguments: Any) -> T:
    if os.environ[PAGES] == "1":
        keep_memory()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:  # token ids, trainers' output
        os.chdir(folder)
        run = side(*arguments)
        os.chdir("/")
    if isinstance(run, Run):
        run.peak_gb = peak_gb()
    return run


def train(setup: Setup, batches: Sequence[Sequence[Encoded]]) -> Run:
    """What `fit` does in each step, at a constant learning rate."""
    run, optimizer = Run(), adamw(setup.model, setup.optimizer)
    for step, examples in enumerate(batches, start=1):
        loss, _ = update(setup, optimizer, examples, step, setup.optimizer.learning_rate)
        run.end()
        run.losses.append(loss)
        run.tokens.append(sum(map(len, examples)))
        run.cells.append(setup.cells(examples))
    return run


def by_luthier(work: Work, data: Path, compile: Switch = "never") -> Run:
    """The causal model, as `finetune` prepares and trains it."""
    use_threads(work.params.threads)
    params = work.params.model_copy(update={"compile": compile})
    ready = prepared(params, data, work.base, World(0, 1, torch.device("cpu")))
    return train(ready.setup, work.batches)


def by_luthier_t5(work: Work) -> Run:
    """All weights of the T5."""
    use_threads(work.params.threads)
    alone = World(0, 1, torch.device("cpu"))
    model = random_t5(work.params.seed)
    optimizer = work.params.optimizer.model_copy(update={"stop_grad_norm": math.inf})
    setup = Setup(ResponseLoss(model), "seq2seq", False, 0, work.params.seed, "fp32", alone, optimizer)
    return train(setup, work.batches)


def random_t5(seed: int) -> transformers.PreTrainedModel:
    """The T5, in training mode, with logits as large as a trained one's.

    T5's own start has them 20 times as large: most probabilities are denormal numbers then, and a CPU takes 30 times
    as long for products with those as for others.
    """
    torch.manual_seed(seed)
    model = transformers.T5ForConditionalGeneration(T5).train()
    with torch.no_grad():
        model.lm_head.weight.mul_(T5.d_model**-0.5)
    return model
