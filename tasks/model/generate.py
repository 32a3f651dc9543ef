"""Greedy answers to prompts: the same ids, whatever else is written at the same time.

A causal model that says the same over slots is run over them (`tasks.model.greedy`), without padding and without
waiting. Others, and seq2seq models, are run by transformers' own `generate`, in batches of one limit and of similar
length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import transformers

from tasks.model.encode import Tokenizer
from tasks.model.greedy import suits, write
from tasks.model.load import Model
from tasks.prompts.contract import Contract


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    tokens: int
    """Without the end token."""
    finished: bool
    """Whether it ended by itself, rather than at its limit."""


def generate(
    model: Model,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    limits: Sequence[int],
    contract: Contract,
    batch_size: int,
    advance: Callable[[int], None] = lambda done: None,
) -> list[Answer]:
    """Write an answer to each prompt by greedy decoding.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        prompts: ids, from `encode_prompt`.
        limits: the most tokens to write to each, with the end token; the contract has them by family.
        contract: end token and pad token.
        batch_size: prompts at once.
        advance: is called with the number of prompts just answered.

    Returns:
        One answer a prompt, in the order of `prompts`.
    """
    answers: list[Answer | None] = [None] * len(prompts)
    if prompts and suits(model, max(prompts, key=len)):
        written = write(model, prompts, limits, contract.end_token_id, batch_size)
    else:
        written = _by_transformers(model, prompts, limits, contract, batch_size)
    for index, ids in written:
        answers[index] = _answer(tokenizer, ids, contract)
        advance(1)
    return [answer for answer in answers if answer is not None]


def _by_transformers(
    model: Model, prompts: Sequence[list[int]], limits: Sequence[int], contract: Contract, batch_size: int
) -> Iterator[tuple[int, list[int]]]:
    """Like `tasks.model.greedy.write`; ids behind the end token may follow it."""
    for limit in sorted(set(limits)):
        same = [index for index in range(len(prompts)) if limits[index] == limit]
        order = sorted(same, key=lambda index: len(prompts[index]))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            yield from zip(chosen, _write(model, [prompts[index] for index in chosen], contract, limit), strict=True)


def _settings(model: Model, contract: Contract, limit: int) -> transformers.GenerationConfig:
    # The base model's own generation defaults (sampling, penalties) must not leak into what is measured.
    return transformers.GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        num_beams=1,
        eos_token_id=contract.end_token_id,
        pad_token_id=contract.pad_token_id,
        decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
    )


def _write(model: Model, prompts: list[list[int]], contract: Contract, limit: int) -> list[list[int]]:
    width = max(map(len, prompts))
    device = next(model.parameters()).device
    ids = torch.tensor([[contract.pad_token_id] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    model.generation_config = transformers.GenerationConfig()  # transformers fills gaps in ours from the model's own
    with torch.inference_mode():
        output = model.generate(input_ids=ids, attention_mask=mask, generation_config=_settings(model, contract, limit))
    begin = 1 if contract.architecture == "seq2seq" else width
    return [list(row) for row in output[:, begin:].tolist()]


def _answer(tokenizer: Tokenizer, ids: list[int], contract: Contract) -> Answer:
    finished = contract.end_token_id in ids
    written = ids[: ids.index(contract.end_token_id)] if finished else ids
    return Answer(tokenizer.decode(written, skip_special_tokens=True).strip(), len(written), finished)
