"""What a training will take in all, from what was tried of it, and whether there is that much."""

from dataclasses import dataclass
from pathlib import Path

from tasks.data.files import free_bytes
from tasks.model.footprint import COPIES, FLOAT, ROOM, disk_bytes
from tasks.model.settings import Finetune
from tasks.model.trial import Trial

MLFLOW_S, MLFLOW_BYTES = 8.0, 150_000_000  # what it takes to import and to open its store


@dataclass(frozen=True)
class Estimate:
    """What it will take, and whether there is that much."""

    seconds: float
    peak_bytes: int
    """Of memory: this machine's, or the GPU's."""
    memory_bytes: int
    """What there is for it: held by the model already, or free."""
    disk_bytes: int
    """Checkpoints, best weights and the model."""
    disk_free: int
    fits: bool
    verdict: str
    trial: Trial


def judged(params: Finetune, trial: Trial, bytes_a_second: float) -> Estimate:
    """Add up what was measured, and judge it by what there is."""
    size, on_gpu = trial.trained * FLOAT, trial.device.startswith("cuda")
    looks = 1 + -(-trial.steps // params.care.look_every)
    saves = trial.steps // params.care.save_every + 1
    fixed = trial.start_s + MLFLOW_S
    seconds = fixed + trial.train_s + looks * trial.look_s + saves * COPIES * size / bytes_a_second
    most = max(trial.activation_bytes + trial.logit_bytes, trial.dev_bytes, 0 if on_gpu else COPIES * size)
    more = trial.update_bytes + most + (0 if on_gpu else MLFLOW_BYTES)
    disk, free = disk_bytes(trial.trained, params.care.keep), free_bytes(Path.cwd())
    fits, verdict = verdict_of(params, trial, more, most, disk, free)
    return Estimate(
        seconds, trial.held_bytes + more, trial.held_bytes + trial.free_bytes, disk, free, fits, verdict, trial
    )


def verdict_of(params: Finetune, trial: Trial, more: int, most: int, disk: int, disk_free: int) -> tuple[bool, str]:
    """Whether it fits, and what to do where not."""
    room = ROOM * trial.free_bytes
    if disk > disk_free:
        return False, (
            f"will not fit: checkpoints and model take {disk / 1e9:.1f} GB and the disk has {disk_free / 1e9:.1f} GB "
            "free. Make room (e.g. 'dvc gc -w'), or lower finetune.care.keep."
        )
    if more <= room:
        again = "computed again" in trial.why
        return True, "fits with gradient checkpointing" if again else "fits"
    short = f"will not fit: {more / 1e9:.1f} GB more are needed and {trial.free_bytes / 1e9:.1f} GB are free."
    a_token = most / trial.largest_part
    tokens = int((room - (more - most)) / a_token)
    if "computed again" not in trial.why and "may not fit" not in trial.why:
        return False, f"{short} Set finetune.gradient_checkpointing: always."
    if tokens >= params.max_prompt_tokens + max(params.max_new_tokens.values()):
        return False, f"{short} Set finetune.optimizer.max_tokens_at_once: {tokens}."
    if params.method == "full":
        return False, f"{short} Set finetune.method: lora."
    return False, f"{short} Lower finetune.max_prompt_tokens, or choose a smaller fetch.model."
