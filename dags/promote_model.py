"""After a model version was registered: decide whether it becomes the champion."""

from airflow.sdk import DAG
from stage import CANDIDATE, command

DOC = """
Compares the challenger in MLflow with the champion, by the rules in the `promote` section of `params.yaml`,
and either moves the alias `champion` to it or leaves it where it is. Its log says which, and why.

**It runs** after each `finetune_pipeline` run that registered a version. It asks no person.
"""

with DAG(
    dag_id="promote_model",
    description="Moves the alias champion to the challenger, or says why not",
    doc_md=DOC,
    schedule=CANDIDATE,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["luthier"],
) as dag:
    command("promote", "exec python -m tasks.promote", hours=1)
