"""A training that could begin: encoded examples, the model with what is trained of it, the processes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.data.files import Row
from tasks.errors import ParamsError
from tasks.model.adapter import prepare
from tasks.model.attention import pack
from tasks.model.batches import Batch, collate
from tasks.model.compiled import compile_blocks
from tasks.model.distributed import World
from tasks.model.encode import Encoded, Tokenizer, contract_of
from tasks.model.encoded import Instructions, encode_split, forget_others, lengths_of
from tasks.model.footprint import keep_or_not, largest_part
from tasks.model.load import Model, architecture_in, context_length, load_base, load_tokenizer
from tasks.model.loss import ResponseLoss
from tasks.model.precision import choose
from tasks.model.settings import Finetune
from tasks.model.setup import Setup, mean_loss
from tasks.model.xray.examine import XRay, check_initial_loss, require_sound, xray
from tasks.model.xray.judge import Limits
from tasks.prompts.contract import Contract


@dataclass(frozen=True)
class Prepared:
    """What a training needs, before it is spread over processes."""

    tokenizer: Tokenizer
    contract: Contract
    train: Instructions
    dev: Instructions
    model: Model
    """With an adapter, unless all weights are trained."""
    setup: Setup
    """Of this process alone."""
    compiled: bool
    why: str
    """Why it has this precision, what is done about memory, and whether it is compiled."""


def prepared(params: Finetune, examples: Path, base: Path, world: World) -> Prepared:
    """Encode the examples and load the model.

    Args:
        params: how it is trained.
        examples: the folder of train.jsonl and dev.jsonl.
        base: the base model's folder.
        world: the processes.

    Raises:
        TrainingError: an example is not as it has to be.
        ParamsError: lengths or method do not fit the model or the machine.
    """
    tokenizer = load_tokenizer(base)
    kind = architecture_in(base)
    contract = contract_of(tokenizer, kind, params.max_prompt_tokens, params.max_new_tokens, params.long_prompts)
    files = [examples / f"{split}.jsonl" for split in ("train", "dev")]
    train, dev = world.in_turn(lambda: [encode_split(file, base, tokenizer, contract) for file in files])
    if world.first:
        forget_others(files, base, contract)
    precision, why = choose(params.precision, world.device)
    precision = "bf16" if world.sum(float(world.first and precision == "bf16"))[0] else "fp32"  # the first one's word
    torch.manual_seed(params.seed)
    model = load_base(base, four_bit=params.method == "qlora").to(world.device)
    check_context(model, params)
    known = model.get_input_embeddings().num_embeddings
    sample = [_within(train[index], known) for index in range(min(3, len(train)))]
    packed = pack(model, sample, contract.pad_token_id)
    model = prepare(model, params.method, params.lora, precision).to(world.device).train()
    tokens = largest_part(lengths_of(train), params.optimizer)
    responses = min(tokens, params.optimizer.batch_size * max(params.max_new_tokens.values()))
    kept = keep_or_not(params.gradient_checkpointing, model, tokens, responses, precision, world.device)
    alone = World(0, 1, world.device)
    setup = Setup(
        ResponseLoss(model), kind, packed, contract.pad_token_id, params.seed, precision, alone, params.optimizer
    )
    flops = flops_of(model, params) * sum(lengths_of(train)) * params.optimizer.epochs
    compiled = compile_blocks(params.compile, setup, sample, flops)
    why += f"; {kept}; {compiled.why}"
    return Prepared(tokenizer, contract, train, dev, model, setup, compiled.done, why)


def flops_of(model: Model, params: Finetune) -> float:
    """Floating-point operations that training takes for a token, about.

    For each weight 2 forward, 2 to its input, 2 to itself where it is trained (arXiv 2204.02311, appendix B).
    """
    return (6.0 if params.method == "full" else 4.0) * sum(int(one.numel()) for one in model.parameters())


def _within(example: Encoded, known: int) -> Encoded:
    """An example whose ids the model knows, to try it with; that there are others is for the X-ray to say."""
    return Encoded(*([min(token, known - 1) for token in ids] for ids in (example.prompt, example.response)))


def check_context(model: Model, params: Finetune) -> None:
    """Refuse lengths that the model's positions do not reach."""
    longest = params.max_prompt_tokens + max(params.max_new_tokens.values())
    if (context := context_length(model)) and longest > context:
        raise ParamsError(
            f"params.yaml: finetune.max_prompt_tokens + the largest max_new_tokens = {longest}, "
            f"but the base model reads {context} tokens."
        )


def xray_of(ready: Prepared, rows: Sequence[Row], private: bool) -> XRay:
    """What the batches of this training hold.

    Args:
        ready: the training.
        rows: its train examples, as expand wrote them.
        private: show no text of an example.
    """
    setup, model = ready.setup, ready.model

    def make_batch(some: Sequence[Encoded]) -> Batch:
        return collate(some, setup.pad, setup.kind, setup.packed)

    limits = Limits(context_length(model), model.get_input_embeddings().num_embeddings)
    return xray(rows, ready.train, make_batch, ready.tokenizer, ready.contract, limits, private)


def require_sound_start(ready: Prepared, rows: Sequence[Row], seen: XRay, low: float, high: float) -> None:
    """Refuse a training whose labels, or whose loss before the first step, are not as they have to be.

    Args:
        ready: the training.
        rows: its train examples.
        seen: their X-ray.
        low: of the loss, nats a token.
        high: likewise.

    Raises:
        TrainingError: with what is wrong.
    """
    require_sound(seen)
    first = {row["family"]: index for index, row in reversed(list(enumerate(rows)))}
    check_initial_loss(mean_loss(ready.setup, [ready.train[index] for index in first.values()]), low, high)
