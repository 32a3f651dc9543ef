"""What is said when a run or a task fails for good, and when a run is late; tell.py brings it to people.

    DAG(..., on_failure_callback=on_failure, deadline=deadline(hours=30))     one alert a run, which names the task
    BashOperator(..., on_failure_callback=on_failure)                         one alert a task, as soon as it failed

Airflow calls a task's callback in the task's own process: where that was killed, nobody is left to call it, and only
the DAG's tells of it. The DAG processor calls the DAG's; an executor's worker calls a deadline's.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback
from airflow.sdk.configuration import conf
from tell import tell


def on_failure(context: Any) -> None:
    """For a DAG Airflow gives a `reason` and, if it knows, the task that failed; for a task an `exception`."""
    dag, run, ti, reason = context["dag"].dag_id, context["run_id"], context.get("ti"), context.get("reason")
    why = str(reason or context.get("exception") or "it was ended from outside")[:300]
    log = ti.log_url if ti else _page(dag, run)
    fields = {"task": ti.task_id, "map_index": ti.map_index, "try": ti.try_number} if ti else {}
    at = f" at task {ti.task_id}, try {ti.try_number}" if ti else ""
    text = f"{dag}: run {run} failed{at} ({why}): {log}"
    tell("run failed" if reason else "task failed", text, dag=dag, run=run, why=why, log=log, **fields)


def deadline(hours: float) -> DeadlineAlert:
    """Tell, once, of a run that has not ended `hours` after it was queued; the run goes on."""
    # Not AsyncCallback: a triggerer does not look for modules beside the DAG files, an executor's worker does.
    callback = SyncCallback(on_deadline, kwargs={"hours": hours})
    return DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, timedelta(hours=hours), callback)


def on_deadline(hours: float, context: Any) -> None:
    """Called with the run and its deadline as JSON."""
    dag, run, state = (context["dag_run"][key] for key in ("dag_id", "dag_run_id", "state"))
    due = datetime.fromisoformat(str(context["deadline"]["deadline_time"]))
    ended = context["dag_run"]["end_date"]
    if ended and datetime.fromisoformat(ended) <= due:
        return  # it failed in time, and on_failure told of it: Airflow keeps the deadline of a run that failed
    late_s = round((datetime.now(UTC) - due).total_seconds())
    text = f"{dag}: run {run} is {late_s} s late ({state}; due {hours:g} h after it was queued): {_page(dag, run)}"
    tell("late", text, dag=dag, run=run, state=state, due=due.isoformat(), late_s=late_s, log=_page(dag, run))


def _page(dag: str, run: str) -> str:
    """Where Airflow shows a run and its tasks' logs."""
    return f"{conf.get('api', 'base_url', fallback='').rstrip('/')}/dags/{dag}/runs/{quote(run)}"
