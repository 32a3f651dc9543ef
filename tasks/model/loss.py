"""The loss on response tokens, with logits computed there alone.

The vocabulary projection is a fifth of a small model's work and most of its memory, and nine tokens in ten carry no
loss. What the output layer is given is cut down to the positions that do, for causal and seq2seq models alike; what a
model does to its logits afterwards (scaling, capping) stays in place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from tasks.model.batches import IGNORED, Batch
from tasks.model.load import Model, architecture


class ResponseLoss(torch.nn.Module):
    """`response_loss` as a module, for what wraps modules (DDP, FSDP)."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> torch.Tensor:
        """Summed cross entropy of a batch's response tokens, a scalar (nats)."""
        return response_loss(self.model, batch)


def inner(model: Model) -> Model:
    """The transformers model: the one inside an adapter, or itself."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def response_loss(model: Model, batch: Batch) -> torch.Tensor:
    """Summed cross entropy of the batch's response tokens, a scalar (nats)."""
    logits, targets = response_logits(model, batch)
    return functional.cross_entropy(logits.float(), targets, reduction="sum")


def response_logits(model: Model, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits where the batch's response tokens are predicted, (response tokens, vocabulary), and those tokens."""
    inputs: dict[str, Any] = {"input_ids": batch.input_ids}
    if architecture(inner(model)) == "seq2seq":
        targets = batch.labels
        written = inner(model).prepare_decoder_input_ids_from_labels(targets)
        inputs = _embedded(inner(model), batch.input_ids, written) or inputs | {"decoder_input_ids": written}
    else:  # position t predicts token t + 1; the last predicts nothing
        targets = functional.pad(batch.labels[:, 1:], (0, 1), value=IGNORED)
    keep = targets != IGNORED
    if batch.position_ids is not None:
        inputs |= {"position_ids": batch.position_ids, "cu_seq_lens": batch.cu_seq_lens}
    with _only_at(keep, inner(model).get_output_embeddings()):
        logits = model(attention_mask=batch.attention_mask, use_cache=False, **inputs).logits
    return logits, targets[keep]


def _embedded(model: Model, read: torch.Tensor, written: torch.Tensor) -> dict[str, torch.Tensor]:
    """Embeddings of what encoder and decoder read, looked up at once; nothing where that is not the same.

    A table that both use and that is trained gets one gradient of its own size then, not two and their sum: a tenth of
    a small T5's step.
    """
    tables = [stack.embed_tokens for stack in (model.get_encoder(), model.get_decoder())]
    if any(type(table) is not torch.nn.Embedding for table in tables) or tables[0].weight is not tables[1].weight:
        return {}
    both: torch.Tensor = tables[0](torch.cat([read.flatten(), written.flatten()]))
    first, second = both[: read.numel()], both[read.numel() :]
    return {"inputs_embeds": first.view(*read.shape, -1), "decoder_inputs_embeds": second.view(*written.shape, -1)}


@contextmanager
def _only_at(keep: torch.Tensor, output_layer: torch.nn.Module) -> Iterator[None]:
    """Let an output layer see the hidden states at `keep` only: (rows, tokens, width) -> (kept, width)."""
    hook = output_layer.register_forward_pre_hook(lambda _, given: (given[0][keep],))
    try:
        yield
    finally:
        hook.remove()
