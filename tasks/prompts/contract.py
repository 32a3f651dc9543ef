"""The prompt contract: how a model was prompted in training, kept beside its weights.

predict and the served model build the same description from what they are about to do, and refuse when anything
differs: a changed chat template or one more space moves scores by points without any error.
"""

import hashlib
import json
from pathlib import Path
from typing import Literal

from tasks.data.files import read_json, write_json
from tasks.errors import ContractError
from tasks.params import Section

NAME = "prompt_contract.json"


class Contract(Section):
    """Everything that decides which token ids a prompt becomes, and how the answer is written."""

    architecture: Literal["causal", "seq2seq"]
    format: Literal["chat", "plain"]
    """chat: the tokenizer's chat template, one user turn; plain: the text and an empty line."""
    chat_template_sha256: str | None
    end_token_id: int
    """Ends every answer, in training and in generation."""
    pad_token_id: int
    special_tokens: dict[str, int]
    """By the tokenizer's name for it (bos_token, unk_token): the ids that mean something by themselves."""
    vocabulary: int
    """Token ids are below this."""
    templates_sha256: str
    """Of the template library's files."""
    max_prompt_tokens: int
    max_new_tokens: dict[str, int]
    """By family: tokens that an answer may have, with the end token."""
    decoding: Literal["greedy"]
    """How the next token is chosen: the likeliest one, whatever the base model's own generation settings say."""
    long_prompts: Literal["refuse", "cut"]
    """What becomes of a prompt with more than max_prompt_tokens: an error, or it loses its middle."""
    golden_ids: list[int]
    """What a fixed probe text becomes: catches any change that the other fields do not name."""


def limit_of(family: str, contract: Contract) -> int:
    """The most tokens that an answer of this family may have.

    Raises:
        ContractError: the model was not trained on this family.
    """
    if family not in contract.max_new_tokens:
        known = ", ".join(contract.max_new_tokens)
        raise ContractError(f"finetune.max_new_tokens has no entry for the family '{family}'; it has: {known}.")
    return contract.max_new_tokens[family]


def digest(contract: Contract) -> str:
    """Hex sha256 of a contract; equal contracts have equal digests."""
    return hashlib.sha256(json.dumps(contract.model_dump(), sort_keys=True).encode()).hexdigest()


def write(contract: Contract, folder: Path) -> None:
    """Put the contract beside the weights in `folder`."""
    write_json(folder / NAME, contract.model_dump())


def read(folder: Path) -> Contract:
    """The contract beside the weights in `folder`.

    Raises:
        ContractError: there is none, or it is not one.
    """
    try:
        return Contract.model_validate(read_json(folder / NAME))
    except FileNotFoundError:
        raise ContractError(f"{folder} has no {NAME}: it was not trained by Luthier; run finetune.") from None
    except ValueError as error:
        raise ContractError(
            f"{folder / NAME} is damaged ({' '.join(str(error).split())}): run finetune again."
        ) from None


def require_equal(trained: Contract, now: Contract) -> None:
    """Refuse to prompt a model in another way than it was trained with.

    Raises:
        ContractError: naming each difference.
    """
    before, after = trained.model_dump(), now.model_dump()
    differences = [f"{key}: {_told(before[key], after[key])}" for key in before if before[key] != after[key]]
    if differences:
        raise ContractError(
            "the prompt contract differs from the one that the model was trained with: "
            + "; ".join(differences) + ". Restore it, or run finetune again."
        )  # fmt: skip


def _told(before: object, after: object) -> str:
    if isinstance(before, list) and isinstance(after, list):
        pairs = zip(before, after, strict=False)
        at = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))
        ids = [values[at] if at < len(values) else "nothing" for values in (before, after)]
        return f"token {at + 1} of a fixed text was {ids[0]} of {len(before)}, now {ids[1]} of {len(after)}"
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
        return ", ".join(f"{key} trained with {before.get(key)}, now {after.get(key)}" for key in keys)
    return f"trained with {before}, now {after}"
