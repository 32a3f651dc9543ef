"""Text to token ids: one way for training, prediction and serving.

A prompt's ids are computed alone and the answer's ids are put behind them, so that training and generation see the
same prompt by construction. Control tokens that stand in a user's text are encoded as plain text, never as control.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import transformers

from tasks.data.files import sha256_of
from tasks.errors import TrainingError
from tasks.prompts.contract import Contract
from tasks.prompts.templates import LIBRARY

Tokenizer: TypeAlias = transformers.PreTrainedTokenizerBase
AS_TEXT = "{{ messages[0]['content'] }}"  # a chat template without a frame
PROBE = "  Two spaces, a <|im_end|> </s> and 1,234 é\n"


@dataclass(frozen=True)
class Encoded:
    """One example as ids."""

    prompt: list[int]
    """Ends where the answer begins."""
    response: list[int]
    """The target and the end token; the only ids that carry loss."""

    def __len__(self) -> int:
        """Tokens of both."""
        return len(self.prompt) + len(self.response)


def contract_of(
    tokenizer: Tokenizer,
    architecture: Literal["causal", "seq2seq"],
    max_prompt_tokens: int,
    max_new_tokens: dict[str, int],
    long_prompts: Literal["refuse", "cut"] = "refuse",
) -> Contract:
    """Describe how this tokenizer is going to be used."""
    style: Literal["chat", "plain"] = "chat" if tokenizer.chat_template and architecture == "causal" else "plain"
    template = tokenizer.chat_template if style == "chat" else None
    if tokenizer.eos_token_id is None:
        raise TrainingError("the base model's tokenizer has no end token, so no answer could ever end: choose another.")
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return Contract(
        architecture=architecture,
        format=style,
        chat_template_sha256=_sha256(template) if template else None,
        end_token_id=tokenizer.eos_token_id,
        pad_token_id=pad,
        special_tokens=_special_tokens(tokenizer),
        vocabulary=len(tokenizer),
        templates_sha256=_library_sha256(LIBRARY),
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
        decoding="greedy",
        long_prompts=long_prompts,
        golden_ids=_prompt_ids(tokenizer, PROBE, style, architecture),
    )


def _special_tokens(tokenizer: Tokenizer) -> dict[str, int]:
    named = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    return {name: int(tokenizer.convert_tokens_to_ids(token)) for name, token in sorted(named.items())}


def encode_prompt(tokenizer: Tokenizer, text: str, contract: Contract) -> list[int]:
    """Ids of an instruction, up to where the answer begins.

    Under `long_prompts: cut` a longer one loses its middle: an instruction stands at the beginning or at the end, and
    so does the chat template's frame.

    Raises:
        TrainingError: it is longer than the contract's `max_prompt_tokens`, and may not be cut.
    """
    ids = _prompt_ids(tokenizer, text, contract.format, contract.architecture)
    most = contract.max_prompt_tokens
    if len(ids) > most and contract.long_prompts == "cut":
        return ids[: most // 2] + ids[len(ids) - (most - most // 2) :]
    if len(ids) > most:
        raise TrainingError(
            f"a prompt has {len(ids)} tokens, more than finetune.max_prompt_tokens = {most}. "
            "Raise that, lower expand's max_words, or set finetune.long_prompts: cut."
        )
    return ids


def encode_example(tokenizer: Tokenizer, text: str, target: str, contract: Contract) -> Encoded:
    """Ids of an example: the prompt, and the answer that ends in the end token."""
    return Encoded(encode_prompt(tokenizer, text, contract), [*_text_ids(tokenizer, target), contract.end_token_id])


def _prompt_ids(tokenizer: Tokenizer, text: str, style: str, architecture: str) -> list[int]:
    if style == "chat":
        return _chat_ids(tokenizer, text, tokenizer.chat_template)
    if architecture == "seq2seq":  # the tokenizer's own frame, e.g. T5's end token
        return list(tokenizer(text, split_special_tokens=True)["input_ids"])
    start = [tokenizer.bos_token_id] if tokenizer.bos_token_id is not None else []
    return start + _text_ids(tokenizer, text + "\n\n")


def _text_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of nothing but this text. `split_special_tokens` would let added tokens such as <think> through."""
    return _chat_ids(tokenizer, text, AS_TEXT)


def _chat_ids(tokenizer: Tokenizer, text: str, template: object) -> list[int]:
    def ids(content: str) -> list[int]:
        encoded = tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], chat_template=template, tokenize=True, add_generation_prompt=True,
            sanitize_control_tokens=True, return_dict=True,
        )  # fmt: skip
        return list(encoded["input_ids"])

    try:
        return ids(text)
    except ValueError:  # T5 knows no "<": a text that spells its unknown token becomes that token, however it is split
        unknown = tokenizer.unk_token
        if not unknown or unknown not in text:
            raise
        return ids(text.replace(unknown, f"{unknown[0]} {unknown[1:]}"))


def _sha256(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def _library_sha256(library: Path) -> str:
    return _sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in sorted(library.glob("*.yaml"))))
