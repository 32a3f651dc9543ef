"""Multiple choice by likelihood: how probable the model holds each option, without writing anything.

Two ways, both the field's own (lm-evaluation-harness's `multiple_choice`): by *letter*, where the prompt lists the
options and the scores of " A", " B", ... are compared; and by *text*, where the summed log-probability of each
option's text after the question is compared, divided by its number of bytes.

What prompts share at their beginning (the shots) is computed once: their longest common run of token ids.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tasks.model.batches import IGNORED, collate
from tasks.model.encode import Encoded, Tokenizer
from tasks.model.load import Model, architecture

Advance = Callable[[int], None]


Fed = tuple[int, tuple[int, ...]]  # length of the context, and all ids that one pass reads


@dataclass(frozen=True)
class Option:
    """A continuation to be scored."""

    context: list[int]
    continuation: list[int]


def encode_option(tokenizer: Tokenizer, context: str, continuation: str, kind: str) -> Option:
    """Ids of a context and of what may follow it.

    The two are encoded together and divided, as lm-evaluation-harness does: a word that begins with a space is
    one token only when it is seen with its space.
    """
    if kind == "seq2seq":
        target = tokenizer(continuation.strip(), add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return Option(list(tokenizer(context, split_special_tokens=True)["input_ids"]), list(target))
    before = tokenizer(context, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    both = tokenizer(context + continuation, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return Option(list(both[: len(before)]), list(both[len(before) :]))


def score(
    model: Model, options: Sequence[Option], batch_size: int, advance: Advance = lambda done: None
) -> list[float]:
    """Summed log-probability (nats) of each option's continuation.

    Args:
        model: in evaluation mode.
        options: in any order.
        batch_size: sequences at once.
        advance: is called with the number of options just scored.
    """
    if architecture(model) == "seq2seq":
        return _score_seq2seq(model, options, batch_size, advance)
    # Options that differ only in a last single token (letters) need one pass: group by what is fed to the model.
    fed: dict[Fed, list[int]] = {}
    for index, option in enumerate(options):
        fed.setdefault((len(option.context), tuple(option.context + option.continuation[:-1])), []).append(index)
    passes = sorted(fed, key=lambda one: len(one[1]))
    prefix = _common_prefix([ids for _, ids in passes], min(length for length, _ in passes) - 1)
    past = _prefill(model, list(passes[0][1][:prefix])) if prefix else None
    scores = [0.0] * len(options)
    for start in range(0, len(passes), batch_size):
        chosen = passes[start : start + batch_size]
        hidden = _hidden(model, [list(ids[prefix:]) for _, ids in chosen], past, prefix)
        for one, rows in zip(chosen, _log_probabilities(model, hidden, chosen, prefix), strict=True):
            for index in fed[one]:
                ids = torch.tensor(options[index].continuation, device=rows.device)
                scores[index] = float(rows.gather(1, ids[:, None]).sum())
            advance(len(fed[one]))
    return scores


def _common_prefix(sequences: Sequence[tuple[int, ...]], longest: int) -> int:
    first, last = min(sequences), max(sequences)  # the two that differ earliest
    same = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return max(0, min(same, longest))


def _prefill(model: Model, prefix: list[int]) -> object:
    with torch.inference_mode():
        ids = torch.tensor([prefix], device=model.device)
        return model.get_decoder()(input_ids=ids, use_cache=True).past_key_values


def _hidden(model: Model, suffixes: list[list[int]], past: object, prefix: int) -> torch.Tensor:
    """Last hidden states (batch, tokens, width) of the suffixes; padding stands on the right and is unseen."""
    width = max(map(len, suffixes))
    ids = torch.tensor([suffix + [0] * (width - len(suffix)) for suffix in suffixes], device=model.device)
    mask = torch.tensor([[1] * (prefix + len(s)) + [0] * (width - len(s)) for s in suffixes], device=model.device)
    options: dict[str, object] = {}
    if past is not None:
        cache = copy.deepcopy(past)
        cache.batch_repeat_interleave(len(suffixes))  # type: ignore[attr-defined]
        options["past_key_values"] = cache
    positions = torch.arange(prefix, prefix + width, device=model.device).expand(len(suffixes), -1)
    with torch.inference_mode():
        output = model.get_decoder()(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=past is not None, **options
        )
    hidden: torch.Tensor = output.last_hidden_state
    return hidden


def _log_probabilities(model: Model, hidden: torch.Tensor, chosen: Sequence[Fed], prefix: int) -> list[torch.Tensor]:
    """Of each pass, (continuation's tokens, vocabulary): the projection is done only where something is scored."""
    spans = [row[context - 1 - prefix : len(ids) - prefix] for row, (context, ids) in zip(hidden, chosen, strict=True)]
    with torch.inference_mode():
        logits = model.get_output_embeddings()(torch.cat(spans))
        return list(logits.float().log_softmax(-1).split([len(span) for span in spans]))


def _score_seq2seq(model: Model, options: Sequence[Option], batch_size: int, advance: Advance) -> list[float]:
    scores: list[float] = []
    for start in range(0, len(options), batch_size):
        chosen = options[start : start + batch_size]
        encoded = [Encoded(option.context, option.continuation) for option in chosen]
        batch = collate(encoded, model.config.pad_token_id, "seq2seq").to(model.device)
        with torch.inference_mode():
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).logits
        keep = batch.labels != IGNORED
        picked = logits.float().log_softmax(-1).gather(2, batch.labels.where(keep, 0)[:, :, None])[:, :, 0]
        scores += (picked * keep).sum(1).tolist()
        advance(len(chosen))
    return scores
