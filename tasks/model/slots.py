"""Keys and values of many sequences in slots that are allocated once, and the attention that reads and writes them.

transformers grows its cache by a copy of all of it at each token, and lets every sequence of a batch be as long as the
longest one. Here each sequence has a slot. One forward pass is one row without padding: first one token of every
sequence that is being written, then the tokens of new prompts; a beginning that some slot holds already is copied.
Whether a model may be run so is not a matter of belief: `tasks.model.greedy.suits` compares what it says.
Truth: transformers 5.23, `AttentionInterface`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from torch.nn import functional

NAME = "luthier_slots"
# What some models' attention asks for beyond scale and dropout, and what is not done here.
ASKED_MORE = ("sliding_window", "softcap", "position_bias", "s_aux")


class Slots:
    """The keys and values of each layer, (slots, key heads, tokens, width of a head)."""

    def __init__(self, count: int, reach: int) -> None:
        """Room for `count` sequences of up to `reach` tokens; memory is taken when a layer first writes."""
        self.count, self.reach = count, reach
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def layer(self, number: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a layer, as many heads and as wide as `key` and `value`, (1, key heads, tokens, width)."""
        if number not in self._layers:  # zeros: what is masked is multiplied by 0, and may not be a NaN
            shapes = [(self.count, each.shape[1], self.reach, each.shape[3]) for each in (key, value)]
            self._layers[number] = (key.new_zeros(shapes[0]), value.new_zeros(shapes[1]))
        return self._layers[number]

    def copy(self, source: int, target: int, tokens: int) -> None:
        """Let a slot begin with the first tokens of another."""
        if source != target:
            for pair in self._layers.values():
                for held in pair:
                    held[target, :, :tokens] = held[source, :, :tokens]


@dataclass(frozen=True)
class Span:
    """Tokens of a new prompt that one pass computes."""

    slot: int
    start: int
    """Position of the first one; those before it lie in the slot."""
    stop: int
    """Position after the last one."""


@dataclass(frozen=True)
class Turn:
    """One forward pass: a token of each of the first slots, then the spans. Build it with `turn`."""

    slots: Slots
    spans: tuple[Span, ...]
    masks: tuple[torch.Tensor | None, ...]
    """Of each span, (its tokens, all tokens until its stop): 0 or -inf; None where it starts at 0."""
    going: torch.Tensor
    """Positions of the single tokens, (sequences)."""
    rows: torch.Tensor
    """0, 1, ... (sequences)."""
    longest: int
    """Tokens of the longest of these sequences, with the new one."""
    seen: torch.Tensor
    """(sequences, 1, 1, longest): 0 or -inf."""
    positions: torch.Tensor
    """Of all tokens of the pass, (1, tokens)."""
    last: torch.Tensor
    """Where in the pass each sequence's newest token stands, (sequences and spans)."""


def turn(slots: Slots, going: Sequence[int], spans: Sequence[Span], like: torch.Tensor) -> Turn:
    """Describe a pass.

    Args:
        slots: where the sequences lie.
        going: position of the token that slot 0, 1, ... gets; all before it lie in the slot.
        spans: of new prompts, in other slots.
        like: a tensor with the model's type and device.
    """
    device, longest = like.device, max(going, default=-1) + 1
    at = torch.tensor(list(going), device=device, dtype=torch.long)
    steps = [torch.arange(span.start, span.stop, device=device) for span in spans]
    every = torch.arange(max([longest, *(span.stop for span in spans)]), device=device)
    masks = [
        _mask(every[: span.stop], own, like) if span.start else None for span, own in zip(spans, steps, strict=True)
    ]
    last = torch.tensor([1] * len(going) + list(map(len, steps)), device=device).cumsum(0) - 1
    return Turn(
        slots=slots, spans=tuple(spans), masks=tuple(masks), going=at, rows=torch.arange(len(going), device=device),
        longest=longest, seen=_mask(every[:longest], at, like)[:, None, None], positions=torch.cat([at, *steps])[None],
        last=last,
    )  # fmt: skip


def _mask(every: torch.Tensor, positions: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(positions, every): 0 up to each position, -inf behind it."""
    return like.new_zeros(()).masked_fill(every[None] > positions[:, None], float("-inf"))


def slot_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    turn: Turn,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention of every token to its own sequence.

    Args:
        module: the attention layer that calls.
        query: (1, heads, tokens, width of a head).
        key: (1, key heads, tokens, width); heads is a multiple of key heads.
        value: like key.
        attention_mask: None; there is no padding.
        dropout: 0.
        scaling: of the scores; 1 / sqrt(width) unless said.
        turn: what the tokens are.
        more: what else transformers passes on.

    Returns:
        (1, tokens, heads, width), and no weights.

    Raises:
        ValueError: the layer asks for what is not done here.
    """
    if asked := [name for name in ASKED_MORE if more.get(name) is not None]:
        raise ValueError(f"attention over slots knows no {', '.join(asked)}")
    keys, values = turn.slots.layer(int(module.layer_idx), key, value)  # type: ignore[arg-type]
    answers, begin = [], len(turn.rows)
    if begin:
        answers.append(_one_each(query, key, value, scaling, turn, (keys, values)))
    for span, mask in zip(turn.spans, turn.masks, strict=True):
        end = begin + span.stop - span.start
        keys[span.slot, :, span.start : span.stop] = key[0, :, begin:end]
        values[span.slot, :, span.start : span.stop] = value[0, :, begin:end]
        own_keys, own_values = (held[span.slot : span.slot + 1, :, : span.stop] for held in (keys, values))
        answer = functional.scaled_dot_product_attention(
            query[:, :, begin:end], own_keys, own_values, attn_mask=mask, is_causal=mask is None, scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )  # fmt: skip
        answers.append(answer[0].transpose(0, 1))
        begin = end
    return torch.cat(answers)[None], None


def _one_each(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None,
    turn: Turn, held: tuple[torch.Tensor, torch.Tensor],
) -> torch.Tensor:  # fmt: skip
    """The single tokens' part, (sequences, heads, width)."""
    count, (keys, values) = len(turn.rows), held
    keys[turn.rows, :, turn.going] = key[0, :, :count].transpose(0, 1)
    values[turn.rows, :, turn.going] = value[0, :, :count].transpose(0, 1)
    # The heads that share a key head stand where tokens do: keys and values are read once and not repeated.
    shared = query[0, :, :count].transpose(0, 1).reshape(count, key.shape[1], -1, query.shape[3])
    answer = functional.scaled_dot_product_attention(
        shared, keys[:count, :, : turn.longest], values[:count, :, : turn.longest], attn_mask=turn.seen, scale=scaling
    )
    return answer.reshape(count, query.shape[1], -1)


transformers.AttentionInterface.register(NAME, slot_attention)
