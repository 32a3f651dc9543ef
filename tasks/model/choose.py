"""Multiple choice by likelihood: how probable the model holds each option, without writing anything.

Two ways, both the field's own (lm-evaluation-harness's `multiple_choice`): by *letter*, where the prompt lists the
options and the scores of " A", " B", ... are compared; and by *text*, where the summed log-probabilities of the
options' texts after the question are. What texts share at their beginnings is computed once (tree.py), and the
vocabulary projection runs only where something is scored.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tasks.model.attention import reaches_less
from tasks.model.batches import IGNORED, collate
from tasks.model.encode import Encoded, Tokenizer
from tasks.model.load import Model, architecture
from tasks.model.tree import Bough, Ids, Row, boughs, hidden_of, read_ahead, rows

Advance = Callable[[int], None]
Fed = tuple[int, Ids]  # length of the context, and all ids that one pass reads
COMPARED = 3  # passes whose scores are taken both ways before a tree is believed
TOLERANCE = (
    2e-3  # nats: rounding moves a log-probability by 1e-5, a token that is seen and should not be by 0.01 and more
)


@dataclass(frozen=True)
class Option:
    """A continuation to be scored."""

    context: list[int]
    continuation: list[int]


def encode_option(tokenizer: Tokenizer, context: str, continuation: str, kind: str) -> Option:
    """Ids of a context and of what may follow it.

    The two are encoded together and divided, as lm-evaluation-harness does: a word that begins with a space is
    one token only when it is seen with its space. A context begins with a BOS token, once, where the tokenizer itself
    puts one before a text; where there is no context, BOS or else the end token stands for it.
    """
    if kind == "seq2seq":
        return Option(_ids(tokenizer, context, frame=True), _ids(tokenizer, continuation.strip()))
    start = _start(tokenizer)
    before, both = _ids(tokenizer, context), _ids(tokenizer, context + continuation)
    if not before:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        return Option([first], both)
    return Option(start + both[: len(before)], both[len(before) :])


def _ids(tokenizer: Tokenizer, text: str, frame: bool = False) -> list[int]:
    return list(tokenizer(text, add_special_tokens=frame, split_special_tokens=True)["input_ids"]) if text else []


def _start(tokenizer: Tokenizer) -> list[int]:
    """What the tokenizer puts before any text: one BOS token, or nothing."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def fitted(option: Option, most: int | None) -> Option:
    """An option of which a model reads at most `most` tokens: the context loses its beginning (as in lm-eval)."""
    over = len(option.context) + len(option.continuation) - 1 - (most or 1 << 62)
    return Option(option.context[over:], option.continuation) if over > 0 else option


def score(
    model: Model, options: Sequence[Option], tokens_at_once: int, advance: Advance = lambda done: None
) -> list[float]:
    """Summed log-probability (nats) of each option's continuation.

    Args:
        model: in evaluation mode.
        options: in any order; each continuation has a token at least.
        tokens_at_once: that one pass reads.
        advance: is called with the number of options just scored.
    """
    # Options that differ only in a last single token (letters) need one pass: group by what is fed to the model.
    fed: dict[Fed, list[int]] = {}
    for index, option in enumerate(options):
        fed.setdefault((len(option.context), (*option.context, *option.continuation[:-1])), []).append(index)
    scores = [0.0] * len(options)

    def take(one: Fed, log_probabilities: torch.Tensor) -> None:
        for index in fed[one]:
            ids = torch.tensor(options[index].continuation, device=log_probabilities.device)
            scores[index] = float(log_probabilities.gather(1, ids[:, None]).sum())
        advance(len(fed[one]))

    passes = list(fed)
    way = _by_rows if _trees_are_right(model, passes) else _one_by_one
    way(model, passes, tokens_at_once, take)
    return scores


Take = Callable[[Fed, torch.Tensor], None]


def _by_rows(model: Model, passes: Sequence[Fed], tokens_at_once: int, take: Take) -> None:
    """Score passes in rows that share their beginnings."""
    texts = [ids for _, ids in passes]
    for bough in boughs(texts, [context - 1 for context, _ in passes]):
        past = read_ahead(model, texts[bough.members[0]][: bough.prefix]) if bough.prefix else None
        for row in rows(texts, bough, tokens_at_once):
            _score_row(model, passes, bough, row, hidden_of(model, row, past, bough.prefix), take)


def _score_row(model: Model, passes: Sequence[Fed], bough: Bough, row: Row, hidden: torch.Tensor, take: Take) -> None:
    spans = {place: path[passes[place][0] - 1 - bough.prefix :] for place, path in row.paths.items()}
    chosen = torch.tensor([step for span in spans.values() for step in span], device=hidden.device)
    parts = _log_probabilities(model, hidden[chosen]).split([len(span) for span in spans.values()])
    for place, part in zip(spans, parts, strict=True):
        take(passes[place], part)


def _log_probabilities(model: Model, hidden: torch.Tensor) -> torch.Tensor:
    """(positions, width) -> (positions, vocabulary), as the model's own head does it."""
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits.float().log_softmax(-1)


def _one_by_one(model: Model, passes: Sequence[Fed], tokens_at_once: int, take: Take) -> None:
    """Score passes in padded batches of similar length, as any model can be."""
    order = sorted(passes, key=lambda one: len(one[1]))
    size = max(1, tokens_at_once // len(order[-1][1]))
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        for one, part in zip(chosen, _padded(model, chosen), strict=True):
            take(one, part)


def _padded(model: Model, passes: Sequence[Fed]) -> list[torch.Tensor]:
    """Of each pass, (continuation's tokens, vocabulary), by the model's own forward."""
    kind = architecture(model)
    # A last token that nothing is predicted from stands for the one that is to be scored.
    encoded = [Encoded(list(ids[:context]), [*ids[context:], 0]) for context, ids in passes]
    batch = collate(encoded, model.config.pad_token_id or 0, kind).to(model.device)
    given = {"labels": batch.labels} if kind == "seq2seq" else {}
    with torch.inference_mode():
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **given).logits.float()
    if kind == "seq2seq":
        spans = [row[mask] for row, mask in zip(logits, batch.labels != IGNORED, strict=True)]
    else:
        spans = [row[context - 1 : len(ids)] for row, (context, ids) in zip(logits, passes, strict=True)]
    return [span.log_softmax(-1) for span in spans]


def _trees_are_right(model: Model, passes: Sequence[Fed]) -> bool:
    """Whether the model says the same over rows that share their beginnings as over each text alone."""
    if architecture(model) == "seq2seq" or reaches_less(model.config):
        return False
    shortest = sorted(passes, key=lambda one: len(one[1]))[:COMPARED]
    found: dict[Fed, torch.Tensor] = {}
    try:
        _by_rows(model, shortest, 1 << 20, found.__setitem__)
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:  # it takes no such mask or positions
        warnings.warn(f"each option is read alone, which is slower: {type(error).__name__}: {error}", stacklevel=2)
        return False
    alone = {one: _padded(model, [one])[0] for one in shortest}
    return all(bool(((found[one] - alone[one]).abs().max() <= TOLERANCE).item()) for one in shortest)
