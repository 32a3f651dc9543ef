"""expand: what is tested on is never trained on, and a template can do nothing but insert its fields."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import expand, fetch, validate
from tasks.data.files import Row, read_rows, write_json, write_rows
from tasks.data.overlap import certify
from tasks.data.questions import Question, read_flan_cot, read_options_jsonl
from tasks.data.splits import SPLITS, group_of, normalise, split_of
from tasks.errors import DataError, LeakError, ParamsError
from tasks.params import load
from tasks.prompts.templates import load_family, parse, render

ROOT = Path(__file__).resolve().parent.parent
OUT = (Path("data/valid"), Path("data/benchmarks"), Path("data/examples"), Path("reports/leaks.json"))
SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


def words(seed: object, count: int) -> str:
    """`count` words that no other seed gives."""
    draw = random.Random(str(seed))
    return " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count))


def records(numbers: range) -> list[Row]:
    """Articles with summaries; a record's text depends on its number alone."""
    return [
        {
            "file": "mine.csv",
            "row": row,
            "id": f"id {number}",
            "document": words(number, 40),
            "summary": words(f"summary {number}", 8),
        }
        for row, number in enumerate(numbers, start=1)
    ]


def section(**changes: Any) -> dict[str, Any]:
    """Section expand for one source and family, with changes to it or to its one part of the mixture."""
    mix = {
        "family": "summarise", "source": "mine", "constants": {},
        "fields": {"document": "document", "summary": "summary"},
        "max_words": {"input": 200, "target": 50}, "wordings": 2, "take": {"train": 1000, "dev": 1000, "test": 1000},
    }  # fmt: skip
    part = {**mix, **{key: changes.pop(key) for key in list(changes) if key in mix}}
    whole = {
        "seed": 1, "split": SHARES, "held_out_wordings": 2, "near_duplicate": 0.5, "accepted_leaks": 0,
        "groups": {"mine": "document"}, "mixture": [part],
    }  # fmt: skip
    return {**whole, **changes}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without benchmarks."""
    monkeypatch.chdir(tmp_path)
    OUT[1].mkdir(parents=True)
    write_json(OUT[1] / "manifest.json", {"sources": {}})
    return tmp_path


def run(rows: list[Row], **changes: Any) -> dict[str, list[Row]]:
    """What expand makes of these records, by split."""
    OUT[0].mkdir(exist_ok=True)
    write_rows(OUT[0] / "mine.jsonl", rows)
    Path("params.yaml").write_text(yaml.safe_dump({"expand": section(**changes)}, sort_keys=False))
    expand.main(*OUT)
    return {split: read_rows(OUT[2] / f"{split}.jsonl") for split in SPLITS}


def splits_by_group(made: dict[str, list[Row]]) -> dict[str, str]:
    return {row["group"]: split for split, rows in made.items() for row in rows}


def refusal(kind: type[Exception], rows: list[Row] | None = None, **changes: Any) -> str:
    with pytest.raises(kind) as error:
        run(rows if rows is not None else records(range(60)), **changes)
    assert not OUT[2].exists(), "examples were written although expand refused"
    assert not OUT[3].exists(), "a certificate was written although expand refused"
    assert "\n" not in str(error.value)
    return str(error.value)


# Splits


def test_no_record_changes_its_split_when_others_come_go_or_change_places() -> None:
    before = splits_by_group(run(records(range(200))))
    assert set(before.values()) == set(SPLITS)
    assert len(before) == 200
    more = splits_by_group(run(records(range(-100, 300))))
    assert len(more) == 400
    assert {group: more[group] for group in before} == before
    assert splits_by_group(run(records(range(199, -1, -1)))) == before
    fewer = splits_by_group(run(records(range(0, 200, 3))))
    assert fewer.items() <= before.items()


def test_the_shares_are_about_those_asked_for() -> None:
    drawn = [split_of(group_of(f"text {number}"), SHARES, 1) for number in range(5000)]
    assert all(abs(drawn.count(split) / 5000 - share) < 0.03 for split, share in SHARES.items())


def test_rows_that_say_the_same_stay_in_one_split() -> None:
    rows: list[Row] = []
    for number in range(60):
        text = words(number, 40)
        for variant in (text, text.upper() + "!", f"  {text.replace(' ', ',  ')}\n"):
            rows.append(
                {
                    "file": "mine.csv",
                    "row": len(rows) + 1,
                    "id": f"{len(rows)}",
                    "document": variant,
                    "summary": words(len(rows), 9),
                }
            )
    made = run(rows, wordings=1)
    assert all(made.values())
    seen: dict[str, set[str]] = {}
    for split, examples in made.items():
        for row in examples:
            seen.setdefault(normalise(rows[int(row["record"].rpartition(":")[2]) - 1]["document"]), set()).add(split)
    assert len(seen) == 60
    assert all(len(found) == 1 for found in seen.values())


def test_rows_of_one_group_column_stay_in_one_split() -> None:
    rows = [{**row, "id": f"author {row['row'] % 40}"} for row in records(range(200))]
    made = run(rows, groups={"mine": "id"})
    splits: dict[str, set[str]] = {}
    for split, examples in made.items():
        for row in examples:
            splits.setdefault(rows[int(row["record"].rpartition(":")[2]) - 1]["id"], set()).add(split)
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split() -> None:
    def everything() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in [*OUT[2].iterdir(), OUT[3]]}

    first_groups = splits_by_group(run(records(range(100))))
    first = everything()
    run(records(range(100)))
    assert everything() == first
    assert splits_by_group(run(records(range(100)), seed=2)) != first_groups


# Wordings


def test_held_out_wordings_are_never_trained_on_and_every_wording_is_used() -> None:
    templates = [template.id for template in load_family("summarise").templates]
    made = run(records(range(300)), wordings=3)
    used = {split: {row["template"] for row in rows} for split, rows in made.items()}
    assert used["train"] == set(templates[:-2])
    assert used["dev"] <= set(templates[:-2])
    assert used["test"] == set(templates)
    assert {row["template"] for row in made["test"] if row["wording"] == "held_out"} == set(templates[-2:])
    assert {row["wording"] for split in ("train", "dev") for row in made[split]} == {"seen"}


def test_a_training_record_is_rendered_with_the_wanted_number_of_different_wordings_and_others_with_one() -> None:
    made = run(records(range(100)), wordings=3)
    for split, times in {"train": 3, "dev": 1, "test": 1}.items():
        ids = {row["id"] for row in made[split]}
        assert len(ids) == len(made[split]) == times * len({row["record"] for row in made[split]})


def test_an_example_holds_its_record_and_nothing_of_its_target() -> None:
    rows = records(range(60))
    for split in run(rows).values():
        for example in split:
            row = rows[int(example["record"].rpartition(":")[2]) - 1]
            assert row["document"] in example["input"]
            assert example["target"] == row["summary"]
            assert row["summary"] not in example["input"]


def test_braces_in_a_record_stay_what_they_are() -> None:
    text = "{document} {0} {{7*7}} {row.__class__} }{ %s $x " + words("braces", 20)
    rows = [{**row, "document": f"{text} {row['row']}"} for row in records(range(60))]
    for split in run(rows, near_duplicate=1.0, accepted_leaks=1000).values():
        assert all(text in example["input"] for example in split)


def test_records_over_the_length_or_without_an_answer_are_left_out_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = records(range(100))
    rows[3]["document"] = words("long", 201)
    rows[4]["summary"] = words("long", 51)
    rows[5]["summary"] = "  \n"
    made = run(rows, wordings=1)
    assert sorted(
        set(range(1, 101)) - {int(row["record"].rpartition(":")[2]) for split in made.values() for row in split}
    ) == [4, 5, 6]
    assert "too_long     2   no_target     1" in capsys.readouterr().out


def test_take_limits_the_records_of_a_split() -> None:
    made = run(records(range(200)), wordings=2, take={"train": 10, "dev": 3, "test": 5})
    assert {split: len(rows) for split, rows in made.items()} == {"train": 20, "dev": 3, "test": 5}


# Leaks


def same_text_twice() -> list[Row]:
    """100 rows of 50 texts; each text twice under different ids."""
    return [
        {**row, "document": words(row["row"] // 2, 40), "summary": words(row["row"] // 2 + 1000, 8)}
        for row in records(range(100))
    ]


def test_the_same_text_in_two_splits_stops_with_the_pairs_written_down() -> None:
    said = refusal(LeakError, same_text_twice(), groups={"mine": "id"})
    refused = json.loads(Path("reports/leaks.refused.json").read_text())
    assert said.startswith(f"{refused['leaks']} leaks between splits or benchmarks, 0 accepted; the pairs are in ")
    assert "reports/leaks.refused.json." in said
    pairs = refused["between"]["train/test"]["pairs"]
    assert pairs
    rows = same_text_twice()
    for pair in pairs:
        left, right = (rows[int(pair[side].rpartition(":")[2]) - 1] for side in ("left", "right"))
        assert pair["kind"] == "exact"
        assert left["document"] == right["document"]


def test_grouping_by_the_shared_text_mends_that_leak_and_clears_the_refused_certificate() -> None:
    refusal(LeakError, same_text_twice(), groups={"mine": "id"})
    run(same_text_twice())
    certificate = json.loads(OUT[3].read_text())
    assert (certificate["clean"], certificate["leaks"]) == (True, 0)
    assert certificate["records"] == {
        split: len({row["record"] for row in read_rows(OUT[2] / f"{split}.jsonl")}) for split in SPLITS
    }
    assert not Path("reports/leaks.refused.json").exists()


def test_leaks_that_are_accepted_by_number_are_still_in_the_certificate() -> None:
    refusal(LeakError, same_text_twice(), groups={"mine": "id"})
    found = json.loads(Path("reports/leaks.refused.json").read_text())["leaks"]
    refusal(LeakError, same_text_twice(), groups={"mine": "id"}, accepted_leaks=found - 1)
    run(same_text_twice(), groups={"mine": "id"}, accepted_leaks=found)
    assert json.loads(OUT[3].read_text())["leaks"] == found > 0


def split_record(split: str, *fields: str, given: str | None = None) -> Row:
    return {"split": split, "fields": list(fields), "input": given if given is not None else fields[0]}


TEXT = words("article", 60)


@pytest.mark.parametrize(
    ("test", "kind"),
    [
        (split_record("test", TEXT, "its summary"), "exact"),
        (split_record("test", TEXT.upper() + " !", "its, summary."), "normalised"),
        (split_record("test", TEXT, "another summary of the same"), "input"),
        (split_record("test", f"{words(1, 4)} {TEXT} {words(2, 5)}", "another"), "near"),
        (split_record("test", " ".join(TEXT.split()[:40]), "another"), "near"),
        (split_record("test", " ".join(TEXT.split()[:12]) + " " + words(3, 30), "another"), None),
        (split_record("test", words(4, 60), "its summary"), None),
        (split_record("dev", TEXT, "its summary"), "exact"),
        (split_record("train", TEXT, "its summary"), None),
    ],
)
def test_a_leak_is_found_whether_it_is_the_same_text_or_nearly_so(test: Row, kind: str | None) -> None:
    found = certify({"a": split_record("train", TEXT, "its summary"), "b": test}, {}, near=0.5, accepted=0)
    pairs = [pair for between in found["between"].values() for pair in between["pairs"]]
    assert [(pair["kind"], pair["left"], pair["right"]) for pair in pairs] == ([(kind, "a", "b")] if kind else [])
    assert found["clean"] == (kind is None)
    assert sum(
        between[name] for between in found["between"].values() for name in ("exact", "normalised", "input", "near")
    ) == len(pairs)


SHORT = Question("1", "What boils at 100 degrees?", ("Water", "Lead", "Iron", "Salt"), 0)
LONG = Question("2", words("question", 40), ("yes", "no"), 1)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (
            ("B. Lead", "What boils at 100 degrees?", "A. Water\nB. Lead\nC. Iron\nD. Salt"),
            True,
        ),  # a wrong label leaks too
        (("what boils at 100 degrees", "water"), True),
        (("What boils at 100 degrees?", "Ethanol, not far off"), False),  # the same words ask something else
        (("What boils at 99 degrees?", "Water"), False),
        ((f"Read this. {words('question', 40)}", "no idea"), True),
        ((words("other", 40), "yes no"), False),
    ],
)
def test_a_benchmark_s_question_is_found_in_the_training_records(fields: tuple[str, ...], found: bool) -> None:
    train = {"a": split_record("train", *fields), "b": split_record("test", *fields)}
    pairs = certify(train, {"quiz": [SHORT, LONG]}, near=0.5, accepted=0)["between"]["train/quiz"]["pairs"]
    assert [pair["left"] for pair in pairs] == (["a"] if found else [])


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default's data, fetched, validated and expanded as params.yaml says."""
    folder = tmp_path_factory.mktemp("default")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copy(ROOT / "params.yaml", "params.yaml")
        params = load("fetch", fetch.Fetch)
        for name, sources in (("data/raw", params.sources), ("data/benchmarks", params.benchmarks)):
            write_json(Path(name) / "manifest.json", fetch.fetch_sources(sources, Path(name)))
        validate.main(Path("data/raw"), OUT[0], Path("data/quarantine"), Path("reports/validation.json"))
        expand.main(*OUT)
    return folder


def benchmark_file(default: Path, name: str) -> Path:
    (file,) = (path for path in (default / OUT[1] / name).iterdir())
    return file


@pytest.mark.parametrize("name", ["mmlu", "piqa"])
def test_training_on_a_benchmark_itself_is_found_for_every_question(default: Path, name: str) -> None:
    file = benchmark_file(default, name)
    questions, rows = read_options_jsonl(file), read_rows(file)
    assert len(questions) > 1000
    train = {}
    for question in questions:
        row = rows[int(question.id) - 1]
        train[question.id] = split_record("train", row["answer"], row["options"], row["question"])
    assert len(certify(train, {name: questions}, near=0.5, accepted=0)["between"][f"train/{name}"]["pairs"]) == len(
        questions
    )


def test_the_default_has_no_record_of_test_in_train_and_its_certificate_says_so(default: Path) -> None:
    made = {split: read_rows(default / OUT[2] / f"{split}.jsonl") for split in SPLITS}
    for mix in yaml.safe_load((default / "params.yaml").read_text())["expand"]["mixture"]:
        for split, rows in made.items():
            taken = {row["record"] for row in rows if row["family"] == mix["family"]}
            assert 0 < len(taken) <= mix["take"][split]
    texts = {}
    for name, keys in {"xsum": ["document"], "mts_dialog": ["dialogue"], "commonsense_qa": ["question"]}.items():
        for row in read_rows(default / OUT[0] / f"{name}.jsonl"):
            texts[f"{name}/{row['file']}:{row['row']}"] = normalise(" ".join(row[key] for key in keys))
    said = {split: {texts[row["record"]] for row in rows} for split, rows in made.items()}
    assert min(len(found) for found in said.values()) > 20
    assert said["train"].isdisjoint(said["test"] | said["dev"])
    assert said["dev"].isdisjoint(said["test"])
    certificate = json.loads((default / OUT[3]).read_text())
    assert (certificate["clean"], certificate["leaks"]) == (True, 0)
    assert set(certificate["between"]) == {
        "train/dev",
        "train/test",
        "dev/test",
        "train/mmlu",
        "train/mmlu_dev",
        "train/piqa",
    }


def test_the_default_s_benchmarks_are_read_whole(default: Path) -> None:
    assert len(read_flan_cot(default / OUT[1] / "mmlu_dev")) > 250
    for question in read_options_jsonl(benchmark_file(default, "mmlu")):
        assert 0 <= question.answer < len(question.options)
        assert all(question.options)


@pytest.mark.parametrize(
    "line",
    [
        '{"question": "Q?", "answer": "A. yes"}',
        '{"options": "A. yes\\nB. no", "answer": "A. yes"}',
        '{"question": 1, "options": 2, "answer": 3}',
    ],
)
def test_a_benchmark_of_another_layout_is_one_sentence(line: str) -> None:
    Path("quiz.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=r"quiz\.jsonl, row 1: "):
        read_options_jsonl(Path("quiz.jsonl"))


def test_few_shot_files_of_another_layout_are_one_sentence() -> None:
    Path("shots").mkdir()
    Path("shots/a.yaml").write_text("fewshot_config: {}\n")
    with pytest.raises(DataError, match=r"a\.yaml"):
        read_flan_cot(Path("shots"))


# What params.yaml may not say


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "summarize"}, "'summarize' is no template family; known: choose, note, section, summarise."),
        ({"fields": {"document": "document"}}, "family 'summarise' needs ['document', 'summary'], not ['document']."),
        ({"constants": {"tone": "dry"}}, "family 'summarise' needs ['document', 'summary'], not ['document', 's"),
        ({"fields": {"document": "text", "summary": "summary"}}, "has no column ['text']; it has ['file',"),
        ({"groups": {"mine": "author"}}, "source 'mine' has no column ['author']"),
        ({"groups": {}}, "expand.groups has no entry for source 'mine'."),
        ({"source": "yours"}, "expand.mixture names source 'yours', which is not there; known: mine."),
        ({"split": {"train": 0.6, "dev": 0.2, "test": 0.3}}, "must give train, dev and test shares that sum to 1"),
        ({"split": {"train": 1.4, "dev": -0.2, "test": -0.2}}, "must give train, dev and test shares that sum to 1"),
        ({"split": {"train": 0.8, "test": 0.2}}, "must give train, dev and test shares that sum to 1"),
        ({"take": {"train": 10, "test": 10}}, "'expand.mixture.0.take.dev' is missing."),
        ({"take": {"train": -1, "dev": 10, "test": 10}}, "'expand.mixture.0.take.train' = -1"),
        ({"wordings": 0}, "'expand.mixture.0.wordings' = 0"),
        ({"wordings": 9}, "family 'summarise' has 8 wordings to train on, fewer than the 9 that it asks for."),
        ({"held_out_wordings": 10}, "family 'summarise' has 0 wordings to train on"),
        ({"held_out_wordings": -1}, "'expand.held_out_wordings' = -1"),
        ({"near_duplicate": 0}, "'expand.near_duplicate' = 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_expanded_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(ParamsError, **changes)


def test_the_order_of_the_shares_does_not_matter() -> None:
    assert run(records(range(60))) == run(records(range(60)), split=dict(reversed(SHARES.items())))


@pytest.mark.parametrize(
    ("changes", "empty"),
    [
        ({"take": {"train": 10, "dev": 0, "test": 10}}, "dev"),
        ({"split": {"train": 1, "dev": 0, "test": 0}}, "dev, test"),
        ({"max_words": {"input": 1, "target": 1}}, "train, dev, test"),
    ],
)
def test_an_empty_split_is_refused(changes: dict[str, Any], empty: str) -> None:
    assert refusal(DataError, **changes).startswith(f"no example in {empty}: ")


def test_a_source_without_rows_is_an_empty_split_and_not_a_crash() -> None:
    assert refusal(DataError, rows=[]).startswith("no example in train, dev, test: ")


# Templates


def family(**changes: Any) -> Callable[[], object]:
    whole = {
        "family": "mine",
        "version": 1,
        "origin": "this test",
        "fields": ["text"],
        "target": "answer",
        "templates": [{"id": "a", "text": "Say: {text}"}],
    }
    Path("mine.yaml").write_text(yaml.safe_dump({**whole, **changes}))
    return lambda: load_family("mine", Path())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{text.__class__}", "'{text.__class__}' is not allowed"),
        (
            "{text.__init__.__globals__[os].environ[HOME]}",
            "is not allowed; only a bare field name may stand in braces.",
        ),
        ("{text[0]}", "'{text[0]}' is not allowed"),
        ("{0}", "'{0}' is not allowed"),
        ("{}", "'{}' is not allowed"),
        ("{text!r}", "'{text!r}' is not allowed"),
        ("{text:>10}", "'{text:>10}' is not allowed"),
        ("{text:{text}}", "'{text:{text}}' is not allowed"),
        ("{ text }", "'{ text }' is not allowed"),
        ("{text", "unbalanced brace"),
        ("text}", "unbalanced brace"),
        ("no field", "template 'a' names []; it must name ['text']."),
        ("{text} {answer}", "template 'a' names ['answer', 'text']; it must name ['text']."),
        ("{text} {other}", "template 'a' names ['other', 'text']; it must name ['text']."),
    ],
)
def test_a_template_that_does_more_than_insert_its_fields_is_refused_at_load(text: str, said: str) -> None:
    with pytest.raises(ParamsError) as error:
        family(templates=[{"id": "a", "text": text}])()
    assert said in str(error.value)
    assert "mine.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"fields": ["text", "answer"], "templates": [{"id": "a", "text": "{text} {answer}"}]},
            "its target 'answer' is among its fields",
        ),
        (
            {"templates": [{"id": "a", "text": "1 {text}"}, {"id": "a", "text": "2 {text}"}]},
            "two templates are called 'a'",
        ),
        ({"templates": []}, "templates"),
        ({"fields": "text"}, "mine.yaml"),
        ({"code": "import os"}, "mine.yaml"),
    ],
)
def test_a_family_that_would_show_its_answer_or_mix_up_its_wordings_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParamsError) as error:
        family(**changes)()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["family: [", "- a list", "", "family: !!python/object/apply:os.system ['true']"])
def test_a_family_file_that_is_not_its_yaml_is_one_sentence(text: str) -> None:
    Path("mine.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"mine\.yaml"):
        load_family("mine", Path())


def test_doubled_braces_in_a_template_are_braces_and_what_a_record_holds_is_put_in_once() -> None:
    assert parse("{{x}} {text}") == [("{x} ", None), ("", "text")] or render("{{x}} {text}", {"text": "t"}) == "{x} t"
    assert render("{a} {b}", {"a": "{b}", "b": "{a} {{7*7}}"}) == "{b} {a} {{7*7}}"
