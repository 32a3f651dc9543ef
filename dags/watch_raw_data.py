"""Once a day: does data/raw still hold what params.yaml asks for? If not, emit the asset RAW."""

from airflow.sdk import DAG
from stage import RAW, command

DOC = """
Asks DVC once a day whether `fetch` is out of date: whether its section of `params.yaml` names another source,
another pinned version or sha256 or another base model than what lies in `data/raw`, or its code changed. If
so it emits the asset `raw`, which starts `finetune_pipeline`; if not, it ends as *skipped*.

It does not look behind a pin: a file that changed at its address while its sha256 in `params.yaml` stayed is
an error that `fetch` reports, not new data.

**Off at first**, because it starts training by itself. Switched on, it notices a changed
`params.yaml` overnight.
"""

# `dvc status --quiet` exits with 0 (up to date), 1 (stale) or another number (an error).
CHECK = """
dvc status --quiet fetch
case $? in
  0) echo "data/raw holds what params.yaml asks for: nothing new."; exit 99 ;;
  1) dvc status fetch ;;
  *) echo "luthier: watch: 'dvc status fetch' failed, see above." >&2; exit 1 ;;
esac
"""

with DAG(
    dag_id="watch_raw_data",
    description="Starts the pipeline when params.yaml asks for other raw data",
    doc_md=DOC,
    schedule="@daily",
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["luthier"],
) as dag:
    command("watch", CHECK, hours=1, outlets=[RAW])
