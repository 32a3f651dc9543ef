"""Examples to tensors: batches of similar length, so that little is computed for padding."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from tasks.model.encode import Encoded

IGNORED = -100  # what cross entropy skips; prompts and padding carry it
POOL = 16  # batches drawn together and sorted by length: little padding, and still a random order


@dataclass(frozen=True)
class Batch:
    """One step's tensors, each (batch, tokens)."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    """The ids that carry loss, IGNORED elsewhere."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.labels.to(device))

    @property
    def tokens(self) -> int:
        """Tokens that are no padding."""
        return int(self.attention_mask.sum())


def epoch(examples: Sequence[Encoded], size: int, seed: int) -> Iterator[list[Encoded]]:
    """Each example once, in random batches of `size` whose members are of similar length."""
    random_ = random.Random(seed)  # noqa: S311
    order = random_.sample(range(len(examples)), len(examples))
    batches: list[list[int]] = []
    for start in range(0, len(order), size * POOL):
        pool = sorted(order[start : start + size * POOL], key=lambda index: _length(examples[index]))
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    random_.shuffle(batches)
    for batch in batches:
        yield [examples[index] for index in batch]


def _length(example: Encoded) -> int:
    return len(example.prompt) + len(example.response)


def collate(examples: Sequence[Encoded], pad: int, architecture: Literal["causal", "seq2seq"]) -> Batch:
    """Pad to the longest, on the right. Padding is told by length, never by id: pad may equal the end token."""
    if architecture == "seq2seq":
        inputs = [example.prompt for example in examples]
        labels = [example.response for example in examples]
    else:
        inputs = [example.prompt + example.response for example in examples]
        labels = [[IGNORED] * len(example.prompt) + example.response for example in examples]
    masks = [[1] * len(ids) for ids in inputs]
    return Batch(_padded(inputs, pad), _padded(masks, 0), _padded(labels, IGNORED))


def _padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])
