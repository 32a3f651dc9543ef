"""Every few minutes: do the sources hold the bytes that params.yaml pins? If not, emit the asset RAW."""

import json

from airflow.sdk import DAG, CronTriggerTimetable
from alerts import on_failure
from command import SCHEDULE, command
from stage import RAW

DOC = """
Looks at every source of section `fetch` whose bytes may change at its address (a file, `s3://`, `https://`), and
compares their sha256 with what params.yaml pins, or with what was seen last. New bytes emit the asset `raw`, which
starts `finetune_pipeline`; that run is pinned to the bytes that were seen here. With nothing new it is **skipped**.
A file that was merely touched is nothing new; one whose size, time and ETag are as before is not even read.

**An event from outside** does the same at once, for whoever delivers data: POST to `/api/v2/assets/events` with this
asset's id, and in `extra` the digests if they are known: `{"sources": {"tickets": "<sha256>"}}`.

**Off at first**, because it starts training by itself. How often it looks is in `dags/schedule.yaml`.
"""

with DAG(
    dag_id="watch_raw_data",
    description="Starts the pipeline when a source has new bytes",
    doc_md=DOC,
    schedule=CronTriggerTimetable(SCHEDULE["watch"]["cron"], timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    on_failure_callback=on_failure,
    tags=["luthier"],
) as dag:
    found = {"do_xcom_push": True, "output_processor": json.loads}  # its last line: the event's `sources`
    command("watch", "exec python -m tasks.watch", hours=1, outlets=[RAW], **found)
