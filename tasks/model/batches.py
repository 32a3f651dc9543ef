"""Examples to tensors: packed without padding where the model allows it, else padded with neighbours of similar length.

Packed, all examples of a step stand behind each other in one row. Their position ids begin at 0 again with each
example, and `tasks.model.attention` lets none see another: the loss is that of each example alone, and nothing is
computed for padding. Padded, batches are drawn from pools sorted by length.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import torch

from tasks.model.encode import Encoded

Kind = Literal["causal", "seq2seq"]
IGNORED = -100  # what cross entropy skips; prompts and padding carry it
POOL = 16  # padded batches drawn together and sorted by length: little padding, and still a random order


@dataclass(frozen=True)
class Batch:
    """What one forward pass is given."""

    input_ids: torch.Tensor
    """(examples, tokens) padded; (1, all tokens) packed."""
    labels: torch.Tensor
    """The ids that carry loss, where they stand, IGNORED elsewhere; like input_ids, for seq2seq (examples, answer)."""
    attention_mask: torch.Tensor | None
    """(examples, tokens), 0 for padding; None where packed."""
    position_ids: torch.Tensor | None
    """(1, all tokens), from 0 for each example; None where padded."""
    lengths: tuple[int, ...]
    """Tokens of each example in input_ids."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        moved: dict[str, Any] = {
            name: value.to(device) for name, value in vars(self).items() if name != "lengths" and value is not None
        }
        return replace(self, **moved)

    @property
    def cu_seq_lens(self) -> torch.Tensor:
        """Where each packed example begins, and where the last one ends: (examples + 1), int32, on the CPU."""
        return torch.tensor([0, *self.lengths]).cumsum(0, dtype=torch.int32)

    @property
    def supervised(self) -> int:
        """Tokens that carry loss."""
        return int((self.labels != IGNORED).sum())


def order(lengths: Sequence[int], size: int, seed: int, grouped: bool) -> list[list[int]]:
    """One epoch: each example once, in random batches of `size`.

    Args:
        lengths: of the examples, in tokens.
        size: examples of a batch.
        seed: decides the order.
        grouped: let the members of a batch be of similar length, for padded training.
    """
    random_ = random.Random(seed)  # noqa: S311
    drawn = random_.sample(range(len(lengths)), len(lengths))
    if not grouped:
        return [drawn[at : at + size] for at in range(0, len(drawn), size)]
    batches: list[list[int]] = []
    for start in range(0, len(drawn), size * POOL):
        pool = sorted(drawn[start : start + size * POOL], key=lengths.__getitem__)
        batches += [pool[at : at + size] for at in range(0, len(pool), size)]
    random_.shuffle(batches)
    return batches


def cells(examples: Sequence[Encoded], kind: Kind, packed: bool) -> int:
    """Tokens that are computed for a batch, padding included."""
    if packed:
        return sum(map(len, examples))
    if kind == "causal":
        return len(examples) * max(map(len, examples))
    return len(examples) * (max(len(one.prompt) for one in examples) + max(len(one.response) for one in examples))


def parts(examples: Sequence[Encoded], most_tokens: int, kind: Kind, packed: bool) -> Iterator[list[Encoded]]:
    """Split a batch into parts of at most `most_tokens`, padding counted; a longer example is one alone."""
    part: list[Encoded] = []
    for example in examples:
        if part and cells([*part, example], kind, packed) > most_tokens:
            yield part
            part = []
        part = [*part, example]
    if part:
        yield part


def collate(examples: Sequence[Encoded], pad: int, kind: Kind, packed: bool = False) -> Batch:
    """Tensors of some examples.

    Args:
        examples: at least one.
        pad: the id that fills up rows on the right. Padding is told by length: pad may equal the end token.
        kind: of the model.
        packed: put all into one row; for a causal model that `tasks.model.attention` has prepared.
    """
    if kind == "seq2seq":
        inputs, labels = [example.prompt for example in examples], [example.response for example in examples]
    else:
        inputs = [example.prompt + example.response for example in examples]
        labels = [[IGNORED] * len(example.prompt) + example.response for example in examples]
    lengths = tuple(map(len, inputs))
    if packed:
        ids, targets = (torch.tensor([list(chain(*rows))]) for rows in (inputs, labels))
        return Batch(ids, targets, None, torch.cat([torch.arange(length) for length in lengths])[None], lengths)
    masks = [[1] * length for length in lengths]
    return Batch(_padded(inputs, pad), _padded(labels, IGNORED), _padded(masks, 0), None, lengths)


def _padded(rows: list[list[int]], filler: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([row + [filler] * (width - len(row)) for row in rows])
