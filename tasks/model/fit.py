"""The training loop: response tokens carry the loss, and logits are computed only where there is loss.

The loss of a step is the mean over its response tokens; the vocabulary projection, a fifth of a small model's work,
is done for those tokens alone. Checked against transformers' own loss in tests/test_fit.py.
"""

import math
import resource
import time
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch.nn import functional

from tasks.errors import TrainingError
from tasks.model.batches import IGNORED, Batch, collate, epoch
from tasks.model.encode import Encoded
from tasks.model.load import Model, architecture
from tasks.params import Section
from tasks.progress import Progress

Log = Callable[[dict[str, float], int], None]


class Optimizer(Section):
    """How weights are changed: AdamW, linear warm-up, then linear decay to zero."""

    epochs: int
    """Times that each example is seen."""
    batch_size: int
    """Examples a step."""
    learning_rate: float
    """At the end of the warm-up."""
    warmup: float
    """Share of the steps, 0 to 1."""
    weight_decay: float
    max_grad_norm: float
    """Gradients are scaled down to this norm."""
    log_every: int
    """Steps between two logged lines."""


def response_loss(model: Model, batch: Batch) -> torch.Tensor:
    """Summed cross entropy of the batch's response tokens, a scalar (nats)."""
    inner = model.get_base_model() if hasattr(model, "peft_config") else model
    if architecture(inner) == "seq2seq":
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).logits
        return functional.cross_entropy(
            logits.flatten(0, 1).float(), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
        )
    hidden = inner.get_decoder()(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
    ).last_hidden_state  # (batch, tokens, width)
    targets = batch.labels[:, 1:]
    keep = targets != IGNORED
    logits = inner.get_output_embeddings()(hidden[:, :-1][keep])  # (response tokens, vocabulary)
    return functional.cross_entropy(logits.float(), targets[keep], reduction="sum")


def mean_loss(
    model: Model, examples: Sequence[Encoded], size: int, pad: int, kind: Literal["causal", "seq2seq"]
) -> float:
    """Mean loss per response token over `examples`, without training."""
    model.eval()
    device = next(model.parameters()).device
    total, tokens = 0.0, 0
    with torch.inference_mode():
        ordered = sorted(examples, key=lambda example: len(example.prompt))
        for start in range(0, len(ordered), size):
            batch = collate(ordered[start : start + size], pad, kind).to(device)
            total += float(response_loss(model, batch))
            tokens += int((batch.labels != IGNORED).sum())
    model.train()
    return total / tokens


def _schedule(optimizer: torch.optim.Optimizer, steps: int, warmup: float) -> torch.optim.lr_scheduler.LambdaLR:
    rising = max(1, round(steps * warmup))
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))
    )


def _refuse_nan(value: float, name: str, step: int) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} is {value} at step {step}: the weights would be worthless. Lower "
            "finetune.optimizer.learning_rate, or look at the examples of this batch."
        )


def fit(
    model: Model, train: Sequence[Encoded], dev: Sequence[Encoded], params: Optimizer, seed: int, pad: int, log: Log
) -> dict[str, float]:
    """Train `model` in place.

    Args:
        model: on its device; parameters that require a gradient are trained.
        train: examples to learn from.
        dev: examples whose loss is measured before, after every epoch, and at the end.
        params: the optimizer's settings.
        seed: decides the order of examples.
        pad: the id that fills up a batch.
        log: is called with values (loss in nats a token) and the step.

    Returns:
        Dev loss before and after, and counts.

    Raises:
        TrainingError: a loss or gradient is not finite.
    """
    kind = architecture(model.get_base_model() if hasattr(model, "peft_config") else model)
    device = next(model.parameters()).device
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=params.learning_rate, weight_decay=params.weight_decay)
    steps = params.epochs * math.ceil(len(train) / params.batch_size)
    schedule = _schedule(optimizer, steps, params.warmup)
    before = mean_loss(model, dev, params.batch_size, pad, kind)
    log({"dev_loss": before}, 0)
    progress = Progress("finetune", steps, "steps")
    meter = _Meter()
    step = 0
    for number in range(params.epochs):
        for examples in epoch(train, params.batch_size, seed + number):
            step += 1
            batch = collate(examples, pad, kind).to(device)
            count = int((batch.labels != IGNORED).sum())
            loss = response_loss(model, batch) / count
            _refuse_nan(loss.item(), "loss", step)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = float(torch.nn.utils.clip_grad_norm_(trained, params.max_grad_norm))
            _refuse_nan(norm, "gradient norm", step)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            meter.add(loss.item(), count, batch)
            progress.update(step, meter.note())
            if step % params.log_every == 0 or step == steps:
                log({"loss": meter.loss(), "grad_norm": norm, "learning_rate": float(schedule.get_last_lr()[0])}, step)
        after = mean_loss(model, dev, params.batch_size, pad, kind)
        log({"dev_loss": after}, step)
    return {"dev_loss_before": before, "dev_loss_after": after, "steps": steps, "tokens": meter.tokens}


class _Meter:
    """Running counts for the lines that a person reads."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.tokens = self.cells = 0
        self.sum, self.count, self.mean = 0.0, 0, float("nan")

    def add(self, loss: float, count: int, batch: Batch) -> None:
        self.sum, self.count = self.sum + loss * count, self.count + count
        self.mean = self.sum / self.count
        self.tokens += batch.tokens
        self.cells += batch.input_ids.numel()

    def loss(self) -> float:
        """Mean loss since the last call."""
        self.sum, self.count = 0.0, 0
        return self.mean

    def note(self) -> str:
        rate = self.tokens / (time.monotonic() - self.started)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # ru_maxrss is in KB on Linux
        padding = 1 - self.tokens / self.cells
        return f"loss {self.mean:.3f}  {rate:.0f} tokens/s  padding {padding:.0%}  memory {memory:.1f} GB"
