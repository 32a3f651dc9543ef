"""The transformers Trainer on the same model and data, as its documentation has it: what the faults do to it today."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file

from tasks.data.files import read_rows, sha256_of

if TYPE_CHECKING:
    from tests.faults.strike import Taps
    from tests.faults.warm import Ended

OUTPUT = "stock"


def train(taps: "Taps") -> int:
    """Train, from the newest checkpoint on where there is one. STOCK in the environment changes arguments (JSON)."""
    import torch  # noqa: PLC0415
    import transformers  # noqa: PLC0415
    from transformers.trainer_utils import get_last_checkpoint  # noqa: PLC0415

    torch.set_num_threads(1)
    tokenizer = transformers.AutoTokenizer.from_pretrained("base")
    model = transformers.AutoModelForCausalLM.from_pretrained("base")
    changes = {"save_steps": 3, "learning_rate": 1e-2, "num_train_epochs": 2, **json.loads(os.getenv("STOCK", "{}"))}
    arguments = transformers.TrainingArguments(
        OUTPUT, per_device_train_batch_size=4, logging_steps=2, report_to="none", use_cpu=True, seed=3,
        disable_tqdm=True, **changes,
    )  # fmt: skip
    rows = [_encoded(tokenizer, row) for row in read_rows(Path("examples/train.jsonl"))]
    collator = transformers.DataCollatorForSeq2Seq(tokenizer, padding=True)
    trainer = transformers.Trainer(model, arguments, train_dataset=rows, data_collator=collator)  # type: ignore[arg-type]
    trainer.add_callback(_events(taps, model))
    for name in ("save_model", "_save_optimizer_and_scheduler", "_save_rng_state"):
        setattr(trainer, name, _telling(getattr(trainer, name), name, taps))
    last = get_last_checkpoint(OUTPUT) if Path(OUTPUT).is_dir() else None
    print(f"goes on from {last}", flush=True)
    trainer.train(resume_from_checkpoint=last)
    trainer.save_model(f"{OUTPUT}/final")
    print(f"ended with loss {trainer.state.log_history[-1]['train_loss']}", flush=True)
    return 0


def _encoded(tokenizer: Any, row: dict[str, str]) -> dict[str, list[int]]:
    prompt = tokenizer(row["input"])["input_ids"]
    answer = [*tokenizer(row["target"])["input_ids"], tokenizer.eos_token_id]
    return {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


def _events(taps: "Taps", model: Any) -> Any:
    import transformers  # noqa: PLC0415

    class Events(transformers.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            taps.event(f"begin step {state.global_step + 1}", model)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            taps.event(f"end step {state.global_step}")

    return Events()


def _telling(call: Any, name: str, taps: "Taps") -> Any:
    def told(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        taps.event(f"done {name}")
        return result

    return told


def came_to(folder: Path, ended: "Ended", expected: str) -> str:
    """How it ended, in a few words.

    Args:
        folder: of the project.
        ended: its last attempt.
        expected: sha256 of what it comes to where nothing disturbs it.
    """
    if ended.status:
        return f"exit {ended.status}: {ended.last[:90]}"
    if not (folder / OUTPUT / "final").is_dir():
        return "exit 0, no model"
    if any(not np.isfinite(tensor).all() for tensor in load_file(folder / OUTPUT / "final/model.safetensors").values()):
        same = "weights that are no numbers"
    else:
        same = "identical weights" if weights(folder) == expected else "other weights"
    loss = next((line for line in ended.said.splitlines() if line.startswith("ended with")), "")
    return f"exit 0, {same}, {loss}"


def weights(folder: Path) -> str:
    """Sha256 of the model that it ended with."""
    return sha256_of(folder / OUTPUT / "final/model.safetensors")
