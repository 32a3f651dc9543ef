"""Rules in a reader's words: what a rule of intake says of a row, what a rule of params.yaml asks of a column."""

import re
from typing import Any

Row = dict[str, Any]
INTAKE = {
    "nul": "holds a NUL character",
    "utf8": "is not UTF-8",
    "columns": "has another number of cells than the header",
    "blank": "is an empty line",
    "empty": "has nothing in a needed column",
    "field_size": "has a field longer than max_field_bytes",
    "truncated": "is cut off",
    "json": "is no JSON object",
    "missing": "lacks a needed column",
    "type": "has a value of another type than most rows",
}
ASKED = {  # {} stands for the arguments, or for what is in it where they may not be shown
    "expect_table_row_count_to_be_between": "{how many} rows",
    "expect_table_row_count_to_equal": "{how many} rows",
    "expect_column_values_to_be_unique": "no value twice",
    "expect_compound_columns_to_be_unique": "not the same values twice",
    "expect_column_values_to_be_in_set": "one of {a set}",
    "expect_column_values_to_match_regex": "like {a pattern}",
    "expect_column_values_to_not_match_regex": "not like {a pattern}",
    "expect_column_value_lengths_to_be_between": "{how many} characters",
    "expect_column_token_lengths_to_be_between": "{how many} tokens",
    "expect_column_values_to_be_in_language": "in language {…}",
    "expect_column_lengths_not_to_drift": "lengths as in the accepted data",
    "expect_column_values_not_to_drift": "values as in the accepted data",
}
PLAIN = ("value", "value_set", "regex", "languages")  # arguments that need no name before them


def asked(rule: str, expects: Row) -> str:
    """What a rule asks of a row or table, in words.

    Args:
        rule: its name and columns, or a rule of intake.
        expects: its arguments.
    """
    if rule in INTAKE:
        return INTAKE[rule]
    name, _, columns = rule.partition(" ")
    form = ASKED.get(name) or name.removeprefix("expect_").removeprefix("column_").replace("_", " ") + " {}"
    said = re.sub(r"\{(.*?)\}", lambda hidden: _arguments(expects) or hidden[1], form).rstrip()
    return ": ".join(filter(None, [columns, said]))


def asked_of_all(rule: str, expects: Row) -> str:
    """What a rule asks, and of how many rows."""
    share = f", in {100 * expects['mostly']:g}% of the rows or more" if expects.get("mostly", 1) != 1 else ""
    return asked(rule, expects) + share


def _arguments(expects: Row) -> str:
    """{min_value: 25, max_value: 300} -> '25 to 300'."""
    least, most = expects.get("min_value"), expects.get("max_value")
    bounds = {
        (True, True): f"{least} to {most}",
        (True, False): f"{least} or more",
        (False, True): f"{most} or fewer",
    }.get((least is not None, most is not None))
    others = [
        f"{'' if key in PLAIN else key + ' '}{', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in expects.items()
        if key not in ("min_value", "max_value", "mostly", "threshold")
    ]
    return ", ".join(filter(None, [bounds, *others]))
