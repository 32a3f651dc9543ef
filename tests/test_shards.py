"""tasks/predict shard by shard: the same bytes however it is shared out, and nothing that is there is made again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks import predict
from tasks.data.files import read_rows, write_json, write_rows
from tasks.data.indexed import Indexed
from tasks.data.shards import FOLDER, PARTS, Shards, part_of
from tasks.data.suites.questions import read_benchmarks
from tasks.errors import DataError, ParamsError
from tasks.model import load, shares
from tasks.model.encode import contract_of
from tasks.model.work import answers_to
from tasks.params import load as load_params
from tasks.progress import Progress
from tasks.prompts import contract as prompt_contract
from tasks.prompts.templates import load_family, render
from tests import toys
from tests.workers import flip

ROOT = Path(__file__).resolve().parent.parent
PARAMS: dict[str, Any] = {
    "seed": 1, "threads": 1, "batch_size": 1, "tokens_at_once": 200,
    "suites": [
        {"suite": "mmlu", "benchmark": "quiz", "by": "letter", "shots": 2, "shots_from": "drill", "questions": 20},
        {"suite": "piqa", "benchmark": "quiz", "by": "text", "shots": 0, "shots_from": None, "questions": 9},
    ],
    "perturbed": {"kinds": ["lower_case", "typos"], "examples": 3},
    "repeated": 2,
}  # fmt: skip
ARGUMENTS = ("base", "tuned", "test.jsonl", "benchmarks", "predictions", "efficiency.json")
SHARDS = 2 * (3 + 1 + 2 + 3 + 2)  # of 16: 36 examples, 6 perturbed, 2 and 2 repeated, 20 and 9 questions, 2 and 2 again


def write(root: Path, kind: str, examples: int = 36) -> Path:
    """What predict reads, of a toy that was tuned to another seed's weights."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(json.dumps({"predict": PARAMS}))
    toys.write_base(root / "base", kind)
    toys.write_base(root / "tuned", kind)
    toys.model(kind, 5).save_pretrained(root / "tuned")
    contract = contract_of(toys.tokenizer(kind), kind, 400, {"summarise": 6})  # type: ignore[arg-type]
    prompt_contract.write(contract, root / "tuned")
    text = next(one.text for one in load_family("summarise").templates if one.id == "gist")
    write_rows(
        root / "test.jsonl", (row | {"input": render(text, {"document": row["input"]})} for row in toys.examples(examples))
    )
    quiz = [
        {"question": f"Is {n} even?", "options": "A. yes\nB. no", "answer": "A. yes" if n % 2 == 0 else "B. no"}
        for n in range(30)
    ]
    write_rows(root / "benchmarks/quiz/quiz.jsonl", quiz)
    write_rows(root / "benchmarks/drill/quiz.jsonl", quiz[5:])
    sources = {name: {"files": ["quiz.jsonl"], "url": name, "sha256": "0"} for name in ("quiz", "drill")}
    write_json(root / "benchmarks/manifest.json", {"sources": sources})
    return root


@pytest.fixture(scope="module")
def unsplit(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """By kind of model: the bytes that one predict writes from beginning to end."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("causal", "seq2seq"):
            root = write(tmp_path_factory.mktemp("unsplit") / kind, kind)
            patch.chdir(root)
            patch.delenv(PARTS, raising=False)
            run()
            made[kind] = files(root)
            assert not FOLDER.exists()  # nothing is kept of what has ended well
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A causal toy's folder, as the current one."""
    monkeypatch.chdir(write(tmp_path / "here", "causal"))
    monkeypatch.delenv(PARTS, raising=False)
    return Path.cwd()


def run(part: str = "") -> None:
    """Predict in the current folder."""
    base, tuned, test, benchmarks, predictions, efficiency = map(Path, ARGUMENTS)
    predict.main(base, tuned, test, benchmarks, predictions, efficiency, part)


def files(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in sorted((root / "predictions").rglob("*.json*"))}
    assert len(found) == 11
    return found


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files of the shards that are computed, one after another."""
    computed: list[str] = []

    def counted(shard: Any, *told: Any) -> Any:
        computed.append(shard.file)
        return answers_to(shard, *told)

    monkeypatch.setattr(predict, "answers_to", counted)
    return computed


@pytest.mark.parametrize(("kind", "count"), [
    ("causal", 5), ("seq2seq", 2),
    pytest.param("causal", 2, marks=pytest.mark.long), pytest.param("seq2seq", 5, marks=pytest.mark.long),
])  # fmt: skip
def test_however_many_parts_share_the_work_the_bytes_are_those_of_one(
    kind: str, count: int, unsplit: Any, made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path / "here", kind)
    monkeypatch.chdir(root)
    monkeypatch.setenv(PARTS, str(tmp_path / "parts"))
    for number in reversed(range(1, count + 1)):
        before = len(made)
        run(f"{number}/{count}")
        assert abs(len(made) - before - SHARDS / count) < 1
        assert not (root / "predictions").exists()
    assert len(made) == SHARDS
    monkeypatch.setattr(predict, "load_base", None)  # with every shard there, no model is loaded
    run()
    assert len(made) == SHARDS
    assert files(root) == unsplit[kind]
    assert len(list((tmp_path / "parts").iterdir())) == SHARDS  # whoever told of the folder clears it
    costs = json.loads((root / "efficiency.json").read_text())
    assert costs["tuned"]["answers"] == 36 + 6 + 4 and costs["tuned"]["seconds"] > 0 and costs["base"]["peak_mb"] > 50


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_computes_only_what_lacks(
    here: Path, unsplit: Any, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "tasks.predict", *ARGUMENTS], env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while len(list(FOLDER.glob("*.shard"))) < 3 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    there = len(list(FOLDER.glob("*.shard")))
    assert 3 <= there < SHARDS and not (here / "predictions").exists()
    run()
    assert f"predict  {there} of {SHARDS} shards were there" in capsys.readouterr().out
    assert len(made) == SHARDS - there
    assert files(here) == unsplit["causal"]


def test_a_flipped_bit_in_a_stored_shard_is_told_and_the_shard_made_again(
    here: Path, unsplit: Any, made: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("1/2")
    before, bad = len(made), sorted(FOLDER.iterdir())[1]
    flip(bad)
    run()
    assert f"{bad} has other bytes than were written: it is not used, and made again" in capsys.readouterr().out
    assert len(made) == SHARDS + 1 and before == SHARDS / 2
    assert files(here) == unsplit["causal"]


@pytest.mark.parametrize(
    "change",
    [
        lambda root: toys.model("causal", 6).save_pretrained(root / "tuned"),
        lambda root: _params(root, threads=2),
        lambda root: _params(root, batch_size=2),
    ],
)
def test_a_shard_of_other_weights_or_params_is_not_used(
    here: Path, made: list[str], change: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run("1/6")
    run("1/6")
    first, said = len(made), capsys.readouterr().out
    assert f"predict 1/6  {first} of {first} shards were there" in said
    change(here)
    run("1/6")
    assert len(made) > first and "were there" not in capsys.readouterr().out
    torch.set_num_threads(1)


def _params(root: Path, **changes: int) -> None:
    (root / "params.yaml").write_text(json.dumps({"predict": PARAMS | changes}))


def test_of_other_examples_only_those_shards_that_hold_them_are_made(here: Path, made: list[str]) -> None:
    run("1/1")
    rows = Indexed(here / "test.jsonl")
    write_rows(here / "test.jsonl", [row | ({"target": "another"} if n == 20 else {}) for n, row in enumerate(rows)])
    again = len(made)
    run("1/1")
    assert [file for file in made[again:] if file == "generations"] == ["generations"] * 2  # base's and tuned's


def test_the_answers_of_a_model_that_is_asked_by_itself_are_the_same(
    here: Path, unsplit: Any, capsys: pytest.CaptureFixture[str]
) -> None:  # as tasks/rescore.py asks a champion
    params = load_params("predict", predict.Predict)
    known = read_benchmarks(here / "benchmarks")
    task = predict.task_of(read_rows(here / "test.jsonl"), known, params)
    progress = Progress("rescore", task.answers, "answers", aside=True)
    tokenizer, contract = load.load_tokenizer(here / "tuned"), prompt_contract.read(here / "tuned")
    rows = predict.answered(task, params, load.load_base(here / "base"), tokenizer, contract, progress)
    for name, own in rows.items():
        write_rows(here / "own.jsonl", own)
        assert (here / "own.jsonl").read_bytes() == unsplit["causal"][f"predictions/base/{name}.jsonl"]
    assert progress.done == progress.total


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ParamsError, match=f"'{text}' is no part: write which of how many"):
        part_of(text)
    assert part_of("2/4") == (2, 4)


def test_every_shard_is_of_one_part(here: Path) -> None:
    work = {"base": {str(n): None for n in range(7)}, "tuned": {str(n): None for n in range(7, 12)}}
    for count in (1, 3, 20):
        parts = [shares.share(work, f"{number}/{count}") for number in range(1, count + 1)]  # type: ignore[arg-type]
        keys = [key for part in parts for own in part.values() for key in own]
        assert sorted(keys) == sorted(key for own in work.values() for key in own)


def test_a_store_keeps_whole_shards_under_their_own_names(tmp_path: Path) -> None:
    store = Shards(tmp_path / "parts")
    store.clear()  # where there is none
    assert not store.has("k")
    store.put("k", {"seconds": 1.5}, [{"a": "é"}, {"a": 2}])
    assert store.has("k") and store.cost("k")["seconds"] == 1.5
    assert store.lines("k") == '{"a": "é"}\n{"a": 2}\n'.encode()
    (tmp_path / "parts/k.shard").rename(tmp_path / "parts/other.shard")
    with pytest.raises(DataError, match="is the shard k, under another name"):
        store.lines("other")
    assert not store.has("other") and not list((tmp_path / "parts").iterdir())


def test_rows_of_a_file_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    rows = [{"id": n, "text": "ä\u2028" * n} for n in range(9)]
    write_rows(tmp_path / "rows.jsonl", rows)
    found = Indexed(tmp_path / "rows.jsonl")
    assert (len(found), list(found), found[3], found[-1], found[2:5], found[7:99]) == (9, rows, rows[3], rows[8], rows[2:5], rows[7:])
    with pytest.raises(IndexError):
        found[9]
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n[2]\nthree')
    bad = Indexed(tmp_path / "bad.jsonl")
    with pytest.raises(DataError, match=r"bad.jsonl, line 2: a JSON object is expected, not list"):
        bad[1]
    with pytest.raises(DataError, match=r"bad.jsonl, line 3: not JSON"):
        bad[2]
