"""4 finetune: instructions -> the tuned model, its prompt contract, the training run.

Input: train and dev examples, models/base, section `finetune` of params.yaml. Output: models/tuned (an adapter, or
full weights; always with tokenizer and prompt contract), reports/training.jsonl (values by step, no clocks) and
models/training_run.json (the MLflow run). Only response tokens carry loss. MLflow is asked before anything is spent.

    python -m tasks.finetune data/examples models/base models/tuned reports/training.jsonl models/training_run.json
"""

from pathlib import Path
from typing import Literal

import peft
import torch

from tasks import tracking
from tasks.data.files import Row, read_json, read_rows, sha256_of, staged, write_json, write_rows
from tasks.errors import ParamsError, TrainingError
from tasks.model.encode import Instructions, Tokenizer, contract_of, encode_examples
from tasks.model.fit import Log, Optimizer, fit
from tasks.model.load import Model, architecture, context_length, device, load_base, load_tokenizer, use_threads
from tasks.params import Section, load
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract, limit_of
from tasks.step import run


class Lora(Section):
    """The adapter (LoRA, arXiv 2106.09685)."""

    rank: int
    alpha: int
    """The adapter's output is scaled by alpha / rank."""
    dropout: float
    """0 to 1."""


class Finetune(Section):
    """How the base model is trained."""

    method: Literal["lora", "full"]
    seed: int
    threads: int
    """CPU threads; 0: all cores. Part of the result: another number changes the last bits."""
    max_prompt_tokens: int
    """A longer prompt stops the step; the prompt contract holds it."""
    max_new_tokens: dict[str, int]
    """By family: tokens that an answer may have, with the end token; a longer target stops the step."""
    lora: Lora
    optimizer: Optimizer


def encode_split(path: Path, tokenizer: Tokenizer, contract: Contract) -> Instructions:
    """Encode one split's examples and refuse those that training would get wrong.

    Raises:
        TrainingError: an answer is empty or longer than may be generated, or an id is outside the vocabulary.
    """
    rows = read_rows(path)
    encoded = encode_examples(rows, tokenizer, contract)
    for row, example in zip(rows, encoded, strict=True):
        limit = limit_of(row["family"], contract)
        if not 1 < len(example.response) <= limit:
            raise TrainingError(
                f"example {row['id']}: its answer has {len(example.response)} tokens with the end token; allowed are "
                f"2 to finetune.max_new_tokens.{row['family']} = {limit}. Raise that, "
                "or quarantine such rows in validate."
            )
        if max(example.prompt + example.response) >= contract.vocabulary:
            raise TrainingError(f"example {row['id']} has a token id outside the vocabulary of {contract.vocabulary}.")
    return encoded


def prepare(model: Model, params: Finetune) -> Model:
    """Say which weights are trained: an adapter's, or all."""
    if params.method == "full":
        return model
    task = "SEQ_2_SEQ_LM" if architecture(model) == "seq2seq" else "CAUSAL_LM"
    config = peft.LoraConfig(
        r=params.lora.rank, lora_alpha=params.lora.alpha, lora_dropout=params.lora.dropout,
        target_modules="all-linear", task_type=task,
    )  # fmt: skip
    return peft.get_peft_model(model, config)


def check_context(model: Model, params: Finetune) -> None:
    """Refuse lengths that the model's positions do not reach."""
    longest = params.max_prompt_tokens + max(params.max_new_tokens.values())
    if (context := context_length(model)) and longest > context:
        raise ParamsError(
            f"params.yaml: finetune.max_prompt_tokens + the largest max_new_tokens = {longest}, "
            f"but the base model reads {context} tokens."
        )


def save(model: Model, tokenizer: Tokenizer, contract: Contract, folder: Path) -> None:
    """Write weights, tokenizer and prompt contract: the same model gives the same bytes."""
    for config in getattr(model, "peft_config", {}).values():
        config.target_modules = sorted(config.target_modules)  # a set: its order changes from process to process
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty model card
    prompt_contract.write(contract, folder)
    for file in folder.iterdir():
        file.chmod(0o644)  # safetensors writes 0600, which another user's serving process cannot read


def main(examples: Path, base: Path, tuned: Path, training_log: Path, training_run: Path) -> None:
    """Fine-tune the base model on the instruction set."""
    params = load("finetune", Finetune)
    tracking.check()
    use_threads(params.threads)
    torch.manual_seed(params.seed)
    tokenizer, model = load_tokenizer(base), load_base(base)
    check_context(model, params)
    contract = contract_of(tokenizer, architecture(model), params.max_prompt_tokens, params.max_new_tokens)
    train, dev = (encode_split(examples / f"{split}.jsonl", tokenizer, contract) for split in ("train", "dev"))
    model = prepare(model, params).to(device()).train()
    rows: list[Row] = []
    digests = {
        "examples_sha256": sha256_of(examples),
        "base_weights_sha256": read_json(base / "source.json")["weights_sha256"],
    }
    with tracking.start_run("finetune", {**params.model_dump(), **digests}, digests) as tracked:
        result = fit(
            model, train, dev, params.optimizer, params.seed, contract.pad_token_id, _log_to(rows, tracked.log)
        )
        with staged(tuned) as folder:
            save(model, tokenizer, contract, folder)
        write_rows(training_log, rows)
        write_json(training_run, {"run_id": tracked.run_id, "tracking_uri": tracking.uri(), **result})
    print(
        f"dev loss {result['dev_loss_before']:.3f} -> {result['dev_loss_after']:.3f}; "
        f"weights sha256 {sha256_of(tuned)[:12]}"
    )


def _log_to(rows: list[Row], track: Log) -> Log:
    def log(values: dict[str, float], step: int) -> None:
        rows.append({"step": step, **values})
        track(values, step)

    return log


if __name__ == "__main__":
    run(main)
