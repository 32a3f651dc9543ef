"""Fine-tuning against the trainers of the field, on one GPU in bf16: `benchmarks/gpu.sh`.

Random weights of Llama-3.2-1B's shape (adapters, and all weights) against TRL's SFTTrainer with packing, and of
FLAN-T5-large's shape (adapters) against Seq2SeqTrainer. Speed does not depend on what weights and tokens
say: neither a model nor data are needed. Token ids are random, as many as the default's training examples have.
TRL has the package flash-attn where it is installed, else the same kernel out of torch; its model is in bf16 under fp32
adapters, as Luthier's matrices. Luthier is as shipped: compiled, with deterministic kernels, every step looked at.
Truth for a device's peak: its maker's data sheet, dense bf16. Operations that are needed: benchmarks/train_limit.py.
"""

import gc
import importlib.util
import multiprocessing
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any

import torch
import transformers
import typer
from torch.nn.attention.varlen import varlen_attn

from benchmarks.gpu_cases import CASES, Case, tokenizer
from benchmarks.train_limit import needed
from benchmarks.train_peers import arguments, by_its_usual_collator, by_sft_trainer, with_adapter
from benchmarks.train_sides import WARM_UP, Run, train
from tasks.model.adapter import prepare
from tasks.model.attention import pack
from tasks.model.compiled import compile_blocks
from tasks.model.distributed import World
from tasks.model.load import use_threads
from tasks.model.loss import ResponseLoss
from tasks.model.settings import Finetune
from tasks.model.setup import Setup
from tasks.params import load

PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}  # FLOP/s, SXM where there are two
TARGET_RATIO, TARGET_SHARE = 1.3, 0.5
PACKED = 2048  # tokens of a row that TRL packs
FLASH = "varlen_by_torch"  # transformers would look for a package by a name with "flash" in it
Measured = tuple[Run, float]  # and the floating-point operations that a token needed; 0: not counted


def flash(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attention_mask: None, *,
    cu_seq_lens_q: torch.Tensor, max_length_q: int, scaling: float | None = None, **_: Any,
) -> tuple[torch.Tensor, None]:  # fmt: skip
    """What transformers makes of flash-attn for a packed row, with torch's own copy of that kernel."""
    q, k, v = (tensor[0].transpose(0, 1).to(torch.bfloat16) for tensor in (query, key, value))
    longest, grouped = max_length_q, query.shape[1] != key.shape[1]
    answer: Any = varlen_attn(
        q, k, v, cu_seq_lens_q, cu_seq_lens_q, longest, longest, scale=scaling, window_size=(-1, 0), enable_gqa=grouped
    )
    return answer[None], None


transformers.AttentionInterface.register(FLASH, flash)


def by_luthier(case: Case) -> Measured:
    """Luthier's run, as `finetune` prepares and trains a model."""
    use_threads(case.params.threads)
    begin()
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


def by_peer(case: Case) -> Measured:
    """TRL's run, packed; for a T5 that of Seq2SeqTrainer, random batches."""
    begin()
    options: dict[str, Any] = {"use_cpu": case.tiny, "bf16": True, "dataloader_pin_memory": not case.tiny}
    half = {"dtype": torch.bfloat16} if case.method == "lora" else {}
    if case.kind == "seq2seq":
        model = with_adapter(case.model(**half), case.params, "SEQ_2_SEQ_LM")
        options = arguments(case.params, "sequential") | options
        return with_peak(by_its_usual_collator(model, tokenizer(), case.examples(), options)), 0.0
    best = "flash_attention_2" if importlib.util.find_spec("flash_attn") else FLASH
    model = case.model(attn_implementation="sdpa" if case.tiny else best, **half)
    rows = max(1, sum(map(len, case.examples())) // case.steps // PACKED)
    options |= {"max_length": PACKED, "packing": True, "packing_strategy": "bfd", "per_device_train_batch_size": rows}
    model = with_adapter(model, case.params) if case.method == "lora" else model.train()
    options = arguments(case.params, "packing") | options
    return with_peak(by_sft_trainer(model, tokenizer(), case.examples(), options)), 0.0


def begin() -> None:
    """Give back what an earlier round of this process held, and look for the peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def with_peak(run: Run) -> Run:
    """Note the GPU's memory."""
    run.peak_gb = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    return run


def alternating(case: Case, rounds: int) -> Iterator[tuple[Measured, Measured]]:
    """Ours, theirs, ours, ...: each side in a process of its own, which imports and compiles once for all rounds."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as ours, ProcessPoolExecutor(1, mp_context=spawn) as theirs:
        for waiting in [side.submit(device_name, case.tiny) for side in (ours, theirs)]:  # both import meanwhile
            waiting.result()
        for _ in range(rounds):
            yield ours.submit(by_luthier, case).result(), theirs.submit(by_peer, case).result()


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
    only: Annotated[list[str] | None, typer.Option(help=f"One of: {'; '.join(CASES)}.")] = None,
    tiny: Annotated[bool, typer.Option(help="Toy shapes on the CPU.")] = False,
) -> None:
    """Print tokens a second of both, their ratio, and the share of the device's peak that was reached."""
    if unknown := set(only or ()) - set(CASES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: --only takes {'; '.join(CASES)}.")
    name = device_name(tiny)
    peak = next((value for key, value in PEAK.items() if key in name), None)
    print(f"{name}; torch {torch.__version__}, transformers {transformers.__version__}")
    params = load("finetune", Finetune)
    sizes = {"batch_size": batch, "max_tokens_at_once": 1 << 17}
    params = params.model_copy(update={"optimizer": params.optimizer.model_copy(update=sizes)})
    for said in only or CASES:
        kind, method = CASES[said]
        case = Case(kind, method, params, steps, tiny)
        pairs = list(alternating(case, rounds))
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
