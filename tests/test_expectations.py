"""The judge: Great Expectations' rules and ours, on what was read; nothing kept or broken that was not looked at."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer
from words import write_tokenizer

from tasks.data.files import Row
from tasks.data.judge.derived import added_tokens, languages, token_lengths, tokenizer
from tasks.data.judge.drift import compare_lengths
from tasks.data.judge.expectations import judge
from tasks.data.judge.profile import control_tokens, drawn, profile_of
from tasks.data.judge.rules import Means
from tasks.data.judge.verdicts import Verdict
from tasks.errors import DataError, ParamsError

COLUMNS = ["id", "text", "label"]
TABLE = pa.table({
    "id": [str(number % 9) for number in range(1, 11)],
    "text": ["x" * number for number in range(1, 11)],
    "label": ["a"] * 10,
})  # fmt: skip
UNIQUE = {"rule": "expect_column_values_to_be_unique", "column": "id"}
LENGTH = {"rule": "expect_column_value_lengths_to_be_between", "column": "text"}
TOKENS = {"rule": "expect_column_token_lengths_to_be_between", "column": "text"}
LANGUAGE = {"rule": "expect_column_values_to_be_in_language", "column": "text", "languages": ["en"]}
DRIFT = {"rule": "expect_column_lengths_not_to_drift", "column": "text", "threshold": 0.05}
LABELS = {"rule": "expect_column_values_not_to_drift", "column": "label", "threshold": 0.05}


@pytest.fixture
def means(tmp_path: Path) -> Means:
    return Means(write_tokenizer(tmp_path / "tokenizer.json"), accepted=None, private=False)


def one(table: pa.Table, rule: Row, means: Means) -> Verdict:
    (verdict,) = judge(table, table.column_names, [rule], means)
    return verdict


def texts(*values: str) -> pa.Table:
    return pa.table({"text": list(values)})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({**UNIQUE, "rule": "expect_column_values_to_be_uniq"}, "rule (near names: expect_column_values_to_be_unique"),
        ({**UNIQUE, "rule": "expect_column_token_length_to_be"}, "near names: expect_column_token_lengths_to_be_bet"),
        ({"rule": "nothing of the sort"}, "'nothing of the sort' is no Great Expectations rule"),
        ({"column": "id"}, "'None' is no Great Expectations rule"),
        ({**UNIQUE, "colum": "id"}, "rule expect_column_values_to_be_unique with {'column': 'id', 'colum': 'id'}:"),
        ({**UNIQUE, "mostly": 2}, "less than or equal to 1"),
        ({**LENGTH, "min_value": 1, "severity": "fatal"}, "permitted: 'critical', 'warning', 'info'"),
        ({**LENGTH, "column": "txt", "min_value": 1}, "rule expect_column_value_lengths_to_be_between txt cannot be run"),
        ({**UNIQUE, "column": "txt", "severity": "warning"}, "rule expect_column_values_to_be_unique txt cannot be run"),
        ({**UNIQUE, "rule": "expect_column_values_to_match_regex", "regex": "("}, "_match_regex id cannot be run: "),
        ({**TOKENS, "column": "txt", "max_value": 5}, "no column 'txt' is read; those that are: id, text, label."),
        ({**TOKENS, "max": 5}, "'max' is not an argument. Known here: column, severity, min_value, max_value, mostly."),
        ({**TOKENS, "max_value": "many"}, "'max_value': Input should be a valid integer"),
        (TOKENS, "min_value and max_value cannot both be None"),
        ({**LANGUAGE, "languages": ["english"]}, "'english' is no language code that py3langid knows (such as "),
        ({**LANGUAGE, "languages": []}, "'languages': List should have at least 1 item"),
        ({**DRIFT, "threshold": -1}, "'threshold': Input should be greater than or equal to 0"),
        ({"rule": DRIFT["rule"], "column": "text"}, "'threshold' is missing. Known here: column, severity, threshold."),
        ({**LABELS, "severity": "fatal"}, "'severity': Input should be 'critical', 'warning' or 'info'"),
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_applied_is_refused_and_never_counts_as_kept_or_broken(
    rule: Row, said: str, means: Means
) -> None:
    with pytest.raises(ParamsError) as error:
        judge(TABLE, COLUMNS, [rule], means)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_of_rows_that_share_a_value_the_first_is_kept(means: Means) -> None:
    table = pa.table({"id": ["a", "b", "a", "c", "b", "a"], "text": ["1", "1", "2", "1", "1", "1"]})
    verdict = one(table, UNIQUE, means)
    assert (verdict.broken_by, verdict.passed) == ([2, 4, 5], False)
    assert verdict.observed == "3 rows break it (5 share a value, and the first of each is kept)"
    pair = one(table, {"rule": "expect_compound_columns_to_be_unique", "column_list": ["id", "text"]}, means)
    assert pair.broken_by == [4, 5]
    assert pair.rule == "expect_compound_columns_to_be_unique id, text"
    assert one(table, {**UNIQUE, "mostly": 0.1}, means).passed


def test_verdicts_stand_in_the_order_of_the_rules_and_of_two_rules_alike_both_are_judged(means: Means) -> None:
    rules = [{**LENGTH, "max_value": 5}, {**DRIFT, "severity": "info"}, UNIQUE, {**LENGTH, "max_value": 5}]
    verdicts = judge(TABLE, COLUMNS, rules, means)
    assert [verdict.rule.split()[0] for verdict in verdicts] == [rule["rule"] for rule in rules]
    assert [verdict.severity for verdict in verdicts] == ["critical", "info", "critical", "critical"]
    assert verdicts[0] == verdicts[3]


def test_a_rule_about_two_columns_names_its_rows_like_one_about_one_column(means: Means) -> None:
    labels = ["x" * number if number != 4 else "other" for number in range(1, 11)]
    table = TABLE.set_column(2, "label", pa.array(labels))
    rule = {"rule": "expect_column_pair_values_to_be_equal", "column_A": "text", "column_B": "label", "mostly": 0.5}
    verdict = one(table, rule, means)
    assert (verdict.passed, verdict.broken_by, verdict.columns) == (True, [3], ["text", "label"])


def test_a_rule_about_the_table_tells_what_it_observed(means: Means) -> None:
    assert one(TABLE, {"rule": "expect_table_row_count_to_equal", "value": 10}, means).observed == "observed 10"
    rule = {"rule": "expect_column_distinct_values_to_be_in_set", "column": "id", "value_set": list("01234567")}
    verdict = one(TABLE, rule, means)
    assert (verdict.passed, verdict.about_rows, verdict.observed) == (False, False, "unexpected: ['8']")
    private = one(TABLE, rule, Means(means.tokenizer, None, private=True))
    assert (private.observed, private.expects) == ("unexpected: (private)", {})


def test_our_columns_are_not_there_for_a_rule_about_the_table_s_columns(means: Means) -> None:
    rules: list[Row] = [{**TOKENS, "max_value": 5}, {"rule": "expect_table_column_count_to_equal", "value": 3}]
    assert all(verdict.passed for verdict in judge(TABLE, COLUMNS, rules, means))


def test_tokens_are_counted_by_the_base_model_s_tokenizer_without_special_ones(means: Means) -> None:
    table = texts("one", "two words", "", "and <|mark|> here", "two words")
    assert token_lengths(table["text"], means.tokenizer).tolist() == [1, 2, 0, 3, 2]
    verdict = one(table, {**TOKENS, "min_value": 1, "max_value": 2, "mostly": 0.5}, means)
    assert (verdict.broken_by, verdict.measured, verdict.passed) == ([2, 3], ["0 tokens", "3 tokens"], True)
    assert verdict.observed == "2 rows break it (0 to 3 tokens)"


def test_a_tokenizer_that_cuts_or_pads_for_training_counts_whole_texts(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path / "tokenizer.json")
    cutting = Tokenizer.from_file(str(path))
    cutting.enable_truncation(2)
    cutting.enable_padding()
    cutting.save(str(path))
    assert token_lengths(pa.chunked_array([["one", "a text of five words"]]), path).tolist() == [1, 5]


def test_a_tokenizer_that_is_not_there_or_none_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.json is not there: lengths in tokens are counted by it"):
        tokenizer(tmp_path / "gone.json")
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(DataError, match=r"none.json is no tokenizer"):
        tokenizer(tmp_path / "none.json")


FOREIGN = {
    "cy": "Mae'r elusen yn ystyried rhoi'r arian i gapeli ac eglwysi yng Nghymru.",
    "de": "Der Patient klagt seit gestern über starke Schmerzen im linken Knie.",
    "fr": "Le patient se plaint de douleurs au genou depuis hier.",
    "es": "El paciente tiene fiebre y dolor de cabeza desde ayer por la noche.",
}
ENGLISH = ["The patient has had a fever and a cough since yesterday.", "How do you feel today? I am well, thank you."]


def test_a_text_in_another_language_breaks_the_rule_and_one_too_short_to_tell_does_not(means: Means) -> None:
    table = texts(*FOREIGN.values(), *ENGLISH, "None.", "Ja, gut.", "120/80", "")
    verdict = one(table, {**LANGUAGE, "mostly": 0.1}, means)
    assert verdict.broken_by == [0, 1, 2, 3]
    assert verdict.measured == list(FOREIGN)
    assert verdict.observed.endswith("(en 2, cy 1, de 1, es 1, fr 1; 4 not judged: too short or not clear)")
    assert one(table, {**LANGUAGE, "languages": [*FOREIGN, "en"]}, means).passed


def test_a_list_of_drugs_is_in_no_language_that_could_be_told() -> None:
    (code,) = languages(pa.chunked_array([["Lisinopril 10 mg daily, metformin 500 mg twice daily."]]), ["en"])
    assert code is None


# Drift


def lengths(seed: int, rows: int, middle: float) -> pa.Table:
    drawn_lengths = np.random.default_rng(seed).lognormal(np.log(middle), 0.5, rows).astype(int)
    return texts(*("x" * length for length in drawn_lengths))


def labels(seed: int, rows: int, weights: list[float]) -> pa.Table:
    names = [f"label{number}" for number in range(len(weights))]
    return pa.table({"label": random.Random(seed).choices(names, weights, k=rows)})


def drift(before: pa.Table, now: pa.Table, rule: Row, means: Means) -> Verdict:
    accepted = profile_of(before, before.column_names, means.tokenizer, private=False)
    return one(now, rule, Means(means.tokenizer, accepted, means.private))


@pytest.mark.parametrize("rows", [(40, 40), (1000, 60), (60, 1000), (600, 600)])
@pytest.mark.parametrize("seed", range(4))
def test_a_fresh_sample_of_the_same_lengths_passes_and_twice_the_length_does_not(
    rows: tuple[int, int], seed: int, means: Means
) -> None:
    before = lengths(seed, rows[0], 150)
    same = drift(before, lengths(seed + 100, rows[1], 150), DRIFT, means)
    longer = drift(before, lengths(seed + 100, rows[1], 300), DRIFT, means)
    assert same.passed, same.observed
    assert not longer.passed, longer.observed


WEIGHTS = [1 / number for number in range(1, 21)]  # few common labels, many rare ones


@pytest.mark.parametrize("rows", [(100, 100), (1000, 100), (100, 1000), (600, 600)])
@pytest.mark.parametrize("seed", range(4))
def test_a_fresh_sample_of_the_same_labels_passes_and_other_shares_do_not(
    rows: tuple[int, int], seed: int, means: Means
) -> None:
    before = labels(seed, rows[0], WEIGHTS)
    same = drift(before, labels(seed + 100, rows[1], WEIGHTS), LABELS, means)
    turned = drift(before, labels(seed + 100, rows[1], WEIGHTS[10:] + WEIGHTS[:10]), LABELS, means)
    assert same.passed, same.observed
    assert not turned.passed, turned.observed


def test_what_was_never_seen_before_is_drift_when_there_is_much_of_it(means: Means) -> None:
    before = labels(1, 200, [5, 3, 2])
    assert drift(before, labels(2, 200, [5, 3, 2, 0.02]), LABELS, means).passed
    assert not drift(before, labels(2, 200, [5, 3, 2, 5]), LABELS, means).passed
    identifiers = texts(*["x" * 36] * 100)
    assert not drift(identifiers, texts(*["x" * 10] * 100), DRIFT, means).passed
    assert drift(identifiers, texts(*["x" * 36] * 20), DRIFT, means).passed


def test_data_that_is_as_it_was_has_no_divergence(means: Means) -> None:
    table = lengths(1, 200, 150)
    assert drift(table, table, DRIFT, means).observed.startswith(
        "divergence 0.000 from 200 accepted rows; allowed 0.05"
    )


def test_where_names_may_not_be_said_labels_are_compared_by_rank(means: Means) -> None:
    before, now = labels(1, 300, [6, 3, 1]), labels(2, 300, [1, 6, 3])
    assert not drift(before, now, LABELS, means).passed
    private = Means(means.tokenizer, None, private=True)
    assert drift(before, now, LABELS, private).passed
    assert not drift(before, labels(2, 300, [1, 1, 1]), LABELS, private).passed


def test_without_accepted_data_nothing_is_compared_and_nothing_stops(means: Means) -> None:
    for rule in ({**DRIFT, "severity": "critical"}, LABELS):
        verdict = one(TABLE, rule, means)
        assert (verdict.passed, verdict.severity) == (True, "critical")
        assert verdict.observed == "not compared: no accepted data yet"
    many = texts(*map(str, range(200)))
    verdict = drift(many, many, {**LABELS, "column": "text"}, means)
    assert verdict.observed == "not compared: the accepted data has too many different values in this column"


def test_drift_is_asked_of_the_rows_that_keep_the_critical_rules(means: Means) -> None:
    before = lengths(1, 300, 150)
    accepted = profile_of(before, ["text"], means.tokenizer, private=False)
    now = pa.concat_tables([before, texts(*["y" * 5000] * 150)])
    rules: list[Row] = [DRIFT, {**LENGTH, "max_value": 4000, "mostly": 0.5}]
    drifted, _ = judge(now, ["text"], rules, Means(means.tokenizer, accepted, private=False))
    assert drifted.observed.startswith("divergence 0.000")
    kept, _ = judge(
        now, ["text"], [DRIFT, {**rules[1], "severity": "warning"}], Means(means.tokenizer, accepted, False)
    )
    assert not kept.passed


def test_lengths_are_compared_in_few_groups_of_many_rows(means: Means) -> None:
    accepted = profile_of(lengths(1, 1000, 150), ["text"], means.tokenizer, private=False)["columns"]["text"]
    comparison = compare_lengths(lengths(2, 1000, 150)["text"], accepted)
    weights = comparison.partition["weights"]
    assert 4 <= len(weights) <= 10
    assert min(weights) >= 0.1
    assert abs(sum(weights) - 1) < 1e-9


# What the data is like


def test_a_profile_counts_and_names_kinds_of_columns(means: Means) -> None:
    table = pa.table({
        "id": [f"r{number}" for number in range(8)],
        "text": ["one two", "one two", "", " ", "three", "four", "five", "six"],
        "label": ["a", "b"] * 4,
    })  # fmt: skip
    profile = profile_of(table, COLUMNS, means.tokenizer, private=False)
    assert {name: column["kind"] for name, column in profile["columns"].items()} == {
        "id": "identifier", "text": "text", "label": "labels",
    }  # fmt: skip
    text = profile["columns"]["text"]
    assert (text["empty"], text["different"], text["repeated"], text["labels"]) == (2, 7, 1, None)
    assert text["characters"]["counts"] == {"0": 1, "1": 1, "3": 1, "4": 2, "5": 1, "7": 2}
    assert (text["tokens"]["least"], text["tokens"]["most"]) == (0, 2)
    assert profile["columns"]["label"]["labels"] == [{"label": "a", "rows": 4}, {"label": "b", "rows": 4}]
    private = profile_of(table, COLUMNS, means.tokenizer, private=True)["columns"]["label"]["labels"]
    assert private == [{"label": "label 1", "rows": 4}, {"label": "label 2", "rows": 4}]


def test_rows_are_drawn_by_what_they_say_and_not_by_where_they_stand() -> None:
    table = pa.table({"text": [f"text {number}" for number in range(500)]})
    turned = table.take(list(reversed(range(500))))
    first, second = drawn(table, ["text"], 50), drawn(turned, ["text"], 50)
    assert len(first) == 50
    assert set(first["text"].to_pylist()) == set(second["text"].to_pylist())
    more = pa.concat_tables([table, pa.table({"text": [f"more {number}" for number in range(500)]})])
    assert set(drawn(more, ["text"], 50)["text"].to_pylist()) & set(first["text"].to_pylist())


def test_control_tokens_in_the_text_are_counted_by_column(means: Means) -> None:
    table = pa.table({
        "text": ["<|im_start|>system <|im_start|>", "a <s> b </s>", "x < y | z", "<|mark|>"],
        "label": ["[INST] hi", "plain", "", "<S>"],
    })  # fmt: skip
    assert control_tokens(table, ["text", "label"], added_tokens(means.tokenizer)) == {
        "text": {
            "<|im_start|>": {"times": 2, "rows": 1}, "<s>": {"times": 1, "rows": 1},
            "</s>": {"times": 1, "rows": 1}, "<|mark|>": {"times": 1, "rows": 1},
        },
        "label": {"[INST]": {"times": 1, "rows": 1}},
    }  # fmt: skip


def test_two_hundred_thousand_rows_that_all_break_a_rule_are_judged_in_seconds(means: Means) -> None:
    table = pa.table({"id": ["same"] * 200_000, "text": [f"text {number}" for number in range(200_000)]})
    rules: list[Row] = [{**UNIQUE, "mostly": 0.0}, {**LENGTH, "min_value": 1000, "mostly": 0.0}]
    started = time.monotonic()
    unique, length = judge(table, ["id", "text"], rules, means)
    assert (len(unique.broken_by), len(length.broken_by)) == (199_999, 200_000)
    assert time.monotonic() - started < 20


def test_text_that_looks_like_a_number_or_nothing_stays_text(means: Means) -> None:
    table = texts("1", "None", "N/A", "null", "nan", "")
    rule: dict[str, Any] = {"rule": "expect_column_values_to_not_be_null", "column": "text"}
    assert one(table, rule, means).passed
    assert one(table, {**LENGTH, "min_value": 3, "mostly": 0.1}, means).broken_by == [0, 5]
