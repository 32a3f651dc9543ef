"""Text to token ids: one way for training, prediction and serving.

A prompt's ids are computed alone and the answer's ids are put behind them, so that training and generation see the
same prompt by construction. Control tokens that stand in a user's text are encoded as plain text, never as control.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import datasets
import transformers

from tasks.data.files import Row, sha256_of
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


class Instructions(Sequence[Encoded]):
    """Encoded examples, memory-mapped (a `datasets.Dataset` with the columns prompt and response)."""

    def __init__(self, rows: datasets.Dataset) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """How many examples."""
        return len(self.rows)

    def __getitem__(self, index: int) -> Encoded:  # type: ignore[override]  # a slice has no use here
        """One example."""
        return Encoded(**self.rows[index])


def contract_of(
    tokenizer: Tokenizer,
    architecture: Literal["causal", "seq2seq"],
    max_prompt_tokens: int,
    max_new_tokens: dict[str, int],
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
        vocabulary=len(tokenizer),
        templates_sha256=_library_sha256(LIBRARY),
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
        golden_ids=_prompt_ids(tokenizer, PROBE, style, architecture),
    )


def encode_prompt(tokenizer: Tokenizer, text: str, contract: Contract) -> list[int]:
    """Ids of an instruction, up to where the answer begins.

    Raises:
        TrainingError: it is longer than the contract's `max_prompt_tokens`.
    """
    ids = _prompt_ids(tokenizer, text, contract.format, contract.architecture)
    if len(ids) > contract.max_prompt_tokens:
        raise TrainingError(
            f"a prompt has {len(ids)} tokens, more than finetune.max_prompt_tokens = {contract.max_prompt_tokens}; it "
            f"begins: {text[:60]!r}. Raise that, or lower expand's max_words."
        )
    return ids


def encode_example(tokenizer: Tokenizer, text: str, target: str, contract: Contract) -> Encoded:
    """Ids of an example: the prompt, and the answer that ends in the end token."""
    return Encoded(encode_prompt(tokenizer, text, contract), [*_text_ids(tokenizer, target), contract.end_token_id])


def encode_examples(rows: Iterable[Row], tokenizer: Tokenizer, contract: Contract) -> Instructions:
    """Encode {input, target} rows, one after another: the ids go to disk and are read from there."""

    def encoded() -> Iterator[dict[str, list[int]]]:
        for row in rows:
            yield asdict(encode_example(tokenizer, row["input"], row["target"], contract))

    with tempfile.TemporaryDirectory() as cache:  # the map stays readable after its file is unlinked
        return Instructions(datasets.Dataset.from_generator(encoded, cache_dir=cache))


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
    encoded = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], chat_template=template, tokenize=True, add_generation_prompt=True,
        sanitize_control_tokens=True, return_dict=True,
    )  # fmt: skip
    return list(encoded["input_ids"])


def _sha256(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


def _library_sha256(library: Path) -> str:
    return _sha256("".join(f"{path.name} {sha256_of(path)}\n" for path in sorted(library.glob("*.yaml"))))
