"""tasks/data/leaks/overlap: the leak certificate finds every leak, accuses nobody else, and says the same however it reads."""

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import fetch
from tasks.data.files import Row, read_rows
from tasks.data.leaks import overlap
from tasks.data.leaks.overlap import Texts, certify
from tasks.data.leaks.runs import RUN, RunIndex, distinct_runs, hashed_runs, runs_of, words_of
from tasks.data.splits import SPLITS
from tasks.data.suites.questions import Question, read_benchmark
from tasks.params import load

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LUTHIER_SHARED", ROOT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Record:
    """A record as the naive certificate below reads it."""

    split: str
    asked: tuple[str, ...]
    answer: str


def certified(
    records: Mapping[str, Record], quiz: Sequence[Question] = (), near: float = 0.5, batch: int = 1000
) -> Row:
    """The certificate of records that all ask as many fields, read in batches."""
    rows = list(records.items())

    def read() -> Iterator[Texts]:
        for start in range(0, len(rows), batch):
            some = rows[start : start + batch]
            asked = {f"asked {place}": [row.asked[place] for _, row in some] for place in range(len(some[0][1].asked))}
            answers = {"answer": [row.answer for _, row in some]}
            yield Texts([key for key, _ in some], [row.split for _, row in some], {**answers, **asked}, "answer")

    return certify(read, {"quiz": list(quiz)} if quiz else {}, near, accepted=0)


def words(seed: object, count: int) -> str:
    """`count` words that no other seed gives."""
    draw = random.Random(str(seed))
    return " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(count))


def pairs_of(found: Row) -> list[Row]:
    return [pair for between in found["between"].values() for pair in between["pairs"]]


TEXT = words("article", 60)
SUMMARY = words("summary", 8)


# Between splits


@pytest.mark.parametrize(
    ("split", "asked", "answer", "kind"),
    [
        ("test", TEXT, SUMMARY, "exact"),
        ("test", TEXT.upper() + " !", SUMMARY.replace(" ", ", "), "normalised"),
        ("test", TEXT.replace(" ", "\r\n"), SUMMARY, "normalised"),
        ("test", TEXT, "another summary of the same", "input"),
        ("test", TEXT.title(), "another summary of the same", "input"),
        ("test", SUMMARY, TEXT, "inverse"),
        ("test", SUMMARY.upper(), "another article", "inverse"),
        ("test", "another summary", TEXT.title(), "inverse"),
        ("test", f"{words(1, 4)} {TEXT} {words(2, 5)}", "another", "near"),
        ("test", " ".join(TEXT.split()[:40]), "another", "near"),
        ("test", words(5, 3), f"{TEXT} and more", "near"),
        ("test", " ".join(TEXT.split()[:12]) + " " + words(3, 30), "another", None),
        ("test", words(4, 60), SUMMARY, None),
        ("dev", TEXT, SUMMARY, "exact"),
        ("train", TEXT, SUMMARY, None),
    ],
)
def test_a_leak_is_found_whether_it_is_the_same_text_or_nearly_so(
    split: str, asked: str, answer: str, kind: str | None
) -> None:
    found = certified({"a": Record("train", (TEXT,), SUMMARY), "b": Record(split, (asked,), answer)})
    pairs = [(pair["kind"], pair["left"], pair["right"]) for pair in pairs_of(found)]
    assert pairs == ([(kind, "a", "b")] if kind else [])
    assert (found["clean"], found["leaks"]) == (kind is None, len(pairs))
    assert sum(between[name] for between in found["between"].values() for name in overlap.KINDS) == len(pairs)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (("yes", "no"), ("no", "yes")),  # labels on both sides
        (("three short words", "x y"), ("another", "Three short words.")),
        (("is it good", "it is quite good"), ("is it bad", "it is quite good")),  # the same answer
        (("\U0001f600", "positive"), ("\U0001f622", "positive")),  # nothing but the answer has words
        (("?!", "hello there"), ("...", "hello there")),
        (("", ""), ("", "")),
        (("  ", ""), ("\n", "")),
    ],
)
def test_labels_and_what_has_no_words_are_no_leak(left: tuple[str, str], right: tuple[str, str]) -> None:
    assert certified({"a": Record("train", left[:1], left[1]), "b": Record("test", right[:1], right[1])})["leaks"] == 0


def test_the_same_signs_with_the_same_answer_are_a_leak() -> None:
    records = {split: Record(split, ("\U0001f600 !",), "positive") for split in ("train", "test")}
    (pair,) = pairs_of(certified(records))
    assert pair == {"kind": "exact", "left": "train", "right": "test"}


def test_texts_in_a_script_without_spaces_are_compared_character_by_character() -> None:
    draw = random.Random(1)
    text = "".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(80))
    cut = Record("test", (f"{text[:50]}{'好' * 5}",), "又")
    (pair,) = pairs_of(certified({"a": Record("train", (text,), "好"), "b": cut}))
    assert (pair["kind"], pair["share"]) == ("near", round(38 / 44, 3))


def test_the_record_that_shares_most_is_named() -> None:
    half, all_but_one = " ".join(TEXT.split()[:40]), " ".join(TEXT.split()[:-1])
    records = {
        "half": Record("train", (half,), words(1, 3)),
        "nearly": Record("train", (all_but_one,), words(2, 3)),
        "later": Record("train", (all_but_one,), words(3, 3)),
        "test": Record("test", (TEXT,), words(4, 3)),
    }
    (pair,) = pairs_of(certified(records))
    assert (pair["left"], pair["right"], pair["share"]) == ("nearly", "test", round(47 / 51, 3))


def test_what_several_records_hold_together_counts_together() -> None:
    cuts = {"first": slice(0, 25), "most": slice(20, 47), "last": slice(40, 60)}
    records = {name: Record("train", (" ".join(TEXT.split()[cut]),), "no") for name, cut in cuts.items()}
    (pair,) = pairs_of(certified({**records, "b": Record("test", (TEXT,), "another")}, near=0.6))
    assert (pair["kind"], pair["left"], pair["share"]) == ("near", "most", round((13 + 15 + 8) / 49, 3))


def test_pairs_beyond_those_listed_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "LISTED", 2)
    records = {f"{split} {n}": Record(split, (words(n, 20),), "yes") for n in range(5) for split in ("train", "test")}
    found = certified(records)["between"]["train/test"]
    assert ([pair["right"] for pair in found["pairs"]], found["exact"]) == (["test 0", "test 1"], 5)


def test_a_record_that_repeats_one_of_its_own_split_is_counted_and_is_no_leak() -> None:
    train = {
        "a": Record("train", (TEXT,), SUMMARY),
        "b": Record("train", (TEXT.upper(),), SUMMARY),
        "c": Record("train", (TEXT,), "another"),
    }
    found = certified({**train, "d": Record("test", (words(1, 20),), SUMMARY)})
    assert found["leaks"] == 0
    assert found["within"]["train"] == {
        "normalised": 1,
        "input": 1,
        "pairs": [{"kind": "normalised", "left": "a", "right": "b"}, {"kind": "input", "left": "a", "right": "c"}],
    }
    assert found["within"]["test"] == found["within"]["dev"] == {"normalised": 0, "input": 0, "pairs": []}


def test_without_records_the_certificate_is_clean() -> None:
    found = certified({})
    assert (found["clean"], found["leaks"], found["records"]) == (True, 0, {"train": 0, "dev": 0, "test": 0})
    assert set(found["between"]) == {"train/dev", "train/test", "dev/test"}


def test_runs_that_share_their_number_accuse_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_the_same(texts: Sequence[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        hashes, counts = hashed_runs(texts)
        return np.ones_like(hashes), counts

    monkeypatch.setattr("tasks.data.leaks.said.hashed_runs", all_the_same)
    monkeypatch.setattr("tasks.data.leaks.held_out.distinct_runs", all_the_same)
    records = {"a": Record("train", (TEXT,), SUMMARY), "b": Record("test", (words(1, 60),), "another")}
    found = certified(records, [LONG])
    assert (found["leaks"], pairs_of(found)) == (0, [])


# Against the same certificate written naively


def naive(records: Mapping[str, Record], near: float) -> dict[str, list[Row]]:
    """The certificate as one would write it for a handful of records."""
    said = {key: [*(words_of(text) for text in row.asked), words_of(row.answer)] for key, row in records.items()}
    whole = {key: " ".join(filter(None, texts)) for key, texts in said.items()}
    asked = {key: " ".join(filter(None, texts[:-1])) for key, texts in said.items()}
    compared = {key: text if asked[key] or len(said[key][-1].split()) >= 4 else "" for key, text in whole.items()}
    raw = {key: " ".join([*row.asked, row.answer]) for key, row in records.items()}

    def kind_of(left: str, right: str) -> str | None:
        if raw[left] == raw[right] and raw[left].strip():
            return "exact"
        if compared[left] and compared[left] == compared[right]:
            return "normalised"
        if asked[left] and asked[left] == asked[right]:
            return "input"
        crossed = {asked[left]} & {said[right][-1]} | {asked[right]} & {said[left][-1]}
        return "inverse" if any(len(text.split()) >= 4 for text in crossed) else None

    found: dict[str, list[Row]] = {}
    for one, other in combinations(SPLITS, 2):
        lefts = [key for key, row in records.items() if row.split == one]
        held = {run for key in lefts for run in runs_of(compared[key])}
        pairs = found[f"{one}/{other}"] = []
        for right in (key for key, row in records.items() if row.split == other):
            same = [(overlap.KINDS.index(kind), kind) for left in lefts if (kind := kind_of(left, right))]
            runs = runs_of(compared[right])
            share = len(runs & held) / len(runs) if runs else 0
            if same:
                pairs.append({"kind": min(same)[1], "right": right})
            elif share >= near:
                pairs.append({"kind": "near", "right": right, "share": round(share, 3)})
    return found


SOME = ["a", "b", "Ab", "é", "e\u0301", "ß", "ss", "I'd", "...", "漢字", "कि", "\U0001f600", "x_y", "10"]
SHORT_TEXTS = st.lists(st.sampled_from(SOME), max_size=6).map(" ".join)
# Pieces of one long text with few words: runs that repeat, overlap and stand in many records.
PIECES = st.tuples(st.integers(0, 60), st.integers(0, 40), st.sampled_from([" ", ", ", "\n"])).map(
    lambda cut: cut[2].join(random.Random(5).choices(SOME[:6], k=100)[cut[0] : cut[0] + cut[1]])
)
FIELDS = SHORT_TEXTS | PIECES | st.tuples(PIECES, SHORT_TEXTS, PIECES).map(" ".join)
RECORDS = st.integers(1, 3).flatmap(
    lambda count: st.lists(st.builds(Record, st.sampled_from(SPLITS), st.tuples(*[FIELDS] * count), FIELDS), max_size=8)
)


@settings(max_examples=300, deadline=None)
@given(RECORDS, st.sampled_from([0.1, 0.5, 1.0]), st.integers(1, 9))
def test_the_certificate_is_that_of_comparing_everything_with_everything(
    rows: list[Record], near: float, batch: int
) -> None:
    records = {f"r{place}": row for place, row in enumerate(rows)}
    found = certified(records, near=near, batch=batch)
    assert found == certified(records, near=near)
    for name, pairs in naive(records, near).items():
        listed = found["between"][name]["pairs"]
        assert [{key: pair[key] for key in pair if key != "left"} for pair in listed] == pairs
        assert all(records[pair["left"]].split == name.split("/")[0] for pair in listed)


@settings(max_examples=300, deadline=None)
@given(st.lists(FIELDS.map(words_of), max_size=6), st.lists(FIELDS.map(words_of), max_size=6), st.integers(1, 6))
def test_runs_as_numbers_give_the_shares_of_runs_as_words(held: list[str], others: list[str], batch: int) -> None:
    parts = [distinct_runs(held[start : start + batch]) for start in range(0, len(held), batch)]
    index = RunIndex(parts, ["train"], len(others))
    for start in range(0, len(others), batch):
        some = others[start : start + batch]
        index.seek("train", *hashed_runs(some), np.arange(start, start + len(some)))
    among = {run for text in others for run in runs_of(text)}
    runs = [runs_of(text) for text in held]
    assert index.shares("train").tolist() == [len(own & among) / len(own) if own else 0.0 for own in runs]
    for place, own in enumerate(runs):
        together = {run for number in index.holders("train", place) for run in runs_of(others[number])}
        assert own & together == own & among


def test_equal_texts_each_keep_their_runs() -> None:
    hashes, counts = distinct_runs(["a b", "a b", "", "a b"])
    assert (len(set(hashes.tolist())), counts.tolist()) == (1, [1, 1, 0, 1])


def test_a_run_has_the_same_number_wherever_it_stands() -> None:
    texts = [words(1, 30), "", words(2, 5), words(1, 30), "é ü 漢", f"{words(3, 700)} {words(1, 13)}"]
    hashes, counts = hashed_runs(texts)
    assert counts.tolist() == [18, 0, 1, 18, 1, 701]
    assert hashes[:18].tolist() == hashes[19:37].tolist()
    assert len(set(hashes.tolist())) == 18 + 1 + 1 + 700
    assert hashes[-1] == hashes[0]
    assert [len(runs_of(text)) for text in texts] == [18, 0, 1, 18, 1, 701]
    assert runs_of(texts[2]) == {texts[2]}
    assert len(words(1, RUN).split()) == RUN


# Benchmarks


SHORT = Question("1", "What boils at 100 degrees?", ("Water", "Lead", "Iron", "Salt"), 0)
LONG = Question("2", words("question", 40), ("yes", "no"), 1)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (("B. Lead", "What boils at 100 degrees?", "A. Water\nB. Lead\nC. Iron\nD. Salt"), "input"),  # a wrong label
        (("what boils at 100 degrees", "water"), "input"),
        (("water", "what boils at 100 degrees"), "input"),  # the question is what is to be written
        (("What boils at 100 degrees?", "Ethanol, not far off"), None),  # the same words ask something else
        (("What boils at 100 degrees?", "Waterloo"), None),
        (("What boils at 99 degrees?", "Water"), None),
        ((f"Read this. {words('question', 40)}", "no idea"), "near"),
        ((words("question", 40), "perhaps"), "near"),  # without its answer, but long enough to be no other question
        ((words("other", 40), "yes no"), None),
    ],
)
def test_a_benchmark_s_question_is_found_in_the_training_records(fields: tuple[str, ...], found: str | None) -> None:
    records = {split: Record(split, fields[:-1], fields[-1]) for split in ("train", "test")}
    between = certified(records, [SHORT, LONG])["between"]["train/quiz"]
    assert [(pair["kind"], pair["left"]) for pair in between["pairs"]] == ([(found, "train")] if found else [])


def test_questions_with_the_same_words_are_told_apart_by_their_answers() -> None:
    quiz = [Question(f"{n}", "Which of these is true?", (f"fact {n}", f"lie {n}"), 0) for n in range(3)]
    found = certified({"a": Record("train", ("Which of these is true?",), "Fact 1.")}, quiz)
    assert [pair["right"] for pair in pairs_of(found)] == ["quiz:1"]


@pytest.mark.parametrize("fields", [(SHORT.question, "Water"), ("Water", SHORT.question)])
def test_the_first_record_that_holds_a_question_is_named_whatever_its_column(fields: tuple[str, str]) -> None:
    records = {"first": Record("train", fields, "yes"), "second": Record("train", fields[::-1], "yes")}
    assert [pair["left"] for pair in pairs_of(certified(records, [SHORT]))] == ["first"]


# Published data


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of the default's benchmarks, fetched as params.yaml says."""
    folder = tmp_path_factory.mktemp("benchmarks")
    sources = load("fetch", fetch.Fetch, ROOT / "params.yaml").benchmarks
    fetch.fetch_sources({name: sources[name] for name in ("mmlu", "piqa")}, folder)
    return folder


@pytest.mark.parametrize("name", ["mmlu", "piqa"])
def test_training_on_a_benchmark_itself_is_found_for_every_question(benchmarks: Path, name: str) -> None:
    (file,) = (benchmarks / name).iterdir()
    questions, rows = read_benchmark([file]).questions, read_rows(file)
    assert len(questions) > 1000
    train = {}
    for question in questions:
        row = rows[int(question.id) - 1]
        train[question.id] = Record("train", (row["answer"], row["options"]), row["question"])
    assert len(certified(train, questions)["between"]["train/quiz"]["pairs"]) == min(len(questions), overlap.LISTED)
    assert certified(train, questions)["leaks"] == len(questions)


def dialogues(split: str, file: str, target: str) -> dict[str, Record]:
    rows = [json.loads(line) for line in (SHARED / "dialogsum" / file).read_text(encoding="utf-8").splitlines()]
    return {f"{file}:{number}": Record(split, (row["dialogue"],), row[target]) for number, row in enumerate(rows, 1)}


@pytest.mark.skipif(not (SHARED / "dialogsum").is_dir(), reason=f"DialogSum is absent from {SHARED}")
def test_dialogsum_s_own_duplicates_are_found() -> None:
    dev = dialogues("dev", "dialogsum.dev.jsonl", "summary")
    found = certified({**dev, **dialogues("test", "dialogsum.test.jsonl", "summary1")})
    assert found["records"] == {"train": 0, "dev": 500, "test": 500}
    assert found["between"]["dev/test"]["input"] == 7
    assert found["between"]["dev/test"]["near"] == 4  # retyped, with other commas and a name or a word changed
    assert found["within"]["test"]["input"] == 2


@pytest.mark.parametrize("most", [1, 300])
def test_a_certificate_made_in_rounds_says_what_one_made_at_once_does(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, records = random.Random(5), dict[str, Record]()
    train = [Record("train", (words(f"train {n}", 40),), words(f"answer {n}", 3)) for n in range(60)]
    records |= {f"t{n}": one for n, one in enumerate(train)}
    for n in range(40):  # each has a part of one training text, from nothing to all of it, and words of its own
        own, theirs = words(f"held out {n}", 40).split(), train[draw.randrange(60)].asked[0].split()
        copied = draw.randrange(0, 41)
        asked = " ".join([*theirs[:copied], *own[copied:]])
        records[f"h{n}"] = Record("dev" if n % 4 == 0 else "test", (asked,), words(f"answer of {n}", 3))
    records["same"] = Record("test", train[7].asked, train[7].answer)
    shuffled = dict(sorted(records.items(), key=lambda _: draw.random()))
    at_once = certified(shuffled, near=0.2, batch=6)
    assert at_once["between"]["train/test"]["near"] > 3 and at_once["between"]["train/test"]["exact"] == 1
    monkeypatch.setattr(overlap, "MOST_RUNS", most)
    assert certified(shuffled, near=0.2, batch=6) == at_once
