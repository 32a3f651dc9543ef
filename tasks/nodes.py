"""The machines that share a training, by torchrun's variables: PET_NNODES, PET_NODE_RANK, PET_MASTER_ADDR and _PORT.

    here = node()      # Node(0, 1, ...) without them: this machine alone

A job of several machines sets them (tasks/jobs), as Kubeflow's trainer does. Truth: torch 2.13,
torch/distributed/argparse_util.py and run.py.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from tasks.errors import ParamsError

NODES, RANK, ADDRESS, PORT = "PET_NNODES", "PET_NODE_RANK", "PET_MASTER_ADDR", "PET_MASTER_PORT"
LISTENS = 29500  # the port of the first machine; torchrun's own


@dataclass(frozen=True)
class Node:
    """One of the machines that share a training."""

    rank: int
    """0: the first, which writes, and where the others find each other."""
    size: int
    """How many there are."""
    address: str = ""
    """Of the first."""
    port: int = LISTENS

    @property
    def first(self) -> bool:
        """Whether what a stage makes is this one's to keep."""
        return self.rank == 0

    def environment(self) -> dict[str, str]:
        """What says so."""
        return {NODES: str(self.size), RANK: str(self.rank), ADDRESS: self.address, PORT: str(self.port)}


def node(told: Mapping[str, str] = os.environ) -> Node:
    """Which machine this is.

    Raises:
        ParamsError: the variables do not say it.
    """
    size = _number(told, NODES, 1)
    if size <= 1:
        return Node(0, 1)
    rank, address = _number(told, RANK, -1), told.get(ADDRESS, "")
    if not 0 <= rank < size or not address:
        raise ParamsError(
            f"{NODES} is {size}, so {RANK} has to say which of them this is, 0 to {size - 1}, and {ADDRESS} where the "
            f"first is: they are '{told.get(RANK, '')}' and '{address}'."
        )
    return Node(rank, size, address, _number(told, PORT, LISTENS))


def _number(told: Mapping[str, str], name: str, unsaid: int) -> int:
    text = told.get(name) or str(unsaid)
    try:
        return int(text)
    except ValueError:
        raise ParamsError(f"{name} is '{text}', and a whole number is expected.") from None
