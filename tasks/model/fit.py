"""The training loop: from any step on, to the same weights.

    done = fit(setup, train, dev, care, checkpoints, stop, log, cost)

What a step does depends on its number and on the checkpoint alone: the order of examples on seed and epoch, dropout on
seed, step and process, the learning rate on the step. Golden losses: tests/test_fit.py.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch

from tasks.data.files import Row
from tasks.model.encode import Encoded
from tasks.model.encoded import lengths_of
from tasks.model.meter import Meter
from tasks.model.optimizer import adamw, moments_of, put_moments, put_weights, rate, weights_of
from tasks.model.setup import Setup, batches, mean_loss, steps_of, update
from tasks.params import Section

Log = Callable[[dict[str, float], int], None]
BEGIN_AGAIN = "with a disk each, remove .luthier/training on all and begin again, or share one checkout"


class Care(Section):
    """What is done beside learning: dev losses, early stopping, checkpoints."""

    look_every: int
    """Steps between two dev losses; the last step has one too. The weights with the lowest are those that are kept."""
    patience: int | None
    """Dev losses in a row without a better one that end the training; null: never."""
    save_every: int
    """Steps between two checkpoints, to go on from after a kill."""
    keep: int
    """Checkpoints on disk; 2 or more, so that one may be damaged."""


class Stop(Protocol):
    """What asks a training to end before its last step."""

    def asked(self, next_s: float) -> bool:
        """Whether somebody asks; where `next_s`, until the next call, is too long, an asking ends it at once."""

    def leave(self) -> None:
        """End, by raising what the asking means."""


class Keeper(Protocol):
    """Where checkpoints are kept: `tasks.model.checkpoints`."""

    def save(self, step: int, tensors: Any, state: Any, log: Any) -> None:
        """Keep one."""

    def newest(self) -> Any:
        """The newest that is whole, or None."""


@dataclass
class State:
    """How far a training has come: beside weights and moments, all that the next step depends on."""

    step: int = 0
    tokens: int = 0
    """Real tokens trained on."""
    loss_sum: float = 0.0
    """Since the last logged line, nats."""
    loss_count: int = 0
    """Tokens that it is the sum of."""
    dev_before: float | None = None
    dev_best: float | None = None
    best_step: int = 0
    unimproved: int = 0
    """Dev losses since the best one."""

    def judge(self, dev_loss: float) -> bool:
        """Take a dev loss in; return whether it is the best so far."""
        better = self.dev_best is None or dev_loss < self.dev_best
        if better:
            self.dev_best, self.best_step = dev_loss, self.step
        self.unimproved = 0 if better else self.unimproved + 1
        return better


class Training:
    """A training on its way: weights, moments, state, log.

    Args:
        setup: what is trained, and how.
        keeper: where its checkpoints are; it goes on from the newest.
        log: is called with values that depend on nothing but the training (loss in nats a token), and the step;
            with those of the steps before the checkpoint too.
        total: steps in all.
    """

    def __init__(self, setup: Setup, keeper: Keeper, log: Log, total: int) -> None:
        self.setup, self.keeper, self.log_outside, self.total = setup, keeper, log, total
        self.optimizer = adamw(setup.model, setup.optimizer)
        self.state, self.rows = State(), list[Row]()
        self.best: dict[str, torch.Tensor] = {}
        if found := setup.world.in_turn(keeper.newest):  # the first may set damaged ones aside
            self.state, self.best = State(**found.state), found.tensors["best"]
            put_weights(setup.model, found.tensors["weights"])
            put_moments(setup.model, self.optimizer, found.tensors["optimizer"])
            for row in found.log:
                self.log({key: value for key, value in row.items() if key != "step"}, row["step"])
        setup.world.require_same(self.state.step, "checkpoint", BEGIN_AGAIN)
        self.saved = self.state.step

    def log(self, values: dict[str, float], step: int) -> None:
        """Note values of a step, here and outside."""
        self.rows.append({"step": step, **values})
        self.log_outside(values, step)

    def save(self) -> None:
        """Keep a checkpoint of this step, unless there is one."""
        if self.saved == self.state.step:
            return
        tensors = {
            "weights": weights_of(self.setup.model),
            "optimizer": moments_of(self.setup.model, self.optimizer),
            "best": self.best,
        }
        if self.setup.world.first:
            self.keeper.save(self.state.step, tensors, asdict(self.state), self.rows)
        self.saved = self.state.step

    def learn(self, examples: Sequence[Encoded]) -> float:
        """One step; return the mean loss since the last logged line."""
        state, params = self.state, self.setup.optimizer
        learning_rate = rate(params, state.step + 1, self.total)
        loss, norm = update(self.setup, self.optimizer, examples, state.step + 1, learning_rate)
        count = sum(len(example.response) for example in examples)
        state.step += 1
        state.tokens += sum(map(len, examples))
        state.loss_sum, state.loss_count = state.loss_sum + loss * count, state.loss_count + count
        mean = state.loss_sum / state.loss_count
        if state.step % params.log_every == 0 or state.step == self.total:
            state.loss_sum, state.loss_count = 0.0, 0
            self.log({"loss": mean, "grad_norm": norm, "learning_rate": learning_rate}, state.step)
        return mean

    def look(self, dev: Sequence[Encoded]) -> None:
        """Take the dev loss, and hold the weights where it is the best so far."""
        dev_loss = mean_loss(self.setup, dev)
        self.log({"dev_loss": dev_loss}, self.state.step)
        if self.state.judge(dev_loss):
            self.best = weights_of(self.setup.model)

    def over(self, patience: int | None) -> bool:
        """Whether there is nothing more to do."""
        return self.state.step >= self.total or (patience is not None and self.state.unimproved >= patience)


def fit(
    setup: Setup, train: Sequence[Encoded], dev: Sequence[Encoded], care: Care, keeper: Keeper, stop: Stop,
    log: Log, cost: Log,
) -> dict[str, Any]:  # fmt: skip
    """Train, from the newest checkpoint on; afterwards the model has the weights with the lowest dev loss.

    Args:
        setup: what is trained, and how.
        train: examples to learn from.
        dev: examples whose loss is measured before, on the way and at the end.
        care: how often to look at them, and to keep a checkpoint.
        keeper: the checkpoints.
        stop: is asked after every step.
        log: as for `Training`.
        cost: is called with what depends on the machine too: tokens/s, share of padding, memory in GB.

    Returns:
        Dev loss before and of the weights that are kept, their step, and counts.

    Raises:
        TrainingError: a loss, gradient or weight is not sound.
    """
    lengths = lengths_of(train)
    training = Training(setup, keeper, log, steps_of(setup.optimizer, len(lengths)))
    state, total = training.state, training.total
    if state.dev_before is None:
        state.dev_before = mean_loss(setup, dev)
        training.log({"dev_loss": state.dev_before}, 0)
    meter = Meter(setup.world.first, state.step, total)
    for _, chosen in batches(setup, lengths, after=state.step):
        if training.over(care.patience):
            break
        examples = [train[index] for index in chosen]
        meter.add(setup, examples, training.learn(examples))
        if state.step % setup.optimizer.log_every == 0:
            cost(meter.values(), state.step)
        if state.step % care.look_every == 0 or state.step == total:
            if setup.world.any(stop.asked(math.inf)):  # looking takes long, and before it no checkpoint may be kept
                stop.leave()
            training.look(dev)
        asked = setup.world.any(stop.asked(meter.seconds_a_step))
        if asked or state.step % care.save_every == 0 or training.over(care.patience):
            training.save()
        if asked:
            stop.leave()
    if state.best_step != state.step:
        put_weights(setup.model, training.best)
    return {
        "dev_loss_before": state.dev_before, "dev_loss_after": state.dev_best, "best_step": state.best_step,
        "steps": state.step, "tokens": state.tokens,
    }  # fmt: skip
