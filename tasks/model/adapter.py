"""Which weights are trained, and how they are written: an adapter's (LoRA, arXiv 2106.09685), or all."""

import warnings
from pathlib import Path
from typing import Literal

import peft
import torch

from tasks.model.encode import Tokenizer
from tasks.model.load import Model, architecture
from tasks.model.precision import Precision
from tasks.params import Section
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract

Method = Literal["lora", "full", "qlora"]


class Lora(Section):
    """The adapter on every linear layer."""

    rank: int
    alpha: int
    """The adapter's output is scaled by alpha / rank."""
    dropout: float
    """0 to 1."""


def prepare(model: Model, method: Method, lora: Lora, precision: Precision) -> Model:
    """Say which weights are trained: an adapter's, or all. The others are frozen.

    In bf16, frozen matrices are held in bf16: autocast would turn them into that at every step.
    """
    if method == "full":
        return model
    if method == "qlora":
        model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    task = "SEQ_2_SEQ_LM" if architecture(model) == "seq2seq" else "CAUSAL_LM"
    config = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear", task_type=task
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        adapted = peft.get_peft_model(model, config)
    if precision == "bf16" and method == "lora":
        for module in adapted.modules():
            if type(module) is torch.nn.Linear and not module.weight.requires_grad:
                module.to(torch.bfloat16)
    return adapted


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
