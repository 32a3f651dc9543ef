"""How many examples do I need? The pipeline at several sizes of the training set, in several wordings."""

from airflow.sdk import DAG, Param
from alerts import on_failure
from study import SUITES, several, study

DOC = """
Trains and evaluates the model on more and more of your training records, each time in a workspace of its own, and says
how many are enough: a learning curve with intervals, what each point of the primary metric cost, and a sentence.

| task | what it does |
|---|---|
| `records` | fetches and validates, so that it is known how many training records there are |
| `points` | lists the points: sizes x wordings; smaller sets lie inside larger ones |
| `point` | one mapped instance a point: the pipeline up to `evaluate`. One after another on one device |
| `collect` | compares neighbours pair by pair on the same test examples; page, plot, MLflow's runs |

**It runs** only when you trigger it. Each point is a whole training. If some fail, `collect` compares the others and
names the missing; clear them, and then `collect`. The answer: the log of `collect`, its page, and MLflow, where one run
holds a run for each point.
"""
COUNT = {"type": "integer", "minimum": 1}

with DAG(
    dag_id="study_examples",
    description="How many examples do I need? A learning curve with intervals and a sentence",
    doc_md=DOC,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    on_failure_callback=on_failure,
    tags=["luthier", "study"],
    params={
        "sizes": several(
            "Training records",
            "Sizes to try, replay aside. What is more than there are becomes one point with all of them.",
            [100, 250, 500, 1000],
            COUNT | {"maximum": 10_000_000},
        ),
        "every_record": Param(
            True, type="boolean", title="All records", description="A point with all there are, too."
        ),
        "wordings": several(
            "Wordings of a record", "How many templates render each training record.", [1, 3], COUNT | {"maximum": 50}
        ),
        "every_wording": Param(True, type="boolean", title="All wordings", description="All that may be trained on."),
        "suites": SUITES,
    },
) as dag:
    study("examples")
