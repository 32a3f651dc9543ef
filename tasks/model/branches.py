"""Attention over a row of texts that begin alike: each token meets the keys of its own branch alone.

A mask over the whole row says the same, and lets every token meet every other: in a row of 1,024 tokens a quarter of
the time is spent on what is then masked. Here the tokens that a text adds to the row are attended to on their own,
over the keys of their path. Truth: transformers 5.23, `AttentionInterface`: a name that it has no mask for is
given none, and what a model is called with besides reaches the function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from torch.nn import functional

NAME = "luthier_branches"
ENOUGH = 48  # tokens: fewer are attended to together with the next text's, or calls take longer than what they compute


@dataclass(frozen=True)
class Branch:
    """Neighbouring tokens of a row: what one text adds to it, or several that add little."""

    start: int
    """Where they begin in the row."""
    path: torch.Tensor
    """Where all that they may see stands in the row, in order, these at its end."""
    mask: torch.Tensor
    """(these, what was read ahead + path), 0 or minus infinity."""


def branches_of(paths: Sequence[Sequence[int]], ahead: int, like: torch.Tensor) -> list[Branch]:
    """Divide a row.

    Args:
        paths: of each text, where its tokens stand, in the order in which they were laid.
        ahead: tokens read before the row.
        like: a tensor on the device and of the kind that attention is computed in.
    """
    found: list[Branch] = []
    group: list[npt.NDArray[np.int64]] = []
    start = 0
    for at, path in enumerate(paths):
        group.append(np.array(path))
        end = 1 + max(int(one[-1]) for one in group)
        if end - start >= ENOUGH or (at == len(paths) - 1 and end > start):
            found.append(_branch(group, start, end, ahead, like))
            group, start = [], end
    return found


def _branch(group: Sequence[npt.NDArray[np.int64]], start: int, end: int, ahead: int, like: torch.Tensor) -> Branch:
    path = np.unique(np.concatenate(group))
    sees = np.zeros((end - start, ahead + len(path)), dtype=bool)
    sees[:, :ahead] = True
    for one in group:
        new = one >= start
        sees[(one[new] - start)[:, None], ahead + np.searchsorted(path, one)[None, :]] |= np.tri(len(one), dtype=bool)[
            new
        ]
    mask = torch.zeros(sees.shape, dtype=like.dtype, device=like.device)
    mask.masked_fill_(~torch.from_numpy(sees).to(like.device), -torch.inf)
    return Branch(start, torch.from_numpy(path).to(like.device), mask)


def branch_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    branches: Sequence[Branch] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention within each branch.

    Args:
        module: the attention layer that calls.
        query: (1, heads, tokens, width of a head).
        key: (1, key heads, tokens read ahead + tokens, width); heads is a multiple of key heads.
        value: like key.
        attention_mask: None.
        dropout: none; nothing is trained so.
        scaling: of the scores; 1 / sqrt(width) unless said.
        branches: of the row; None for a plain text, which is causal.

    Returns:
        (1, tokens, heads, width), and no weights.
    """
    attend = functional.scaled_dot_product_attention
    if branches is None:
        grouped = query.shape[1] != key.shape[1]
        return attend(query, key, value, is_causal=True, scale=scaling, enable_gqa=grouped).transpose(1, 2), None
    ahead, answers = key.shape[2] - query.shape[2], []
    longest = ahead + max(len(one.path) for one in branches)
    # Once a layer, not once a branch: heads that share keys are given them, and what was read ahead is laid down.
    whole = [tensor.repeat_interleave(query.shape[1] // tensor.shape[1], dim=1) for tensor in (key, value)]
    laid = [
        torch.cat([one[:, :, :ahead], one.new_empty(*one.shape[:2], longest - ahead, one.shape[3])], 2) for one in whole
    ]
    for one in branches:
        end = ahead + len(one.path)
        for here, tensor in zip(laid, whole, strict=True):
            here[:, :, ahead:end] = tensor[:, :, ahead:].index_select(2, one.path)
        own = query[:, :, one.start : one.start + len(one.mask)]
        answers.append(attend(own, laid[0][:, :, :end], laid[1][:, :, :end], attn_mask=one.mask, scale=scaling))
    return torch.cat(answers, dim=2).transpose(1, 2), None


transformers.AttentionInterface.register(NAME, branch_attention)
