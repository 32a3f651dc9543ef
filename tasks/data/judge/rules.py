"""Rules of our own, in the same list as Great Expectations': each makes a column, which Great Expectations then judges.

- {rule: expect_column_token_lengths_to_be_between, column: summary, min_value: 5, max_value: 120, mostly: 0.95}
- {rule: expect_column_values_to_be_in_language, column: document, languages: [en], mostly: 0.95}
- {rule: expect_column_lengths_not_to_drift, column: summary, threshold: 0.1, severity: warning}
- {rule: expect_column_values_not_to_drift, column: section_header, threshold: 0.1, severity: warning}
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tasks.data.files import Row
from tasks.data.judge.derived import known_languages, language_counts, languages, token_lengths
from tasks.data.judge.drift import Comparison, compare_labels, compare_lengths
from tasks.errors import ParamsError


class Rule(BaseModel):
    """What every rule of ours may say; like Great Expectations' rules, it has defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    column: str
    severity: Literal["critical", "warning", "info"] = "critical"


class TokenLengths(Rule):
    """Tokens of each text, special ones not counted."""

    min_value: int | None = Field(None, ge=0)
    max_value: int | None = Field(None, ge=0)
    mostly: float = Field(1.0, ge=0, le=1)


class InLanguage(Rule):
    """The language of each text."""

    languages: list[str] = Field(min_length=1)
    mostly: float = Field(1.0, ge=0, le=1)

    @field_validator("languages")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in known_languages():
                near = difflib.get_close_matches(name, known_languages(), n=3, cutoff=0.4) or ["en", "de", "fr"]
                raise ValueError(f"'{name}' is no language code that py3langid knows (such as {', '.join(near)})")
        return names


class NoDrift(Rule):
    """The distribution, against the last accepted data."""

    threshold: float = Field(ge=0)


@dataclass(frozen=True)
class Means:
    """What the columns are made with."""

    tokenizer: Path
    """The base model's tokenizer.json."""
    accepted: Row | None
    """The source's profile in data/accepted.json, if it has one."""
    private: bool
    """Whether no report may show a value."""


@dataclass(frozen=True)
class Derived:
    """A column and the rule that Great Expectations judges it by; or, without a rule, why there is nothing to judge."""

    said: str
    """For the reader of the verdict."""
    values: npt.NDArray[Any] | None = None
    """One a row; None in it is not judged."""
    rule: Row | None = None
    """Great Expectations' rule about it, without a column."""
    unit: str = ""
    """Of a value, for a reader."""


def _token_lengths(rule: TokenLengths, texts: pa.ChunkedArray, means: Means) -> Derived:
    values = token_lengths(texts, means.tokenizer)
    bounds = {key: value for key in ("min_value", "max_value") if (value := getattr(rule, key)) is not None}
    said = f"{values.min():,} to {values.max():,} tokens" if len(values) else ""
    wanted = {"rule": "expect_column_values_to_be_between", **bounds, "mostly": rule.mostly}
    return Derived(said, values, wanted, unit=" tokens")


def _in_language(rule: InLanguage, texts: pa.ChunkedArray, means: Means) -> Derived:
    codes = languages(texts, rule.languages)
    wanted = {"rule": "expect_column_values_to_be_in_set", "value_set": rule.languages, "mostly": rule.mostly}
    return Derived(language_counts(codes), codes, wanted)


def _lengths_not_to_drift(rule: NoDrift, texts: pa.ChunkedArray, means: Means) -> Derived:
    accepted, why_not = _accepted(rule.column, means)
    return _compared(rule, compare_lengths(texts, accepted)) if accepted else Derived(why_not)


def _values_not_to_drift(rule: NoDrift, texts: pa.ChunkedArray, means: Means) -> Derived:
    accepted, why_not = _accepted(rule.column, means)
    if not accepted or not means.accepted:
        return Derived(why_not)
    if not accepted["labels"]:
        return Derived("not compared: the accepted data has too many different values in this column")
    return _compared(rule, compare_labels(texts, accepted, means.private, means.accepted["private"]))


def _accepted(column: str, means: Means) -> tuple[Row | None, str]:
    found = (means.accepted or {}).get("columns", {}).get(column)
    return (found, "") if found and means.accepted and means.accepted["rows"] else (None, NOT_COMPARED)


def _compared(rule: NoDrift, found: Comparison) -> Derived:
    wanted = {
        "rule": "expect_column_kl_divergence_to_be_less_than",
        "partition_object": found.partition,
        "tail_weight_holdout": found.unseen,
        "threshold": rule.threshold + found.chance,
    }
    said = f"from {found.accepted_rows:,} accepted rows; allowed {rule.threshold:g}, and {found.chance:.3f} for chance"
    return Derived(said, found.values, wanted)


NOT_COMPARED = "not compared: no accepted data yet"
DRIFT = ("expect_column_lengths_not_to_drift", "expect_column_values_not_to_drift")
OURS: dict[str, tuple[type[Rule], Callable[[Any, pa.ChunkedArray, Means], Derived]]] = {
    "expect_column_token_lengths_to_be_between": (TokenLengths, _token_lengths),
    "expect_column_values_to_be_in_language": (InLanguage, _in_language),
    DRIFT[0]: (NoDrift, _lengths_not_to_drift),
    DRIFT[1]: (NoDrift, _values_not_to_drift),
}


def check(rule: Row, columns: list[str]) -> None:
    """Refuse a rule of ours that cannot be applied.

    Raises:
        ParamsError: an argument is missing, unknown or out of range, or there is no such column.
    """
    kind, _ = OURS[rule["rule"]]
    where = f"params.yaml, validate: rule {rule['rule']}"
    known = ", ".join(name for name in kind.model_fields if name != "rule")
    try:
        column = kind.model_validate(rule).column
    except ValidationError as error:
        found = error.errors()[0]
        name = ".".join(map(str, found["loc"]))
        said = {"missing": "is missing", "extra_forbidden": "is not an argument"}.get(
            found["type"], f": {found['msg']}"
        )
        raise ParamsError(f"{where}: '{name}' {said}. Known here: {known}.".replace("' :", "':")) from None
    if column not in columns:
        raise ParamsError(f"{where}: no column '{column}' is read; those that are: {', '.join(columns)}.")


def derive(rule: Row, table: pa.Table, means: Means) -> Derived:
    """Make the column that a rule of ours is about; `check` has passed it."""
    kind, make = OURS[rule["rule"]]
    if rule["rule"] in DRIFT and not len(table):
        return Derived("not compared: no valid row")
    return make(kind.model_validate(rule), table[rule["column"]], means)
