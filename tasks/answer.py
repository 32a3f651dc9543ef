"""Batch inference: a model version answers a table of records, under its own prompt contract.

    luthier answer tickets.csv --family summarise --column document=ticket --keep id --out answers

In: .csv, .jsonl or .parquet, read as strictly as training data. Out: answers/answers.jsonl (a row each: its number,
its input, the output, whether that ended by itself), answers/quarantine (rows that cannot be answered, each with its
place, rule and reason) and answers/report.json. Rows in = rows answered + rows quarantined, always. All of it is kept
in an MLflow run too: the same table, version and options are answered once, and a second call finds the first.

    python -m tasks.answer TABLE --family NAME --out FOLDER
"""

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from tasks import serve
from tasks.batch import Asked, answer_table, columns_of, read_table
from tasks.data.files import Row, read_json, sha256_of, write_json
from tasks.data.sealed import files_in
from tasks.errors import DataError, TrackingError
from tasks.intake import names_in
from tasks.lineage import version_of
from tasks.model.served import CONSTANTS
from tasks.prompts import contract
from tasks.step import run
from tasks.tracking import check
from tasks.tracking.answers import add_counts, answers_run, finished_answers
from tasks.tracking.evidence import add_files, fetch_files
from tasks.tracking.models import model_folder
from tasks.tracking.registry import IDENTITY, Version

REPORT = "report.json"


def kept_report(out: Path, key: str) -> Row | None:
    """The report of a folder that holds the whole answers to the same question; None if there is no such folder.

    Raises:
        DataError: there is one, and it holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    with suppress(OSError, ValueError, KeyError, TypeError):
        report: Row = read_json(out / REPORT)
        found = files_in(out)
        found.pop(REPORT)
        if report["key"] == key and report["files"] == found:
            return report
    raise DataError(f"{out} is there already and holds something else: name a new folder after --out.")


def key_of(asked: Asked, table: str, version: Version) -> str:
    """The digest of everything that decides the answers: of two calls with the same one, the second answers nothing."""
    who = [version.name, version.number, version.tags.get(IDENTITY)]
    question = [table, *who, asked.family, asked.columns, asked.keep]
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()


def answered(asked: Asked, model: Path, out: Path, about: Row) -> Row:
    """Answer a table into `out`, which appears when it is whole; return the report.

    Raises:
        DataError: the table cannot be read, or is no longer the one that `about` tells of.
    """
    from tasks.model.load import use_threads  # noqa: PLC0415  seconds, once the table is known to be readable
    from tasks.model.turn import turn  # noqa: PLC0415

    started, read = time.monotonic(), read_table(asked)
    if sha256_of(asked.table) != about["table"]["sha256"]:
        raise DataError(f"{asked.table} was written to while it was read: run this again once it is whole.")
    use_threads(0)
    out.parent.mkdir(parents=True, exist_ok=True)
    with turn(), tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as partial:
        served = serve.load(model)
        ready = Path(partial) / "answers"
        counts = answer_table(asked, read, served, ready)
        sealed = {"contract_sha256": contract.digest(served.contract), "files": files_in(ready)}
        report = about | counts | sealed | {"seconds": round(time.monotonic() - started, 1)}
        write_json(ready / REPORT, report)
        _appear(ready, out)
    return report


def restored(run_id: str, key: str, out: Path) -> Row:
    """Bring the answers that a run keeps to `out`; return their report."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as partial:
        try:
            kept = fetch_files(run_id, "answers", Path(partial))
            report = kept_report(kept, key)
        except (DataError, TrackingError):
            report = None
        if report is None:
            raise TrackingError(f"the run {run_id} answered this, but lost its answers: delete it to answer again.")
        _appear(kept, out)
    return report


def _appear(ready: Path, out: Path) -> None:
    try:
        ready.rename(out)
    except OSError as error:
        raise DataError(f"{out} cannot be made ({error.strerror}): name another folder after --out.") from None


def version_asked(model: str) -> Version:
    """The version that answers.

    Raises:
        TrackingError: there is none.
    """
    try:
        return version_of(model)
    except TrackingError as error:
        if not model.endswith("@champion"):
            raise
        raise TrackingError(f"{error} 'luthier promote' makes one the champion; --model names any other.") from None


def main(
    table: Annotated[Path, typer.Argument(help=".csv, .jsonl or .parquet")],
    family: Annotated[str, typer.Option(help="The kind of instruction, one that the model was trained on.")],
    out: Annotated[Path, typer.Option(help="A new folder for answers, quarantine and report.")],
    column: Annotated[list[str] | None, typer.Option(help="FIELD=COLUMN, where they differ; repeat it.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column to copy beside the answers; repeat it.")] = None,
    model: Annotated[str, typer.Option(help="Who answers.")] = "models:/luthier@champion",
) -> None:
    """Let the champion answer a table: rows in = rows answered + rows quarantined."""
    if not table.is_file():
        raise DataError(f"{table} is not there: name a .csv, .jsonl or .parquet file.")
    check()
    version, digest = version_asked(model), sha256_of(table)
    with tempfile.TemporaryDirectory(prefix="luthier-answer-") as folder:
        delivered = model_folder(version, Path(folder))
        columns = columns_of(family, names_in(column or []), read_json(delivered / CONSTANTS))
        asked = Asked(table, family, columns, names_in(keep or []))
        key = key_of(asked, digest, version)
        report = kept_report(out, key)
        if run_id := finished_answers(key):
            report = report or restored(run_id, key, out)
            print(f"Answered before, in the run {run_id}. {told(report, out)}")
            return
        about = about_of(asked, version, digest) | {"key": key}
        tags = {f"luthier.{name}": str(value) for name, value in about["model"].items()}
        tags["luthier.airflow.run"] = os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "not run by Airflow")
        with answers_run(key, about, tags, {"table": digest}) as run_id:
            report = report or answered(asked, delivered, out, about)
            add_files(run_id, {out / name: "answers" for name in ("answers.jsonl", "quarantine", REPORT)})
            counts = ("rows_in", "rows_answered", "rows_quarantined", "cut_off", "seconds")
            add_counts(run_id, {name: report[name] for name in counts})
    print(f"{told(report, out)} Run {run_id}.")


def about_of(asked: Asked, version: Version, table: str) -> Row:
    """What report.json says of the question; the run's params."""
    weights = version.tags.get("luthier.weights.tuned", "not recorded")
    return {
        "model": {"version": version.uri, "identity": version.tags.get(IDENTITY), "weights_sha256": weights},
        "table": {"file": asked.table.name, "sha256": table},
        "family": asked.family,
        "columns": asked.columns,
        "keep": asked.keep,
    }


def told(report: Row, out: Path) -> str:
    """The counts in a sentence."""
    return (
        f"{report['rows_in']:,} rows in = {report['rows_answered']:,} answered by {report['model']['version']} + "
        f"{report['rows_quarantined']:,} quarantined; {report['cut_off']:,} answers ended at their limit: {out}."
    )


if __name__ == "__main__":
    run(main)
