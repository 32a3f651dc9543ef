"""Section `expand` of params.yaml: which family over which source, how much of it, and what stays together."""

from typing import Literal

from pydantic import Field

from tasks.errors import ParamsError, did_you_mean
from tasks.params import Section
from tasks.prompts.templates import Family


class Length(Section):
    """Words: runs of letters and digits; null: no limit."""

    input: int | None = Field(gt=0)
    """In all columns but the target's together."""
    target: int | None = Field(gt=0)


class Take(Section):
    """Records at most, by split; null: all."""

    train: int | None = Field(ge=0)
    dev: int | None = Field(ge=0)
    test: int | None = Field(ge=0)


class Grouping(Section):
    """What keeps rows of a source in one split."""

    group: str | None
    """The column whose rows stay together, such as a customer's id; null: each text is its own group."""
    text: str
    """The column that makes two rows the same, case, punctuation and spaces aside."""
    given_split: Literal["train", "dev", "test"] | None
    """The split that the whole source is in already, as published; null: by group."""

    @property
    def columns(self) -> set[str]:
        """The columns that grouping needs."""
        return {self.text} if self.group is None else {self.text, self.group}


class Mix(Section):
    """One part of the mixture: a family of instructions over one source."""

    family: str
    """A file of prompts/library."""
    source: str
    """A source's name."""
    fields: dict[str, str]
    """The family's field: the source's column."""
    constants: dict[str, str]
    """The family's field: a text that is the same for every record."""
    max_words: Length
    """Longer records are left out and counted."""
    wordings: int = Field(ge=1)
    """Templates that each training record is rendered with; dev and test records get one."""
    weight: float | None = Field(gt=0)
    """Share of the training examples, against the other parts' weights; null in all: as many as there are."""
    replay: bool
    """General instructions, trained on so that they are not forgotten: expand.replay_share of the training examples."""
    take: Take


class Expand(Section):
    """How records become examples."""

    seed: int
    split: dict[str, float]
    """Share of the groups, by split; sums to 1."""
    held_out_wordings: int = Field(ge=0)
    """Templates a family, from its end, that only test examples use."""
    near_duplicate: float = Field(gt=0, le=1)
    """Share of a text's 13-word runs, 0 to 1, that makes it a near duplicate."""
    accepted_leaks: int = Field(ge=0)
    """Leaks that are known and accepted."""
    replay_share: float = Field(ge=0, lt=1)
    """Share of the training examples that the parts marked `replay` give."""
    sources: dict[str, Grouping]
    """What keeps rows together, by source."""
    mixture: list[Mix]


def check(mix: Mix, family: Family, held_out: int, mixture: list[Mix]) -> None:
    """Refuse a part of the mixture that does not fit its family, or stands there twice.

    Raises:
        ParamsError: naming the part and what it needs.
    """
    needed, given = {*family.fields, family.target}, {*mix.fields, *mix.constants}
    where = f"params.yaml: expand.mixture, family '{mix.family}'"
    if needed != given:
        raise ParamsError(f"{where} needs {sorted(needed)}, not {sorted(given)}.")
    if family.target in mix.constants:
        raise ParamsError(f"{where}: '{family.target}' is what the model is to write; name its column under fields.")
    seen = max(0, len(family.templates) - held_out)
    if seen < mix.wordings:
        raise ParamsError(f"{where} has {seen} wordings to train on, fewer than the {mix.wordings} that it asks for.")
    if [(other.family, other.source) for other in mixture].count((mix.family, mix.source)) > 1:
        raise ParamsError(f"{where} stands there twice for source '{mix.source}': its examples would be, too.")


def require_columns(source: str, wanted: set[str], known: list[str]) -> None:
    """Refuse columns that a source does not have.

    Raises:
        ParamsError: naming them, near names and those that are there.
    """
    if missing := sorted(wanted - set(known)):
        hint = did_you_mean(missing[0], known)
        raise ParamsError(f"params.yaml, expand: source '{source}' has no column {missing}.{hint} It has {known}.")
