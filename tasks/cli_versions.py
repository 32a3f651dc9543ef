"""The commands about model versions: made, judged, moved back, traced, asked."""

from typing import Annotated

import typer

from tasks.cli_tables import guarded

app = typer.Typer()


@app.command()
def register() -> None:
    """Make the tuned model a version in MLflow, alias challenger."""
    from tasks.register import main as register_main

    guarded("register", register_main)


@app.command()
def promote() -> None:
    """Decide about the challenger, and move the alias champion to it if the gate says so."""
    from tasks.promote import main as promote_main

    guarded("promote", promote_main)


@app.command()
def rollback(reason: Annotated[str, typer.Option(help="Written on both versions.")]) -> None:
    """Move the alias champion back to the version that held it before."""
    from tasks.rollback import main as rollback_main

    guarded("rollback", lambda: rollback_main(reason))


@app.command()
def lineage(model: Annotated[str, typer.Argument()] = "models:/luthier@champion") -> None:
    """Print the digests that a model version stands on, down to the raw bytes."""
    from tasks.lineage import main as lineage_main

    guarded("lineage", lambda: lineage_main(model))
