"""The peers' trainers on Luthier's token ids: TRL's SFTTrainer, transformers' Seq2SeqTrainer.

They make the same step as Luthier: the same optimizer, rate and clipping, and where order and batches are the same, the
same losses. What costs time for no use is off: gradient checkpointing and bf16 on a CPU, saving, reporting.
Truth: trl 1.16, transformers 5.23. This TRL computes logits a chunk at a time: on a CPU for every position, on a GPU
for those alone that carry loss.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import datasets
import torch
import transformers

from benchmarks.train_sides import Run, Work, random_t5
from tasks.model.batches import IGNORED
from tasks.model.encode import Encoded
from tasks.model.load import load_base, load_tokenizer
from tasks.model.settings import Finetune

Peer = Literal["padded", "padding-free", "packing", "grouped", "sequential"]


class Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """Notes when a step of a `Trainer` ends."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Called by the trainer."""
        self.run.end()


def counted(collate: Callable[..., Any], run: Run) -> Callable[..., Any]:
    """A collator that counts the tokens of what it makes."""

    def collated(examples: list[Any]) -> Any:
        made = collate(examples)
        real, cells = made["input_ids"].numel(), made["input_ids"].numel()
        if "attention_mask" in made:
            real = int(made["attention_mask"].sum())
        if "decoder_input_ids" in made:
            real += int((made["labels"] != IGNORED).sum())
            cells += made["labels"].numel()
        run.tokens.append(real)
        run.cells.append(cells)
        return made

    return collated


def arguments(params: Finetune, how: Peer) -> dict[str, Any]:
    """What every peer's trainer is told: the same step as Luthier's, and nothing that costs time for no use."""
    sampling = "group_by_length" if how == "grouped" else "sequential"
    return {
        "output_dir": "out", "num_train_epochs": 1, "per_device_train_batch_size": params.optimizer.batch_size,
        "learning_rate": params.optimizer.learning_rate, "lr_scheduler_type": "constant", "warmup_steps": 0,
        "weight_decay": params.optimizer.weight_decay, "max_grad_norm": params.optimizer.max_grad_norm,
        "optim": "adamw_torch_fused", "gradient_checkpointing": False, "bf16": False, "use_cpu": True,
        "train_sampling_strategy": sampling, "dataloader_pin_memory": False,
        "logging_steps": 1, "disable_tqdm": True, "report_to": "none", "save_strategy": "no", "seed": params.seed,
    }  # fmt: skip


def use_as_many_threads(params: Finetune) -> None:
    """As Luthier does."""
    torch.set_num_threads(params.threads or os.cpu_count() or 1)


def finished(trainer: Any, run: Run) -> Run:
    """Train to the end, with a clock and counts."""
    trainer.data_collator = counted(trainer.data_collator, run)
    trainer.add_callback(Clock(run))
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    run.losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return run


def by_trl(work: Work, how: Peer) -> Run:
    """The causal model by TRL, at what is fastest for it on a CPU."""
    params = work.params
    options: dict[str, Any] = {"max_length": None, "padding_free": how == "padding-free"}
    if how == "packing":  # about as many tokens a step as the others have
        options = {"max_length": 512, "packing": True, "packing_strategy": "bfd", "per_device_train_batch_size": 1}
    use_as_many_threads(params)
    torch.manual_seed(params.seed)
    model = with_adapter(load_base(work.base), params)
    return by_sft_trainer(model, load_tokenizer(work.base), work.examples, arguments(params, how) | options)


def with_adapter(model: transformers.PreTrainedModel, params: Finetune, task: str = "CAUSAL_LM") -> Any:
    """What a user of peft does: the adapter of `params` on every linear layer, in training mode."""
    import peft  # noqa: PLC0415

    lora = peft.LoraConfig(
        r=params.lora.rank, lora_alpha=params.lora.alpha, lora_dropout=params.lora.dropout, target_modules="all-linear",
        task_type=task,
    )  # fmt: skip
    return peft.get_peft_model(model, lora).train()


def by_sft_trainer(model: Any, tokenizer: Any, examples: Sequence[Encoded], options: dict[str, Any]) -> Run:
    """TRL's SFTTrainer, with loss on the answers alone."""
    import trl  # noqa: PLC0415

    rows = datasets.Dataset.from_list([
        {"input_ids": one.prompt + one.response, "completion_mask": [0] * len(one.prompt) + [1] * len(one.response)}
        for one in examples
    ])  # fmt: skip
    trainer = trl.SFTTrainer(
        model, args=trl.SFTConfig(**options, completion_only_loss=True), train_dataset=rows, processing_class=tokenizer
    )
    return finished(trainer, Run())


def by_seq2seq_trainer(work: Work, how: Peer) -> Run:
    """The T5 by transformers' trainer."""
    use_as_many_threads(work.params)
    model, tokenizer = random_t5(work.params.seed), load_tokenizer(work.base)
    return by_its_usual_collator(model, tokenizer, work.examples, arguments(work.params, how))


def by_its_usual_collator(model: Any, tokenizer: Any, examples: Sequence[Encoded], options: dict[str, Any]) -> Run:
    """Seq2SeqTrainer as its documentation has it."""
    rows = datasets.Dataset.from_list([
        {"input_ids": one.prompt, "attention_mask": [1] * len(one.prompt), "labels": one.response} for one in examples
    ])  # fmt: skip
    trainer = transformers.Seq2SeqTrainer(
        model, transformers.Seq2SeqTrainingArguments(**options), train_dataset=rows,
        data_collator=transformers.DataCollatorForSeq2Seq(tokenizer, model=model),
    )  # fmt: skip
    return finished(trainer, Run())
