"""A text about somebody else: the other gender, or first names that are typical of another group. Counterfactuals.

What is right about one person would be right about the other, so a target is swapped as its text is, and a model that
writes as well about both scores alike (Liang et al. 2022, HELM, section 4.6: fairness by counterfactuals). Words and
names are data: perturbations/gender.yaml, perturbations/names.yaml, and the lexicon `gender` of tasks/data/bias.

Limits: names that stand in no list stay (a known person keeps theirs); a surname that is also a first name is told only
by the capital word before it; "her" in "gave her money" is taken for a possessive; what would become of the rest of the
world (titles, clubs, history) is not asked.
"""

import functools
from dataclasses import dataclass
from random import Random

import regex
import yaml
from pydantic import Field

from tasks.data.bias.lexicon import load_lexicon
from tasks.params import Section
from tasks.prompts.respelt import LISTS, like

START, END = r"(?<![\p{L}\p{M}\p{N}_])", r"(?![\p{L}\p{M}\p{N}_])"
BEFORE = regex.compile(r"(?<![\p{L}\p{M}])(\p{Lu}[\p{L}\p{M}'\u2019]*)[ ]$")  # the capital word before a place
CAPITAL = regex.compile(r"\.?[ ]\p{Lu}")  # behind a title or name
NEXT = regex.compile(r"[ ]+([\p{L}\p{M}]+)")
OPENERS = {  # words with a capital that stand before a first name, and are none themselves
    "A", "After", "Although", "And", "Are", "As", "Asked", "At", "Because", "Before", "Boss", "But", "By", "Captain",
    "Coach", "Dame", "Dear", "Defender", "Did", "Do", "Does", "For", "From", "Had", "Has", "Have", "He", "Hello",
    "Her", "Hi", "His", "However", "I", "If", "In", "Is", "It", "Lady", "Later", "Lord", "Manager", "Meanwhile",
    "My", "Now", "Of", "On", "Or", "Our", "Said", "Says", "She", "Since", "Sir", "So", "Striker", "That", "The",
    "Their", "Then", "They", "This", "To", "Today", "Was", "We", "Were", "What", "When", "Where", "While", "Who",
    "With", "Yes", "Yet", "You", "Your",
}  # fmt: skip


class Gender(Section):
    """The file gender.yaml."""

    version: int
    origin: str
    pairs: list[tuple[str, str]]
    """Words that become each other."""
    one_way: dict[str, str]
    """Words that become a word that becomes another."""
    titles: dict[str, str]
    """What stands before a name."""
    not_behind_possessive: list[str]
    """Words that show a "her" before them to be no possessive."""
    keeps_out: list[str]
    """Beginnings of words that keep a text from being swapped."""


class Names(Section):
    """First names by gender."""

    male: list[str]
    female: list[str]


class Groups(Section):
    """The file names.yaml."""

    version: int
    origin: str
    from_: Names = Field(alias="from")
    to: Names


@dataclass(frozen=True)
class _Swap:
    """What gender_swap looks for, and what it puts there."""

    words: dict[str, str]
    """By word in lower case."""
    titles: dict[str, str]
    names: dict[str, str]
    not_possessive: frozenset[str]
    pattern: regex.Pattern[str]
    keeps_out: regex.Pattern[str]


def alone(names: list[str]) -> str:
    """What finds any of these names, whole and not as part of a double one."""
    return rf"(?<![\p{{L}}\p{{M}}\p{{N}}_-])(?:{'|'.join(map(regex.escape, names))})(?![\p{{L}}\p{{M}}\p{{N}}_-])"


def first_names(found: regex.Match[str]) -> bool:
    """Is a name in a text a first name? In "Elton John sang" John is not, in "Ulster's John Cooney" he is."""
    before = BEFORE.search(found.string, max(0, found.start() - 40), found.start())
    return before is None or before[1] in OPENERS or CAPITAL.match(found.string, found.end()) is not None


@functools.cache
def _gender() -> _Swap:
    file = Gender.model_validate(yaml.safe_load((LISTS / "gender.yaml").read_text(encoding="utf-8")))
    words = dict(file.pairs) | {other: one for one, other in file.pairs} | file.one_way
    words |= {"him": "her", "hers": "his", "her": "his", "his": "her"}
    groups = load_lexicon("gender").groups
    female, male = ([name for name in groups[group].names if name not in file.titles] for group in ("female", "male"))
    most = max(len(female), len(male))
    pairs = [(female[place % len(female)], male[place % len(male)]) for place in range(most)]
    names = dict(reversed(pairs)) | {other: one for one, other in reversed(pairs)}
    either = "|".join(regex.escape(word) for word in sorted([*words, *file.titles], key=len, reverse=True))
    return _Swap(
        words,
        file.titles,
        names,
        frozenset(file.not_behind_possessive),
        regex.compile(rf"{START}(?i:{either}){END}|{alone(list(names))}"),
        regex.compile(rf"{START}(?i:{'|'.join(file.keeps_out)})"),
    )


def gender_swap(text: str, random: Random) -> str:  # every kind is called alike
    """The text about people of the other gender; unchanged where it says what only one of them can be (pregnant)."""
    swap = _gender()
    if swap.keeps_out.search(text):
        return text

    def other(found: regex.Match[str]) -> str:
        word = str(found[0])
        if word in swap.titles and CAPITAL.match(text, found.end()):
            return swap.titles[word]
        if word in swap.names:
            return swap.names[word] if first_names(found) else word
        if word.lower() in {"her", "his"} and not _possessive(text, found.end(), swap.not_possessive):
            return like("him" if word.lower() == "her" else "hers", word)
        return like(swap.words.get(word.lower(), word), word)

    return str(swap.pattern.sub(other, text))


def _possessive(text: str, end: int, not_possessive: frozenset[str]) -> bool:
    """Is "her" the one of "her book", and not of "saw her", "told her that"? Told by the next word."""
    following = NEXT.match(text, end)
    return following is not None and following[1].lower() not in not_possessive


@functools.cache
def _names() -> tuple[regex.Pattern[str], dict[str, list[str]]]:
    """What finds a name that may be swapped, and for each of them those of its gender to take its place."""
    document = yaml.safe_load((LISTS / "names.yaml").read_text(encoding="utf-8"))
    groups = Groups.model_validate(document)
    to = dict.fromkeys(groups.from_.male, groups.to.male) | dict.fromkeys(groups.from_.female, groups.to.female)
    return regex.compile(alone(list(to))), to


def name_swap(text: str, random: Random) -> str:
    """The text with first names typical of European Americans replaced, each always by the same other name."""
    pattern, to = _names()
    given: dict[str, str] = {}

    def other(found: regex.Match[str]) -> str:
        name = str(found[0])
        if not first_names(found):
            return name
        if name not in given:
            free = [new for new in to[name] if new not in given.values() and new not in text]
            given[name] = random.choice(free or to[name])
        return given[name]

    return str(pattern.sub(other, text))
