"""Token ids of a split, made once: kept by content under `.luthier/encoded`, memory-mapped, checked before use."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import datasets
import pyarrow.compute as pc

from tasks.data.files import Row, read_rows, remove, sha256_of, staged
from tasks.errors import LuthierError, TrainingError
from tasks.model.encode import Encoded, Tokenizer, encode_example
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract, limit_of

KEPT = Path(".luthier/encoded")
TOKENIZER = ("tokenizer*", "special_tokens*", "chat_template*", "vocab*", "merges*", "*.model")  # its files
COLUMNS = datasets.Features({name: datasets.List(datasets.Value("int32")) for name in ("prompt", "response")})


class Instructions(Sequence[Encoded]):
    """Encoded examples, memory-mapped (a `datasets.Dataset` with the columns prompt and response, int32)."""

    def __init__(self, rows: datasets.Dataset) -> None:
        self.rows = rows

    def __len__(self) -> int:
        """How many examples."""
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each."""
        columns = [pc.list_value_length(self.rows.data.column(name)) for name in ("prompt", "response")]
        return [int(length) for length in pc.add(*columns).to_numpy()]

    def __getitem__(self, index: int) -> Encoded:  # type: ignore[override]  # a slice has no use here
        """One example."""
        return Encoded(**self.rows[index])


def lengths_of(examples: Sequence[Encoded]) -> list[int]:
    """Tokens of each example."""
    return examples.lengths if isinstance(examples, Instructions) else [len(example) for example in examples]


def encode_split(path: Path, base: Path, tokenizer: Tokenizer, contract: Contract, folder: Path = KEPT) -> Instructions:
    """The token ids of one split's examples, from `folder` where they were made before.

    Args:
        path: JSON lines with id, family, input and target.
        base: the base model's folder.
        tokenizer: its tokenizer.
        contract: how it is used.
        folder: where token ids are kept, each under a key of all that decides them.

    Raises:
        TrainingError: an answer is empty or longer than may be generated, or a prompt is too long.
        ContractError: a family has no limit.
    """
    kept = folder / _key(path, base, contract)
    record = kept.with_suffix(".sha256")
    if not (kept.is_dir() and record.is_file() and record.read_text() == sha256_of(kept)):
        record.unlink(missing_ok=True)
        with staged(kept) as partial:
            encode_examples(read_rows(path), tokenizer, contract).save_to_disk(partial)
        record.write_text(sha256_of(kept))
    return Instructions(datasets.load_from_disk(kept))


def forget_others(used: Iterable[Path], base: Path, contract: Contract, folder: Path = KEPT) -> None:
    """Remove all kept token ids but those of the splits in `used`."""
    keys = {_key(path, base, contract) for path in used}
    for other in sorted(folder.iterdir()):
        if other.stem not in keys:
            remove(other)


def encode_examples(rows: Iterable[Row], tokenizer: Tokenizer, contract: Contract) -> datasets.Dataset:
    """Encode {id, family, input, target} rows one after another: the ids go to disk and are read from there."""

    def encoded() -> Iterator[dict[str, Any]]:
        for row in rows:
            try:
                example = encode_example(tokenizer, row["input"], row["target"], contract)
            except TrainingError as error:
                raise TrainingError(f"example {row['id']}: {error}") from None
            _check(row, example, contract)
            yield asdict(example)

    with tempfile.TemporaryDirectory() as cache:  # the map stays readable after its file is unlinked
        try:
            return datasets.Dataset.from_generator(encoded, features=COLUMNS, cache_dir=cache)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, LuthierError):  # ours, said in one sentence
                raise error.__cause__ from None
            raise


def _check(row: Row, example: Encoded, contract: Contract) -> None:
    limit = limit_of(row["family"], contract)
    if not 1 < len(example.response) <= limit:
        raise TrainingError(
            f"example {row['id']}: its answer has {len(example.response)} tokens with the end token; allowed are "
            f"2 to finetune.max_new_tokens.{row['family']} = {limit}. Raise that, "
            "or quarantine such rows in validate."
        )


def _key(path: Path, base: Path, contract: Contract) -> str:
    tokenizer = sorted(file for pattern in TOKENIZER for file in base.glob(pattern))
    parts = {
        "examples": sha256_of(path),
        "contract": prompt_contract.digest(contract),
        "tokenizer": [sha256_of(file) for file in tokenizer],
        "versions": [version("transformers"), version("tokenizers"), version("datasets")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]
