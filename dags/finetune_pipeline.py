"""From raw data to a registered model version: one Airflow task per stage of dvc.yaml, then register."""

from airflow.sdk import DAG, chain
from stage import CANDIDATE, RAW, command, stage

DOC = """
From raw data to a model version that may be promoted. Each task runs one stage of `dvc.yaml` in this
checkout, and DVC skips a stage whose code, params and inputs have not changed.

| task | what it does |
|---|---|
| `fetch` | reads the sources and the base model that `params.yaml` names, and checks their sha256 |
| `validate` | splits the records into valid rows and quarantined rows, each with its reason |
| `expand` | splits by group, then renders records with prompt templates into train, dev and test |
| `finetune` | trains the base model on the train split |
| `predict` | lets the base and the tuned model answer the same test examples |
| `evaluate` | compares the two with intervals and writes `reports/report.html` |
| `register` | makes the tuned model a version in MLflow, alias `challenger` |

**It runs** when you trigger it, and when `watch_raw_data` finds other raw data; one run at a time.

**If a task fails**, a line near the end of its log starts with `luthier:` and says what to do. Clear the task
to go on from there: what was finished before it is kept.
"""

with DAG(
    dag_id="finetune_pipeline",
    description="Raw data to a registered model version, one task per DVC stage",
    doc_md=DOC,
    schedule=RAW,
    max_active_runs=1,
    is_paused_upon_creation=False,
    tags=["luthier"],
) as dag:
    chain(
        stage("fetch"),
        stage("validate"),
        stage("expand"),
        stage("finetune", hours=24),
        stage("predict", hours=12),
        stage("evaluate"),
        command("register", "exec python -m tasks.register", outlets=[CANDIDATE]),
    )
