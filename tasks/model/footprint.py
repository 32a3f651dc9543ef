"""What a training needs of memory, told from the model's shapes: whether activations are kept or computed again.

    why = keep_or_not("auto", model, tokens, responses, precision, device)

The formula counts what autograd keeps: for each linear layer of the repeated blocks about KEPT numbers for each of its
inputs and outputs a token. Measured with `torch.autograd.graph.saved_tensors_hooks`: 0.8 to 1.2 on T5, Falcon and
Llama; 2.5 on GPT-2, whose GELU is spelled out (tests/test_estimate.py). Experts of a mixture are not counted.
`luthier estimate` measures instead.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil
import torch

from tasks.errors import ParamsError
from tasks.model.distributed import blocks
from tasks.model.load import Model
from tasks.model.loss import inner
from tasks.model.optimizer import Optimizer, trained
from tasks.model.precision import Precision

Switch = Literal["auto", "always", "never"]  # not on and off: YAML reads them as true and false
FLOAT = 4  # bytes
COPIES = 4  # of the trained weights in a checkpoint, as in memory: they, two moments, the best ones
KEPT = 1.2  # numbers kept for a token, over the inputs and outputs of the linear layers
LOGITS = 3  # logits, their logarithms, their gradient: at once, in fp32
ROOM = 0.9  # share of memory that may be planned with
PROGRAM = 600_000_000  # bytes: Python, torch, transformers, MLflow
CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def free_bytes(device: torch.device) -> int:
    """Memory that this process may still take: of the GPU, or its share of this machine's, or of its container's."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    return ram()[0] // _sharers()


def all_bytes(device: torch.device) -> int:
    """What this process could take if it were alone: it is the same for each try of a training."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return ram()[1] // _sharers()


def ram(cgroups: Sequence[tuple[str, str]] = CGROUPS) -> tuple[int, int]:
    """Bytes of main memory, free and in all: what the machine has, or a container's limit leaves."""
    machine = psutil.virtual_memory()
    free, whole = int(machine.available), int(machine.total)
    for limit, used in cgroups:
        if Path(limit).is_file() and (most := Path(limit).read_text().strip()) != "max":
            free, whole = min(free, max(0, int(most) - int(Path(used).read_text()))), min(whole, int(most))
    return free, whole


def _sharers() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def largest_part(lengths: Sequence[int], params: Optimizer) -> int:
    """At most so many tokens are computed at once, of examples with these lengths."""
    together = sum(sorted(lengths)[-params.batch_size :])
    return max(*lengths, min(params.max_tokens_at_once, together))


def activation_bytes(model: Model, precision: Precision) -> float:
    """What autograd keeps for a token."""
    widths = sum(
        _widths(layer) for block in blocks(inner(model)) for name, layer in block.named_modules() if "lora_" not in name
    )
    return KEPT * widths * (4 if precision == "fp32" else 2)


def _widths(layer: torch.nn.Module) -> int:
    """Inputs and outputs of a linear layer; 0 of any other. Weights of 4 bits have another shape than their layer."""
    if isinstance(layer, torch.nn.Linear):
        return layer.in_features + layer.out_features
    if hasattr(layer, "base_layer"):  # peft's wrapper: what it wraps is counted
        return 0
    weight = getattr(layer, "weight", None)
    is_matrix = isinstance(weight, torch.Tensor) and weight.ndim == 2 and not isinstance(layer, torch.nn.Embedding)
    return sum(weight.shape) if is_matrix and weight is not None else 0  # GPT-2's Conv1D


def logit_bytes(model: Model) -> int:
    """What a response token takes at the output layer."""
    return 4 * LOGITS * int(inner(model).get_output_embeddings().weight.shape[0])


def update_bytes(model: torch.nn.Module) -> int:
    """Gradients, AdamW's two moments, and the best weights."""
    return sum(COPIES * FLOAT * parameter.numel() for parameter in trained(model).values())


def disk_bytes(count: int, keep: int) -> int:
    """What checkpoints and model take of the disk: weights, two moments and the best weights each; then the model.

    Args:
        count: trained parameters.
        keep: checkpoints that stay; one is being saved beside them, and one may be set aside.
    """
    size = FLOAT * count
    return (keep + 2) * COPIES * size + size


def keep_or_not(
    wanted: Switch, model: Model, tokens: int, responses: int, precision: Precision, device: torch.device
) -> str:
    """Let activations be kept, or computed again in the backward pass; return which of them and why, in a few words.

    auto goes by the memory that there is, not by what others leave of it now: computing again changes the last bits of
    a seq2seq model's gradients, and a training that was killed has to go on as it began.

    Args:
        wanted: finetune.gradient_checkpointing.
        model: prepared, on its device.
        tokens: of the largest part of a step.
        responses: those of them that carry loss, at most.
        precision: of the training.
        device: whose memory it is.

    Raises:
        ParamsError: it is asked for, and the architecture cannot do it.
    """
    if wanted == "never":
        return "activations kept: asked for"
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    step = activation_bytes(model, precision) * tokens + logit_bytes(model) * responses + update_bytes(model)
    need, there = PROGRAM + weights + step, all_bytes(device)
    figures = f"about {need / 1e9:.1f} GB of {there / 1e9:.1f}"
    if wanted == "auto" and need <= ROOM * there:
        return f"activations kept: {figures}"
    if not inner(model).supports_gradient_checkpointing:
        if wanted == "always":
            raise ParamsError(
                "finetune.gradient_checkpointing = always, but the base model's architecture "
                f"({inner(model).config.model_type}) cannot compute activations again: set auto or never."
            )
        return f"activations kept, which may not fit: {figures}"
    inner(model).activation_checkpointing_enable({"use_reentrant": False})
    return f"activations computed again: {'asked for' if wanted == 'always' else figures}"
