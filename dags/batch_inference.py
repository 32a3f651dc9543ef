"""The champion over a new table: every row answered or quarantined."""

from airflow.sdk import DAG, Param
from alerts import on_failure
from command import command
from stage import DEVICE

DOC = """
Lets a model version answer a table of records, under the prompt contract that it was trained with, and writes a folder
with `answers.jsonl`, `quarantine/` (rows that cannot be answered, each with its place, rule and reason) and
`report.json`. Rows in = rows answered + rows quarantined. All of it is kept in an MLflow run too; the same table,
version and options are answered once. It runs only when you trigger it, and waits for no training run.
"""


def text(title: str, description: str, least: int = 1, **more: object) -> Param:
    """A field of the form."""
    return Param(type="string", title=title, description=description, minLength=least, maxLength=1000, **more)


with DAG(
    dag_id="batch_inference",
    description="The champion over a new table, bad rows quarantined",
    doc_md=DOC,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    on_failure_callback=on_failure,
    tags=["luthier"],
    params={
        "table": text("Table", "A .csv, .jsonl or .parquet file; a relative path starts at the project's folder."),
        "family": text(
            "Family", "The kind of instruction, one that it was trained on.", examples=["summarise", "note"]
        ),
        "columns": text("Columns", "FIELD=COLUMN, separated by commas; empty if both have one name.", 0, default=""),
        "keep": text("Columns to copy", "Such as an id, separated by commas.", 0, default=""),
        "out": text("Output folder", "A new one."),
        "model": text("Model", "Who answers.", default="models:/luthier@champion"),
    },
) as dag:
    command(
        "answer",
        'exec python -m tasks.answer --family="$FAMILY" --column="$COLUMNS" --keep="$KEEP" --out="$OUT"'
        ' --model="$MODEL" -- "$TABLE"',
        hours=24,
        pool=DEVICE,
        env={  # a template in env is data; in the command it would be code
            name.upper(): f"{{{{ params.{name} }}}}" for name in ("table", "family", "columns", "keep", "out", "model")
        },
    )
