"""expand: what is tested on is never trained on, and a template can do nothing but insert its fields."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import expand, fetch, validate
from tasks.data.blocks import each_block, spaced, unescaped
from tasks.data.files import Row, read_rows, write_json, write_rows
from tasks.data.keys import keys_of, normalised, word_counts
from tasks.data.lines import escaped, write_table
from tasks.data.mixture import splits_of
from tasks.data.splits import SPLITS, normalise
from tasks.data.suites.questions import read_benchmark
from tasks.errors import DataError, LeakError, ParamsError
from tasks.params import load
from tasks.prompts.rendering import fields_of, origin, render_lines, stripped
from tasks.prompts.templates import load_family, render
from tests import words

ROOT = Path(__file__).resolve().parent.parent
OUT = (
    Path("data/valid"), Path("data/benchmarks"), Path("data/examples"), Path("reports/leaks.json"),
    Path("reports/mixture.json"),
)  # fmt: skip
SHARES = {"train": 0.6, "dev": 0.2, "test": 0.2}


def invented(seed: object, count: int) -> str:
    """`count` words that no other seed gives."""
    draw = random.Random(str(seed))
    return " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count))


def records(numbers: range) -> list[Row]:
    """Articles with summaries; a record's text depends on its number alone."""
    return [
        {
            "_file": "mine.csv",
            "_row": row,
            "id": f"id {number}",
            "document": invented(number, 40),
            "summary": invented(f"summary {number}", 8),
        }
        for row, number in enumerate(numbers, start=1)
    ]


def grouping(text: str = "document", group: str | None = None, given: str | None = None) -> Row:
    """What keeps rows together."""
    return {"group": group, "text": text, "given_split": given}


def section(**changes: Any) -> dict[str, Any]:
    """Section expand for one source and family, with changes to it or to its one part of the mixture."""
    mix = {
        "family": "summarise", "source": "mine", "constants": {},
        "fields": {"document": "document", "summary": "summary"},
        "max_words": {"input": 200, "target": 50}, "wordings": 2, "weight": None, "replay": False,
        "take": dict.fromkeys(SPLITS),
    }  # fmt: skip
    part = {**mix, **{key: changes.pop(key) for key in list(changes) if key in mix}}
    whole = {
        "seed": 1, "split": SHARES, "held_out_wordings": 2, "near_duplicate": 0.5, "accepted_leaks": 0,
        "replay_share": 0.0,
        "sources": {"mine": grouping()}, "mixture": [part],
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
    keys = keys_of(pa.array([f"text {number}" for number in range(5000)]))
    for seed in (1, 2):
        drawn = np.bincount(splits_of(keys, SHARES, seed), minlength=3) / 5000
        assert np.allclose(drawn, list(SHARES.values()), atol=0.03)


def test_a_split_is_the_same_in_every_version_of_luthier() -> None:
    keys = keys_of(normalised(pa.array(["Hello, world!", "Grüße", ""])))
    assert [f"{key:016x}" for key in keys] == ["45c4ec8af57375d0", "4fccec6584ed2dd0", "186da64456263a46"]
    assert [SPLITS[code] for code in splits_of(keys, SHARES, 17)] == ["dev", "train", "test"]


def test_rows_that_say_the_same_stay_in_one_split() -> None:
    rows: list[Row] = []
    for number in range(60):
        text = invented(number, 40)
        for variant in (text, text.upper() + "!", f"  {text.replace(' ', ',  ')}\n"):
            rows.append(
                {
                    "_file": "mine.csv",
                    "_row": len(rows) + 1,
                    "id": f"{len(rows)}",
                    "document": variant,
                    "summary": invented(len(rows), 9),
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


def test_texts_without_a_word_are_no_copies_of_each_other() -> None:
    rows = [
        {**row, "id": f"author {row['_row']}", "document": chr(0x1F600 + row["_row"])} for row in records(range(60))
    ]
    for grouped in (grouping(), grouping(group="id")):
        made = run(rows, wordings=1, sources={"mine": grouped}, near_duplicate=1.0)
        assert min(map(len, made.values())) > 3
        assert sum(map(len, made.values())) == 60


def test_rows_of_one_group_column_stay_in_one_split() -> None:
    rows = [{**row, "id": f"author {row['_row'] % 40}"} for row in records(range(200))]
    made = run(rows, sources={"mine": grouping(group="id")})
    splits: dict[str, set[str]] = {}
    for split, examples in made.items():
        for row in examples:
            splits.setdefault(rows[int(row["record"].rpartition(":")[2]) - 1]["id"], set()).add(split)
    assert len(splits) == 40
    assert all(len(found) == 1 for found in splits.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_split() -> None:
    def everything() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in [*OUT[2].iterdir(), *OUT[3:]]}

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
    text = "{document} {0} {{7*7}} {row.__class__} }{ %s $x " + invented("braces", 20)
    rows = [{**row, "document": f"{text} {row['_row']}"} for row in records(range(60))]
    for split in run(rows, near_duplicate=1.0, accepted_leaks=1000).values():
        assert all(text in example["input"] for example in split)


def test_records_over_the_length_or_without_an_answer_are_left_out_and_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = records(range(100))
    rows[3]["document"] = invented("long", 201)
    rows[4]["summary"] = invented("long", 51)
    rows[5]["summary"] = "  \n"
    made = run(rows, wordings=1)
    assert sorted(
        set(range(1, 101)) - {int(row["record"].rpartition(":")[2]) for split in made.values() for row in split}
    ) == [4, 5, 6]
    assert "no_target     1   too_long     2" in capsys.readouterr().out


def test_an_answer_without_a_letter_is_an_answer_and_no_limit_is_null() -> None:
    rows = [
        {**row, "summary": "👍" * (1 + row["_row"]) if row["_row"] % 2 else invented(f"long {row['_row']}", 400)}
        for row in records(range(60))
    ]
    made = run(rows, wordings=1, max_words={"input": None, "target": None})
    assert sum(map(len, made.values())) == 60
    assert sum(map(len, run(rows, wordings=1, max_words={"input": None, "target": 300}).values())) == 30


def test_take_limits_the_records_of_a_split() -> None:
    made = run(records(range(200)), wordings=2, take={"train": 10, "dev": 3, "test": 5})
    assert {split: len(rows) for split, rows in made.items()} == {"train": 20, "dev": 3, "test": 5}


def test_what_a_record_is_drawn_for_depends_on_what_it_says_and_not_on_its_place() -> None:
    def drawn(rows: list[Row]) -> set[tuple[str, str, str, str]]:
        made = run(rows, wordings=2, take={"train": 30, "dev": 10, "test": 10})
        return {(split, row["group"], row["template"], row["input"]) for split, found in made.items() for row in found}

    rows = records(range(150))
    other = [{**row, "_row": place, "_file": "b.csv"} for place, row in enumerate(reversed(rows), start=1)]
    assert drawn(rows) == drawn(other)


# Mixtures


def part(**changes: Any) -> Row:
    """A part of the mixture over source `mine`."""
    (whole,) = section()["mixture"]
    return {**whole, "wordings": 1, **changes}


TITLE = {"family": "title", "fields": {"text": "document", "title": "id"}}


def trained(mixture: list[Row], **changes: Any) -> dict[str, int]:
    """Training examples by family, of 200 records."""
    made = run(records(range(200)), mixture=mixture, **changes)["train"]
    return {mix["family"]: sum(row["family"] == mix["family"] for row in made) for mix in mixture}


def test_weights_are_the_shares_of_the_training_examples_and_leave_dev_and_test_alone() -> None:
    all_of_it = trained([part(), part(**TITLE)])
    assert all_of_it["summarise"] == all_of_it["title"] > 100
    assert trained([part(weight=1), part(**TITLE, weight=0.25)]) == {
        "summarise": all_of_it["summarise"],
        "title": all_of_it["summarise"] // 4,
    }
    by_family = [
        sum(row["family"] == "title" for row in read_rows(OUT[2] / f"{split}.jsonl")) for split in ("dev", "test")
    ]
    assert min(by_family) > 20
    assert trained([part(weight=1, wordings=4), part(**TITLE, weight=1)])["summarise"] == all_of_it["title"] // 4 * 4


def test_replay_is_the_asked_share_of_the_training_examples() -> None:
    for share in (0.1, 0.25, 0.4):
        found = trained([part(), part(**TITLE, replay=True)], replay_share=share)
        assert abs(found["title"] / sum(found.values()) - share) < 0.01
        report = json.loads(OUT[4].read_text())
        assert report["examples"]["train"] == sum(found.values())
        assert abs(report["replay_share"] - share) < 0.01
        assert [described["examples"]["train"] for described in report["parts"]] == list(found.values())


@pytest.mark.parametrize(
    ("mixture", "changes", "said"),
    [
        ([part(weight=1), part(**TITLE)], {}, "give every part a weight, or none of them"),
        ([part(), part(**TITLE, replay=True)], {"replay_share": 0.6}, "expand.replay_share asks for "),
        ([part(replay=True)], {"replay_share": 0.5}, "leave one part without"),
        ([part(), part()], {}, "family 'summarise' stands there twice for source 'mine'"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(mixture: list[Row], changes: Row, said: str) -> None:
    assert said in refusal(ParamsError, mixture=mixture, **changes)


def test_of_copies_that_a_group_would_put_into_two_splits_the_one_held_out_more_is_kept() -> None:
    rows = [
        {**row, "id": f"author {row['_row'] % 40}", "document": invented(row["_row"] // 5, 40)}
        for row in records(range(200))
    ]
    made = run(rows, sources={"mine": grouping(group="id")}, wordings=1)
    where: dict[str, set[str]] = {}
    for split, examples in made.items():
        for example in examples:
            where.setdefault(rows[int(example["record"].rpartition(":")[2]) - 1]["document"], set()).add(split)
    assert all(len(splits) == 1 for splits in where.values())
    assert {split for splits in where.values() for split in splits} == set(SPLITS)
    (counts,) = (described["records"] for described in json.loads(OUT[4].read_text())["parts"])
    assert counts["said_elsewhere"] == 200 - sum(len(examples) for examples in made.values()) > 0


def test_a_source_that_is_a_split_already_stays_that_split_and_is_certified() -> None:
    OUT[0].mkdir()
    rows = records(range(90))
    for number, split in enumerate(SPLITS):
        write_rows(OUT[0] / f"{split}.jsonl", rows[number * 30 : number * 30 + 30])
    sources = {split: grouping(given=split) for split in SPLITS}
    mixture = [part(source=split) for split in SPLITS]
    made = run([], sources=sources, mixture=mixture)
    assert {split: {row["source"] for row in found} for split, found in made.items()} == {
        split: {split} for split in SPLITS
    }
    write_rows(OUT[0] / "test.jsonl", [*rows[60:], {**rows[0], "summary": "another"}])
    with pytest.raises(LeakError, match=r"summarise/train/mine.csv:1 and summarise/test/mine.csv:1 \(input\)"):
        run([], sources=sources, mixture=mixture)


# Rendering


ODD = [
    "plain", "  spaces around\t\n", "a \"quote\" and a \\ backslash \\n", "\u2028 and \u00a0", "naïve 東京 🎻", "\x01\x1f\x7f",
    "{document} {{7*7}}", "\u3000wide\u3000", "", "\\", '\\"', "</s>",
]  # fmt: skip


def test_a_block_is_rendered_byte_for_byte_as_one_record_at_a_time() -> None:
    family = load_family("section")
    columns = {"dialogue": escaped(pa.array(ODD)), "section": escaped(pa.array(ODD[::-1]))}
    constants = {"sections": ' A, "B", C '}
    fields = fields_of(columns, constants)
    names = pa.array([f"mine/a.csv:{row}" for row in range(len(ODD))])
    for template in family.templates:
        lines = render_lines(template, family, "seen", fields | origin("mine", pa.array(["0" * 16] * len(ODD)), names))
        for row, (line, asked, target) in enumerate(zip(lines.to_pylist(), ODD, ODD[::-1], strict=True)):
            values = {"dialogue": asked, "section": target, **constants}
            expected = {
                "id": f"section/mine/a.csv:{row}/{template.id}", "family": "section", "template": template.id,
                "wording": "seen", "group": "0" * 16, "source": "mine", "record": f"mine/a.csv:{row}",
                "input": render(template.text, values), "target": target.strip(),
            }  # fmt: skip
            assert line == json.dumps(expected, ensure_ascii=False) + "\n"


def test_a_table_is_written_as_json_writes_it_and_read_again_in_blocks_of_any_size(tmp_path: Path) -> None:
    table = pa.table(
        {
            "_file": ["ü.csv"] * len(ODD),
            "_row": range(len(ODD)),
            "text": ODD,
            'a "name"': ODD[::-1],
            "n": [3] * len(ODD),
        }
    )
    path = tmp_path / "mine.jsonl"
    write_table(path, table)
    assert path.read_text() == "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
    for size in (1, 100, 1 << 20):
        blocks = list(each_block(path, lambda block: block, size))
        assert [block.start for block in blocks] == list(np.cumsum([0, *map(len, blocks)])[:-1])
        for name in ("text", 'a "name"', "_file"):
            read = [text for block in blocks for text in block.texts(name, np.arange(len(block)))]
            assert read == table.column(name).to_pylist()
        for name in ("_row", "n"):
            assert [int(n) for block in blocks for n in block.column(name).to_pylist()] == table.column(
                name
            ).to_pylist()
    (block,) = each_block(path, lambda block: block)
    assert block.texts("text", np.array([2, 9])) == [ODD[2], ODD[9]]


@given(
    st.lists(
        st.tuples(
            st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.text(alphabet='"\\\n\t abé'), st.integers(0)
        ),
        min_size=1,
    )
)
@settings(max_examples=200, deadline=None)
def test_whatever_text_there_is_is_cut_out_again_as_it_was(rows: list[tuple[str, str, int]]) -> None:
    texts, others, numbers = zip(*rows, strict=True)
    table = pa.table({"a": texts, "n": pa.array([n % 1000 for n in numbers]), "b": others})
    write_table(Path("any.jsonl"), table)
    blocks = list(each_block(Path("any.jsonl"), lambda block: block, 50))
    for name, said in (("a", texts), ("b", others)):
        assert [text for block in blocks for text in block.texts(name, np.arange(len(block)))] == list(said)
        normal = [text for block in blocks for text in normalised(spaced(block.column(name))).to_pylist()]
        assert [text for text, was in zip(normal, said, strict=True) if was.isascii()] == [
            normalise(was) for was in said if was.isascii()
        ]
    for fields in (stripped(block.column("a")) for block in blocks):
        assert fields.to_pylist() == [
            json.dumps(text, ensure_ascii=False)[1:-1] for text in map(str.strip, unescaped(fields))
        ]


@pytest.mark.parametrize(
    "content",
    [
        '{"text": 1', '{"text":"a"}\n', '{"text": ["a"]}\n', '{"text": "a"}\n{"text": "a", "more": "b"}\n', "[]\n",
        '{"text": "a"}\n{"test": "a"}\n{"texts": "b"}\n',
    ],
)  # fmt: skip
def test_lines_that_luthier_did_not_write_are_refused(content: str) -> None:
    Path("other.jsonl").write_text(content)
    with pytest.raises(DataError, match=r"other\.jsonl is not what validate writes"):
        list(each_block(Path("other.jsonl"), len))


@given(st.lists(st.text()))
@settings(max_examples=200, deadline=None)
def test_keys_of_a_column_are_of_what_its_texts_say(texts: list[str]) -> None:
    spoken = [text for text in texts if text.isprintable() or text.isascii()]
    normal = normalised(pa.array(spoken, pa.string()))
    assert normal.to_pylist() == [normalise(text) for text in spoken]
    assert word_counts(normal).tolist() == [len(normalise(text).split()) for text in spoken]


# Leaks


def same_text_twice() -> list[Row]:
    """100 rows of 50 texts; each text twice under different ids."""
    return [
        {**row, "document": invented(row["_row"] // 2, 40), "summary": invented(row["_row"] // 2 + 1000, 8)}
        for row in records(range(100))
    ]


def test_the_same_text_in_two_splits_stops_with_the_pairs_written_down() -> None:
    said = refusal(LeakError, same_text_twice(), sources={"mine": grouping("id")})
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
    refusal(LeakError, same_text_twice(), sources={"mine": grouping("id")})
    run(same_text_twice())
    certificate = json.loads(OUT[3].read_text())
    assert (certificate["clean"], certificate["leaks"]) == (True, 0)
    assert certificate["records"] == {
        split: len({row["record"] for row in read_rows(OUT[2] / f"{split}.jsonl")}) for split in SPLITS
    }
    assert not Path("reports/leaks.refused.json").exists()


def test_leaks_that_are_accepted_by_number_are_still_in_the_certificate() -> None:
    refusal(LeakError, same_text_twice(), sources={"mine": grouping("id")})
    found = json.loads(Path("reports/leaks.refused.json").read_text())["leaks"]
    refusal(LeakError, same_text_twice(), sources={"mine": grouping("id")}, accepted_leaks=found - 1)
    run(same_text_twice(), sources={"mine": grouping("id")}, accepted_leaks=found)
    assert json.loads(OUT[3].read_text())["leaks"] == found > 0


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
        words.write_tokenizer(Path(words.INPUTS[1]))
        shutil.copy(ROOT / words.INPUTS[2], words.INPUTS[2])
        validate.main(*map(Path, (*words.INPUTS, *words.OUTPUTS)))
        expand.main(*OUT)
    return folder


def benchmark_file(default: Path, name: str) -> Path:
    (file,) = (path for path in (default / OUT[1] / name).iterdir())
    return file


def test_the_default_has_no_record_of_test_in_train_and_its_certificate_says_so(default: Path) -> None:
    made = {split: read_rows(default / OUT[2] / f"{split}.jsonl") for split in SPLITS}
    for mix in yaml.safe_load((default / "params.yaml").read_text())["expand"]["mixture"]:
        for split, rows in made.items():
            taken = {row["record"] for row in rows if row["family"] == mix["family"]}
            assert 0 < len(taken) <= mix["take"][split]
    texts = {}
    for name, keys in {"xsum": ["document"], "mts_dialog": ["dialogue"], "commonsense_qa": ["question"]}.items():
        for row in read_rows(default / OUT[0] / f"{name}.jsonl"):
            texts[f"{name}/{row['_file']}:{row['_row']}"] = normalise(" ".join(row[key] for key in keys))
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
        "train/bbq",
        "train/crows_pairs",
    }


def test_the_default_s_benchmarks_are_read_whole(default: Path) -> None:
    shots = read_benchmark(sorted((default / OUT[1] / "mmlu_dev").glob("*.yaml"))).questions
    assert len(shots) > 250
    assert len({shot.subject for shot in shots}) == 57
    for question in read_benchmark([benchmark_file(default, "mmlu")]).questions:
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
        read_benchmark([Path("quiz.jsonl")])


def test_few_shot_files_of_another_layout_are_one_sentence() -> None:
    Path("shots").mkdir()
    Path("shots/a.yaml").write_text("fewshot_config: {}\n")
    with pytest.raises(DataError, match=r"a\.yaml"):
        read_benchmark([Path("shots/a.yaml")])


# What params.yaml may not say


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"family": "summarize"}, "Did you mean 'summarise'?"),
        ({"fields": {"document": "document"}}, "family 'summarise' needs ['document', 'summary'], not ['document']."),
        ({"constants": {"tone": "dry"}}, "family 'summarise' needs ['document', 'summary'], not ['document', 's"),
        ({"fields": {"document": "documnt", "summary": "summary"}}, "has no column ['documnt']. Did you mean 'document'? It has ['id',"),
        ({"sources": {"mine": grouping(group="author")}}, "source 'mine' has no column ['author']"),
        ({"sources": {}}, "expand.sources has no entry for source 'mine'."),
        ({"sources": {"mine": grouping(given="valid")}}, "'expand.sources.mine.given_split' = 'valid'"),
        ({"replay_share": 0.2}, "expand.replay_share is the share of the parts with replay: true; give both or neither"),
        ({"replay": True}, "expand.replay_share is the share of the parts with replay: true; give both or neither"),
        ({"weight": 0}, "'expand.mixture.0.weight' = 0"),
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
