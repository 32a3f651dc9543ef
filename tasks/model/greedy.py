"""Greedy decoding in slots: who has ended makes room at once, and the next prompt is read beside those being written.

transformers' own `generate` lets a batch wait for its last answer, pads all of it to its longest prompt and reads what
prompts share once for each. Here a pass computes real tokens alone.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from tasks.model.attention import TOLERANCE, reaches_less
from tasks.model.load import Model, architecture
from tasks.model.loss import inner
from tasks.model.slots import NAME, Slots, Span, turn
from tasks.model.tree import in_common

MOST_NEW = 512  # prompt tokens of a pass: a CPU's products are at full speed there, and later prompts share more
LEAST_SHARED = 8  # tokens: copying fewer costs as much as computing them
PROBED = 24  # tokens of a prompt that `suits` reads
STRETCHED = ("dynamic", "longrope")  # rotary positions that depend on the longest sequence of a pass


@dataclass
class _Row:
    """A sequence being written."""

    index: int
    """Of its prompt."""
    length: int
    """Of its prompt, in tokens."""
    written: list[int] = field(default_factory=list)


@dataclass
class _State:
    """Who is being written, and who waits."""

    slots: Slots
    waiting: list[int]
    """Indexes of prompts; the last one is next."""
    rows: list[_Row] = field(default_factory=list)
    """The sequence in slot 0, 1, ..."""
    held: list[list[int]] = field(default_factory=list)
    """Prompt ids that lie in each slot, also of sequences that have ended."""


def write(
    model: Model, prompts: Sequence[list[int]], limits: Sequence[int], end: int, count: int
) -> Iterator[tuple[int, list[int]]]:
    """Write an answer to each prompt.

    Args:
        model: in evaluation mode; one that `suits`.
        prompts: ids, at least one each.
        limits: the most tokens to write to each, at least 1.
        end: the end token.
        count: sequences that are written at once.

    Yields:
        The number of a prompt and the ids written to it, with the end token if it came; as they end.
    """
    # Long answers first: the last ones, which leave slots empty, are short. Then neighbours of similar length.
    waiting = sorted(range(len(prompts)), key=lambda index: (limits[index], len(prompts[index])))
    reach = max(len(prompt) + limit for prompt, limit in zip(prompts, limits, strict=True))
    state = _State(Slots(min(count, len(prompts)), reach), waiting)
    state.held = [[] for _ in range(state.slots.count)]
    with _over_slots(model):
        while state.waiting or state.rows:
            with torch.inference_mode():
                _step(model, state, prompts)
                ended = _ended(state, limits, end)
            yield from ended


def _step(model: Model, state: _State, prompts: Sequence[list[int]]) -> None:
    """One more token of every sequence, and the first one of each prompt for which there is room."""
    ids, going = [row.written[-1] for row in state.rows], [row.length + len(row.written) - 1 for row in state.rows]
    spans: list[Span] = []
    while state.waiting and len(state.rows) < state.slots.count:
        index, slot = state.waiting[-1], len(state.rows)
        source, start = _shared(prompts[index], state.held)
        if spans and len(ids) - len(going) + len(prompts[index]) - start > MOST_NEW:
            break
        state.slots.copy(source, slot, start)
        state.held[slot] = prompts[index][:start]  # the rest is there after this pass
        state.rows.append(_Row(state.waiting.pop(), len(prompts[index])))
        spans.append(Span(slot, start, len(prompts[index])))
        ids += prompts[index][start:]
    chosen = _logits(model, state.slots, ids, going, spans).argmax(-1).tolist()
    for span in spans:
        state.held[span.slot] = prompts[state.rows[span.slot].index]
    for row, token in zip(state.rows, chosen, strict=True):
        row.written.append(token)


def _ended(state: _State, limits: Sequence[int], end: int) -> list[tuple[int, list[int]]]:
    """What those wrote that are at their end; they are out then, and the others lie in the first slots."""
    ended = []
    for at in reversed(range(len(state.rows))):
        row = state.rows[at]
        if row.written[-1] == end or len(row.written) == limits[row.index]:
            ended.append((row.index, row.written))
            last, free = state.rows.pop(), len(state.rows)
            if at < free:
                state.rows[at], state.held[at] = last, state.held[free]
                state.slots.copy(free, at, last.length + len(last.written) - 1)
    return ended


def _shared(prompt: list[int], held: list[list[int]]) -> tuple[int, int]:
    """The slot that begins with most of this prompt, and with how many tokens; its last token is never among them."""
    longest, source = max((in_common(prompt, ids), -slot) for slot, ids in enumerate(held))
    start = min(longest, len(prompt) - 1)
    return -source, start if start >= LEAST_SHARED else 0


def _logits(model: Model, slots: Slots, ids: list[int], going: list[int], spans: list[Span]) -> torch.Tensor:
    """Behind each sequence's newest token, (sequences, vocabulary), fp32."""
    weights = inner(model).get_input_embeddings().weight
    now = turn(slots, going, spans, weights)
    logits: torch.Tensor = model(
        input_ids=torch.tensor([ids], device=weights.device), position_ids=now.positions, use_cache=False,
        logits_to_keep=now.last, turn=now,
    ).logits[0]  # fmt: skip
    return logits.float()


@contextmanager
def _over_slots(model: Model) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def suits(model: Model, prompt: list[int]) -> bool:
    """Whether a model says the same over slots as over whole sequences; it is left as it was.

    Args:
        model: in evaluation mode.
        prompt: ids that it could be given.
    """
    config, takes = model.config, inspect.signature(inner(model).forward).parameters
    stretched = (getattr(config, "rope_parameters", None) or {}).get("rope_type") in STRETCHED
    if architecture(model) == "seq2seq" or not inner(model)._supports_attention_backend or stretched:
        return False
    if reaches_less(config) or not {"position_ids", "logits_to_keep"} <= set(takes):
        return False
    ids = (prompt * 2)[:PROBED]
    half = len(ids) // 2
    with torch.inference_mode():
        first, second = [*ids, *ids[:2]], [*ids[:half], *ids[: half - 1 : -1], ids[0]]
        plain = torch.stack([_plain(model, first), _plain(model, second)])
        try:
            with _over_slots(model):
                told = _probed(model, first, second, half)
        except ValueError:  # the attention layers ask for more than this
            return False
    return float((told - plain).abs().max()) <= TOLERANCE * float(plain.std())


def _plain(model: Model, ids: list[int]) -> torch.Tensor:
    logits: torch.Tensor = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1]
    return logits.float()


def _probed(model: Model, first: list[int], second: list[int], shared: int) -> torch.Tensor:
    """Logits behind both, (2, vocabulary): a prompt, then a token and a prompt that begins alike, then two tokens."""
    slots, size = Slots(2, len(first)), len(first)
    _logits(model, slots, first[: size - 2], [], [Span(0, 0, size - 2)])
    slots.copy(0, 1, shared)
    one = [first[size - 2], *second[shared:-1]]
    _logits(model, slots, one, [size - 2], [Span(1, shared, len(second) - 1)])
    return _logits(model, slots, [first[-1], second[-1]], [size - 1, len(second) - 1], [])
