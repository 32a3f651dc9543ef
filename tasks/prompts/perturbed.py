"""Test examples once more, with the record's content changed and the instruction's wording as it was.

    perturb(examples, "typos", seed=17)

HELM's robustness and fairness (Liang et al. 2022) on a user's own scenario: the same question with typing errors, in
lower case, in dialect, about somebody else. A rendered input is taken apart by its template, the values are changed,
and the input is rendered again; base and tuned model then answer both, example by example.

Which fields are changed (`changeable`): those of running text. A field is left as it is where
* its value is the same in nine of ten examples of its family and source: a constant, such as the allowed sections;
* the target is one of its lines or items in nine of ten: options, which the answer has to repeat letter by letter;
* its values are lists or labels: fewer than three words between commas and line ends, in the median.
A family's only field is always changed: there is nothing else that the target could come from.

Limit: where a value holds the wording that follows it in the template, it is taken to end there, and less is changed.
"""

import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import median

import regex

from tasks.data.files import Row
from tasks.errors import ParamsError, did_you_mean
from tasks.prompts.respelt import dialect, lower_case, typos
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
SWAPS = frozenset({"gender_swap", "name_swap"})  # the right answer changes with the text
NEARLY_ALL = 0.9  # of a family's examples
RUNNING = 3  # words between commas and line ends: a list has fewer
APART = "\x1e"  # between the fields of one example while they are changed together
ITEM = regex.compile(r"[,;\n]")
LABELLED = regex.compile(r"(\p{L}|\p{N}{1,2})[.):]\s+(.+)")  # "B. dog's mouth"


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
    read = {place: values for place, row in enumerate(examples) if (values := values_of(row)) is not None}
    together: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in read:
        together[examples[place]["family"], examples[place]["source"]].append(place)
    rows: list[tuple[int, Row]] = []
    for places in together.values():
        running, chosen = changeable([read[place] for place in places], [examples[place]["target"] for place in places])
        for place in places:
            row = examples[place]
            random = Random(f"{seed}/{kind}/{row['id']}")  # noqa: S311  # no secret
            changed = _changed(row, read[place], running, chosen, kind, random)
            rows += [(place, changed)] if changed is not None else []
    kept = [row for _, row in sorted(rows, key=lambda one: one[0])]
    return Perturbed(kept, len(read) - len(kept), len(examples) - len(read))


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


def changeable(values: Sequence[Mapping[str, str]], targets: Sequence[str]) -> tuple[set[str], bool]:
    """Which fields hold running text, and whether the target is chosen from another one.

    Args:
        values: by field, of all examples of one family and source; at least one.
        targets: of the same examples.
    """
    fields = list(values[0])
    if len(fields) == 1:
        return set(fields), False
    running, chosen = set(), False
    for field in fields:
        own = [one[field] for one in values]
        offered = sum(target.strip().casefold() in _items(text) for text, target in zip(own, targets, strict=True))
        constant = Counter(own).most_common(1)[0][1] >= NEARLY_ALL * len(own)
        if offered >= NEARLY_ALL * len(own):
            chosen = True
        elif not constant and median(_words_per_item(text) for text in own) >= RUNNING:
            running.add(field)
    return running, chosen


def _items(text: str) -> set[str]:
    """What an answer could be copied from: lines, what stands between commas, and both parts of "B. dog's mouth"."""
    items = {part.strip() for part in [*text.split("\n"), *ITEM.split(text)]}
    parts = {part for item in items if (found := LABELLED.fullmatch(item)) for part in found.groups()}
    return {item.casefold() for item in items | parts}


def _words_per_item(text: str) -> float:
    items = [item for item in ITEM.split(text) if item.strip()]
    return sum(len(item.split()) for item in items) / max(len(items), 1)


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
