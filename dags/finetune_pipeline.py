"""From raw data to a registered model version: one Airflow task per stage of dvc.yaml, then register."""

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, chain
from alerts import deadline, on_failure
from form import FORM
from stage import CANDIDATE, DEVICE, RAW, SCHEDULE, parts, stage

DOC = """
From raw data to a model version that may be promoted. Each run has a branch `runs/...` and a git worktree of its own,
made by its first task of this checkout as it is then, or of the revision that you name. The branch keeps the run's
params.yaml and dvc.lock. Several runs are side by side; they share DVC's cache.

| task | what it does |
|---|---|
| `fetch` | reads the sources and the base model that params.yaml names, and checks their sha256 |
| `validate` | splits the records into valid rows and quarantined rows, each with its reason |
| `expand` | splits by group, then renders records with prompt templates into train, dev, test |
| `finetune` | trains the base model on the train split |
| `predict` | lets base and tuned model answer the same test examples; after `predict_part`, where several share it |
| `evaluate` | compares the two with intervals and writes reports/report.html |
| `register` | makes the tuned model a version in MLflow, alias challenger, and removes the worktree |

**Skipped** means that DVC found nothing to do: the same code, parameters and inputs were run before.

**It runs** when you trigger it, at the time that `dags/schedule.yaml` says, and when `watch_raw_data` finds other raw
data. A backfill takes, for each date, the raw data of that time.

**If a task fails**, a line near the end of its log starts with `luthier:` and says what to do. What may succeed later
(a kill, a lost GPU, a disk, MLflow away) is tried again by itself; bad input is not. The worktree of a failed run
stays: clear the task to go on from there, or `luthier runs` to look.
"""
asked = SCHEDULE["pipeline"]
# No run at the first start of Airflow: run_immediately=False means one within a tenth of the interval (3.3).
never = timedelta()
at = CronTriggerTimetable(asked["cron"], timezone="UTC", run_immediately=never) if asked["cron"] else None

with DAG(
    dag_id="finetune_pipeline",
    description="Raw data to a registered model version, one task per DVC stage",
    doc_md=DOC,
    schedule=AssetOrTimeSchedule(timetable=at, assets=[RAW]) if at else [RAW],
    catchup=False,
    max_active_runs=asked["most_runs"],
    is_paused_upon_creation=False,
    params=FORM,
    on_failure_callback=on_failure,
    deadline=deadline(hours=asked["deadline_h"]),
    tags=["luthier"],
) as dag:
    chain(stage("fetch"), stage("validate"), stage("expand"), stage("finetune", DEVICE), *parts("predict", DEVICE),
          stage("predict", DEVICE), stage("evaluate"), stage("register", outlets=[CANDIDATE]))  # fmt: skip
