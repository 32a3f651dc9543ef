"""Many texts that begin alike, read by a model in one row: what they share is computed once.

    "Question: ... Answer:" ─┬─ " by the sea"        one row of tokens, in which each token
                             └─ " in the mountains"  sees those before it on its own branch

Texts are sorted, so that each one shares with the text before it all that it shares with any earlier one. Where many
share a long beginning (the solved examples of a subject), that beginning is read first and kept as keys and values.
A token's position is its depth; what it sees is said branch by branch (branches.py), or by an explicit mask where a
model does not take that. Not every model takes either as it is meant (ALiBi, sliding windows): `choose.score` compares
before it believes.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tasks.model.branches import NAME, branches_of
from tasks.model.load import Model

Ids = tuple[int, ...]
WORTH_KEEPING = 64  # tokens: a shorter beginning is read again in every row that needs it


@dataclass(frozen=True)
class Bough:
    """Texts that begin alike."""

    prefix: int
    """Tokens of their beginning that are read first; 0 for none."""
    members: list[int]
    """Places of the texts, sorted by their ids."""


@dataclass(frozen=True)
class Row:
    """What one pass of the model reads."""

    ids: list[int]
    """A token each."""
    depths: list[int]
    """Of each token behind the beginning."""
    paths: dict[int, list[int]]
    """By the text's place: where its tokens stand in the row, behind the beginning."""

    def sees(self, prefix: int) -> npt.NDArray[np.bool_]:
        """(tokens, prefix + tokens): the beginning, and what stands before a token on its branch."""
        mask = np.zeros((len(self.ids), prefix + len(self.ids)), dtype=bool)
        mask[:, :prefix] = True
        for path in self.paths.values():
            steps = np.array(path)
            mask[steps[:, None], prefix + steps[None, :]] |= np.tri(len(path), dtype=bool)
        return mask


def boughs(texts: Sequence[Ids], longest: Sequence[int]) -> list[Bough]:
    """Divide texts by their beginnings, so that little is read twice.

    Args:
        texts: ids of each.
        longest: of each text, how much of it may be read ahead: at least one token stays.
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    shared = [in_common(texts[one], texts[other]) for one, other in itertools.pairwise(order)]
    found: list[Bough] = []
    for place, before, after in zip(order, [0, *shared], [*shared, 0], strict=True):
        last = found[-1] if found else Bough(0, [])
        alike = min(before, last.prefix, longest[place])
        # Together, the others read (their prefix - alike) tokens more each, and this one reads `alike` fewer.
        costs = (len(last.members) - 1) * (last.prefix - alike)
        if last.members and costs < alike and alike >= after // 2:
            found[-1] = Bough(alike, [*last.members, place])
        else:
            found.append(Bough(longest[place], [place]))
    few = [bough for bough in found if bough.prefix < WORTH_KEEPING or len(bough.members) < 3]
    loose = sorted((place for bough in few for place in bough.members), key=texts.__getitem__)
    kept = [bough for bough in found if bough not in few]
    return kept + ([Bough(0, loose)] if loose else [])


def rows(texts: Sequence[Ids], bough: Bough, most: int) -> Iterator[Row]:
    """Rows of at most `most` tokens (more where a single text has more) that hold the texts of a bough."""
    row, path = Row([], [], {}), list[int]()
    before: Ids = ()
    for place in bough.members:
        rest = texts[place][bough.prefix :]
        alike = in_common(before, rest)
        if row.ids and len(row.ids) + len(rest) - alike > most:
            yield row
            row, path, alike = Row([], [], {}), [], 0
        new = range(len(row.ids), len(row.ids) + len(rest) - alike)
        path = [*path[:alike], *new]
        row.ids.extend(rest[alike:])
        row.depths.extend(range(alike, len(rest)))
        row.paths[place], before = path, rest
    if row.ids:
        yield row


def read_ahead(model: Model, ids: Ids) -> object:
    """Keys and values of a beginning."""
    with torch.inference_mode():
        given = torch.tensor([ids], device=model.device)
        return model.get_decoder()(input_ids=given, use_cache=True).past_key_values


def hidden_of(model: Model, row: Row, past: object, prefix: int) -> torch.Tensor:
    """Last hidden states (tokens, width) of a row; `past` is left as it was."""
    like = torch.empty(0, dtype=model.dtype, device=model.device)
    if model.config._attn_implementation == NAME:
        given: dict[str, Any] = {"branches": branches_of(list(row.paths.values()), prefix, like)}
    else:
        sees = torch.from_numpy(row.sees(prefix)).to(model.device)[None, None]
        given = {"attention_mask": like.new_zeros(sees.shape).masked_fill_(~sees, torch.finfo(model.dtype).min)}
    with torch.inference_mode():
        output = model.get_decoder()(
            input_ids=torch.tensor([row.ids], device=model.device),
            position_ids=torch.tensor([row.depths], device=model.device) + prefix,
            past_key_values=past,
            use_cache=past is not None,
            **given,
        )
    if past is not None:
        past.crop(-len(row.ids))  # type: ignore[attr-defined]
    hidden: torch.Tensor = output.last_hidden_state[0]
    return hidden


def in_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that two texts share at their beginning."""
    pairs = zip(one, other, strict=False)
    differ = next((at for at, (a, b) in enumerate(pairs) if a != b), None)
    return min(len(one), len(other)) if differ is None else differ


def tokens_read(texts: Sequence[Ids], found: Sequence[Bough], most: int) -> int:
    """Tokens that a model reads for them, beginnings and all."""
    rest = itertools.chain.from_iterable(rows(texts, bough, most) for bough in found)
    return sum(bough.prefix for bough in found) + sum(len(row.ids) for row in rest)
