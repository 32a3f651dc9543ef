"""One training by several processes: shares of a batch, sums, DDP and FSDP.

A step is the same step however many processes share it: each takes some of the batch's examples, losses are divided by
the tokens of the whole batch, and gradients are summed. So losses agree to rounding, and a checkpoint of one number of
processes goes on with another. Processes are found by the environment that torchrun (or any launcher like it, over
several machines) sets: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. Without it `launch` starts those of
this machine.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import distributed

from tasks.errors import TrainingError
from tasks.model.batches import Kind, parts
from tasks.model.encode import Encoded

Sharding = Literal["none", "full"]
T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a training, seen from one of them."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value, summed over the processes."""
        if self.size == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(summed)
        return [float(value) for value in summed.tolist()]

    def any(self, asked: bool) -> bool:
        """Whether one of the processes says yes."""
        return self.sum(float(asked))[0] > 0

    def in_turn(self, work: Callable[[], T]) -> T:
        """Let the first process do it, then the others."""
        if not self.first:
            distributed.barrier()
        done = work()
        if self.first and self.size > 1:
            distributed.barrier()
        return done

    def rounds(
        self, examples: Sequence[Encoded], most_tokens: int, kind: Kind, packed: bool
    ) -> list[tuple[list[Encoded], float]]:
        """What this process computes of a batch: (examples, weight), the same number of parts in every process.

        A process with less to do computes an example again, with weight 0: the others wait for it anyway.
        """
        shares = [list(parts(share, most_tokens, kind, packed)) for share in _shares(examples, self.size)]
        own: list[tuple[list[Encoded], float]] = [(part, 1.0) for part in shares[self.rank]]
        return own + [([examples[0]], 0.0)] * (max(map(len, shares)) - len(own))


def _shares(examples: Sequence[Encoded], size: int) -> list[list[Encoded]]:
    """Examples by process: the longest first, each to the one that has the fewest tokens."""
    if size == 1:
        return [list(examples)]
    shares: list[list[Encoded]] = [[] for _ in range(size)]
    for example in sorted(examples, key=len, reverse=True):
        min(shares, key=lambda share: sum(map(len, share))).append(example)
    return shares


def join(device: torch.device) -> World:
    """Take one's place among the processes that a launcher started; alone without one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(0, 1, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return World(distributed.get_rank(), size, device)


def leave(world: World) -> None:
    """End the processes' connection, where there is one."""
    if world.size > 1:
        distributed.destroy_process_group()


def launched() -> bool:
    """Whether a launcher has started this process."""
    return "WORLD_SIZE" in os.environ


def launch(processes: int, module: str, arguments: Sequence[str]) -> int:
    """Start this machine's processes of a training, wait for them, and return what to exit with.

    Args:
        processes: how many.
        module: is run by each, as `python -m`.
        arguments: its command line.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each takes finetune.threads of its own
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, max_restarts=0, rdzv_backend="c10d",
        rdzv_endpoint="localhost:0", run_id=f"luthier-{os.getpid()}", monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return int(failure.exitcode) if failure.exitcode > 0 else 128 - int(failure.exitcode)
    return 0


def spread(module: torch.nn.Module, world: World, sharding: Sharding) -> torch.nn.Module:
    """Let the processes train one model: each holds it whole (DDP), or a share of its weights (FSDP).

    Raises:
        TrainingError: sharding is asked for with one process.
    """
    if world.size == 1:
        if sharding == "full":
            raise TrainingError(
                "finetune.sharding = full spreads the weights over several processes, and this is one: set "
                "finetune.processes, or sharding: none."
            )
        return module
    if sharding == "none":
        return torch.nn.parallel.DistributedDataParallel(module)
    from torch.distributed.device_mesh import init_device_mesh  # noqa: PLC0415
    from torch.distributed.fsdp import fully_shard  # noqa: PLC0415

    mesh = init_device_mesh(world.device.type, (world.size,))
    for block in blocks(module):
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    return module


def blocks(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The model's repeated layers."""
    return [layer for layers in module.modules() if isinstance(layers, torch.nn.ModuleList) for layer in layers]


def unsynced(module: torch.nn.Module) -> AbstractContextManager[Any]:
    """For all parts of a step but the last: gradients are summed over the processes once."""
    return module.no_sync() if isinstance(module, torch.nn.parallel.DistributedDataParallel) else nullcontext()
