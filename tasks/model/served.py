"""The model that is delivered: a raw record or a rendered prompt in, the answer out, at once or piece by piece.

It prompts as training and predict do, with the same code, and refuses to load where the prompt contract beside the
weights does not hold. `tasks.serve` checks the bytes first and is what MLflow calls.
"""

import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.data.files import Row, link_or_copy, read_json, write_json
from tasks.errors import DataError
from tasks.prompts import contract
from tasks.prompts.templates import load_family, render

if TYPE_CHECKING:
    from tasks.model.generate import Answer

CONSTANTS = "constants.json"
BASE = "base.json"  # of an adapter: where its base model's bytes are, and their digests
BATCH = 8  # records answered at once

Constants = Mapping[str, Mapping[str, str]]  # family -> the fields that are the same for every record


def assemble(folder: Path, base: Row | None, tuned: Path, constants: Constants) -> None:
    """Put what the served model needs into `folder`, linked where the disk allows it.

    Args:
        folder: does not exist yet.
        base: what refers to the base model, or None where the tuned weights are full ones.
        tuned: adapter or full weights, tokenizer and prompt contract.
        constants: of each family that the model was trained on.
    """
    shutil.copytree(tuned, folder / "tuned", copy_function=_link)
    if base is not None:
        write_json(folder / BASE, base)
    write_json(folder / CONSTANTS, constants)


def _link(source: str, target: str) -> None:
    link_or_copy(Path(source), Path(target))


def instruction(record: Mapping[str, str], constants: Constants) -> str:
    """The text that a record asks the model with: its `prompt`, or its family's first template, filled in.

    Raises:
        DataError: the record has neither, or lacks one of its family's fields.
    """
    if "prompt" in record:
        return record["prompt"]
    known = ", ".join(sorted(constants))
    if record.get("family") not in constants:
        given = record.get("family", "none")
        raise DataError(f"a record needs a 'prompt', or a 'family' out of {known}; its is '{given}'.")
    family = load_family(record["family"])
    values = {**constants[family.family], **record}
    if missing := sorted(set(family.fields) - values.keys()):
        raise DataError(f"a record of family '{family.family}' needs {missing}; it has {sorted(record)}.")
    return render(family.templates[0].text, values)


class Served:
    """A loaded model that answers records; threads may share it."""

    def __init__(self, folder: Path, base: Path | None) -> None:
        """Load what `assemble` put together.

        Args:
            folder: of `assemble`.
            base: the base model's folder, where `folder` refers to one.

        Raises:
            ContractError: the model would be prompted in another way than it was trained with.
        """
        # Seconds to import, and register, which only calls assemble, has no use for them.
        from transformers import GenerationConfig  # noqa: PLC0415

        from tasks.model import encode, load  # noqa: PLC0415

        tuned = folder / "tuned"
        self.busy = threading.Lock()
        self.constants: Constants = read_json(folder / CONSTANTS)
        self.tokenizer = load.load_tokenizer(tuned)
        self.model = load.load_tuned(base or tuned, tuned).to(load.device())
        self.model.generation_config = GenerationConfig()  # transformers fills gaps in ours from the base model's own
        self.contract = contract.read(tuned)
        most = (self.contract.max_prompt_tokens, self.contract.max_new_tokens, self.contract.long_prompts)
        now = encode.contract_of(self.tokenizer, load.architecture(self.model), *most)
        contract.require_equal(self.contract, now)

    def prompt(self, record: Mapping[str, str]) -> list[int]:
        """The ids that a record asks the model with.

        Raises:
            DataError: the record lacks a field.
            TrainingError: it is longer than the contract allows, and may not be cut.
        """
        from tasks.model.encode import encode_prompt  # noqa: PLC0415

        return encode_prompt(self.tokenizer, instruction(record, self.constants), self.contract)

    def limit(self, record: Mapping[str, str]) -> int:
        """The most tokens that a record's answer may have; a bare prompt names no family, and gets the longest."""
        limits = self.contract.max_new_tokens
        return limits.get(record.get("family", ""), max(limits.values()))

    def write(
        self, prompts: Sequence[list[int]], limits: Sequence[int], advance: Callable[[int], None] = lambda done: None
    ) -> "list[Answer]":
        """Answer prompts of `prompt`, each within its limit; `advance` is told how many were just answered."""
        from tasks.model.generate import generate  # noqa: PLC0415

        with self.busy:
            return generate(self.model, self.tokenizer, prompts, limits, self.contract, BATCH, advance)

    def answer(self, records: Sequence[Mapping[str, str]]) -> list[str]:
        """The answer to each record."""
        answers = self.write([self.prompt(one) for one in records], [self.limit(one) for one in records])
        return [answer.text for answer in answers]

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Answer each row; a cell that is empty counts as not given.

        Returns:
            One text column, `output`, in the order of the rows.
        """
        return pd.DataFrame({"output": self.answer([_given(row.to_dict()) for _, row in model_input.iterrows()])})

    def predict_stream(self, record: Mapping[str, object]) -> Iterator[str]:
        """Answer one record piece by piece; the pieces are together what `predict` answers."""
        from tasks.model.stream import stream  # noqa: PLC0415

        known = _given(record)
        return stream(self.model, self.tokenizer, self.prompt(known), self.limit(known), self.contract, self.busy)


def _given(record: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in record.items() if not pd.isna(value)}
