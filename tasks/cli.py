"""The `luthier` command: thin, over the steps and the services.

The pipeline itself is `dvc repro` (or the DAG, which `luthier demo` triggers); what stands here is what no stage does.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from tasks.errors import LuthierError
from tasks.step import exit_status

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


def _guarded(name: str, call: Callable[[], object]) -> None:
    raise typer.Exit(exit_status(call, name))


def _in_checkout() -> Path:
    if not Path("dvc.yaml").is_file():
        raise LuthierError(f"{Path.cwd()} is not a checkout of Luthier (no dvc.yaml): change to its top folder.")
    return Path.cwd()


@app.command()
def demo() -> None:
    """Run the whole pipeline through Airflow, with progress and a table at the end."""
    from tasks.demo import demo as run_demo

    status = 0

    def call() -> None:
        nonlocal status
        status = run_demo(_in_checkout())

    raise typer.Exit(exit_status(call, "demo") or status)


@app.command()
def up() -> None:
    """Start Airflow and MLflow on 127.0.0.1 and print where they are and how to sign in."""
    from tasks import services

    def call() -> None:
        root = _in_checkout()
        services.up(root)
        print(services.addresses(root))

    _guarded("up", call)


@app.command()
def down() -> None:
    """Stop what `luthier up` started, running tasks included."""
    from tasks import services

    def call() -> None:
        ended = services.down(_in_checkout())
        print(f"Stopped {', '.join(ended)}." if ended else "Nothing was running.")

    _guarded("down", call)


@app.command()
def use(
    table: Annotated[Path, typer.Argument(help=".csv, .jsonl or .parquet")],
    given: Annotated[str, typer.Option("--input", help="The column that the model reads.")],
    target: Annotated[str, typer.Option(help="The column that it is to write.")],
    group: Annotated[
        str | None, typer.Option(help="Rows that agree here stay in one split, such as a customer's id.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="The template family; unless said, summarise or summarise_dialogue.")
    ] = None,
) -> None:
    """Track a table of your own with DVC and write params.yaml for it."""
    from tasks.use import Choice
    from tasks.use import use as use_table

    def call() -> None:
        _in_checkout()
        print(use_table(table, Choice(given, target, group, family)))

    _guarded("use", call)


@app.command()
def preview(
    source: Annotated[str | None, typer.Option(help="Of expand.mixture; the first unless said.")] = None,
    row: Annotated[
        int | None, typer.Option(min=1, help="Its number in its file; the first valid one unless said.")
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="One template family; all that use the source unless said.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Mark the loss by « and » instead of colour.")] = False,
) -> None:
    """Print one record under every template, with what carries loss in colour."""
    from rich.console import Console

    from tasks.preview import preview as preview_record

    def call() -> None:
        _in_checkout()
        preview_record(source, row, family, plain, Console())

    _guarded("preview", call)


@app.command()
def leaks(
    given: Annotated[str, typer.Option("--input", help="The columns that the model reads: dialogue or title,text.")],
    target: Annotated[str, typer.Option(help="The column that it is to write; of several, the first in a file.")],
    train: Annotated[Path | None, typer.Option(help=".csv, .jsonl or .parquet")] = None,
    dev: Annotated[Path | None, typer.Option(help=".csv, .jsonl or .parquet")] = None,
    test: Annotated[Path | None, typer.Option(help=".csv, .jsonl or .parquet")] = None,
    near: Annotated[float, typer.Option(help="Share of a text's 13-word runs that makes a near duplicate.")] = 0.2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Look for leaks between the files of a data set that is split already."""
    from tasks.leaks import main as leaks_main

    files = {"train": train, "dev": dev, "test": test}
    _guarded("leaks", lambda: leaks_main(files, given.split(","), target.split(","), near, as_json))


@app.command()
def accept() -> None:
    """Accept the data that was validated last: from now on drift is measured from it."""
    from tasks.accept import accept as accept_data

    def call() -> None:
        _in_checkout()
        print(accept_data())

    _guarded("accept", call)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help=".csv, .jsonl or .parquet")],
    columns: Annotated[list[str], typer.Option(help="The columns that are needed: dialogue,summary.")],
    out: Annotated[Path, typer.Option(help="The folder for valid.jsonl, quarantine.jsonl and quarantine.csv.")],
    may_be_empty: Annotated[list[str] | None, typer.Option(help="Those of them that may be empty.")] = None,
    max_field_bytes: Annotated[int, typer.Option(min=1, help="A row with a longer field is set aside.")] = 1_000_000,
    sha256: Annotated[list[str] | None, typer.Option(help="Of each file in turn: says that it is whole.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ledger as JSON.")] = False,
) -> None:
    """Take tables in: which rows can be used, and what is wrong with the others."""

    def call() -> None:
        from tasks.intake import Wanted, main, names_in

        wanted = Wanted(names_in(columns), names_in(may_be_empty or []), max_field_bytes, sha256 or [])
        main(files, wanted, out, as_json)

    _guarded("validate", call)


@app.command()
def estimate(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Say what fine-tuning will take (memory, time, tokens, disk) and whether it fits, before any of it is spent."""
    from tasks.estimate import estimate as estimate_training

    _guarded("estimate", lambda: estimate_training(as_json))


@app.command()
def summary() -> None:
    """Print the last results: base against tuned, rows, costs."""
    from tasks.report.summary import print_summary

    _guarded("summary", lambda: print_summary(_in_checkout()))


@app.command()
def register() -> None:
    """Make the tuned model a version in MLflow, alias challenger."""
    from tasks.register import main as register_main

    _guarded("register", register_main)


@app.command()
def promote() -> None:
    """Decide about the challenger, and move the alias champion to it if the gate says so."""
    from tasks.promote import main as promote_main

    _guarded("promote", promote_main)


@app.command()
def rollback(reason: Annotated[str, typer.Option(help="Written on both versions.")]) -> None:
    """Move the alias champion back to the version that held it before."""
    from tasks.rollback import main as rollback_main

    _guarded("rollback", lambda: rollback_main(reason))


@app.command()
def lineage(model: Annotated[str, typer.Argument()] = "models:/luthier@champion") -> None:
    """Print the digests that a model version stands on, down to the raw bytes."""
    from tasks.lineage import main as lineage_main

    _guarded("lineage", lambda: lineage_main(model))


def main() -> None:
    """Start the command line."""
    app()


if __name__ == "__main__":
    main()
