"""One answer, piece by piece while it is written: together the very text that `generate` would have given.

No thread: a token is computed when the next piece is asked for, so a reader who stops early leaves nothing running.
"""

import threading
from collections.abc import Callable, Iterator

import torch

from tasks.model import greedy
from tasks.model.encode import Tokenizer
from tasks.model.load import Model
from tasks.model.slots import Slots
from tasks.prompts.contract import Contract

Step = Callable[[], int]  # computes the next token


def stream(
    model: Model, tokenizer: Tokenizer, prompt: list[int], limit: int, contract: Contract, busy: threading.Lock
) -> Iterator[str]:
    """Write an answer to one prompt by greedy decoding.

    Args:
        model: in evaluation mode.
        tokenizer: the model's.
        prompt: ids, from `encode_prompt`.
        limit: the most tokens to write, with the end token.
        contract: end token and architecture.
        busy: held while the model computes, and never between two pieces.

    Yields:
        Text that what follows cannot change any more.
    """
    written: list[int] = []
    told = ""
    for token in _tokens(model, prompt, limit, contract, busy):
        written.append(token)
        sure = _sure(tokenizer, tokenizer.decode(written, skip_special_tokens=True))
        if len(sure) > len(told):
            yield sure[len(told) :]
            told = sure
    whole = tokenizer.decode(written, skip_special_tokens=True).strip()
    if len(whole) > len(told):
        yield whole[len(told) :]


def _sure(tokenizer: Tokenizer, text: str) -> str:
    """What will stand, of a text that goes on: no space at its end, and no character of which bytes are missing."""
    text = text.strip().rstrip("\N{REPLACEMENT CHARACTER}").rstrip()
    if getattr(tokenizer, "clean_up_tokenization_spaces", False):  # it rewrites a word's end: "do n't" -> "don't"
        return text.rpartition(" ")[0].rstrip()
    return text


def _tokens(model: Model, prompt: list[int], limit: int, contract: Contract, busy: threading.Lock) -> Iterator[int]:
    """The answer's ids, up to the end token, which is not among them."""
    with busy:
        make = _over_slots if greedy.suits(model, prompt) else _over_cache
        step = make(model, prompt, limit)
    for _ in range(limit):
        with busy, torch.inference_mode():
            token = step()
        if token == contract.end_token_id:
            return
        yield token


def _over_slots(model: Model, prompt: list[int], limit: int) -> Step:
    """The very passes that `greedy.write` makes for this prompt alone."""
    state = greedy._State(Slots(1, len(prompt) + limit), [0], held=[[]])

    def step() -> int:
        with greedy._over_slots(model):
            greedy._step(model, state, [prompt])
        return state.rows[0].written[-1]

    return step


def _over_cache(model: Model, prompt: list[int], _limit: int) -> Step:
    """The passes of transformers' own greedy decoding, for a prompt without padding."""
    device = next(model.parameters()).device
    ids = torch.tensor([prompt], device=device)
    given: dict[str, object] = {}
    if model.config.is_encoder_decoder:
        mask = torch.ones_like(ids)
        with torch.inference_mode():
            given = {"encoder_outputs": model.get_encoder()(input_ids=ids, attention_mask=mask), "attention_mask": mask}
        start = model.config.decoder_start_token_id
        ids = torch.tensor([[model.config.bos_token_id if start is None else start]], device=device)
    name = "decoder_input_ids" if given else "input_ids"

    def step() -> int:
        nonlocal ids
        output = model(**given, **{name: ids}, use_cache=True)
        given["past_key_values"] = output.past_key_values
        ids = output.logits[:, -1:].float().argmax(-1)
        return int(ids.item())

    return step
