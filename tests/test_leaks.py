"""luthier leaks: the certificate for files that are split already, as a table or as JSON, and 1 where there are leaks."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tasks.cli import app

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LUTHIER_SHARED", ROOT.parent / "shared" / "data"))
LONG = " ".join(f"word{number}" for number in range(40))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["leaks", *map(str, arguments)])


def write(name: str, rows: Sequence[tuple[str, ...]], *columns: str) -> Path:
    """A file in the format that its name ends in."""
    path = Path(name)
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *rows])
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]), path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def three_files() -> dict[str, Path]:
    """Files of three formats; one test record is in train, one nearly, one in dev; one is turned round."""
    return {
        "train": write("a.csv", [(LONG, "its summary"), ("ask one two three", "say one two three")], "text", "summary"),
        "dev": write("b.jsonl", [("something else", "no"), ("more of it", "yes")], "text", "summary"),
        "test": write(
            "c.parquet",
            [
                (f"but {LONG}\x1b[2J", "another one"),
                ("MORE of it!", "perhaps"),
                ("say one, two, three", "ask"),
                ("", ""),
                ("?", "yes"),
            ],
            "text",
            "gist",
        ),
    }


def options(files: dict[str, Path]) -> list[object]:
    return [part for name, path in files.items() for part in (f"--{name}", path)]


def test_leaks_between_three_files_are_shown_and_end_in_1() -> None:
    result = call(*options(three_files()), "--input", "text", "--target", "summary,gist")
    assert result.exit_code == 1
    assert "test  c.parquet: 5 records, target 'gist'" in result.stdout
    assert "train and test │     0 │          0 │          0 │            1 │    1" in result.stdout
    assert "dev and test   │     0 │          0 │          1 │            0 │    0" in result.stdout
    assert "test  row       1  but word0 word1" in result.stdout
    assert "shared, such as: word0 word1 word2" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == (
        "luthier: leaks: 3 held-out records stand in another split: remove them there, or split again by group.\n"
    )


def test_the_certificate_can_be_had_as_json() -> None:
    files = three_files()
    result = call(*options(files), "--input", "text", "--target", "summary,gist", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["leaks"], found["clean"]) == (1, 3, False)
    assert found["records"] == {"train": 2, "dev": 2, "test": 5}
    assert found["files"]["test"] == {"path": "c.parquet", "target": "gist", "set_aside": 0}
    assert found["between"]["dev/test"]["pairs"] == [{"kind": "input", "left": "b.jsonl:2", "right": "c.parquet:2"}]


def test_files_without_a_leak_end_in_0() -> None:
    files = {name: path for name, path in three_files().items() if name != "test"}
    result = call(*options(files), "--input", "text", "--target", "summary")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "train and dev" in result.stdout
    assert "test" not in result.stdout


def test_near_is_the_share_that_makes_a_near_duplicate() -> None:
    arguments = [*options(three_files()), "--input", "text", "--target", "summary,gist", "--json", "--near"]
    assert [json.loads(call(*arguments, near).stdout)["leaks"] for near in (0.5, 1.0)] == [3, 2]


def test_several_columns_may_be_read() -> None:
    train = write("a.csv", [("t", LONG, "yes"), ("u", "b", "no")], "title", "body", "label")
    test = write("b.csv", [(LONG, "T.", "no"), ("more", LONG, "yes")], "body", "title", "label")
    result = call("--train", train, "--test", test, "--input", "title,body", "--target", "label")
    assert "train and test │     0 │          0 │          1 │            0 │    1" in result.stdout


def test_rows_that_cannot_be_read_are_counted_and_the_numbers_of_the_others_stay() -> None:
    Path("a.csv").write_text(f"text,summary\nx,y,z\n{LONG},yes\n")
    test = write("b.csv", [(LONG, "no")], "text", "summary")
    result = call("--train", "a.csv", "--test", test, "--input", "text", "--target", "summary")
    assert "1 records, target 'summary', 1 rows set aside" in result.stdout
    assert "train row       2  word0" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train", "a.csv"], "a leak is between two files: name at least two of --train, --dev and --test."),
        (["--train", "a.csv", "--dev", "none.csv"], "none.csv is not there"),
        (["--train", "a.csv", "--dev", "b.jsonl", "--near", "0"], "--near 0 is no share of a text"),
        (["--train", "a.csv", "--dev", "b.jsonl", "--near", "nan"], "--near nan is no share of a text"),
        (["--train", "a.csv", "--dev", "b.jsonl", "--target", "other,text"], "'text' is named by --input and by --ta"),
        (["--train", "a.csv", "--test", "c.parquet"], "c.parquet has no column 'summary'; its columns are: text, gist"),
        (["--train", "a.csv", "--dev", "b.txt"], "b.txt"),
    ],
)
def test_what_cannot_be_looked_at_is_one_sentence(arguments: list[Any], said: str) -> None:
    three_files()
    Path("b.txt").write_text("text,summary\n")
    result = call("--input", "text", "--target", "summary", *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif(not (SHARED / "dialogsum").is_dir(), reason=f"DialogSum is absent from {SHARED}")
def test_dialogsum_s_own_duplicates_are_found_from_its_files() -> None:
    files = {split: SHARED / "dialogsum" / f"dialogsum.{split}.jsonl" for split in ("dev", "test")}
    result = call(*options(files), "--input", "dialogue", "--target", "summary,summary1", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (found["between"]["dev/test"]["input"], found["within"]["test"]["input"]) == (7, 2)
    assert [found["files"][split]["target"] for split in files] == ["summary", "summary1"]
