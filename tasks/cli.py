"""The `luthier` command: thin, over the steps and the services.

The pipeline itself is `dvc repro` (or the DAG, which `luthier demo` triggers); what stands here is what no stage does.
"""

from pathlib import Path
from typing import Annotated

import typer

from tasks import cli_runs, cli_tables, cli_versions
from tasks.cli_tables import guarded
from tasks.errors import LuthierError
from tasks.step import exit_status

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(cli_tables.app)
app.add_typer(cli_versions.app)
app.add_typer(cli_runs.app, name="runs")


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

    guarded("up", call)


@app.command()
def down() -> None:
    """Stop what `luthier up` started, running tasks included."""
    from tasks import services

    def call() -> None:
        ended = services.down(_in_checkout())
        print(f"Stopped {', '.join(ended)}." if ended else "Nothing was running.")

    guarded("down", call)


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

    guarded("use", call)


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

    guarded("preview", call)


@app.command()
def accept() -> None:
    """Accept the data that was validated last: from now on drift is measured from it."""
    from tasks.accept import accept as accept_data

    def call() -> None:
        _in_checkout()
        print(accept_data())

    guarded("accept", call)


@app.command()
def estimate(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Say what fine-tuning will take (memory, time, tokens, disk) and whether it fits, before any of it is spent."""
    from tasks.estimate import estimate as estimate_training

    guarded("estimate", lambda: estimate_training(as_json))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False) -> None:
    """Say what would bite later on this machine and in this checkout, each with its fix; change nothing."""
    from tasks.doctor import doctor as examine

    guarded("doctor", lambda: examine(_in_checkout(), as_json))


@app.command()
def noise() -> None:
    """Print how much each score moves when nothing but the training's seed changes (of dvc exp run)."""
    from tasks.noise import main as noise_main

    def call() -> None:
        _in_checkout()
        noise_main()

    guarded("noise", call)


@app.command()
def summary() -> None:
    """Print the last results: base against tuned, rows, costs."""
    from tasks.report.summary import print_summary

    guarded("summary", lambda: print_summary(_in_checkout()))


def main() -> None:
    """Start the command line."""
    app()


if __name__ == "__main__":
    main()
