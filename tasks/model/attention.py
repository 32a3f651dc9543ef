"""Attention over packed examples: each sees itself alone, by construction.

transformers tells packed examples apart only by their position ids, only without a mask and only without a cache; where
one of these is missed, examples see each other and nothing says so. Here the lengths are given and every example is
attended to on its own: by scaled_dot_product_attention, or by torch's flash kernel for variable lengths on a GPU.
What surrounds it may be compiled; it is not, or each number of examples would be compiled anew.
Whether a model may be packed is not a matter of belief: `pack` compares what it says.
Truth: transformers 5.23, `AttentionInterface`; torch 2.13, `torch.nn.attention.varlen`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn

from tasks.model.batches import collate
from tasks.model.encode import Encoded
from tasks.model.load import Model, architecture
from tasks.model.loss import response_logits

NAME = "luthier_packed"
# Of the logits' spread: rounding moves a logit by 1e-6 to 1e-5 of it, a neighbour that is seen by 0.01 and more.
TOLERANCE = 1e-3


@torch.compiler.disable  # type: ignore[untyped-decorator]
def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    cu_seq_lens: torch.Tensor,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each example.

    Args:
        module: the attention layer that calls.
        query: (1, heads, tokens, width of a head).
        key: (1, key heads, tokens, width); heads is a multiple of key heads.
        value: like key.
        attention_mask: None; packed rows have no padding.
        dropout: of attention weights, in training.
        scaling: of the scores; 1 / sqrt(width) unless said.
        cu_seq_lens: where each example begins, and where the last one ends: (examples + 1), int32, on the CPU.

    Returns:
        (1, tokens, heads, width), and no weights.
    """
    query, key, value = as_autocast(query, key, value)
    lengths = cu_seq_lens.diff().tolist()
    if sum(lengths) != query.shape[2]:
        raise ValueError(f"packed examples of {lengths} tokens, and {query.shape[2]} tokens to attend to")
    grouped = query.shape[1] != key.shape[1]
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not dropout:
        return _by_flash(query, key, value, scaling, cu_seq_lens, grouped), None
    own = zip(*(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True)
    answers = [
        functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, dropout_p=dropout, scale=scaling, enable_gqa=grouped
        )
        for q, k, v in own
    ]
    return torch.cat(answers, dim=2).transpose(1, 2), None


def as_autocast(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """In autocast's type where it is on: rotated queries and keys come in fp32, and no flash kernel takes that."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return tensors
    return tuple(tensor.to(torch.get_autocast_dtype(kind)) for tensor in tensors)


def _by_flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None,
    cu_seq_lens: torch.Tensor, grouped: bool,
) -> torch.Tensor:  # fmt: skip
    starts, longest = cu_seq_lens.to(query.device, non_blocking=True), int(cu_seq_lens.diff().max())
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))  # each (tokens, heads, width)
    answer = varlen_attn(
        q, k, v, starts, starts, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped
    )
    assert isinstance(answer, torch.Tensor)  # noqa: S101  # a tuple only where asked for more
    return answer[None]


transformers.AttentionInterface.register(NAME, packed_attention)


def pack(model: Model, examples: Sequence[Encoded], pad: int) -> bool:
    """Prepare a model for packed batches, if it says the same over them as over each example alone.

    Args:
        model: on its device, fp32 weights, in evaluation mode.
        examples: two or three, of different lengths.
        pad: the pad id.

    Returns:
        Whether it is prepared. If not, the model is as it was, and trains padded.
    """
    if architecture(model) == "seq2seq" or not model._supports_attention_backend or reaches_less(model.config):
        return False
    before, device = model.config._attn_implementation, next(model.parameters()).device
    with torch.inference_mode(), warnings.catch_warnings():
        alone = torch.cat([response_logits(model, collate([one], pad, "causal").to(device))[0] for one in examples])
        model.set_attn_implementation(NAME)
        together, _ = response_logits(model, collate(examples, pad, "causal", packed=True).to(device))
    if float((together - alone).abs().max()) <= TOLERANCE * float(alone.std()):
        return True
    model.set_attn_implementation(before)
    return False


def reaches_less(config: Any) -> bool:
    """Whether some layer sees less than all that came before, or bends its scores: what is not done here."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    return kinds != {"full_attention"} or bool(
        getattr(config, "sliding_window", None) or getattr(config, "attn_logit_softcapping", None)
    )
