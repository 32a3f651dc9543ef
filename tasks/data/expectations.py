"""Great Expectations as the judge of the records: rules from params.yaml, run in an ephemeral context.

The only module that imports great_expectations. A rule about rows gives the rows that break it; a rule about the
table passes or fails. Results hold clocks and random ids upstream, so they are reduced here to what is repeatable.
"""

import difflib
import logging
import warnings
from dataclasses import dataclass
from typing import Any

import pandas as pd

from tasks.data.files import Row
from tasks.errors import ParamsError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own deprecations at import
    import great_expectations as gx
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )

logging.getLogger("great_expectations").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Verdict:
    """What one rule found in one table."""

    rule: str
    """The rule's name and column."""
    severity: str
    """critical or warning."""
    passed: bool
    """Whether at least `mostly` of the rows, or the table, keep it."""
    about_rows: bool
    """Whether it names rows; a rule about the table does not."""
    broken_by: list[int]
    """Positions in the table of the rows that break it, from 0."""
    observed: str
    """What was seen, for the reader of an error."""


def judge(records: list[Row], columns: list[str], rules: list[Row]) -> list[Verdict]:
    """Run `rules` over `records`.

    Args:
        records: text by column.
        columns: the table's columns.
        rules: {rule: a Great Expectations expectation in snake case, its arguments, severity}.

    Raises:
        ParamsError: a rule is unknown, or its arguments do not fit.
    """
    expectations = [_expectation(rule) for rule in rules]
    frame = pd.DataFrame(records, columns=columns, dtype=object)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("records").add_dataframe_asset("records")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    # One call a rule: a suite reorders its results, and two rules alike would be merged.
    verdicts = []
    for rule, expectation in zip(rules, expectations, strict=True):
        result = batch.validate(expectation, result_format={"result_format": "COMPLETE"})
        verdicts.append(_verdict(rule, expectation, result))
    return verdicts


def _expectation(rule: Row) -> Any:
    values = {key: value for key, value in rule.items() if key != "rule"}
    name = "".join(part.title() for part in str(rule.get("rule", "")).split("_"))
    kind = getattr(gx.expectations, name, None)
    if kind is None:
        known = [entry for entry in dir(gx.expectations) if entry.startswith("Expect")]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"near names: {', '.join(_snake(entry) for entry in near)}" if near else "see the Expectation Gallery"
        raise ParamsError(f"params.yaml, validate: '{rule.get('rule')}' is no Great Expectations rule ({hint}).")
    try:
        return kind(**values)
    except Exception as error:  # pydantic v1 or v2, depending on the expectation
        reason = " ".join(str(error).split())
        raise ParamsError(f"params.yaml, validate: rule {rule['rule']} with {values}: {reason}") from None


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _verdict(rule: Row, expectation: Any, result: Any) -> Verdict:
    found = result.result
    # One exception, or one for each metric that raised, under its id.
    for info in (result.exception_info, *result.exception_info.values()):
        if isinstance(info, dict) and info.get("raised_exception"):
            message = " ".join(str(info.get("exception_message")).split())
            raise ParamsError(f"params.yaml, validate: rule {rule['rule']} cannot be run: {message}")
    about_rows = isinstance(expectation, ColumnMapExpectation | ColumnPairMapExpectation | MulticolumnMapExpectation)
    broken = sorted(found.get("unexpected_index_list") or []) if about_rows else []
    observed = f"{len(broken)} rows break it" if about_rows else f"observed {found.get('observed_value')}"
    if "partial_unexpected_list" in found and not about_rows:
        observed = f"unexpected: {found['partial_unexpected_list']}"
    return Verdict(
        rule=" ".join(filter(None, [rule["rule"], rule.get("column")])),
        severity=str(rule.get("severity", "critical")),
        passed=bool(result.success),
        about_rows=about_rows,
        broken_by=broken,
        observed=observed,
    )
