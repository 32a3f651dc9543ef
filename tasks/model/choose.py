"""Multiple choice by likelihood: how probable the model holds each option, without writing anything.

Two ways, both the field's own (lm-evaluation-harness's `multiple_choice`): by *letter*, where the prompt lists the
options and the scores of " A", " B", ... are compared; and by *text*, where the summed log-probabilities of the
options' texts after the question are. What texts share at their beginnings is computed once (tree.py), and the
vocabulary projection runs only where something is scored.
"""

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tasks.model import branches
from tasks.model.attention import reaches_less
from tasks.model.batches import IGNORED, collate
from tasks.model.encode import Encoded, Tokenizer
from tasks.model.load import Model, architecture
from tasks.model.tree import Bough, Ids, Row, boughs, hidden_of, in_common, read_ahead, rows

Advance = Callable[[int], None]
Fed = tuple[int, Ids]  # length of the context, and all ids that one pass reads
STEM, TAIL, TAILS = 20, 6, 3  # tokens of the small tree that is compared before a tree is believed, and its branches
TOLERANCE = (
    2e-3  # nats: rounding moves a log-probability by 1e-5, a token that is seen and should not be by 0.01 and more
)


@dataclass(frozen=True)
class Option:
    """A continuation to be scored."""

    context: list[int]
    continuation: list[int]


def encode_options(tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], kind: str) -> list[Option]:
    """Ids of contexts and of what may follow each.

    The two are encoded together and divided, as lm-evaluation-harness does: a word that begins with a space is one
    token only when it is seen with its space, so spaces at a context's end go to what follows. A context begins with a
    BOS token, once, where the tokenizer itself puts one before a text; where there is no context, BOS or else the end
    token stands for it.

    Args:
        tokenizer: the model's.
        pairs: a context, which many may share, and a continuation each.
        kind: causal or seq2seq.
    """
    divided = [(before.rstrip(), before[len(before.rstrip()) :] + after) for before, after in pairs]
    if kind == "seq2seq":
        contexts = _ids(tokenizer, [before for before, _ in divided], frame=True)
        continuations = _ids(tokenizer, [after.strip() for _, after in divided])
        return [Option(contexts[before], continuations[after.strip()]) for before, after in divided]
    ids = _ids(tokenizer, [text for before, after in divided for text in (before, before + after)])
    start = _start(tokenizer)
    alone = [one for one in (tokenizer.bos_token_id, tokenizer.eos_token_id) if one is not None][:1]
    return [
        Option(start + ids[before + after][: len(ids[before])], ids[before + after][len(ids[before]) :])
        if before
        else Option(alone, ids[after])
        for before, after in divided
    ]


def _ids(tokenizer: Tokenizer, texts: Sequence[str], frame: bool = False) -> dict[str, list[int]]:
    """Ids of each text; what stands there twice is encoded once, and all at once."""
    some = sorted({text for text in texts if text})
    found = tokenizer(some, add_special_tokens=frame, split_special_tokens=True)["input_ids"] if some else []
    return {"": [], **dict(zip(some, map(list, found), strict=True))}


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

    passes, before = list(fed), model.config._attn_implementation
    try:
        if _takes_trees(model, passes):
            found = boughs([ids for _, ids in passes], [context - 1 for context, _ in passes])
            _by_rows(model, passes, found, tokens_at_once, take)
            return scores
    finally:
        model.set_attn_implementation(before)
    _one_by_one(model, passes, tokens_at_once, take)
    return scores


Take = Callable[[Fed, torch.Tensor], None]


def _by_rows(model: Model, passes: Sequence[Fed], found: Sequence[Bough], tokens_at_once: int, take: Take) -> None:
    """Score passes in rows that share their beginnings."""
    texts = [ids for _, ids in passes]
    for bough in found:
        past = read_ahead(model, texts[bough.members[0]][: bough.prefix]) if bough.prefix else None
        for row in rows(texts, bough, tokens_at_once):
            _score_row(model, passes, bough, row, hidden_of(model, row, past, bough.prefix), take)


def _score_row(model: Model, passes: Sequence[Fed], bough: Bough, row: Row, hidden: torch.Tensor, take: Take) -> None:
    spans = {place: path[passes[place][0] - 1 - bough.prefix :] for place, path in row.paths.items()}
    chosen = torch.tensor([step for span in spans.values() for step in span], device=hidden.device)
    parts = torch.split(_log_probabilities(model, hidden[chosen]), [len(span) for span in spans.values()])
    for place, part in zip(spans, parts, strict=True):
        take(passes[place], part)


def _log_probabilities(model: Model, hidden: torch.Tensor) -> torch.Tensor:
    """(positions, width) -> (positions, vocabulary), as the model's own head does it."""
    with torch.inference_mode():
        logits: torch.Tensor = model.get_output_embeddings()(hidden)
        return logits.float().log_softmax(-1)


def _one_by_one(model: Model, passes: Sequence[Fed], tokens_at_once: int, take: Take) -> None:
    """Score passes in padded batches of similar length, as any model can be; the longest first."""
    order = sorted(passes, key=lambda one: len(one[1]))
    while order:
        size = max(1, tokens_at_once // len(order[-1][1]))
        chosen, order = order[-size:], order[:-size]
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


def _takes_trees(model: Model, passes: Sequence[Fed]) -> bool:
    """Prepare a model for rows that share their beginnings, if it says the same over them as over each text alone."""
    if architecture(model) == "seq2seq" or reaches_less(model.config):
        return False
    small, before, reason = _small_tree(passes), model.config._attn_implementation, "it says something else"
    alone = {one: _padded(model, [one])[0] for one in small}
    for way in [branches.NAME, before] if model._supports_attention_backend else [before]:
        try:
            model.set_attn_implementation(way)
            if _says_the_same(model, small, alone):
                return True
        except (
            TypeError,
            ValueError,
            RuntimeError,
            NotImplementedError,
        ) as error:  # it takes no such mask or positions
            reason = f"{type(error).__name__}: {error}"
    model.set_attn_implementation(before)
    warnings.warn(f"each option is read alone, which is slower: {reason}", stacklevel=3)
    return False


def _says_the_same(model: Model, small: Sequence[Fed], alone: dict[Fed, torch.Tensor]) -> bool:
    order = sorted(range(len(small)), key=lambda place: small[place][1])
    shared = in_common(small[order[0]][1], small[order[-1]][1])  # by all, as they are sorted
    said: dict[Fed, torch.Tensor] = {}
    for prefix in {0, min(shared, *(context - 1 for context, _ in small))}:  # all in one row; the beginning ahead
        _by_rows(model, small, [Bough(prefix, order)], 1 << 20, said.__setitem__)
        if any(bool(((said[one] - alone[one]).abs().max() > TOLERANCE).item()) for one in small):
            return False
    return True


def _small_tree(passes: Sequence[Fed]) -> list[Fed]:
    """A few texts of the passes' own tokens with all that a tree has: a beginning, branches, one within another.

    Whole passes would take as long as thirty questions do where each has five solved ones before it.
    """
    whole = STEM + TAILS * TAIL
    ids = tuple(itertools.islice(itertools.chain.from_iterable(text for _, text in passes), whole))
    if len(ids) < whole:
        return list(passes)  # they are short
    stem, tails = ids[:STEM], [ids[at : at + TAIL] for at in range(STEM, whole, TAIL)]
    return list(dict.fromkeys((STEM, stem + tail) for tail in [*tails, tails[0] + tails[1]]))
