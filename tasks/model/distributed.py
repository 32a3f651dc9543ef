"""One training by several processes: shares of a batch, sums, DDP and FSDP, one voice.

    with joined(device()) as world:
        module = spread(module, world, "none")

A step is the same step however many processes share it: each takes some of the batch's examples, losses are divided by
the tokens of the whole batch, and gradients are summed. So losses agree to rounding, and a checkpoint of one number of
processes goes on with another. Processes are found by the environment that torchrun (or any launcher like it) sets:
RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. Without it `tasks.model.launch` starts those of this machine.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import distributed
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from tasks.errors import TrainingError
from tasks.model.batches import Kind, parts
from tasks.model.encode import Encoded
from tasks.model.launch import HELD, SPOKEN, end_with_launcher
from tasks.step import EX_TEMPFAIL

Sharding = Literal["none", "full"]
T = TypeVar("T")
MEET = timedelta(minutes=10)  # from the start of the first process to that of the last, on other machines
SHARE_A_DISK = "run it in one checkout on a disk that they share"
ANSWER = timedelta(hours=1)  # the first process encodes, looks through and saves while the others wait


@dataclass(frozen=True)
class World:
    """The processes of a training, seen from one of them."""

    rank: int
    size: int
    device: torch.device
    store: Store | None = None
    """What the processes met at."""

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

    def require_same(self, value: float, what: str, advice: str = SHARE_A_DISK) -> None:
        """Refuse to go on where the processes do not have the same value.

        Raises:
            TrainingError: naming `what`, with the advice for several machines.
        """
        if self.size == 1:
            return
        ends = torch.tensor([value, -value], dtype=torch.float64, device=self.device)
        distributed.all_reduce(ends, distributed.ReduceOp.MAX)
        if ends[0] != -ends[1]:
            raise TrainingError(
                f"the processes of this training do not have the same {what}: on several machines, {advice}."
            )

    def in_turn(self, work: Callable[[], T]) -> T:
        """Let the first process do it, then the first of each other machine, whose disk may be its own, then all."""
        last = 2 if self.size > 1 else 0
        turn = 0 if self.first else 1 if os.environ.get("LOCAL_RANK", "0") == "0" else 2
        for _ in range(turn):
            distributed.barrier()
        done = work()
        for _ in range(last - turn):
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


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Take one's place among the processes that a launcher started, alone without one; leave it at the end.

    Where the training fails, the first process to notice says why, and the others end in silence with EX_TEMPFAIL.

    Raises:
        TrainingError: another process is gone, and there is no launcher to say so.
    """
    world = _join(device)
    try:
        yield world
    except BaseException as error:
        lost = _lost(error)
        if world.size > 1 and ((lost and _held()) or not _may_speak(world)):
            raise SystemExit(EX_TEMPFAIL) from None
        if lost:
            raise TrainingError(
                "another process of this training is gone: see what it said last. The same command goes on from the "
                "last checkpoint."
            ) from None
        raise
    if world.size > 1:  # after a failure it might wait for ever
        distributed.destroy_process_group()


def _join(device: torch.device) -> World:
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World(0, 1, device)
    end_with_launcher()
    if os.environ.get("LOCAL_WORLD_SIZE") == str(size):  # all on this machine: no network, no name to look up
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    store, rank, size = next(rendezvous("env://", timeout=MEET))
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=ANSWER)
    return World(rank, size, device, store)


def _held() -> bool:
    """Whether a launcher sees all processes, and says which is gone."""
    return os.environ.get(HELD) == "True"


def _lost(error: BaseException) -> bool:
    """Whether this says no more than that another process is gone. gloo's errors have no type of their own."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _may_speak(world: World) -> bool:
    """Whether no other process has said yet why the training ends; from now on, this one has."""
    if world.store is None:
        return True
    try:
        return bool(world.store.compare_set(SPOKEN, "", str(world.rank)) == str(world.rank).encode())
    except RuntimeError:  # the process that held the store is gone
        return True


def launched() -> bool:
    """Whether a launcher has started this process."""
    return "WORLD_SIZE" in os.environ


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
    """The model's repeated layers, each whole."""
    return [layer for stack in stacks(module) for layer in stack]


def stacks(module: torch.nn.Module) -> list[list[torch.nn.Module]]:
    """The model's lists of repeated layers: one, or an encoder's and a decoder's. T5's layers hold lists themselves."""
    found: list[list[torch.nn.Module]] = []
    for child in module.children():
        found += [list(child)] if isinstance(child, torch.nn.ModuleList) else stacks(child)
    return found


def unsynced(module: torch.nn.Module) -> AbstractContextManager[Any]:
    """For all parts of a step but the last: gradients are summed over the processes once."""
    return module.no_sync() if isinstance(module, torch.nn.parallel.DistributedDataParallel) else nullcontext()
