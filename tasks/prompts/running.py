"""Which fields of a family and source are running text, and so are changed: `changeable`'s rules (perturbed.py).

Examples are looked at one after another, for they may lie in a file, and only numbers of each stay.
"""

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

import regex

NEARLY_ALL = 0.9  # of a family's examples
RUNNING = 3  # words between commas and line ends: a list has fewer
ITEM = regex.compile(r"[,;\n]")
LABELLED = regex.compile(r"(\p{L}|\p{N}{1,2})[.):]\s+(.+)")  # "B. dog's mouth"


def changeable(values: Sequence[Mapping[str, str]], targets: Sequence[str]) -> tuple[set[str], bool]:
    """Which fields hold running text, and whether the target is chosen from another one.

    Args:
        values: by field, of all examples of one family and source; at least one.
        targets: of the same examples.
    """
    looks = Looks(values[0])
    for one, target in zip(values, targets, strict=True):
        looks.add(one, target)
    return looks.changeable()


class Looks:
    """What `changeable` goes by, example by example; of each only numbers stay.

    Args:
        first: values of one of the examples, for the names of the fields.
    """

    def __init__(self, first: Mapping[str, str]) -> None:
        self.fields, self.count = list(first), 0
        self.offered: Counter[str] = Counter()
        self.said: dict[str, Counter[int]] = {field: Counter() for field in first}
        self.words = {field: array("d") for field in first}

    def add(self, values: Mapping[str, str], target: str) -> None:
        """One more example."""
        self.count += 1
        if len(self.fields) == 1:
            return
        for field in self.fields:
            text = values[field]
            self.offered[field] += target.strip().casefold() in _items(text)
            self.said[field][hash(text)] += 1
            self.words[field].append(_words_per_item(text))

    def changeable(self) -> tuple[set[str], bool]:
        """Which fields hold running text, and whether the target is chosen from another one."""
        if len(self.fields) == 1:
            return set(self.fields), False
        running, chosen = set(), False
        for field in self.fields:
            constant = self.said[field].most_common(1)[0][1] >= NEARLY_ALL * self.count
            if self.offered[field] >= NEARLY_ALL * self.count:
                chosen = True
            elif not constant and median(self.words[field]) >= RUNNING:
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
