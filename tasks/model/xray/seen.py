"""Examples as a batch's tensors show them; nothing else is believed.

    for one in look(batch, examples, "causal"):   # a Seen, or the Fault that kept it from being seen

Sequences stand on the left of their row, padding on the right; in a packed batch they stand one behind another.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from tasks.model.batches import IGNORED, Batch, Kind
from tasks.model.encode import Encoded
from tasks.model.xray.checks import Fault


@dataclass(frozen=True)
class Seen:
    """One example."""

    kind: Kind
    ids: list[int]
    """What the model reads; without padding."""
    labels: list[int]
    """causal: one for each id; seq2seq: the decoder's, with their padding."""
    padding: list[int]
    """causal: labels of the padding behind the example."""
    places: list[int]
    """Where `labels` carry loss."""

    @property
    def carried(self) -> list[int]:
        """The ids that carry loss, in order."""
        return [self.labels[place] for place in self.places]

    @property
    def prompt(self) -> list[int]:
        """What the model reads before the first id that carries loss; all of it where none does."""
        return self.ids[: self.places[0]] if self.kind == "causal" and self.places else self.ids

    @property
    def tokens(self) -> int:
        """Tokens that are computed for this example, padding aside."""
        return len(self.ids) + (len(self.carried) if self.kind == "seq2seq" else 0)


def look(batch: Batch, examples: Sequence[Encoded], kind: Kind) -> list[Seen | Fault]:
    """Take a batch apart again.

    Args:
        batch: what `examples` were put into, in this order.
        examples: only their lengths are used.
        kind: says where the labels stand.

    Returns:
        What stands in the batch for each of the examples.
    """
    wrong = next(_form_faults(batch, len(examples), kind), None)
    if wrong:
        return [wrong] * len(examples)
    if batch.position_ids is not None:
        parts, masks = _packed_parts(batch), _positions_faults(batch.position_ids[0].tolist(), batch.lengths)
    else:
        parts, masks = _padded_parts(batch, kind), _mask_faults(batch.attention_mask, batch.lengths)
    seen: list[Seen | Fault] = []
    for example, length, (ids, labels, padding), mask in zip(examples, batch.lengths, parts, masks, strict=True):
        expected = len(example.prompt) + (len(example.response) if kind == "causal" else 0)
        if length != expected:
            seen.append(Fault("lengths", f"it has {expected} tokens, but its batch holds {length} for it"))
        else:
            places = [place for place, label in enumerate(labels) if label != IGNORED]
            seen.append(mask or Seen(kind, ids, labels, padding, places))
    return seen


def _form_faults(batch: Batch, examples: int, kind: Kind) -> Iterator[Fault]:
    """What is wrong with the batch as a whole, so that no example can be found in it."""
    packed, (rows, width) = batch.position_ids is not None, batch.input_ids.shape
    if len(batch.lengths) != examples:
        yield Fault("lengths", f"its batch was made of {examples} examples and has the lengths of {len(batch.lengths)}")
    total, longest = sum(batch.lengths), max(batch.lengths, default=0)
    if (rows, width) != (1, total) if packed else rows != examples or width < longest:
        wanted = f"1 row of {total}" if packed else f"{examples} rows of at least {longest}"
        yield Fault("lengths", f"its batch has {rows} rows of {width} tokens, but its lengths ask for {wanted}")
    if batch.labels.shape[0] != rows or (kind == "causal" and batch.labels.shape[1] != width):
        yield Fault("lengths", f"its batch has labels of shape {tuple(batch.labels.shape)} for ids of {(rows, width)}")
    if packed and kind == "seq2seq":
        yield Fault("mask", "its batch is packed, and an encoder-decoder model cannot keep packed examples apart")
    if packed and batch.attention_mask is not None:
        yield Fault("mask", "its batch is packed and has an attention mask, with which packed examples see each other")
    for name, tensor in (("positions", batch.position_ids), ("an attention mask", batch.attention_mask)):
        if tensor is not None and tensor.shape != batch.input_ids.shape:
            yield Fault("mask", f"its batch has {name} of shape {tuple(tensor.shape)} for ids of {(rows, width)}")


def _packed_parts(batch: Batch) -> list[tuple[list[int], list[int], list[int]]]:
    ids, labels = batch.input_ids[0].tolist(), batch.labels[0].tolist()
    return [(ids[start:end], labels[start:end], []) for start, end in _spans(batch.lengths)]


def _padded_parts(batch: Batch, kind: Kind) -> list[tuple[list[int], list[int], list[int]]]:
    rows = zip(batch.input_ids.tolist(), batch.labels.tolist(), batch.lengths, strict=True)
    if kind == "seq2seq":
        return [(ids[:length], labels, []) for ids, labels, length in rows]
    return [(ids[:length], labels[:length], labels[length:]) for ids, labels, length in rows]


def _positions_faults(positions: list[int], lengths: Sequence[int]) -> list[Fault | None]:
    faults: list[Fault | None] = []
    for start, end in _spans(lengths):
        sound = positions[start:end] == list(range(end - start))
        detail = f"its positions in a packed batch are {positions[start : start + 3]} and so on, not 0, 1, 2"
        faults.append(None if sound else Fault("mask", detail))
    return faults


def _mask_faults(mask: torch.Tensor | None, lengths: Sequence[int]) -> list[Fault | None]:
    if mask is None:
        return [Fault("mask", "its batch is padded and has no attention mask")] * len(lengths)
    faults: list[Fault | None] = []
    for row, length in zip(mask.tolist(), lengths, strict=True):
        sound = row == [1] * length + [0] * (len(row) - length)
        detail = f"its attention mask lets the model see {sum(map(bool, row))} places, not its first {length}"
        faults.append(None if sound else Fault("mask", detail))
    return faults


def _spans(lengths: Sequence[int]) -> list[tuple[int, int]]:
    return list(itertools.pairwise([0, *itertools.accumulate(lengths)]))
