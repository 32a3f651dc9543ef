"""What a training's lines say that a person reads: speed, padding, memory, time left."""

import time
from collections.abc import Sequence

import torch

from tasks.memory import peak_bytes
from tasks.model.encode import Encoded
from tasks.model.setup import Setup
from tasks.progress import Progress


class Meter:
    """Counts of this process since it began; they hold clocks, so they are no part of the result."""

    def __init__(self, speaks: bool, begun: int, total: int) -> None:
        self.progress = Progress("finetune", total, "steps", begun=begun) if speaks else None
        self.started, self.begun, self.step = time.monotonic(), begun, begun
        self.tokens = self.own = self.cells = 0

    def add(self, setup: Setup, examples: Sequence[Encoded], loss: float) -> None:
        """Count one step; say how far it is, now and then."""
        self.step += 1
        self.tokens += sum(map(len, examples))
        self.cells += setup.cells(examples)  # of this process
        self.own += sum(len(one) for part, weight in setup.rounds(examples) if weight for one in part)
        if self.progress:
            values = self.values()
            self.progress.update(self.step, (
                f"loss {loss:.3f}  {values['tokens_per_s']:.0f} tokens/s  padding {values['padding']:.0%}  "
                f"memory {values['memory_gb']:.1f} GB"
            ))  # fmt: skip

    @property
    def seconds_a_step(self) -> float:
        """Mean of this process's steps so far."""
        return (time.monotonic() - self.started) / max(1, self.step - self.begun)

    def values(self) -> dict[str, float]:
        """Real tokens a second, share of what was computed that is padding, peak memory in GB."""
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_bytes()
        return {
            "tokens_per_s": self.tokens / (time.monotonic() - self.started),
            "padding": 1 - self.own / self.cells,
            "memory_gb": peak / 1e9,
        }
