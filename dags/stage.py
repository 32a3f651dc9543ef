"""What the DAG files share: how a step is run, and the two assets that connect the DAGs.

    stage("finetune")                                      one DVC stage of dvc.yaml, in this checkout
    command("register", "exec python -m tasks.register")   any other command line of the project

A DAG and a step meet at a command line, never at an import: no DAG file needs what a step is made of.
A command has a process group of its own, and Airflow sends SIGTERM to the whole group when a task is stopped
or runs too long: DVC and the trainer under it end together. `exec` makes the exit code the command's own.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import Asset

ROOT = Path(__file__).resolve().parent.parent
WORKSPACE = "workspace"  # a pool of one slot, made by `luthier up`: DVC allows one process per checkout

RAW = Asset("raw")  # the sources that params.yaml names are no longer the ones in data/raw
CANDIDATE = Asset("candidate")  # a model version was registered and may be promoted


def stage(name: str, hours: float = 2) -> BashOperator:
    """Run one stage of dvc.yaml; DVC skips it if nothing that it depends on has changed."""
    return command(name, f"exec dvc repro --single-item {name}", hours)


def command(task_id: str, line: str, hours: float = 2, pool: str = WORKSPACE, **kwargs: Any) -> BashOperator:
    """Run a shell line from the project's top folder; exit code 99 means "skipped".

    `line` is fixed text. What a person types in the UI reaches it through `env`, never through a template.
    """
    return BashOperator(
        task_id=task_id,
        bash_command=f'export PATH="$LUTHIER_BIN:$PATH"; {line}',
        env={
            "LUTHIER_BIN": str(Path(sys.executable).parent),  # dvc.yaml says `python`: it must be this one
            "PYTHONUNBUFFERED": "1",  # else the log shows nothing until the end
        }
        | kwargs.pop("env", {}),
        append_env=True,
        cwd=str(ROOT),
        pool=pool,
        execution_timeout=timedelta(hours=hours),
        do_xcom_push=kwargs.pop("do_xcom_push", False),  # data goes through DVC
        **kwargs,
    )
