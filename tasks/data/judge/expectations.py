"""Great Expectations as the judge of the records: rules from params.yaml, run in an ephemeral context.

The only module that imports great_expectations. A rule about rows gives the rows that break it; a rule about the
table passes or fails. Results hold clocks and random ids upstream, so they are reduced here to what is repeatable.
Rules of our own (tasks/data/judge/rules.py) are judged by it too, on columns made for it.
"""

import difflib
import logging
import re
import warnings
from typing import Any

import pandas as pd
import pyarrow as pa

from tasks.data.files import Row
from tasks.data.judge.rules import DRIFT, OURS, Derived, Means, check, derive
from tasks.data.judge.verdicts import Verdict, columns_of, expects_of, kept_rows, name_of, observed_of
from tasks.errors import ParamsError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own deprecations at import
    import great_expectations as gx
    from great_expectations.expectations.expectation import (
        ColumnMapExpectation,
        ColumnPairMapExpectation,
        MulticolumnMapExpectation,
    )
    from great_expectations.validator.v1_validator import Validator

logging.getLogger("great_expectations").setLevel(logging.ERROR)

ABOUT_ROWS = (ColumnMapExpectation, ColumnPairMapExpectation, MulticolumnMapExpectation)
UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
KINDS = {name.lower(): getattr(gx.expectations, name) for name in dir(gx.expectations) if name.startswith("Expect")}
HIDDEN = "why is not shown (validate.private), because it may quote the data"
FEW = 20  # rows whose measure is kept for a reader
# Of a rule about rows the positions are needed and nothing else: the values would be copied, the query is long.
POSITIONS = {"result_format": "COMPLETE", "exclude_unexpected_values": True, "return_unexpected_index_query": False}
VALUES = {"result_format": "COMPLETE", "partial_unexpected_count": FEW}


def judge(table: pa.Table, columns: list[str], rules: list[Row], means: Means) -> list[Verdict]:
    """Run `rules` over a table, in their order.

    Args:
        table: text by column.
        columns: those that rules may name.
        rules: {rule: a Great Expectations expectation in snake case or one of ours, its arguments, severity}.
        means: what columns for our own rules are made with.

    Raises:
        ParamsError: a rule is unknown, or its arguments do not fit.
    """
    for rule in rules:
        check(rule, columns) if rule.get("rule") in OURS else _expectation(rule, means.private)
    texts = pd.DataFrame({name: pd.Series(_objects(table[name]), dtype=object) for name in columns})
    court = _Court(texts, means.private)
    verdicts: dict[int, Verdict] = {}
    # Whether data drifts is asked of the rows that will be used: the others are not in the accepted data either.
    for number in sorted(range(len(rules)), key=lambda number: rules[number]["rule"] in DRIFT):
        rule = rules[number]
        if rule["rule"] in OURS:
            rows = kept_rows(table, verdicts.values()) if rule["rule"] in DRIFT else table
            verdicts[number] = court.judge_derived(rule, derive(rule, rows, means))
        else:
            verdicts[number] = court.judge(rule, _expectation(rule, means.private))
    return [verdicts[number] for number in range(len(rules))]


class _Court:
    """An ephemeral context of Great Expectations with one table, and how its results are told."""

    def __init__(self, texts: pd.DataFrame, private: bool) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = gx.data_context.types.base.ProgressBarsConfig(globally=False)
        self.source = context.data_sources.add_pandas("records")
        self.private = private
        self.texts = texts
        self.validator = self._validator(texts)

    def _validator(self, frame: pd.DataFrame) -> Any:
        """What runs one rule after another: it reads and digests the frame once, at the first."""
        asset = self.source.add_dataframe_asset(f"table {len(self.source.assets)}")
        return Validator(asset.add_batch_definition_whole_dataframe("all"), batch_parameters={"dataframe": frame})

    def judge(self, rule: Row, expectation: Any) -> Verdict:
        """The verdict of a rule by Great Expectations' own name."""
        found, broken = self._run(rule, expectation, self.validator)
        columns = columns_of(rule)
        detail = "" if isinstance(expectation, ABOUT_ROWS) else observed_of(found.result, self.private)
        if rule["rule"] in UNIQUE and broken:
            sharing, broken = len(broken), _later(self.texts, columns, broken)
            detail = f"{sharing:,} share a value, and the first of each is kept"
        return self._verdict(rule, found, columns=columns, broken_by=broken, detail=detail)

    def judge_derived(self, rule: Row, derived: Derived) -> Verdict:
        """The verdict of a rule of ours."""
        columns, values = columns_of(rule), derived.values
        if derived.rule is None or values is None:
            return self._verdict(rule, None, columns=columns, detail=derived.said)
        frame = pd.DataFrame({"it": pd.Series(values, dtype=values.dtype)})
        found, broken = self._run(
            rule, _expectation({**derived.rule, "column": "it"}, self.private), self._validator(frame)
        )
        detail = derived.said
        if rule["rule"] in DRIFT:
            divergence = found.result["observed_value"]
            detail = f"divergence {'infinite' if divergence is None else f'{divergence:.3f}'} {derived.said}"
        measured = [f"{values[position]}{derived.unit}" for position in broken[:FEW]]
        return self._verdict(rule, found, columns=columns, broken_by=broken, detail=detail, measured=measured)

    def _run(self, rule: Row, expectation: Any, validator: Any) -> tuple[Any, list[int]]:
        about_rows = isinstance(expectation, ABOUT_ROWS)
        validator.result_format = dict(POSITIONS if about_rows else VALUES)
        found = validator.validate_expectation(expectation)
        # One exception, or one for each metric that raised, under its id.
        for info in (found.exception_info, *found.exception_info.values()):
            if isinstance(info, dict) and info.get("raised_exception"):
                message = " ".join(str(info.get("exception_message")).split())
                said = HIDDEN if self.private else message
                raise ParamsError(f"params.yaml, validate: rule {name_of(rule)} cannot be run: {said}")
        return found, sorted(found.result.get("unexpected_index_list") or []) if about_rows else []

    def _verdict(self, rule: Row, found: Any, **told: Any) -> Verdict:
        return Verdict(
            rule=name_of(rule),
            severity=str(rule.get("severity", "critical")),
            passed=found is None or bool(found.success),
            about_rows=found is not None and "unexpected_index_list" in found.result,
            expects=expects_of(rule, self.private),
            **told,
        )


def _objects(texts: pa.ChunkedArray) -> Any:
    return texts.to_numpy(zero_copy_only=False)


def _later(texts: pd.DataFrame, columns: list[str], positions: list[int]) -> list[int]:
    """Of rows that share a value all but the first."""
    repeats = texts.iloc[positions].duplicated(columns, keep="first").to_numpy()
    return [position for position, repeated in zip(positions, repeats, strict=True) if repeated]


def _expectation(rule: Row, private: bool) -> Any:
    values = {key: value for key, value in rule.items() if key != "rule"}
    name = str(rule.get("rule", ""))
    kind = KINDS.get(name.replace("_", "").lower())
    if kind is None:
        near = difflib.get_close_matches(name, [*OURS, *(_snake(known.__name__) for known in KINDS.values())], n=3)
        hint = f"near names: {', '.join(near)}" if near else f"see the Expectation Gallery; ours: {', '.join(OURS)}"
        raise ParamsError(f"params.yaml, validate: '{rule.get('rule')}' is no Great Expectations rule ({hint}).")
    try:
        return kind(**values)
    except Exception as error:  # pydantic v1 or v2, depending on the expectation
        reason = f" with {values}: {' '.join(str(error).split())}"
        said = f": its arguments do not fit; {HIDDEN}" if private else reason
        raise ParamsError(f"params.yaml, validate: rule {name}{said}") from None


def _snake(name: str) -> str:
    """ExpectColumnKLDivergenceToBeLessThan -> expect_column_kl_divergence_to_be_less_than."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
