"""What two readers would call the same text is one group, and a group's split never moves."""

import random
import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.keys import Keys, keys_of, normalised
from tasks.data.mixture import splits_of
from tasks.data.splits import NOT_WORD, normalise

SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}
ASCII = st.text(st.characters(max_codepoint=127))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def groups_of(*texts: str) -> Keys:
    return keys_of(normalised(pa.array(texts, pa.string())))


def slowly(text: str) -> str:
    """What `normalise` is to give, without its short cut."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return NOT_WORD.sub(" ", unicodedata.normalize("NFKC", folded)).strip()


@given(ASCII)
def test_ascii_is_normalised_as_every_other_text(text: str) -> None:
    assert normalise(text) == slowly(text)


@given(TEXTS)
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(text) == slowly(text) == normalise(normalise(text))


def test_every_character_of_ascii_is_normalised_as_the_others() -> None:
    for code in range(128):
        assert normalise(f"x{chr(code)}Y") == slowly(f"x{chr(code)}Y")


def test_case_punctuation_spaces_and_line_ends_make_no_other_group() -> None:
    same = ["One two,\nthree!", "one TWO three", "one two\r\nthree", "  one_two\tthree ", "one\u00a0two\u2028three"]
    assert len({*groups_of(*same)}) == 1
    assert len({*groups_of("one two four", "one two three")}) == 2


def test_two_ways_to_write_a_character_make_no_other_group() -> None:
    for same in (
        ["caf\u00e9", "cafe\u0301", "CAFE\u0301"],
        ["\ufb01nal \uff11\uff12", "final 12"],
        ["Stra\u00dfe", "STRASSE"],
    ):
        assert len({*groups_of(*same)}) == 1


def test_a_vowel_sign_makes_another_word() -> None:
    assert normalise("\u0915\u093f, \u0915\u0940") == "\u0915\u093f \u0915\u0940"
    assert len({*groups_of("\u0915\u093f", "\u0915\u0940", "\u0915")}) == 3


@given(st.lists(TEXTS, min_size=1, max_size=20), st.randoms())
def test_a_split_depends_on_the_group_and_the_seed_alone(texts: list[str], draw: random.Random) -> None:
    before = dict(zip(texts, splits_of(groups_of(*texts), SHARES, 1), strict=True))
    draw.shuffle(texts)
    fewer = texts[: len(texts) // 2 + 1]
    assert [before[text] for text in fewer] == list(splits_of(groups_of(*fewer), dict(reversed(SHARES.items())), 1))


def test_another_seed_moves_groups() -> None:
    groups = groups_of(*(f"text {number}" for number in range(200)))
    assert not np.array_equal(splits_of(groups, SHARES, 1), splits_of(groups, SHARES, 2))
