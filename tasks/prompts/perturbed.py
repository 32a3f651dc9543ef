"""Test examples once more, with the record's content changed and the instruction's wording as it was.

    perturb(examples, "typos", seed=17)

HELM's robustness and fairness (Liang et al. 2022) on a user's own scenario: the same question with typing errors, in
lower case, in dialect, about somebody else. A rendered input is taken apart by its template, the values are changed,
and the input is rendered again; base and tuned model then answer both, example by example.

Which fields are changed (running.py): those of running text. A field is left as it is where
* its value is the same in nine of ten examples of its family and source: a constant, such as the allowed sections;
* the target is one of its lines or items in nine of ten: options, which the answer has to repeat letter by letter;
* its values are lists or labels: fewer than three words between commas and line ends, in the median.
A family's only field is always changed: there is nothing else that the target could come from.

Limit: where a value holds the wording that follows it in the template, it is taken to end there, and less is changed.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import regex

from tasks.data.files import Row
from tasks.errors import ParamsError, did_you_mean
from tasks.prompts.respelt import dialect, lower_case, typos
from tasks.prompts.running import Looks, changeable
from tasks.prompts.swapped import gender_swap, name_swap
from tasks.prompts.templates import load_family, parse, render

Kind = Callable[[str, Random], str]
KINDS: dict[str, Kind] = {
    "typos": typos,
    "lower_case": lower_case,
    "dialect": dialect,
    "gender_swap": gender_swap,
    "name_swap": name_swap,
}
__all__ = ["KINDS", "changeable", "drawn", "perturb", "perturbed"]
SWAPS = frozenset({"gender_swap", "name_swap"})  # the right answer changes with the text
APART = "\x1e"  # between the fields of one example while they are changed together


@dataclass(frozen=True)
class Perturbed:
    """Changed examples, and how many there are none of."""

    rows: list[Row]
    """Each as it was but for `input`, for `target` where the kind swaps, and for `perturbation`, the kind."""
    unchanged: int
    """Examples whose text has nothing that this kind would change, or where a swap would part text and options."""
    unread: int
    """Examples whose input is not what their template gives."""


def perturb(examples: Sequence[Row], kind: str, seed: int) -> list[Row]:
    """`perturbed` without its counts."""
    return perturbed(examples, kind, seed).rows


def perturbed(examples: Sequence[Row], kind: str, seed: int) -> Perturbed:
    """Change the record's content of each example.

    Args:
        examples: rows as expand writes them.
        kind: a key of `KINDS`.
        seed: with the example's id, the start of its random numbers.

    Raises:
        ParamsError: the kind is unknown, or a family is not in the library.
    """
    if kind not in KINDS:
        raise ParamsError(f"'{kind}' is no perturbation.{did_you_mean(kind, list(KINDS))} Known: {', '.join(KINDS)}.")
    fields, unread = looked(examples)
    changed = [one_changed(row, fields, kind, seed) for row in examples]
    kept = [row for row in changed if row is not None]
    return Perturbed(kept, len(examples) - unread - len(kept), unread)


def drawn(examples: Sequence[Row], kinds: Iterable[str], order: Sequence[int], count: int, seed: int) -> list[Row]:
    """Of each kind the first `count` changed examples in an order of places; each kind's as the examples stand.

    Reads all examples once, and then no more than it takes: they may lie in a file.
    """
    if not count:
        return []
    (fields, _), rows = looked(examples), list[Row]()
    for kind in kinds:
        own: list[tuple[int, Row]] = []
        for place in order:
            if len(own) == count:
                break
            row = one_changed(examples[place], fields, kind, seed)
            own += [(place, row)] if row is not None else []
        rows += [row for _, row in sorted(own, key=lambda one: one[0])]
    return rows


Fields = dict[tuple[str, str], tuple[set[str], bool]]  # by family and source: what `changeable` says


def looked(examples: Iterable[Row]) -> tuple[Fields, int]:
    """Which fields of each family and source are changed, and how many examples are not what their template gives."""
    looks: dict[tuple[str, str], Looks] = {}
    unread = 0
    for row in examples:
        if (values := values_of(row)) is None:
            unread += 1
        else:
            looks.setdefault((row["family"], row["source"]), Looks(values)).add(values, row["target"])
    return {at: found.changeable() for at, found in looks.items()}, unread


def one_changed(row: Row, fields: Fields, kind: str, seed: int) -> Row | None:
    """An example with its content changed; None where nothing of it would be, or its input is not its template's."""
    values = values_of(row)
    if values is None:
        return None
    random = Random(f"{seed}/{kind}/{row['id']}")  # noqa: S311  # no secret
    return _changed(row, values, *fields[row["family"], row["source"]], kind, random)


@functools.cache
def _wording(family: str, template: str) -> str | None:
    """A template's text; None where the library has none of this id."""
    return next((one.text for one in load_family(family).templates if one.id == template), None)


@functools.cache
def _reverse(wording: str) -> regex.Pattern[str]:
    """What takes an input apart that was rendered with this wording: one group a field."""
    pattern, named = "", set()
    for literal, field in parse(wording):
        again = field in named  # a field that stands there twice has one value
        pattern += regex.escape(literal) + (f"(?P={field})" if again else f"(?P<{field}>.*?)" if field else "")
        named.add(field)
    return regex.compile(pattern, regex.DOTALL)


def values_of(row: Row) -> dict[str, str] | None:
    """The fields' values in a rendered input; None where its template does not give this input."""
    wording = _wording(row["family"], row["template"])
    found = wording and _reverse(wording).fullmatch(row["input"])
    return found.groupdict() if found else None


def _changed(
    row: Row, values: Mapping[str, str], running: set[str], chosen: bool, kind: str, random: Random
) -> Row | None:
    """The row with its running text changed, or None."""
    names = sorted(running)
    others = [text for name, text in values.items() if name not in running]
    texts = [values[name] for name in names]
    if kind in SWAPS:  # one person, one name: all is looked at together
        texts += [*others, row["target"]]
    if any(APART in text for text in texts):
        return None
    new, target = KINDS[kind](APART.join(texts), random).split(APART), row["target"]
    if kind in SWAPS:
        *new, target = new
        if new[len(names) :] != others or (chosen and target != row["target"]):
            return None  # text and options would be about different people
    wording = _wording(row["family"], row["template"])
    text = render(wording or "", {**values, **dict(zip(names, new, strict=False))})
    if text == row["input"]:
        return None
    return {**row, "input": text, "target": target, "perturbation": kind}
