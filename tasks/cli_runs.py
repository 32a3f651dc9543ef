"""`luthier runs`: the runs of the scheduler, each on a branch of its own, and their results brought here."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from tasks.cli_tables import guarded

app = typer.Typer(add_completion=False, invoke_without_command=True)


@app.callback()
def runs(context: typer.Context) -> None:
    """List the runs of Airflow here, newest first; `take` and `remove` are about one of them."""
    if context.invoked_subcommand:
        return

    def call() -> None:
        from rich.console import Console
        from rich.table import Table

        from tasks.runs.home import runs as known_runs

        known = known_runs(Path.cwd())
        if not known:
            print("No run yet: trigger finetune_pipeline in Airflow ('luthier up').")
            return
        table = Table("run", "began", "last done", "worktree", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.columns[0].no_wrap = table.columns[1].no_wrap = True
        for one in known:
            began = f"{datetime.fromisoformat(one.began).astimezone():%Y-%m-%d %H:%M}" if one.began else ""
            where = str(one.worktree.relative_to(Path.cwd())) if one.worktree else "-"
            table.add_row(one.slug, began, one.done[-1] if one.done else "nothing new", where)
        Console(highlight=False, soft_wrap=True).print(table)

    guarded("runs", call)


@app.command()
def take(run: Annotated[str, typer.Argument(help="Its name, or the end of it.")]) -> None:
    """Bring a run's params.yaml, dvc.lock and results into this checkout."""

    def call() -> None:
        from tasks.runs import home

        known = home.found(Path.cwd(), run)
        home.take(Path.cwd(), known)
        print(f"params.yaml, dvc.lock and the results are those of {known.slug}: see reports/report.html.")

    guarded("runs take", call)


@app.command()
def remove(run: Annotated[str, typer.Argument(help="Its name, or the end of it.")]) -> None:
    """Remove a run's worktree and branch; a version that it registered stays, and can be rebuilt."""

    def call() -> None:
        from tasks.runs import home

        known = home.found(Path.cwd(), run)
        home.remove(Path.cwd(), known)
        print(f"{known.slug} is removed.")

    guarded("runs remove", call)
