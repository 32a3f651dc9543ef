"""What `benchmarks.gpu` trains: random weights of known models' shapes, random token ids of the default's lengths."""

import random
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tasks.model.adapter import Method
from tasks.model.batches import Kind, order
from tasks.model.encode import Encoded
from tasks.model.settings import Finetune

LENGTHS = [  # (prompt, answer) in tokens: every fourth of the default's training examples
    (278, 26), (268, 23), (140, 23), (249, 27), (313, 31), (299, 24), (292, 31), (215, 27), (271, 30), (270, 35),
    (143, 28), (85, 17), (116, 19), (226, 31), (230, 30), (245, 28), (122, 24), (222, 27), (120, 17), (309, 28),
    (129, 28), (154, 31), (226, 25), (110, 27), (255, 26), (126, 47), (212, 24), (141, 34), (120, 18), (62, 5),
    (108, 12), (95, 11), (88, 4), (130, 47), (117, 5), (84, 6), (160, 48), (135, 63), (75, 3), (112, 11), (118, 5),
    (256, 2), (266, 5), (208, 4), (188, 7), (167, 4), (271, 5), (315, 2), (211, 4), (75, 4), (85, 5), (72, 4),
    (75, 4), (77, 6), (96, 4), (90, 4), (74, 5), (84, 5), (88, 5), (78, 4), (117, 4), (82, 5), (87, 4), (82, 4),
    (73, 4), (82, 5), (80, 5), (103, 4),
]  # fmt: skip
CASES: dict[str, tuple[Kind, Method]] = {
    "Llama 1B, adapters": ("causal", "lora"),
    "Llama 1B, all weights": ("causal", "full"),
    "T5 large, adapters": ("seq2seq", "lora"),
}


@dataclass(frozen=True)
class Case:
    """One model, and what it is trained on."""

    kind: Kind
    method: Method
    params: Finetune
    steps: int
    tiny: bool
    """A toy's shape, on the CPU: to see that this runs."""

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return torch.device("cpu" if self.tiny else "cuda")

    def examples(self, grouped: bool = False) -> list[Encoded]:
        """Random ids, in random batches or in batches of similar length."""
        size, draw = self.params.optimizer.batch_size, random.Random(self.params.seed)  # noqa: S311
        lengths = [LENGTHS[at % len(LENGTHS)] for at in range(size * self.steps)]
        batches = order([sum(pair) for pair in lengths], size, self.params.seed, grouped)
        return [
            Encoded(*(draw.choices(range(3, 500), k=count) for count in lengths[at]))
            for batch in batches
            for at in batch
        ]

    def model(self, **options: Any) -> Any:
        """Random weights on the device."""
        torch.manual_seed(self.params.seed)
        config: Any = t5(self.tiny) if self.kind == "seq2seq" else llama(self.tiny)
        auto = transformers.AutoModelForSeq2SeqLM if self.kind == "seq2seq" else transformers.AutoModelForCausalLM
        with self.device:
            return auto.from_config(config, **options).eval()


def llama(tiny: bool) -> transformers.LlamaConfig:
    """Llama-3.2-1B's shape."""
    if tiny:
        return transformers.LlamaConfig(
            vocab_size=512, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, pad_token_id=0, eos_token_id=1,
        )  # fmt: skip
    return transformers.LlamaConfig(
        vocab_size=128_256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
        num_key_value_heads=8, head_dim=64, max_position_embeddings=131_072, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=1,
    )  # fmt: skip


def t5(tiny: bool) -> transformers.T5Config:
    """FLAN-T5-large's shape."""
    width, inner, layers, heads = (32, 64, 2, 4) if tiny else (1024, 2816, 24, 16)
    return transformers.T5Config(
        vocab_size=512 if tiny else 32_128, d_model=width, d_kv=8 if tiny else 64, d_ff=inner, num_layers=layers,
        num_heads=heads, dropout_rate=0.0, feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip


def tokenizer() -> transformers.PreTrainedTokenizerFast:
    """What the trainers ask for a pad token."""
    words = Tokenizer(WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>"))  # noqa: S106
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")  # noqa: S106
