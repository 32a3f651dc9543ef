"""What the two studies share: valid records, points, one mapped task for each point, then one that collects.

`points` prints a JSON list of environments; each is one instance of `point`, a whole pipeline in its own workspace.
One that fails keeps no other from running, and `collect` says what is missing.
"""

import json
from typing import Any

from airflow.sdk import Param, chain
from command import SCHEDULE, TOLD, Command, asked, command
from stage import DEVICE

RUN = "{{ dag.dag_id }}/{{ run_id }}"
SUITES = Param(
    False, type="boolean", title="General suites, too", description="At each point; takes longer and decides nothing."
)


def several(title: str, description: str, default: list[Any], item: dict[str, Any]) -> Param:
    """A list in the form."""
    return Param(default, type="array", title=title, description=description, items=item, maxItems=12)


def study(kind: str) -> None:
    """The tasks of a study; what the form says is passed as JSON, in the environment, and is no code there."""
    told = {"LUTHIER_RUN": RUN, "LUTHIER_STUDY": f"{{{{ dict(params, kind='{kind}') | tojson }}}}"}
    points = command(
        "points", "exec python -m tasks.study points", env=told, trigger_rule="none_failed", do_xcom_push=True,
        output_processor=json.loads,
    )  # fmt: skip
    mapped = asked("exec python -m tasks.workspace evaluate --all", SCHEDULE["hours"]["study_point"], DEVICE)
    point = Command.partial(
        task_id="point", map_index_template="{{ task.env['LUTHIER_POINT'] }}", do_xcom_push=False, **mapped
    ).expand(env=points.output.map(lambda own: {**TOLD, **own}))
    given = told | {"LUTHIER_POINTS": "{{ ti.xcom_pull('points') | tojson }}"}
    chain(
        command("records", "exec python -m tasks.workspace validate --all", env=told),
        points,
        point,
        command("collect", "exec python -m tasks.study collect", env=given, trigger_rule="all_done"),
    )
