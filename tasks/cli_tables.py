"""The commands that work on any table, in any folder: no checkout is needed, and nothing is changed but by --out."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from tasks.step import exit_status

app = typer.Typer()


def guarded(name: str, call: Callable[[], object]) -> None:
    """Call, say what went wrong in a sentence, and end with the exit code that it has."""
    raise typer.Exit(exit_status(call, name))


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
    guarded("leaks", lambda: leaks_main(files, given.split(","), target.split(","), near, as_json))


@app.command()
def compare(  # noqa: PLR0913, PLR0917  # a command's options
    table: Annotated[Path, typer.Argument(help=".csv, .jsonl or .parquet")],
    reference: Annotated[str, typer.Option(help="The column of what should have been written.")],
    a: Annotated[str, typer.Option(help="The column of one model's outputs.")],
    b: Annotated[str, typer.Option(help="The column of the other's.")],
    group: Annotated[
        str | None, typer.Option(help="Rows that agree here share a source and are drawn together.")
    ] = None,
    metric: Annotated[list[str] | None, typer.Option(help="As often as wanted; all unless said.")] = None,
    given: Annotated[
        str | None, typer.Option("--input", help="The column that both read: shows what an output made up.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="A difference up to it does not matter.")] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Of intervals and verdicts.")] = 0.95,
    resamples: Annotated[int, typer.Option(min=100)] = 10_000,
    seed: int = 17,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which of two models is better, from a table of their outputs, and how sure that is."""

    def call() -> None:
        from tasks.compare import Columns, main
        from tasks.metrics.compare import Resampling

        how = Resampling(seed, resamples, confidence)
        main(table, Columns(reference, a, b, group, given), metric or [], how, margin, as_json)

    guarded("compare", call)


@app.command()
def gate(
    table: Annotated[Path, typer.Argument(help=".csv, .jsonl or .parquet")],
    reference: Annotated[str, typer.Option(help="The column of what should have been written.")],
    a: Annotated[str, typer.Option(help="The column of the outputs that there are now.")],
    b: Annotated[str, typer.Option(help="The column of the outputs that may take their place.")],
    group: Annotated[
        str | None, typer.Option(help="Rows that agree here share a source and are drawn together.")
    ] = None,
    given: Annotated[str | None, typer.Option("--input", help="The column that both read.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say promote, reject or insufficient evidence of a table of outputs, by section promote of params.yaml."""

    def call() -> None:
        from tasks.compare import Columns
        from tasks.evaluate import Evaluate
        from tasks.outputs import main
        from tasks.params import load
        from tasks.promote import Promote

        how = load("evaluate", Evaluate).resampling
        main(table, Columns(reference, a, b, group, given), load("promote", Promote).gate, how, as_json)

    guarded("gate", call)


@app.command()
def evaluate(  # noqa: PLR0913, PLR0917  # a command's options
    model: Annotated[Path, typer.Argument(help="A folder in Hugging Face's layout, or an adapter.")],
    suite: Annotated[str, typer.Option(help="mmlu, arc_easy, hellaswag, ...: tasks/data/suites/library.")],
    data: Annotated[
        Path | None, typer.Option(help="The folder of its questions; a fetched benchmark's unless said.")
    ] = None,
    shots: Annotated[int, typer.Option(min=0, help="Solved questions before each.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Questions of each subject at most.")] = None,
    by: Annotated[Literal["letter", "text"] | None, typer.Option(help="The suite's own way unless said.")] = None,
    base: Annotated[Path | None, typer.Option(help="The model that an adapter belongs to.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="An earlier --out: compare with it, question by question.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Keep every question's scores here, as JSON.")] = None,
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0: all cores.")] = 0,
    tokens_at_once: Annotated[int, typer.Option(min=1, help="Tokens that one pass reads.")] = 1024,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, without the questions.")] = False,
) -> None:
    """Ask any model a suite of questions, and say how sure its score is."""

    def call() -> None:
        from tasks.ask import Asking, main

        main(Asking(model, base, suite, data, by, shots, limit, threads, tokens_at_once), against, as_json, out)

    guarded("evaluate", call)


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

    guarded("validate", call)
