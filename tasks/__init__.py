"""Luthier: from a table of your own records to a fine-tuned model that you can trust enough to promote.

The pipeline, in order (`dvc.yaml` wires it, `params.yaml` holds every value):

1. `fetch`     pinned sources and the base model -> data/raw, data/benchmarks, models/base
2. `validate`  raw records -> valid rows, quarantined rows with their reasons, a report
3. `expand`    valid records x prompt templates -> train / dev / test examples and a leak certificate
4. `finetune`  examples -> the tuned model, its prompt contract, the training run
5. `predict`   base and tuned model -> what each writes and which choice each makes
6. `evaluate`  predictions -> metrics with intervals, base against tuned, the report
7. `register`  the tuned model and its evidence -> a version in MLflow, alias `challenger`
8. `promote`   challenger, champion, the gate and a person's yes -> move the alias `champion`, or say why not

Then `lineage` (`--verify`, `rebuild`) back to the raw bytes, `rollback` to an earlier champion, `answer` over a table.
"""

import importlib.util
import os

# The one place for every library's offline and telemetry switch, and for what else is read once at import. It
# stands here because it has to run before any of them is imported. `setdefault`: what the user exports wins
# (dvc.yaml lets fetch alone go online).
SWITCHES = {
    "HF_HUB_OFFLINE": "1",  # after fetch everything is on disk; a lookup would only hide a missing file
    "HF_DATASETS_OFFLINE": "1",
    "HF_EVALUATE_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # a bar through a pipe shows nothing until the end
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TOKENIZERS_PARALLELISM": "false",  # the tokenizer forks badly, and two cores gain nothing
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # weights are safetensors, never pickles
    "SCARF_NO_ANALYTICS": "true",  # Airflow's
    # Training touches gigabytes anew; in pages of 2 MB instead of 4 KB that was up to twice as fast on a CPU.
    "THP_MEM_ALLOC_ENABLE": "1",
    # torch's threads wait for each other by spinning, 300,000 rounds unless told. Beside other work that was 3 to 10
    # times slower than 1,000 rounds, which on an idle machine costs up to 5 % of small operations.
    "GOMP_SPINCOUNT": "1000",
}
for _name, _value in SWITCHES.items():
    os.environ.setdefault(_name, _value)

if importlib.util.find_spec("typer") is None:
    raise SystemExit(
        "luthier: this Python has none of Luthier's packages. Run 'make env' once, then "
        "'source .venv/bin/activate' before dvc or python."
    )
