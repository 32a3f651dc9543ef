"""Model card and data card: every number is the evidence's, every sentence follows from it, what is unknown says so."""

import copy
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.cards import read_files, write_cards
from tasks.report.data_card import data_card
from tasks.report.limits import limits
from tasks.report.model_card import model_card
from tasks.report.version import MOST, describe
from tasks.wiring import outputs
from tests import evidence
from tests.trained import write_project

ROOT = Path(__file__).resolve().parent.parent
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
FACTS = {"luthier.data.raw": "ab" * 32, "luthier.weights.tuned": "91" * 32, "luthier.code.commit": "7e1771e" + "0" * 33}
EXAMPLE = {"family": "summarise", "document": 'He said "no" to `it`.\nTwice.'}
POINTS = ("n", "base", "tuned", "difference")
PARTS = {
    "summarise": {"train": 115, "dev": 10, "test": 60, "too_long": 690},
    "section": {"train": 32, "dev": 4, "test": 16, "too_long": 11},
}


def told(**others: Any) -> dict[str, Any]:
    """What the stages of a pipeline wrote, as `read_files` gives it."""
    results = evidence.results()
    sources = {"xsum": {"url": "wheel:a|b!/`x`.jsonl", "sha256": "22" * 32, "bytes": 2392230, "files": ["x.jsonl"]}}
    said = {"model": "Apache-2.0", "sources": {"xsum": None}, "benchmarks": {"mmlu": "MIT"}}
    groups = [{"group": "female", "n": 57, "percent": 5.919, "low": 4.596, "high": 7.592}]
    facet = {"facet": "gender", "source": "xsum", "column": "document", "texts": 963, "groups": groups}
    files = {
        "metrics": results, "cards": evidence.cards(results), "evaluation": evidence.more(),
        "leaks": evidence.certificate(), "validation": evidence.validation() | {"private": False},
        "mixture": {
            "examples": {"train": 147, "dev": 14, "test": 76}, "replay_share": 0.2741,
            "parts": [
                {"family": name, "source": "xsum", "wordings": 1, "replay": False, "records": counts, "examples": counts}
                for name, counts in PARTS.items()
            ],
        },
        "bias": {"facets": [facet], "findings": ["gender in xsum.document: something stands out."], "limits": ["Little."]},
        "raw": {"sources": sources, "licences": said}, "benchmarks": {"sources": {"mmlu": {}}},
        "base": {"name": "wheel:base", "revision": None, "sha256": "b1" * 32, "weights_sha256": "a6" * 32},
        "training": [{"step": 5, "loss": 3.1}, {"step": 60, "dev_loss": 2.25}],
        "training_run": {"precision": "fp32", "dev_loss_before": 3.0, "dev_loss_after": 2.25, "best_step": 60, "tokens": 81234},
        "steps": [{"step": "finetune", "seconds": 170.25, "peak_mb": 4856, "exit": 0, "started": 1795413124.66}],
        "params": PARAMS,
    }  # fmt: skip
    return files | others


def card(**others: Any) -> str:
    return model_card(told(**others), FACTS, EXAMPLE)


def tables(text: str) -> Iterator[list[dict[str, str]]]:
    """Each table of a page, as rows by column."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in block.splitlines()]
        head, _, *rows = [[cell.strip() for cell in line] for line in lines]
        yield [dict(zip(head, row, strict=True)) for row in rows]


def table(text: str, heading: str) -> list[dict[str, str]]:
    """The first table under a heading."""
    return next(tables(text.split(f"# {heading}\n", 1)[1]))


def values(cell: str) -> list[float]:
    return [float(found) for found in re.findall(r"[-+]?[\d.]+", cell.replace(",", " ").replace("\u00a0", " "))]


def rows_of(section: str, key: str, page: list[dict[str, str]]) -> dict[str, str]:
    (row,) = [row for row in page if row["metric"].split(" (")[0] == f"{section} {key}"]
    return row


def test_every_comparison_stands_on_the_card_with_its_numbers() -> None:
    page, results = table(card(), "Evaluation"), evidence.results()
    whole = {name: rows for name, rows in results.items() if not name.endswith("_wording")}
    assert len(page) == sum(len(rows) for rows in whole.values())
    for section, rows in whole.items():
        for key, row in rows.items():
            shown = rows_of(section, key, page)
            assert [float(shown[name]) for name in POINTS] == [pytest.approx(row[name], abs=0.005) for name in POINTS]
            ends = [row["difference_low"], row["difference_high"]]
            assert values(shown["95% interval"]) == [pytest.approx(end, abs=0.005) for end in ends]
            assert shown["verdict"].startswith(row["verdict"])


def test_the_primary_metric_comes_first_and_wordings_stand_apart() -> None:
    text = card()
    assert table(text, "Evaluation")[0]["metric"] == "summarise rouge1"
    apart = [row["metric"] for row in table(text, "Held-out and seen wordings")]
    assert apart == ["summarise_held_out_wording rouge1", "summarise_seen_wording rouge1"]


def test_the_headline_is_of_the_numbers_in_the_table_and_not_of_what_another_file_says() -> None:
    results = evidence.results()
    lying = evidence.cards(results) | {"sentence": "Tuning helped beyond all measure."}
    results["summarise"]["rouge1"] = evidence.compared(20.0, 12.0, "worse")
    text = card(metrics=results, cards=lying)
    assert "**Tuning hurt: ROUGE-1 on summarise fell from 20.0 to 12.0, by 8.0 points (95% interval" in text
    assert "beyond all measure" not in text


def test_forgetting_perturbations_and_cost_are_the_evidence_s() -> None:
    text, more = card(), evidence.more()
    for row, shown in zip(more["forgetting"]["suites"], table(text, "Forgetting"), strict=True):
        assert [float(shown[name]) for name in POINTS] == [row[name] for name in POINTS]
        assert values(shown["one-sided bounds"]) == [row["low"], row["high"]]
    for row, shown in zip(more["perturbed"], table(text, "Robustness and fairness to wording"), strict=True):
        one = row["base"]
        assert values(shown["change of base's score"]) == [one[f"difference{end}"] for end in ("", "_low", "_high")]
        assert [float(shown["n"]), float(shown["answers changed, %, base"])] == [row["n"], row["changed"]["base"]]
    costs = {row["what"].split(" (")[0]: row for row in table(text, "Cost")}
    assert (costs["finetune"]["seconds"], costs["finetune"]["peak memory, MB"]) == ("170.2", "4,856")
    assert costs["answers of tuned"]["seconds"] == "63.2"


@pytest.mark.parametrize("name", ["n", "base", "tuned", "difference", "difference_low", "difference_high"])
def test_a_number_of_the_metrics_that_is_another_changes_the_card(name: str) -> None:
    before, results = card(), evidence.results()
    for section, rows in results.items():
        for key in rows if not section.endswith("_wording") else ["rouge1"]:
            spoilt = copy.deepcopy(results)
            spoilt[section][key][name] += 7
            assert model_card(told(metrics=spoilt), FACTS, EXAMPLE) != before, (section, key)


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all numbers in parsed JSON."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers_in(inner, (*path, key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path


def spoilt_at(files: dict[str, Any], path: tuple[Any, ...], change: Any) -> dict[str, Any]:
    changed = copy.deepcopy(files)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = change(at[path[-1]])
    return changed


@pytest.mark.parametrize("name", ["validation", "mixture", "leaks", "raw", "bias"])
def test_a_number_of_the_data_reports_that_is_another_changes_the_data_card(name: str) -> None:
    files = told()
    before = data_card(files, FACTS)
    for path in numbers_in(files[name], (name,)):
        if "records" in path and path[-1] in ("train", "dev", "test"):
            continue  # the model card has these
        assert data_card(spoilt_at(files, path, lambda value: value + 7), FACTS) != before, path


def test_no_number_that_is_not_finite_reaches_a_card_or_stops_it() -> None:
    files = told()
    for name in ("metrics", "evaluation", "validation", "mixture", "training_run"):
        for path in numbers_in(files[name], (name,)):
            spoilt = spoilt_at(files, path, lambda _: math.nan)
            for text in (model_card(spoilt, FACTS, EXAMPLE), data_card(spoilt, FACTS)):
                assert not re.search(r"\b(nan|inf)\b", text, re.IGNORECASE), path


def test_what_is_not_there_is_said_to_be_unknown() -> None:
    files = told()
    for name in files:
        fewer = {key: value for key, value in files.items() if key != name}
        assert model_card(fewer, FACTS, EXAMPLE)
        assert data_card(fewer, FACTS)
    assert "It is unknown whether tuning helped." in model_card({}, {}, {})
    assert model_card({}, {}, {}).count("unknown") > 10
    assert "Whether anything leaks is unknown." in data_card({}, {})
    assert "These reports are not among the evidence: raw, validation, bias, mixture, leaks." in data_card({}, {})
    assert "The evidence says nothing of forgetting, wordings and noise" in model_card({}, {}, {})


def test_cards_are_the_same_each_time_and_hold_no_clock() -> None:
    assert card() == card()
    assert data_card(told(), FACTS) == data_card(told(), FACTS)
    assert "1795413124" not in card()


def test_limits_follow_from_the_numbers() -> None:
    results = evidence.results("better")
    for rows in results.values():
        for row in rows.values():
            row["n"] = row["groups"] = 600
    sound = told(metrics=results, cards=evidence.cards(results), params={**PARAMS, "promote": {"guards": {}}})
    assert [limit for limit in limits(sound) if not limit.startswith("Wordings")] == [
        "No person's judgement of the outputs is part of the evidence, and no use but the measured ones."
    ]
    worse = copy.deepcopy(results)
    worse["summarise"]["unsupported"] = evidence.compared(8.0, 33.0, "worse", targets=40.0)
    worse["piqa_0shot"]["accuracy"] = evidence.compared(60.0, 52.0, "worse", chance=50.0)
    promote = {"guards": {"summarise.unsupported": 10.0, "summarise.gone": 1.0}, "min_examples": 100}
    warned = "\n".join(limits(sound | {"metrics": worse, "params": {**PARAMS, "promote": promote}}))
    for sentence in (
        "Tuning made it invent more: of 100 facts that the tuned model states on summarise, 33 are not in what it read",
        "Difference +25.00 [+20.00, +30.00], n = 60.",
        "Guard summarise.unsupported: 8.00 to 33.00 [+20.00, +30.00], n = 60; surely worse by over 10",
        "Guard summarise.gone: there is no finite number of base and tuned.",
        "Fewer than 100 examples stand behind summarise (60) and piqa 0-shot (60).",
        "Not to be told from a blind guess: piqa 0-shot (52.00 [47.00, 57.00], n = 60, chance 50).",
    ):
        assert sentence in warned


def test_a_forgotten_suite_and_a_leak_are_limits() -> None:
    more = evidence.more() | {"forgetting": evidence.budget("forgotten", "cannot tell")}
    warned = "\n".join(limits(told(evaluation=more, leaks=evidence.certificate(3))))
    more["forgetting"]["suites"][0]["low"] = math.nan
    assert limits(told(evaluation=more))[0].startswith("Forgetting: a loss or the budget is no finite number")
    assert "accuracy fell by surely more than the budget of 10 points on mmlu 0-shot (60.0 to 35.0)" in warned
    assert "3 examples of what is asked stand in the training data" in warned


def test_licences_are_stated_or_it_is_said_where_to_state_them() -> None:
    for text in (card(), data_card(told(), FACTS)):
        stated = {(row["what"], row["name"]): row["licence"] for row in table(text, "Licences")}
        assert stated["base model", "`wheel:base`"] == "Apache-2.0"
        assert stated["benchmark", "mmlu"] == "MIT"
        assert stated["source", "xsum"].startswith(
            "not stated: write it into params.yaml as fetch.sources.xsum.licence"
        )


def test_private_data_show_the_names_of_fields_and_no_value() -> None:
    assert "He said" in card()
    private = evidence.validation() | {"private": True}
    params = {name: section for name, section in PARAMS.items() if name != "validate"}
    for hidden in (card(validation=private), card(validation=evidence.validation(), params=params)):
        assert "He said" not in hidden
        assert '"document": "..."' in hidden
    rule = {"rule": "expect_column_values_to_be_in_set kind", "expects": {"value_set": ["secret"]}, "passed": True}
    for hidden in (False, True):
        source = {"by_rule": {rule["rule"]: 1}, "rules": [rule | {"severity": "critical"}]}
        text = data_card(told(validation={"private": hidden, "sources": {"xsum": source}}), FACTS)
        assert ("secret" in text) != hidden
    assert "alert" not in card()  # nor an output, such as the most toxic ones that evaluation.json holds


def test_the_example_can_be_run_as_it_stands() -> None:
    block = card().split("```python\n")[1].split("```")[0]
    compile(block, "card", "exec")
    assert '"document": "He said \\"no\\" to `it`.\\nTwice."' in block


def test_the_data_card_s_tables_are_the_reports() -> None:
    text = data_card(told(), FACTS)
    validation = evidence.validation()["sources"]
    for row in table(text, "Sources"):
        own = validation[row["source"]]
        shown = [int(row[name].replace(",", "")) for name in ("rows read", "valid", "set aside")]
        assert shown == [own[name] for name in evidence.TOTALS]
    assert {row["rule"].strip("`"): int(row["rows"]) for row in table(text, "Rows set aside")} == validation["xsum"][
        "by_rule"
    ]
    for row in table(text, "Splits and instructions"):
        counts = PARTS[row["instruction"]]
        assert {name: int(row[name]) for name in ("train", "dev", "test")} == {
            name: counts[name] for name in ("train", "dev", "test")
        }
    (leaks,) = table(text, "Leak certificate")
    assert leaks == {"between": "train/test", **dict.fromkeys(("exact", "normalised", "input", "inverse", "near"), "0")}
    assert "female 57 (5.9% [4.6, 7.6])" in text
    assert "Wordings that the test asks by: summarise 2 seen and 2 held out." in text
    assert "`wheel:a|b!/``x``.jsonl`" not in text
    assert "`` wheel:a|b!/`x`.jsonl ``" in text


def test_a_warning_of_the_same_name_is_not_given_as_the_reason_why_rows_were_set_aside() -> None:
    rule = {"rule": "expect_column_values_to_not_match_regex document", "passed": True, "rows_breaking": 28}
    rules = [rule | {"severity": "critical", "expects": {"regex": "^Share"}}]
    rules += [rule | {"severity": "warning", "expects": {"regex": "Last updated"}}]
    validation = {"private": False, "sources": {"xsum": {"by_rule": {rule["rule"]: 28}, "rules": rules}}}
    (row,) = table(data_card(told(validation=validation), FACTS), "Rows set aside")
    assert (row["in words"], row["rows"]) == ("document: not like ^Share", "28")


def many(suites: int) -> dict[str, Any]:
    """Evidence with many suites and long names."""
    results = evidence.results()
    for number in range(suites):
        for name in ("a_suite_with_a_name_that_is_rather_long", "another"):
            results[f"{name}_{number}_5shot"] = {
                "accuracy": evidence.compared(60.0, 40.0, "worse", chance=25.0),
                "ece": evidence.compared(10.0, 12.0, "cannot tell"),
            }
    return told(metrics=results, cards=evidence.cards(results))


@pytest.mark.parametrize("suites", [0, 1, 40])
def test_a_version_s_description_is_a_card_that_mlflow_s_database_takes(suites: int) -> None:
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion, SqlRegisteredModel  # noqa: PLC0415

    assert (
        SqlModelVersion.__table__.c.description.type.length
        == SqlRegisteredModel.__table__.c.description.type.length
        == MOST
    )
    facts = FACTS | {f"luthier.link.{number}": "c" * 300 for number in range(12)}
    example = {"family": "summarise", **{f"field_{number}": "x" * 500 for number in range(4)}}
    text = describe(many(suites), facts, example, "evidence/abcdefabcdef/model_card.md")
    assert len(text) <= MOST
    assert text.startswith("**Tuning helped: ROUGE-1")
    assert "| summarise rouge1 |" in text
    assert "`evidence/abcdefabcdef/model_card.md`" in text
    assert text.endswith(f"`git checkout {facts['luthier.code.commit'][:12]} && dvc repro`.")
    for heading in ("Limits", "Ask it", "Model details", "Where it comes from"):
        assert f"### {heading}" in text or heading.lower() in text.rsplit("For want of room not here:", 1)[1]


def test_cards_of_what_the_stages_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    files = read_files(outputs())
    assert {"metrics", "cards", "evaluation", "leaks", "validation", "raw", "training", "params"} <= set(files)
    written = write_cards(outputs(), FACTS, EXAMPLE, tmp_path)
    assert [path.name for path in written] == ["model_card.md", "data_card.md"]
    text = written[0].read_text()
    results = json.loads(Path("reports/metrics.json").read_text())
    row = rows_of("summarise", "rouge1", table(text, "Evaluation"))
    assert float(row["tuned"]) == pytest.approx(results["summarise"]["rouge1"]["tuned"], abs=0.005)
