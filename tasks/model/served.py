"""The model that MLflow serves: a raw record in, the answer out.

    mlflow.pyfunc.load_model("models:/luthier@champion").predict([{"family": "summarise", "document": "..."}])

It prompts as training and predict do, with the same code, and refuses to load where the prompt contract
beside the weights does not hold. No mlflow here: it calls `_load_pyfunc` with what `assemble` wrote.
Truth: mlflow 3.17, `mlflow/pyfunc/__init__.py`, "loader_module".
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from tasks.data.files import link_or_copy, read_json, write_json
from tasks.errors import DataError
from tasks.prompts import contract
from tasks.prompts.templates import load_family, render

CONSTANTS = "constants.json"
BATCH = 8  # records answered at once


Constants = Mapping[str, Mapping[str, str]]  # family -> the fields that are the same for every record


def assemble(folder: Path, base: Path | None, tuned: Path, constants: Constants) -> None:
    """Put what the served model needs into `folder`, linked where the disk allows it.

    Args:
        folder: does not exist yet.
        base: base model, or None where the tuned weights are full ones.
        tuned: adapter or full weights, tokenizer and prompt contract.
        constants: of each family that the model was trained on.
    """
    shutil.copytree(tuned, folder / "tuned", copy_function=_link)
    if base is not None:
        shutil.copytree(base, folder / "base", copy_function=_link)
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
    """A loaded model that answers tables of records."""

    def __init__(self, folder: Path) -> None:
        # Seconds to import, and register, which only calls assemble, has no use for them.
        from tasks.model import encode, load  # noqa: PLC0415

        tuned = folder / "tuned"
        self.constants = read_json(folder / CONSTANTS)
        self.tokenizer = load.load_tokenizer(tuned)
        self.model = load.load_tuned(folder / "base", tuned)
        self.contract = contract.read(tuned)
        now = encode.contract_of(
            self.tokenizer,
            load.architecture(self.model),
            self.contract.max_prompt_tokens,
            self.contract.max_new_tokens,
            self.contract.long_prompts,
        )
        contract.require_equal(self.contract, now)

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Answer each row; a cell that is empty counts as not given.

        Returns:
            One text column, `output`, in the order of the rows.
        """
        from tasks.model import encode, generate  # noqa: PLC0415

        rows = (row.dropna() for _, row in model_input.iterrows())
        records = [{str(key): str(value) for key, value in row.items()} for row in rows]
        texts = [instruction(record, self.constants) for record in records]
        prompts = [encode.encode_prompt(self.tokenizer, text, self.contract) for text in texts]
        longest = max(self.contract.max_new_tokens.values())  # a bare prompt names no family
        limits = [self.contract.max_new_tokens.get(record.get("family", ""), longest) for record in records]
        answers = generate.generate(self.model, self.tokenizer, prompts, limits, self.contract, BATCH)
        return pd.DataFrame({"output": [answer.text for answer in answers]})


def _load_pyfunc(data_path: str) -> Served:
    """What MLflow calls."""
    return Served(Path(data_path))
