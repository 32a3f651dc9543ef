"""How weights are changed: AdamW, a warm-up, a schedule; all of it depends on the step alone, to be resumed."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from tasks.errors import TrainingError
from tasks.params import Section


class Optimizer(Section):
    """AdamW (arXiv 1711.05101)."""

    epochs: int
    """Times that each example is seen."""
    batch_size: int
    """Examples a step, over all devices."""
    max_tokens_at_once: int
    """Tokens of one forward pass on one device; a batch with more is computed in parts (gradient accumulation)."""
    learning_rate: float
    """At the end of the warm-up."""
    schedule: Literal["linear", "cosine", "constant"]
    """After the warm-up: down to 0 in a line or a half cosine, or not at all."""
    warmup: float
    """Share of the steps, 0 to 1, in which the rate rises from 0."""
    weight_decay: float
    max_grad_norm: float
    """Gradients are scaled down to this norm."""
    stop_grad_norm: float
    """A gradient with a greater norm than this, before it is scaled, stops the training."""
    log_every: int
    """Steps between two logged lines."""


def rate(params: Optimizer, step: int, steps: int) -> float:
    """The learning rate of a step, counted from 1, of `steps`."""
    rising = max(1, round(steps * params.warmup))
    if step <= rising:
        return params.learning_rate * step / rising
    left = max(0.0, (steps - step + 1) / max(1, steps - rising))  # 1 right after the warm-up
    shapes = {"linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2, "constant": 1.0}
    return params.learning_rate * shapes[params.schedule]


def trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by names that do not tell how many processes train them."""
    whole = model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model
    return {name: parameter for name, parameter in whole.named_parameters() if parameter.requires_grad}


def adamw(model: torch.nn.Module, params: Optimizer) -> torch.optim.AdamW:
    """The optimizer of a model's trained parameters."""
    return torch.optim.AdamW(
        list(trained(model).values()), lr=params.learning_rate, weight_decay=params.weight_decay, fused=True
    )


def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Trained weights, whole and on the CPU. With FSDP every process has to call it."""
    return {name: _whole(parameter) for name, parameter in trained(model).items()}


def put_weights(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Set trained weights, whatever the number of processes that they were saved by."""
    with torch.no_grad():
        for name, parameter in trained(model).items():
            parameter.copy_(_like(parameter, weights[name]))


def moments_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by parameter and kind, whole and on the CPU: {`exp_avg/name`: tensor}."""
    found = {}
    for name, parameter in trained(model).items():
        for kind, value in optimizer.state[parameter].items():
            found[f"{kind}/{name}"] = _whole(value)
    return found


def put_moments(model: torch.nn.Module, optimizer: torch.optim.Optimizer, moments: Mapping[str, torch.Tensor]) -> None:
    """Set the optimizer's state, so that the next step is the one that would have followed."""
    named = trained(model)
    for key, value in moments.items():
        kind, _, name = key.partition("/")
        parameter = named[name]
        kept = value.clone().to(parameter.device) if kind == "step" else _like(parameter, value)
        optimizer.state[parameter][kind] = kept


def refuse_unsound(step: int, loss: float, norm: float, limit: float) -> None:
    """Stop before a step would spoil the weights.

    Raises:
        TrainingError: the loss or the gradient's norm is not finite, or the norm is over the limit.
    """
    for name, value in (("loss", loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise TrainingError(
                f"the {name} is {value} at step {step}: the weights would be worthless. Lower "
                "finetune.optimizer.learning_rate, or look at the examples of this batch."
            )
    if norm > limit:
        raise TrainingError(
            f"the gradient norm is {norm:.1f} at step {step}, over finetune.optimizer.stop_grad_norm = {limit:g}: the "
            "training is running away. Lower finetune.optimizer.learning_rate, or raise the limit if such norms are "
            "usual for this model."
        )


def refuse_unsound_weights(model: torch.nn.Module, step: int) -> None:
    """Stop when an update made a weight that is no finite number.

    Raises:
        TrainingError: naming the first such weight.
    """
    named = trained(model)
    norms = [
        norm.full_tensor() if isinstance(norm, DTensor) else norm for norm in torch._foreach_norm(list(named.values()))
    ]
    sound = torch.stack(norms).isfinite().tolist()  # at once: each look at a GPU waits for it
    if not all(sound):
        raise TrainingError(
            f"the weights '{list(named)[sound.index(False)]}' are not finite after step {step}. Lower "
            "finetune.optimizer.learning_rate; the last checkpoint is from before."
        )


def _whole(value: torch.Tensor) -> torch.Tensor:
    whole = value.full_tensor() if isinstance(value, DTensor) else value
    return whole.detach().to("cpu", copy=True)


def _like(parameter: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    if isinstance(parameter, DTensor):
        return distribute_tensor(whole.to(parameter.device), parameter.device_mesh, parameter.placements)
    return whole.to(parameter.device, copy=True)
