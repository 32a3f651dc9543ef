"""Which learning rate, and how much does the seed alone change? The pipeline over a grid of both."""

from airflow.sdk import DAG
from alerts import on_failure
from study import SUITES, several, study

DOC = """
Trains and evaluates the model with several seeds at several learning rates, each in a workspace of its own, and says
which rate scores best, whether it is surely better than the one in `params.yaml`, and how much the seed alone moves the
score: the number for `evaluate.seed_spread`.

| task | what it does |
|---|---|
| `records` | fetches and validates |
| `points` | lists the points: seeds x learning rates, the present rate among them |
| `point` | one mapped instance a point: the pipeline up to `evaluate`. One after another on one device |
| `collect` | mean and standard deviation over seeds, rates compared seed by seed; page, plot, MLflow's runs |

**It runs** only when you trigger it. Each point is a whole training. If some fail, `collect` compares the others and
names the missing; clear them, and then `collect`.
"""

with DAG(
    dag_id="study_grid",
    description="Seeds x learning rates: mean, spread, and whether the best rate is surely better",
    doc_md=DOC,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    on_failure_callback=on_failure,
    tags=["luthier", "study"],
    params={
        "seeds": several(
            "Seeds", "Two have a distance and three a spread.", [1, 2, 3],
            {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
        ),
        "learning_rates": several(
            "Learning rates", "The one in params.yaml is added.", [3e-4, 1e-3, 3e-3],
            {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        ),
        "suites": SUITES,
    },
) as dag:  # fmt: skip
    study("grid")
