"""Where the processes of a training meet: a store that the first machine holds, once every machine is there.

    store = meet(node(), processes=2)

Truth: torch 2.13, torch/distributed/rendezvous.py (`_create_c10d_store`).
"""

import socket
import time
from contextlib import suppress
from datetime import timedelta

from torch.distributed.rendezvous import TCPStore  # type: ignore[attr-defined]  # no module exports it to mypy

from tasks.errors import OutageError, ParamsError
from tasks.nodes import Node

HERE = "luthier/here"  # the machines that have come, by number, and how many processes each runs
MEET_S = 600.0  # from the first machine's start to the last one's: a cluster may have to make room
ANSWER = timedelta(seconds=30)  # of the store, on another machine
READ = "luthier/read"  # the machines that know what the others run
LOOK_S = 0.05


def meet(here: Node, processes: int) -> TCPStore:
    """The store that the processes find each other by; where several machines share the training, once all are there.

    Args:
        here: this machine among them. The first listens, on this machine alone if there is no other.
        processes: how many this machine runs.

    Raises:
        OutageError: a machine does not come.
        ParamsError: another one runs more processes, or fewer.
    """
    deadline = time.monotonic() + MEET_S
    if here.first:
        listening = socket.create_server(("127.0.0.1", 0)) if here.size == 1 else _open(here.port)
        port = listening.getsockname()[1]
        store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())
    else:
        _reach(here, deadline)
        store = TCPStore(here.address, here.port, is_master=False, timeout=ANSWER)
    if here.size > 1:
        store.set(f"{HERE}/{here.rank}", str(processes))
        _all_come(store, here, deadline)
        _require_as_many(store, here)
    return store


def _open(port: int) -> socket.socket:
    """Listen on every address of this machine, IPv6 and IPv4."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _reach(here: Node, deadline: float) -> None:
    """Wait until the first machine listens. Its name may be unknown before."""
    while True:
        try:
            socket.create_connection((here.address, here.port), timeout=5).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise OutageError(
                    f"the first of the {here.size} machines of this training, {here.address}:{here.port}, did not "
                    f"answer for {MEET_S:.0f} s ({error}): see what it said, and docs/launchers.md."
                ) from None
            time.sleep(1)
        else:
            return


def _all_come(store: TCPStore, here: Node, deadline: float) -> None:
    """Wait until every machine is there."""
    while lacking := [rank for rank in range(here.size) if not store.check([f"{HERE}/{rank}"])]:
        if time.monotonic() > deadline:
            raise OutageError(
                f"{len(lacking)} of the {here.size} machines of this training did not come within {MEET_S:.0f} s: the "
                f"first of them is number {lacking[0]}."
            )
        time.sleep(LOOK_S)


def _require_as_many(store: TCPStore, here: Node) -> None:
    """Refuse machines that do not run as many processes each: they would count on processes that never come."""
    counts = [int(store.get(f"{HERE}/{rank}")) for rank in range(here.size)]
    store.set(f"{READ}/{here.rank}", "")
    if len(set(counts)) > 1:
        if here.first:  # it holds the store: the others have to know first
            with suppress(RuntimeError):  # they do not answer, and may be gone
                store.wait([f"{READ}/{rank}" for rank in range(here.size)], ANSWER)
        told = ", ".join(f"number {rank} runs {count}" for rank, count in enumerate(counts))
        raise ParamsError(
            f"the {here.size} machines of this training do not run as many processes ({told}): give finetune.processes "
            "the same value in params.yaml on each."
        )
