"""Models from their folders: base, adapter on base, or full weights; causal and seq2seq alike. Safetensors only."""

import importlib.util
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias

import peft
import torch
import transformers

from tasks.data.files import read_json
from tasks.devices import devices
from tasks.errors import DeviceError, ParamsError, SourceError, TrainingError
from tasks.memory import keep_memory
from tasks.model.encode import Tokenizer

Model: TypeAlias = transformers.PreTrainedModel


def device() -> torch.device:
    """The GPU where there is one, else the CPU.

    Raises:
        DeviceError: there is one, and it does not answer: a CPU in its stead would take days, and other last bits.
    """
    there = torch.cuda.is_available()
    if torch.version.cuda is not None and not there and not devices()[0].startswith("cpu"):
        raise DeviceError(
            f"the GPU {devices()[0]} of this machine does not answer: see nvidia-smi. To use the CPU nevertheless, "
            "export CUDA_VISIBLE_DEVICES= (empty)."
        )
    return torch.device("cuda" if there else "cpu")


def use_threads(count: int) -> None:
    """Fix what decides the last bits of a result on a CPU: the number of threads, and deterministic kernels.

    Args:
        count: CPU threads; 0 takes all cores.
    """
    keep_memory()
    torch.set_num_threads(count or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a safety net that costs time; nothing here reads such memory


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in `folder`.

    Raises:
        SourceError: there is none.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        # Added tokens are markers too (<think>), whether or not they are declared special; runs of spaces are not.
        tokenizer.chat_control_tokens = sorted(token for token in tokenizer.get_added_vocab() if token.strip())
        return tokenizer
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder} holds no tokenizer ({' '.join(str(error).split())[:120]}): run fetch.") from None


def load_base(folder: Path, four_bit: bool = False) -> Model:
    """The model in `folder`, fp32, on the CPU, in evaluation mode.

    Args:
        folder: config and safetensors.
        four_bit: load it onto the GPU with weights of 4 bits (NF4, arXiv 2305.14314), to train an adapter on.

    Raises:
        SourceError: the folder holds no model in safetensors.
        ParamsError: 4 bits are asked for where there is no GPU, or no bitsandbytes.
    """
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if four_bit:
        options |= _four_bit()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **options)
        auto = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
        model = auto.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{folder} holds no model that can be loaded ({' '.join(str(error).split())[:160]})."
        ) from None
    return model.eval()


def _four_bit() -> dict[str, Any]:
    if not torch.cuda.is_available():
        raise ParamsError("finetune.method = qlora needs a CUDA GPU, and this machine has none: use lora.")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ParamsError(
            "finetune.method = qlora needs the package bitsandbytes: pip install bitsandbytes, or use lora."
        )
    config = transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
    return {"quantization_config": config, "device_map": {"": device()}}


def load_tuned(base: Path, tuned: Path) -> Model:
    """The tuned model: its own full weights, or its adapter merged into the base model."""
    if not (tuned / "adapter_config.json").is_file():
        return load_base(tuned)
    return peft.PeftModel.from_pretrained(load_base(base), tuned).merge_and_unload(safe_merge=True).eval()


def require_finite(model: Model, whose: str) -> None:
    """Refuse a model whose answers would be chance.

    Raises:
        TrainingError: naming the first weight that is NaN or infinite.
    """
    for name, weights in model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            raise TrainingError(f"{whose}: '{name}' holds what is no number (NaN or infinite); train it again.")


def architecture_in(folder: Path) -> Literal["causal", "seq2seq"]:
    """The architecture of the model in `folder`, without loading it."""
    return "seq2seq" if read_json(folder / "config.json").get("is_encoder_decoder") else "causal"


def architecture(model: Model) -> Literal["causal", "seq2seq"]:
    """Either causal (Llama, Falcon, SmolLM) or seq2seq (T5)."""
    return "seq2seq" if model.config.is_encoder_decoder else "causal"


def context_length(model: Model) -> int | None:
    """Tokens that the model's positions reach, or None where they are relative (T5)."""
    return getattr(model.config, "max_position_embeddings", None)
