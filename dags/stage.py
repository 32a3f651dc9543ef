"""A step of a run as an Airflow task, and the two assets that connect the DAGs.

    stage("finetune")       one step, in the run's own workspace

A DAG and a step meet at a command line, never at an import: no DAG file needs what a step is made of.
"""

from typing import Any

from airflow.sdk import Asset
from command import SCHEDULE, TOLD, Command, asked, command

DEVICE = "device"  # a pool made by `luthier up`: a slot for each GPU, or one for a CPU

RAW = Asset("raw")  # the sources hold other bytes than before; the event's `sources` says which
CANDIDATE = Asset("candidate")  # a model version was registered and may be promoted

OF_RUN = {  # a template in env is data; in the command it would be code
    "LUTHIER_RUN": "{{ dag.dag_id }}/{{ run_id }}",
    "LUTHIER_SET": "{{ params | tojson }}",
    "LUTHIER_EVENTS": "{{ triggering_asset_events.values() | map('last') | map(attribute='extra') | list | tojson }}",
    "LUTHIER_DATA_OF": "{{ logical_date.isoformat() if dag_run.run_type == 'backfill' else '' }}",
}


def stage(name: str, pool: str = "default_pool", **kwargs: Any) -> Command:
    """Run one step of a run in its workspace; it is skipped where DVC finds nothing to do."""
    line = f"exec python -m tasks.workspace {name}"
    return command(name, line, SCHEDULE["hours"][name], pool, env=OF_RUN, trigger_rule="none_failed", **kwargs)


def parts(name: str, pool: str) -> list[Any]:
    """A mapped task for each share of a stage's work, for the stage to find; none where one worker does all of it."""
    count, line = SCHEDULE["pipeline"][f"{name}_parts"], f"exec python -m tasks.workspace {name}"
    if count < 2:
        return []
    each = [asked(f"{line} --part {number}/{count}", SCHEDULE["hours"][name], pool) for number in range(1, count + 1)]
    lines = [one.pop("bash_command") for one in each]  # what is mapped is no template, and env has to be one
    told = {"env": TOLD | OF_RUN, "trigger_rule": "none_failed", "do_xcom_push": False, **each[0]}
    which = "{{ task.bash_command.rpartition(' ')[2] }}"
    return [Command.partial(task_id=f"{name}_part", map_index_template=which, **told).expand(bash_command=lines)]
