"""The commands about model versions: made, judged, moved back, traced, asked."""

from pathlib import Path
from typing import Annotated

import typer

from tasks.cli_tables import guarded

app = typer.Typer()
CHAMPION = "models:/luthier@champion"


@app.command()
def register() -> None:
    """Make the tuned model a version in MLflow, alias challenger."""
    from tasks.register import main as register_main

    guarded("register", register_main)


@app.command()
def promote(
    version: Annotated[int | None, typer.Option(help="The one to decide on; the challenger unless said.")] = None,
) -> None:
    """Say what the gate says of the challenger; move the alias champion if a person approved, or none is asked for."""
    from tasks.promote import main as promote_main

    guarded("promote", lambda: promote_main(version=version))


@app.command()
def rollback(
    reason: Annotated[str, typer.Option(help="Written on both versions.")],
    to: Annotated[int | None, typer.Option(help="A version that was champion; the one before unless said.")] = None,
) -> None:
    """Move the alias champion back to an earlier champion, which is loaded and asked first."""
    from tasks.rollback import main as rollback_main

    guarded("rollback", lambda: rollback_main(reason, to))


@app.command()
def lineage(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS or models:/NAME/NUMBER")] = CHAMPION,
    verify: Annotated[bool, typer.Option("--verify", help="Hash every link again and name the broken one.")] = False,
) -> None:
    """Print the chain of digests that a model version stands on, down to the raw bytes, or verify it."""
    from tasks.lineage import main as lineage_main

    guarded("lineage", lambda: lineage_main(model, verify))


@app.command()
def rebuild(
    model: Annotated[str, typer.Argument(help="models:/NAME@ALIAS or models:/NAME/NUMBER")] = CHAMPION,
    keep: Annotated[Path | None, typer.Option(help="Leave the worktree in this folder.")] = None,
) -> None:
    """Make a model version again in a clean worktree, and say whether weights or scores are the same."""
    from tasks.rebuild import main as rebuild_main

    guarded("rebuild", lambda: rebuild_main(model, keep))


@app.command()
def answer(
    table: Annotated[Path, typer.Argument(help=".csv, .jsonl or .parquet")],
    family: Annotated[str, typer.Option(help="The kind of instruction, one that the model was trained on.")],
    out: Annotated[Path, typer.Option(help="A new folder for answers, quarantine and report.")],
    column: Annotated[list[str] | None, typer.Option(help="FIELD=COLUMN, where they differ; repeat it.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column to copy beside the answers; repeat it.")] = None,
    model: Annotated[str, typer.Option(help="Who answers.")] = "models:/luthier@champion",
) -> None:
    """Let the champion answer a table: rows in = rows answered + rows quarantined."""
    from tasks.answer import main as answer_main

    guarded("answer", lambda: answer_main(table, family, out, column, keep, model))
