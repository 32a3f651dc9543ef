"""Fine-tuning against the trainers of the field, on one GPU in bf16: `benchmarks/gpu.sh`.

Random weights of Llama-3.2-1B's shape (adapters, and all weights) against TRL's SFTTrainer with packing, and of
FLAN-T5-large's shape (adapters) against Seq2SeqTrainer. Speed does not depend on what weights and tokens
say: neither a model nor data are needed. Token ids are random, as many as the default's training examples have.
TRL has flash attention where it can be imported, else torch's; its model is in bf16 under fp32 adapters, as Luthier's.
Truth for a device's peak: its maker's data sheet, dense bf16. Operations that are needed: benchmarks/train_limit.py.
"""

import importlib.util
import random
import statistics
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import transformers
import typer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from benchmarks.measure import in_own_process
from benchmarks.train_limit import needed
from benchmarks.train_peers import arguments, by_its_usual_collator, by_sft_trainer, with_adapter
from benchmarks.train_sides import WARM_UP, Run, train
from tasks.model.adapter import Method, prepare
from tasks.model.attention import pack
from tasks.model.batches import Kind, order
from tasks.model.compiled import compile_blocks
from tasks.model.distributed import World
from tasks.model.encode import Encoded
from tasks.model.loss import ResponseLoss
from tasks.model.settings import Finetune
from tasks.model.setup import Setup
from tasks.params import load

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}  # FLOP/s, SXM where there are two
TARGET_RATIO, TARGET_SHARE = 1.3, 0.5
LENGTHS = [  # (prompt, answer) in tokens: every fourth of the default's training examples
    (278, 26), (268, 23), (140, 23), (249, 27), (313, 31), (299, 24), (292, 31), (215, 27), (271, 30), (270, 35),
    (143, 28), (85, 17), (116, 19), (226, 31), (230, 30), (245, 28), (122, 24), (222, 27), (120, 17), (309, 28),
    (129, 28), (154, 31), (226, 25), (110, 27), (255, 26), (126, 47), (212, 24), (141, 34), (120, 18), (62, 5),
    (108, 12), (95, 11), (88, 4), (130, 47), (117, 5), (84, 6), (160, 48), (135, 63), (75, 3), (112, 11), (118, 5),
    (256, 2), (266, 5), (208, 4), (188, 7), (167, 4), (271, 5), (315, 2), (211, 4), (75, 4), (85, 5), (72, 4),
    (75, 4), (77, 6), (96, 4), (90, 4), (74, 5), (84, 5), (88, 5), (78, 4), (117, 4), (82, 5), (87, 4), (82, 4),
    (73, 4), (82, 5), (80, 5), (103, 4),
]  # fmt: skip
PACKED = 2048  # tokens of a row that TRL packs
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


def by_luthier(case: Case) -> tuple[Run, float]:
    """Luthier's run, and the floating-point operations that it needed a token (0: not counted)."""
    examples, size, model = (
        case.examples(grouped=case.kind == "seq2seq"),
        case.params.optimizer.batch_size,
        case.model(),
    )
    batches = [examples[at : at + size] for at in range(0, len(examples), size)]
    packed = pack(model, batches[0][:3], 0)
    model = prepare(model, case.method, case.params.lora, "bf16").train()
    alone = World(0, 1, case.device)
    setup = Setup(ResponseLoss(model), case.kind, packed, 0, case.params.seed, "bf16", alone, case.params.optimizer)
    compile_blocks(case.params.compile, setup, batches[0][:3], float("inf"))
    run = with_peak(train(setup, batches))
    flops = needed(model, examples) / sum(run.tokens) if case.kind == "causal" else 0.0
    return run, flops


def by_peer(case: Case) -> tuple[Run, float]:
    """TRL's run, packed; for a T5 that of Seq2SeqTrainer, random batches."""
    options = {"use_cpu": case.tiny, "bf16": True, "dataloader_pin_memory": not case.tiny}
    half = {"dtype": torch.bfloat16} if case.method == "lora" else {}
    if case.kind == "seq2seq":
        model = with_adapter(case.model(**half), case.params, "SEQ_2_SEQ_LM")
        options = arguments(case.params, "sequential") | options
        return with_peak(by_its_usual_collator(model, tokenizer(), case.examples(), options)), 0.0
    flash = not case.tiny and importlib.util.find_spec("flash_attn") is not None
    model = case.model(attn_implementation="flash_attention_2" if flash else "sdpa", **half)
    rows = max(1, sum(map(len, case.examples())) // case.steps // PACKED)
    options |= {"max_length": PACKED, "packing": True, "packing_strategy": "bfd", "per_device_train_batch_size": rows}
    model = with_adapter(model, case.params) if case.method == "lora" else model.train()
    options = arguments(case.params, "packing") | options
    return with_peak(by_sft_trainer(model, tokenizer(), case.examples(), options)), 0.0


def with_peak(run: Run) -> Run:
    """Note the GPU's memory."""
    run.peak_gb = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    return run


def device_name(tiny: bool) -> str:
    """The GPU's; refuses where there is none."""
    if tiny:
        return "CPU, toy shapes: no measurement"
    if not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/gpu.sh needs a CUDA GPU, and torch sees none here; --tiny shows on a CPU that it runs."
        )
    return str(torch.cuda.get_device_name())


def main(
    steps: Annotated[int, typer.Option(help=f"Steps of a run; the first {WARM_UP} are not counted.")] = 12,
    rounds: Annotated[int, typer.Option(help="Alternating rounds.")] = 3,
    batch: Annotated[int, typer.Option(help="Examples a step.")] = 64,
    tiny: Annotated[bool, typer.Option(help="Toy shapes on the CPU.")] = False,
) -> None:
    """Print tokens a second of both, their ratio, and the share of the device's peak that was reached."""
    name = device_name(tiny)
    peak = next((value for key, value in PEAK.items() if key in name), None)
    print(f"{name}; torch {torch.__version__}, transformers {transformers.__version__}")
    params = load("finetune", Finetune)
    sizes = {"batch_size": batch, "max_tokens_at_once": 1 << 17}
    params = params.model_copy(update={"optimizer": params.optimizer.model_copy(update=sizes)})
    for said, (kind, method) in CASES.items():
        case = Case(kind, method, params, steps, tiny)
        pairs = [(in_own_process(by_luthier, case), in_own_process(by_peer, case)) for _ in range(rounds)]
        ours, theirs = (statistics.median(pair[side][0].rate for pair in pairs) for side in (0, 1))
        memory = [max(pair[side][0].peak_gb for pair in pairs) for side in (0, 1)]
        ratios = [one.rate / other.rate for (one, _), (other, _) in pairs]
        print(f"{said}: Luthier {ours:,.0f} tokens/s, {memory[0]:.1f} GB; peer {theirs:,.0f}, {memory[1]:.1f} GB")
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  ratio {statistics.median(ratios):.2f} {spread}, target {TARGET_RATIO}")
        if (flops := pairs[0][0][1]) and peak:
            share = f"{flops * ours / peak:.0%} of the device's peak, target {TARGET_SHARE:.0%}"
            print(f"  {flops * ours / 1e12:,.0f} TFLOP/s that the tokens need: {share}")


if __name__ == "__main__":
    typer.run(main)
