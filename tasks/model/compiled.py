"""Compiled blocks (torch.compile): what lies between a model's matrix products is fused into one pass over memory.

    compiled = compile_blocks("auto", setup, sample, flops)

On two CPU cores a packed model trains a sixth faster with a quarter less memory, for half a minute of compiling; a
padded T5 gains 3 %. A compiled sum may depend on the sizes that the compiler saw first, and with it the last bits of a
result: so it is shown the same batch each time, and no graph that was compiled for another training is taken from
torch's cache. A training that was killed goes on with the kernels that it began with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch._dynamo.exc import TorchDynamoException
from torch._functorch import config as autograd_config
from torch._inductor import config as inductor_config

from tasks.errors import ParamsError
from tasks.model.distributed import stacks
from tasks.model.encode import Encoded
from tasks.model.footprint import Switch
from tasks.model.setup import Setup

PAYS = 2e13  # floating-point operations of a CPU thread: three minutes


@dataclass(frozen=True)
class Compiled:
    """Whether the blocks are compiled, and what to say of it."""

    done: bool
    why: str


def compile_blocks(wanted: Switch, setup: Setup, sample: Sequence[Encoded], flops: float) -> Compiled:
    """Let torch compile the repeated blocks, and try them; one compilation serves all of them, at all lengths.

    Args:
        wanted: finetune.compile.
        setup: of one process.
        sample: two or three examples, the same ones for the same training.
        flops: floating-point operations of the whole training.

    Raises:
        ParamsError: it is asked for, and this machine or the architecture cannot do it.
    """
    if wanted == "never" or (wanted == "auto" and not pays(setup, flops)):
        return Compiled(False, f"not compiled: {'asked for' if wanted == 'never' else 'would not pay'}")
    inductor_config.fx_graph_cache = autograd_config.enable_autograd_cache = False
    # The first of each stack is not as the others: no gradients for its input, a position bias of its own (T5).
    blocks = [block for stack in stacks(setup.model) for block in stack[1:]]
    for block in blocks:
        block.compile(dynamic=True)
    try:
        for examples in kinds(setup.packed, sample):
            for loss in setup.losses(examples, 1.0):
                loss.backward()  # type: ignore[no-untyped-call]
    except TorchDynamoException as error:
        if wanted == "always":
            raise ParamsError(f"finetune.compile = always, but {reason(error)}: set auto or never.") from None
        for block in blocks:
            block._compiled_call_impl = None  # what `compile` sets
        return Compiled(False, f"not compiled: {reason(error)}")
    finally:
        setup.model.zero_grad(set_to_none=True)
    return Compiled(True, "compiled")


def pays(setup: Setup, flops: float) -> bool:
    """Whether compiling saves more time than it takes: on a GPU, and where a CPU trains a packed model long enough."""
    on_cpu = setup.world.device.type == "cpu"
    return not on_cpu or (setup.packed and flops > PAYS * torch.get_num_threads())


def kinds(packed: bool, sample: Sequence[Encoded]) -> list[Sequence[Encoded]]:
    """A batch of each kind that a block tells apart: packed all are one; else with padding, without any, of one row."""
    one = list(sample[:1])
    return [sample] if packed else [sample, one + one, one]


def reason(error: Exception) -> str:
    """What keeps torch from compiling, in a few words."""
    text = " ".join(str(error).split())
    if "C++ compiler" in text:
        return "no C++ compiler (g++) was found"
    if "Python.h" in text:
        return "the headers of Python (Python.h) were not found"
    return f"torch cannot compile it ({text[:120]})"
