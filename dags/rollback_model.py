"""Back to the previous champion, with a reason."""

from airflow.sdk import DAG, Param
from alerts import on_failure
from command import command

DOC = """
Moves the alias `champion` in MLflow back to the version that held it before, or to a named one that was champion, and
writes your reason on both. That version is verified, loaded and asked first. It runs only when you trigger it, and does
not wait for a training run: it touches the registry alone.
"""

with DAG(
    dag_id="rollback_model",
    description="Back to the previous champion, reason required",
    doc_md=DOC,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    on_failure_callback=on_failure,
    tags=["luthier"],
    params={
        "reason": Param(
            type="string",
            title="Why go back?",
            description="Written on the model version, for whoever asks later.",
            minLength=10,
            maxLength=500,
        ),
        "to": Param(
            default=None,
            type=["null", "integer"],
            minimum=1,
            title="To which version?",
            description="One that was champion before; empty: the one before this.",
        ),
    },
) as dag:
    command(
        "rollback",
        'exec python -m tasks.rollback --reason="$REASON" ${TO:+--to="$TO"}',
        hours=1,
        # A template in env is data; in the command it would be code.
        env={
            "REASON": "{{ params.reason }}",
            "TO": "{{ params.to or '' }}",
            "LUTHIER_BY": "{{ (dag_run.triggering_user_name or 'Airflow') if dag_run else 'Airflow' }}",
        },
    )
