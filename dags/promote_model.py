"""After a model version was registered: the gate, a person's word, and the alias champion."""

import json

from airflow.sdk import DAG, chain
from alerts import on_failure
from approval import approval, params
from command import command
from stage import CANDIDATE

DOC = """
Decides whether the newest model version becomes the champion. It runs after each run of `finetune_pipeline` that
registered a version, and when you trigger it.

| task | what it does |
|---|---|
| `gate` | compares the challenger in MLflow with its base and with the champion, as section `promote` of params.yaml asks. **Skipped** where it may not be promoted; its log says why |
| `approve` | shows the evidence to those whom `promote.approvers` names, on the tab **Required Actions**, and waits. No answer within `promote.answer_within_h` hours is a no. With `promote.approval: none` nobody is asked |
| `promote` | judges again and moves the alias champion, if what was approved is still what there is |
| `reject` | writes a no on the version |
"""  # noqa: E501
ASKED, ANSWER = "ti.xcom_pull('gate') or {}", "ti.xcom_pull('approve', key='answer') or {}"
ENV = {  # a template in env is data; in the command it would be code
    "VERSION": f"{{{{ ({ASKED}).get('version', '') }}}}",
    "PACKET": f"{{{{ ({ASKED}).get('packet', '') }}}}",
    "CHOSEN": f"{{{{ ({ANSWER}).get('chosen', '') }}}}",
    "BY": f"{{{{ ({ANSWER}).get('by', '') }}}}",
}
RECORD = 'python -m tasks.approval --version="$VERSION" --packet="$PACKET" --by="$BY"'
PROMOTE = 'exec python -m tasks.promote --version="$VERSION" --packet="$PACKET"'
asks = params("promote")

with DAG(
    dag_id="promote_model",
    description="The gate, a person's approval, then the alias champion",
    doc_md=DOC,
    schedule=CANDIDATE,
    max_active_runs=16,  # one that waits for its answer keeps no other from being asked
    is_paused_upon_creation=False,
    on_failure_callback=on_failure,
    tags=["luthier"],
) as dag:
    gate = command("gate", "exec python -m tasks.promote --look", do_xcom_push=True, output_processor=json.loads)
    here = {"hours": 1, "env": ENV}
    if asks["approval"] == "none":
        chain(gate, command("promote", PROMOTE, **here))
    else:
        promote = command("promote", f"{RECORD} --decision=approve && {PROMOTE}", **here)
        no = f'[ "$CHOSEN" = Reject ] || exit 99; exec {RECORD} --decision=reject'
        chain(
            gate, approval("approve", "gate", asks), promote, command("reject", no, trigger_rule="none_failed", **here)
        )
