"""Token ids spelt for people: control tokens in ⟦ ⟧, white space that can be seen, nothing that moves a terminal."""

from collections.abc import Sequence
from itertools import groupby

from tasks.model.encode import Tokenizer
from tasks.prompts.harmless import harmless

SPACE = "\u2581"  # how SentencePiece writes a space in its vocabulary


class Spelling:
    """One tokenizer's words."""

    def __init__(self, tokenizer: Tokenizer, control: frozenset[int]) -> None:
        """`control`: ids that are no text."""
        self.tokenizer, self.control, self.size = tokenizer, control, len(tokenizer)

    def text(self, ids: Sequence[int]) -> str:
        """A run of ids as flowing text; characters of several tokens are whole."""
        said = ""
        for plain, run in groupby(ids, key=self._is_text):
            part = list(run)
            said += harmless(self._decoded(part)) if plain else "".join(map(self.one, part))
        return said

    def one(self, number: int) -> str:
        """One id by itself."""
        if not 0 <= number < self.size:
            return f"⟦no token {number}⟧"
        piece = str(self.tokenizer.convert_ids_to_tokens(number))
        if number in self.control:
            return f"⟦{piece}⟧"
        said = self._decoded([number])
        if "\ufffd" in said or not said:  # a part of a character, or nothing but SentencePiece's space
            return harmless(piece.replace(SPACE, " "))
        lost = " " if piece.startswith(SPACE) and not said.startswith(" ") else ""
        return harmless(lost + said)

    def _is_text(self, number: int) -> bool:
        return 0 <= number < self.size and number not in self.control

    def _decoded(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def visible(text: str) -> str:
    """A token with its white space to be seen."""
    return text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·")
