"""The form of finetune_pipeline: what people change from run to run, each with its bounds. Empty: as in params.yaml.

A field's name is the dotted key of params.yaml that it overrides, so nothing has to be translated.
"""

from typing import Any

from airflow.sdk import Param


def field(kind: str, title: str, description: str, **bounds: Any) -> Param:
    """A field that may stay empty.

    Bounds are in `allOf`, where Airflow finds them when a run is triggered, and refuses it in words. Its page reads
    `minimum` and `maximum` alone, and silently types the nearest: 5e-5, of which it drops the e, would become 0.1.
    """
    told = {"allOf": [bounds]}
    if "enum" in bounds:
        told = {"enum": [*bounds["enum"], None], "values_display": {"null": "as in params.yaml"}}
    return Param(None, type=["null", kind], title=title, description=description, **told)


FORM = {
    "finetune.method": field(
        "string", "Method", "lora: an adapter; full: all weights; qlora: lora on 4 bits", enum=["lora", "full", "qlora"]
    ),
    "finetune.optimizer.epochs": field(
        "integer", "Epochs", "1 to 50. Empty, here and below: as in params.yaml.", minimum=1, maximum=50
    ),
    "finetune.optimizer.learning_rate": field(
        "number", "Learning rate", "The highest, up to 0.1: about 0.001 for adapters, 0.00005 for all weights.",
        exclusiveMinimum=0, maximum=0.1,
    ),
    "finetune.lora.rank": field(
        "integer", "Rank of the adapter", "Its size, for lora and qlora: 1 to 512.", minimum=1, maximum=512
    ),
    "finetune.seed": field(
        "integer", "Seed", "Of the order of examples and of an adapter's first weights.", minimum=0, maximum=2**31 - 1
    ),
    "expand.replay_share": field(
        "number", "Share of replay", "General instructions, against forgetting: 0 to 0.9.", minimum=0, maximum=0.9
    ),
    "launch.launcher": field(
        "string", "Where it trains", "The worker, or a job (launch).", enum=["local", "kubernetes", "sagemaker"]
    ),
    "revision": field("string", "Code and params.yaml of", "A commit, tag or branch. Empty: as now.", maxLength=200),
    "data_of": field(
        "string", "Raw data of", "A branch of an earlier run (runs/...), a commit, or a moment, such as 2026-11-01.",
        maxLength=200,
    ),
    "more": Param(
        {}, type=["null", "object"], title="Anything else", propertyNames={"pattern": r"\."},
        description='Of params.yaml, by dotted key: {"predict.batch_size": 16}. What is filled in above comes first.',
    ),
}  # fmt: skip
