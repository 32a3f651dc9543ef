"""`luthier validate`: intake alone, from files to a ledger, with nothing half-written."""

import base64
import csv
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tasks.cli import app
from tasks.data.files import Row, read_rows
from tasks.intake import OUTPUTS, names_in

TICKETS = (
    b"\xef\xbb\xbfid,ticket,summary\n"
    b'1,"It is, \xc2\xab""broken""\xc2\xbb.\n\tAgain.",None\n'
    b"=1+1,,\n"
    b"\n"
    b"@SUM(A1),caf\xe9,x\n"
    b'5,it works,"yes"'
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("tickets.csv").write_bytes(TICKETS)
    return tmp_path


def luthier(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["validate", *arguments])


def ledger(*arguments: str) -> Row:
    result = luthier(*arguments, "--out", "out", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    return dict(json.loads(result.stdout))


def refusal(*arguments: str) -> str:
    """What is said of a call that must write nothing."""
    result = luthier(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    assert not [path for path in Path().rglob("*") if path.name.removeprefix(".").removesuffix(".partial") in OUTPUTS]
    return result.stderr


def test_the_ledger_and_the_files_tell_the_same() -> None:
    Path("more.jsonl").write_text('{"ticket": "a\\u0001 \\\\", "summary": 1}\n{"ticket": "b"}\n')
    told = ledger("tickets.csv", "more.jsonl", "--columns", "ticket,summary")
    assert told == {
        "rows_in": 7, "rows_valid": 3, "rows_quarantined": 4, "by_rule": {"blank": 1, "empty": 1, "missing": 1, "utf8": 1},
        "files": [
            {
                "file": "tickets.csv", "rows_in": 5, "rows_valid": 2, "rows_quarantined": 3,
                "by_rule": {"blank": 1, "empty": 1, "utf8": 1},
                "notes": ["tickets.csv starts with a byte order mark, which was dropped."],
            },
            {"file": "more.jsonl", "rows_in": 2, "rows_valid": 1, "rows_quarantined": 1, "by_rule": {"missing": 1}, "notes": []},
        ],
    }  # fmt: skip
    assert read_rows(Path("out/valid.jsonl")) == [
        {"_file": "tickets.csv", "_row": 1, "_byte_offset": 21, "ticket": 'It is, «"broken"».\n\tAgain.', "summary": "None"},
        {"_file": "tickets.csv", "_row": 5, "_byte_offset": TICKETS.index(b"5,it"), "ticket": "it works", "summary": "yes"},
        {"_file": "more.jsonl", "_row": 1, "_byte_offset": 0, "ticket": "a\x01 \\", "summary": "1"},
    ]  # fmt: skip
    quarantined = read_rows(Path("out/quarantine.jsonl"))
    assert [(row["file"], row["row"], row["rule"]) for row in quarantined] == [
        ("tickets.csv", 2, "empty"), ("tickets.csv", 3, "blank"), ("tickets.csv", 4, "utf8"), ("more.jsonl", 2, "missing")
    ]  # fmt: skip
    assert base64.b64decode(quarantined[2]["raw_base64"]) == b"@SUM(A1),caf\xe9,x"


def test_no_cell_of_the_spreadsheet_begins_as_a_formula_does() -> None:
    Path("=tickets.csv").write_bytes(TICKETS + b"\n-1,\n+1,\n\t=1,\n\r\n")
    ledger("=tickets.csv", "--columns", "ticket,summary")
    with Path("out/quarantine.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["raw"] for row in rows] == ["'=1+1,,", "", "'@SUM(A1),caf\\xe9,x", "'-1,", "'+1,", "'\t=1,", ""]
    assert {row["file"] for row in rows} == {"'=tickets.csv"}


def test_what_may_be_empty_or_long_is_said_on_the_command_line() -> None:
    assert ledger("tickets.csv", "--columns", "ticket,summary", "--may-be-empty", "summary,ticket")["by_rule"] == {
        "blank": 1,
        "utf8": 1,
    }
    assert ledger("tickets.csv", "--columns", "ticket", "--max-field-bytes", "10")["by_rule"] == {
        "blank": 1,
        "empty": 1,
        "field_size": 1,
        "utf8": 1,
    }


def test_a_sha256_vouches_for_the_last_row() -> None:
    content = TICKETS.replace(b'"yes"', b"yes")
    Path("tickets.csv").write_bytes(content)
    asked = ("tickets.csv", "--columns", "ticket,summary")
    assert ledger(*asked)["by_rule"]["truncated"] == 1
    assert "truncated" not in ledger(*asked, "--sha256", hashlib.sha256(content).hexdigest().upper())["by_rule"]


def test_people_are_told_where_to_look() -> None:
    result = luthier("tickets.csv", "--columns", "ticket,summary", "--out", "out")
    assert result.exit_code == 0
    for said in (r"5 +2 +3  tickets.csv", r"byte order mark", r"\b1  utf8", r"out/quarantine.csv", r"out/valid.jsonl"):
        assert re.search(said, result.stdout), said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.csv", "--columns", "a"], "gone.csv is not there"),
        (["tickets.csv", "--columns", "dialogue"], "tickets.csv has no column 'dialogue'; its columns are: id, ticket"),
        (["tickets.csv", "--columns", ""], "--columns names no column"),
        (["tickets.csv", "--columns", "id,"], "--columns names no column"),
        (["tickets.csv", "--columns", "id,id"], "a column is asked for twice: id, id."),
        (["tickets.csv", "--columns", "id,_row"], "_row: Luthier writes that name itself"),
        (["tickets.csv", "--columns", "id", "--may-be-empty", "ticket"], "--may-be-empty ticket: not among --columns id."),
        (["tickets.csv", "./tickets.csv", "--columns", "id"], "tickets.csv is named twice"),
        (["tickets.csv", "--columns", "id", "--sha256", "00"], "tickets.csv has sha256 "),
        (["tickets.csv", "--columns", "id", "--sha256", "00", "--sha256", "00"], "1 files, but 2 --sha256"),
        (["header.csv", "--columns", "id"], "header.csv names its columns, but holds no row"),
        (["tickets.csv", "header.csv", "--columns", "id"], "header.csv names its columns, but holds no row"),
        (["open.csv", "--columns", "id"], "open.csv, line 2: the quote"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_in_is_one_sentence_and_nothing_is_written(arguments: list[str], said: str) -> None:
    Path("header.csv").write_text("id,ticket\n")
    Path("open.csv").write_text('id,ticket\n1,"a\n')
    assert said in refusal(*arguments, "--out", "out", "--json")


def test_a_file_in_the_way_is_neither_folder_nor_written_over() -> None:
    Path("out").write_text("mine")
    assert "out is a file: name a folder" in refusal("tickets.csv", "--columns", "id", "--out", "out")
    ledger_of = luthier("tickets.csv", "--columns", "id", "--out", "folder")
    assert ledger_of.exit_code == 0
    again = luthier("folder/valid.jsonl", "--columns", "id", "--out", "folder")
    assert "valid.jsonl would be written over" in again.stderr
    assert Path("out").read_text() == "mine"


def test_a_refused_file_leaves_what_an_earlier_call_wrote() -> None:
    ledger("tickets.csv", "--columns", "id")
    before = [Path("out", name).read_bytes() for name in OUTPUTS]
    assert luthier("tickets.csv", "--columns", "gone", "--out", "out").exit_code == 1
    assert [Path("out", name).read_bytes() for name in OUTPUTS] == before
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(OUTPUTS)


def test_an_option_may_be_given_again_and_names_of_columns_may_hold_commas_in_quotes() -> None:
    assert names_in(['a, b c,"d, e"', "f"]) == ["a", "b c", "d, e", "f"]
    assert names_in([]) == []


def test_intake_waits_for_no_judge_and_no_model() -> None:
    heavy = {"pandas", "great_expectations", "transformers", "torch", "datasets", "mlflow"}
    code = "import sys, tasks.cli, tasks.intake, tasks.data.intake.csv_reader; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    ).stdout.split()
    assert heavy.isdisjoint(loaded)
