"""What is trained and how: its steps, a loss over parts and processes, one update of the weights."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tasks.model.batches import Kind, cells, collate, order
from tasks.model.distributed import World, unsynced
from tasks.model.encode import Encoded
from tasks.model.optimizer import Optimizer, refuse_unsound, refuse_unsound_weights, trained
from tasks.model.precision import Precision


@dataclass(frozen=True)
class Setup:
    """What is trained, and how."""

    model: torch.nn.Module
    """`ResponseLoss`, wrapped for several processes where there are."""
    kind: Kind
    packed: bool
    pad: int
    seed: int
    precision: Precision
    world: World
    optimizer: Optimizer

    def rounds(self, examples: Sequence[Encoded]) -> list[tuple[list[Encoded], float]]:
        """This process's parts of a batch, each with its weight."""
        return self.world.rounds(examples, self.optimizer.max_tokens_at_once, self.kind, self.packed)

    def cells(self, examples: Sequence[Encoded]) -> int:
        """Tokens that this process computes for a batch, padding included."""
        return sum(cells(part, self.kind, self.packed) for part, _ in self.rounds(examples))

    def losses(self, examples: Sequence[Encoded], scale: float) -> Iterator[torch.Tensor]:
        """Summed response losses of this process's parts of a batch, times `scale`, each to be used before the next."""
        rounds = self.rounds(examples)
        for number, (part, weight) in enumerate(rounds, start=1):
            batch = collate(part, self.pad, self.kind, self.packed).to(self.world.device)
            with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                if number < len(rounds) and torch.is_grad_enabled():
                    with unsynced(self.model):
                        yield self.model(batch) * (weight * scale)
                else:
                    yield self.model(batch) * (weight * scale)


def steps_of(params: Optimizer, count: int) -> int:
    """How many steps `count` examples make."""
    return params.epochs * math.ceil(count / params.batch_size)


def batches(setup: Setup, lengths: Sequence[int], after: int) -> Iterator[tuple[int, list[int]]]:
    """Each step behind `after`, with the indices of its examples."""
    step = 0
    for number in range(setup.optimizer.epochs):
        for chosen in order(lengths, setup.optimizer.batch_size, setup.seed + number, grouped=not setup.packed):
            step += 1
            if step > after:
                yield step, chosen


def mean_loss(setup: Setup, examples: Sequence[Encoded]) -> float:
    """Mean loss per response token over `examples`, without training (nats)."""
    setup.model.eval()
    size, total = setup.optimizer.batch_size, 0.0
    ordered = sorted(examples, key=len)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # compiled for training alone: half the compiling
        for start in range(0, len(ordered), size):
            total += sum(float(loss) for loss in setup.losses(ordered[start : start + size], 1.0))
    setup.model.train()
    return setup.world.sum(total)[0] / sum(len(example.response) for example in ordered)


def update(
    setup: Setup, optimizer: torch.optim.Optimizer, examples: Sequence[Encoded], step: int, learning_rate: float
) -> tuple[float, float]:
    """One step; return its mean loss (nats a token) and the gradients' norm before they are scaled down.

    Raises:
        TrainingError: loss, gradients or weights are not sound.
    """
    world, count = setup.world, sum(len(example.response) for example in examples)
    torch.manual_seed((setup.seed * 1_000_003 + step) * 1_009 + world.rank)  # dropout needs no state to be kept
    total = 0.0
    for loss in setup.losses(examples, world.size / count):  # what DDP and FSDP average is a sum then
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item() / world.size
    (total,) = world.sum(total)
    parameters = list(trained(setup.model).values())
    norm = torch.nn.utils.clip_grad_norm_(parameters, setup.optimizer.max_grad_norm)
    norm_value = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
    refuse_unsound(step, total, norm_value, setup.optimizer.stop_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    refuse_unsound_weights(setup.model, step)
    return total, norm_value
