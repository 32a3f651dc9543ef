"""Text of a user's, for a terminal or a page: nothing in it is unseen, and nothing moves a cursor."""

import unicodedata


def harmless(text: str) -> str:
    """The text, its invisible characters spelt out; line ends, tabs and joiners of letters stay."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\n\t\u200c\u200d"
        else character
        for character in text
    )
