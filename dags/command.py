"""A command line as an Airflow task, such as command("rollback", "exec python -m tasks.rollback").

A command has a process group of its own, and Airflow sends SIGTERM to the whole group when a task is stopped
or runs too long: DVC and the trainer under it end together. `exec` makes the exit code the command's own.
"""

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk.exceptions import AirflowFailException

ROOT = Path(__file__).resolve().parent.parent
SCHEDULE = yaml.safe_load((ROOT / "dags/schedule.yaml").read_text())
SKIPPED, LATER = 99, {74, 75}  # exit codes: nothing to do; a disk, or what does not answer now (tasks/step.py)
TOLD = {  # dvc.yaml says `python`: it must be this one; unbuffered, else the log shows nothing until the end
    "LUTHIER_BIN": str(Path(sys.executable).parent), "PYTHONUNBUFFERED": "1",
}  # fmt: skip


class Command(BashOperator):
    """Airflow's own, which tries again only what may succeed, and hands what a command found on to its assets."""

    def _run_inline_command(self, bash_path: str, env: dict[str, str]) -> Any:
        result = super()._run_inline_command(bash_path, env)
        if result.exit_code not in {0, SKIPPED, *LATER} and 0 < result.exit_code <= 128:  # beyond: a signal
            raise AirflowFailException(f"exit code {result.exit_code}: it would fail again, see 'luthier: ...' above")
        return result

    def execute(self, context: Any) -> Any:
        """Run it; a JSON object that it printed last is what its asset events carry."""
        found = super().execute(context)
        for asset in self.outlets if isinstance(found, dict) else ():
            context["outlet_events"][asset].extra = found
        return found


def command(task_id: str, line: str, hours: float = 2, pool: str = "default_pool", **kwargs: Any) -> Command:
    """Run a shell line, which is fixed text: what a person types in the UI reaches it through `env` alone."""
    kwargs = {"do_xcom_push": False, **asked(line, hours, pool), **kwargs}  # data goes through DVC
    return Command(task_id=task_id, env=TOLD | kwargs.pop("env", {}), **kwargs)


def asked(line: str, hours: float, pool: str) -> dict[str, Any]:
    """What every Command is given, mapped ones too; a pool of its own is a Celery queue of the same name, too."""
    again, queue = SCHEDULE["retries"], {} if pool == "default_pool" else {"queue": pool}
    return queue | {
        "bash_command": f'export PATH="$LUTHIER_BIN:$PATH"; {line}', "append_env": True, "cwd": str(ROOT),
        "pool": pool, "execution_timeout": timedelta(hours=hours), "retries": again["count"],
        "retry_delay": timedelta(seconds=again["first_delay_s"]), "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(seconds=again["longest_delay_s"]),
    }  # fmt: skip
