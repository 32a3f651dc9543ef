"""Section `finetune` of params.yaml."""

from typing import Literal

from tasks.model.adapter import Lora, Method
from tasks.model.distributed import Sharding
from tasks.model.fit import Care
from tasks.model.footprint import Switch
from tasks.model.optimizer import Optimizer
from tasks.params import Section


class Band(Section):
    """The loss that an untouched model may have on the answers (nats a token)."""

    low: float
    high: float


class Finetune(Section):
    """How the base model is trained."""

    method: Method
    """lora, full, or qlora (base weights of 4 bits; needs a CUDA GPU)."""
    private: bool
    """The X-ray shows no text of an example."""
    seed: int
    threads: int
    """CPU threads of each process; 0: all cores. Part of the result: another number changes the last bits."""
    processes: int
    """Of this machine. Ignored where a launcher such as torchrun has started this one."""
    sharding: Sharding
    """none: each process holds the model (DDP); full: a share of its weights (FSDP)."""
    precision: Literal["auto", "fp32", "bf16"]
    """auto: the faster one, measured."""
    gradient_checkpointing: Switch
    """Compute activations again instead of keeping them: less memory, a fifth slower. auto: where they do not fit."""
    compile: Switch
    """torch.compile of the layers; auto: on a GPU, and on a CPU where it saves more than it takes."""
    max_prompt_tokens: int
    """The prompt contract holds it."""
    long_prompts: Literal["refuse", "cut"]
    """A prompt with more tokens stops the step, or loses its middle and is counted."""
    max_new_tokens: dict[str, int]
    """By family: tokens that an answer may have, with the end token; a longer target stops the step."""
    initial_loss: Band
    lora: Lora
    optimizer: Optimizer
    care: Care


FREE = {"processes", "sharding"}  # do not decide the result: a training goes on under others
