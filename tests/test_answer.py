"""Batch inference: each row of a table is answered or quarantined, once, and nothing half-written counts."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks import answer, register, serve
from tasks.data.files import read_json, read_rows, sha256_of, write_rows
from tasks.errors import DataError, TrackingError
from tasks.tracking import models, registry, server
from tests.trained import write_project

GOOD = ["Police look for witnesses.", "A bridge opens.", "=1+1", "It rains\non two lines."]
TABLE = (
    "id,article\n"
    f"a,{GOOD[0]}\n"
    "b,\n"  # empty
    f"c,{GOOD[1]}\n"
    "d,one,two\n"  # a cell too many
    f"e,{'word ' * 400}\n"  # longer than the contract's 300 tokens
    f",{GOOD[2]}\n"  # an id may be missing: it is only copied
    f'g,"{GOOD[3]}"\n'
)
ROOT = Path(answer.__file__).parent.parent


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a champion."""
    root = tmp_path_factory.mktemp("project")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_project(root)
        register.main()
        version = registry.get_version("luthier", "challenger")
        assert version is not None
        registry.set_alias("champion", version)
    return root


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("tasks.model.load.use_threads", lambda count: None)  # it would change the other tests' too


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table with rows of every kind, of other bytes for each test."""
    path = tmp_path / "new.csv"
    path.write_text(TABLE + f"h,{tmp_path.name}\n")
    return path


def _asked(table: Path, out: Path, **options: Any) -> dict[str, Any]:
    chosen = {"family": "summarise", "column": ["document=article"], "keep": ["id"]} | options
    answer.main(table, out=out, **chosen)
    report: dict[str, Any] = read_json(out / "report.json")
    return report


def _runs() -> list[Any]:
    found = server.client().search_runs([server.experiment()], "attributes.run_name = 'answer'")
    return list(found)


def test_rows_in_are_rows_answered_and_rows_quarantined(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = _asked(table, tmp_path / "out")
    assert (report["rows_in"], report["rows_answered"], report["rows_quarantined"]) == (8, 5, 3)
    assert report["by_rule"] == {"columns": 1, "empty": 1, "long_prompt": 1}
    told, progress = capsys.readouterr()
    assert "8 rows in = 5 answered by models:/luthier/1 + 3 quarantined" in told
    assert "answer  5 of 6 rows" in progress or "answer  6 of 6 rows" in progress
    assert " left" in progress


def test_each_answer_is_the_one_that_the_served_model_gives(table: Path, tmp_path: Path) -> None:
    report = _asked(table, tmp_path / "out")
    rows = read_rows(tmp_path / "out/answers.jsonl")
    assert [row["row"] for row in rows] == [1, 3, 6, 7, 8]
    assert [row["input"]["id"] for row in rows] == ["a", "c", "", "g", "h"]
    assert [row["input"]["article"] for row in rows][:4] == GOOD
    version = registry.get_version("luthier", "champion")
    assert version is not None
    model = serve.load(models.model_folder(version, tmp_path))
    expected = model.answer([{"family": "summarise", "document": row["input"]["article"]} for row in rows])
    assert [row["output"] for row in rows] == expected
    assert report["cut_off"] == sum(not row["finished"] for row in rows)


def test_a_quarantined_row_has_its_place_rule_and_bytes(table: Path, tmp_path: Path) -> None:
    _asked(table, tmp_path / "out")
    aside = read_rows(tmp_path / "out/quarantine/quarantine.jsonl")
    assert [(row["row"], row["rule"]) for row in aside] == [(2, "empty"), (4, "columns"), (5, "long_prompt")]
    content = table.read_bytes()
    for row in aside:
        assert row["file"] == "new.csv"
        assert content[row["byte_offset"] :].startswith(row["raw"].encode())
    assert "tokens, more than finetune.max_prompt_tokens = 300" in aside[2]["reason"]
    with (tmp_path / "out/quarantine/quarantine.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_the_report_and_the_run_say_what_answered_what(table: Path, tmp_path: Path) -> None:
    report = _asked(table, tmp_path / "out")
    version = registry.get_version("luthier", "champion")
    assert version is not None
    assert report["model"] == {
        "version": "models:/luthier/1",
        "identity": version.tags["luthier.identity"],
        "weights_sha256": version.tags["luthier.weights.tuned"],
    }
    assert report["table"] == {"file": "new.csv", "sha256": sha256_of(table)}
    assert len(report["contract_sha256"]) == 64
    found = _run_of(report)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["rows_answered"] == 5
    assert found.data.metrics["seconds"] == report["seconds"]
    assert found.data.tags["luthier.identity"] == report["model"]["identity"]
    assert found.data.tags["data.table"] == report["table"]["sha256"]
    kept = server.client().download_artifacts(found.info.run_id, "answers", str(tmp_path))
    for name in ("answers.jsonl", "report.json", "quarantine/quarantine.jsonl"):
        assert Path(kept, name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_the_same_question_is_answered_once_and_found_again(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = _asked(table, tmp_path / "out")
    runs = len(_runs())
    (tmp_path / "renamed").mkdir()
    same = shutil.copyfile(table, tmp_path / "renamed/other.csv")
    capsys.readouterr()
    assert _asked(same, tmp_path / "out") == first  # its outputs are there
    assert _asked(same, tmp_path / "elsewhere/out") == first  # the run has them
    assert capsys.readouterr().out.count("Answered before, in the run") == 2
    assert sha256_of(tmp_path / "elsewhere/out") == sha256_of(tmp_path / "out")
    assert len(_runs()) == runs
    assert _asked(table, tmp_path / "third", keep=[])["key"] != first["key"]
    assert len(_runs()) == runs + 1


def _run_of(report: dict[str, Any]) -> Any:
    (found,) = [run for run in _runs() if run.data.tags["luthier.answers"] == report["key"]]
    return found


def test_a_run_that_was_lost_before_it_was_told_of_the_answers_is_gone_on_with(table: Path, tmp_path: Path) -> None:
    first = _asked(table, tmp_path / "out")
    info = _run_of(first).info
    kept = models.local_path(info.artifact_uri)
    assert kept is not None
    shutil.rmtree(kept / "answers")
    with pytest.raises(TrackingError, match=f"the run {info.run_id} answered this, but lost its answers"):
        _asked(table, tmp_path / "elsewhere")
    server.client().update_run(info.run_id, status="RUNNING")  # as if it had been killed when `out` was whole
    assert _asked(table, tmp_path / "out") == first
    assert (kept / "answers/answers.jsonl").read_bytes() == (tmp_path / "out/answers.jsonl").read_bytes()
    assert _run_of(first).info.status == "FINISHED"


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_other_formats_are_answered_alike(tmp_path: Path, suffix: str) -> None:
    rows = [{"dialogue": f"Where does it hurt, {tmp_path.name}?"}, {"dialogue": "  "}]
    path = tmp_path / f"talks{suffix}"
    if suffix == ".jsonl":
        write_rows(path, rows)
    else:
        pd.DataFrame(rows).to_parquet(path)
    report = _asked(path, tmp_path / "out", family="section", column=[], keep=[])
    assert (report["rows_answered"], report["by_rule"]) == (1, {"empty": 1})


def test_a_contract_that_cuts_long_prompts_cuts_them(table: Path, tmp_path: Path) -> None:
    from tasks.batch import Asked, answer_table, read_table  # noqa: PLC0415

    version = registry.get_version("luthier", "champion")
    assert version is not None
    model = serve.load(models.model_folder(version, tmp_path))
    model.contract = model.contract.model_copy(update={"long_prompts": "cut"})
    asked = Asked(table, "summarise", {"document": "article"}, [])
    assert answer_table(asked, read_table(asked), model, tmp_path / "out")["by_rule"] == {"columns": 1, "empty": 1}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"family": "title"}, "not trained on the family 'title', but on: section, summarise"),
    ({"family": "sumarise"}, "Did you mean 'summarise'"),
    ({"column": ["documnt=article"]}, "the fields of 'summarise' are document.* Did you mean 'document'"),
    ({"column": ["document"]}, "write FIELD=COLUMN"),
    ({"column": ["document=artikle"]}, r"no column 'artikle'.*Did you mean 'article'"),
    ({"model": "models:/luthier@nobody"}, "there is no models:/luthier@nobody"),
    ({"model": "models:/other@champion"}, "'luthier promote' makes one the champion"),
]


@pytest.mark.parametrize(("options", "told"), REFUSED)
def test_what_cannot_be_answered_is_told_before_anything_is_written(
    table: Path, tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    with pytest.raises((DataError, TrackingError), match=told):
        _asked(table, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_table_that_is_written_to_while_it_is_read_is_refused(table: Path, tmp_path: Path) -> None:
    asked = answer.Asked(table, "summarise", {"document": "article"}, [])
    with pytest.raises(DataError, match="was written to while it was read"):
        answer.answered(asked, tmp_path, tmp_path / "out", {"table": {"sha256": "0" * 64}})
    assert not (tmp_path / "out").exists()


def test_no_folder_that_holds_anything_else_is_written_over(table: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds something else: name a new folder"):
        _asked(table, tmp_path / "mine")
    _asked(table, tmp_path / "out")
    with (tmp_path / "out/answers.jsonl").open("a") as file:
        file.write("{}\n")  # somebody edits an answer
    with pytest.raises(DataError, match="holds something else"):
        _asked(table, tmp_path / "out")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


TRIGGER = """
import json, sys
sys.path.append(sys.argv[1])
from batch_inference import dag
dag.tasks[0].cwd = sys.argv[2]
assert dag.test(run_conf=json.loads(sys.argv[3])).state == "success"
"""


@pytest.mark.service
@pytest.mark.long
def test_the_dag_takes_what_is_typed_as_text_and_nothing_else(project: Path, tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own |= {"AIRFLOW_HOME": str(tmp_path / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    own |= {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"), "PYTHONPATH": str(ROOT)}
    table = tmp_path / 'it\'s $(touch sprung) "new".csv'
    table.write_text(f"`touch sprung`,text\n{tmp_path.name},Police look for witnesses.\n")
    out = tmp_path / "out; touch sprung {{ dag.dag_id }}"
    typed = {"table": str(table), "family": "summarise", "columns": "document=text", "keep": "`touch sprung`"}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=own, check=True, capture_output=True)
    trigger = [sys.executable, "-c", TRIGGER, str(ROOT / "dags"), str(project), json.dumps(typed | {"out": str(out)})]
    subprocess.run(trigger, env=own, check=True)
    (row,) = read_rows(out / "answers.jsonl")
    assert row["input"] == {"text": "Police look for witnesses.", "`touch sprung`": tmp_path.name}
    assert not [*project.glob("sprung"), *tmp_path.glob("**/sprung")]
    assert _run_of(read_json(out / "report.json")).data.tags["luthier.airflow.run"].startswith("manual__")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_kill_in_the_middle_leaves_nothing_that_looks_finished(tmp_path: Path, sent: signal.Signals) -> None:
    path, out = tmp_path / "many.jsonl", tmp_path / "out"
    write_rows(path, ({"document": f"{tmp_path.name} witnesses {number}"} for number in range(1000)))
    command = [sys.executable, "-m", "tasks.answer", str(path), "--family", "summarise", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 120
    while not any(tmp_path.glob(".out-*/answers/.answers.jsonl.partial")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(sent)
    process.communicate()
    assert process.returncode == (75 if sent == signal.SIGTERM else -sent)
    assert not out.exists()
    (run,) = [one for one in _runs() if one.data.tags["data.table"] == sha256_of(path)]
    assert run.info.status == ("KILLED" if sent == signal.SIGTERM else "RUNNING")
    assert _asked(path, out, column=[], keep=[])["rows_answered"] == 1000
    assert server.client().get_run(run.info.run_id).info.status == "FINISHED"
