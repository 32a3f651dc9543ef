"""Back to the previous champion, with a reason."""

from airflow.sdk import DAG, Param
from stage import command

DOC = """
Moves the alias `champion` in MLflow back to the version that held it before, and writes your reason on both.
It runs only when you trigger it, and it does not wait for a training run: it touches the registry alone.
"""

with DAG(
    dag_id="rollback_model",
    description="Back to the previous champion, reason required",
    doc_md=DOC,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["luthier"],
    params={
        "reason": Param(
            type="string",
            title="Why go back?",
            description="Written on the model version, for whoever asks later.",
            minLength=10,
            maxLength=500,
        ),
    },
) as dag:
    command(
        "rollback",
        'exec python -m tasks.rollback --reason="$REASON"',
        hours=1,
        pool="default_pool",
        env={"REASON": "{{ params.reason }}"},  # a template in env is data; in the command it would be code
    )
