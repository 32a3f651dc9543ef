"""An example as a model is shown it, for people: decoded from the very ids that finetune trains on.

What a control token is, the tokenizer says: every token that was added to its vocabulary, white space aside.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

END = "<end>"


@dataclass(frozen=True)
class Piece:
    """A run of text, or one control token."""

    text: str
    control: bool


@dataclass(frozen=True)
class Shown:
    """One example."""

    prompt: list[Piece]
    """Ends where the answer begins."""
    answer: list[Piece]
    """The target and the end token; what carries loss."""
    tokens: tuple[int, int] | None
    """How many each of them has; None where there is no tokenizer."""


class PlainForm:
    """Without a tokenizer: the instruction, an empty line, the answer, a stand-in for the end token."""

    name = f"plain form (no base model is there yet: {END} stands for its end token)"
    control: tuple[str, ...] = ()

    def show(self, text: str, target: str) -> Shown:
        """An instruction and its answer."""
        return Shown([Piece(f"{text}\n\n", False)], [Piece(target, False), Piece(END, True)], None)


class TrainedForm:
    """As finetune encodes for the base model in a folder."""

    def __init__(self, base: Path) -> None:
        # Seconds to import, for a command that often shows the plain form.
        from tasks.model import encode, load  # noqa: PLC0415

        self.tokenizer = load.load_tokenizer(base)
        self.contract = encode.contract_of(self.tokenizer, load.architecture_in(base), sys.maxsize, {})
        added = {number: token.content for number, token in self.tokenizer.added_tokens_decoder.items()}
        self.added = {number: token for number, token in added.items() if not token.isspace()}
        self.control = tuple(self.added.values())
        self.name = f"{self.contract.format} form of the base model in {base}"
        self.encode = encode.encode_example

    def show(self, text: str, target: str) -> Shown:
        """An instruction and its answer."""
        ids = self.encode(self.tokenizer, text, target, self.contract)
        pieces = [list(self._decoded(part)) for part in (ids.prompt, ids.response)]
        return Shown(pieces[0], pieces[1], (len(ids.prompt), len(ids.response)))

    def _decoded(self, ids: list[int]) -> Iterator[Piece]:
        for control, run in groupby(ids, key=self.added.__contains__):
            if control:
                yield from (Piece(self.added[number], True) for number in run)
            else:
                yield Piece(self.tokenizer.decode(list(run), clean_up_tokenization_spaces=False), False)
