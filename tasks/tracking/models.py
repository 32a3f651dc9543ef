"""A model as MLflow serves it: weights, the code that loads them, and what goes in and out.

The pyfunc is made from code (`loader_module`): nothing is pickled, and the package that trained the model is
shipped beside the weights. `mlflow.transformers` cannot log T5, and cannot render a raw record either.
Truth: mlflow 3.17, `mlflow/pyfunc/__init__.py`; its own `log_model` would load the model and predict with it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from tasks.tracking.server import client, experiment, patience, refusals

CONTENT = "luthier.model"


@dataclass(frozen=True)
class Package:
    """What `add_model` logs."""

    data: Path
    """Folder that the loader is given."""
    loader: str
    """Module with `_load_pyfunc(data)`."""
    code: Path
    """Package folder that the loader stands in."""
    inputs: tuple[str, ...]
    """Names of the input's text columns; any may be missing from a record."""
    output: str
    """Name of the output's text column."""
    example: dict[str, str]
    """One record."""
    requirements: tuple[str, ...]
    """pip requirements; given, so that MLflow does not load the model to guess them."""
    metadata: dict[str, str]
    """Shown with the model."""


def add_model(run_id: str, name: str, package: Package, content: str) -> str:
    """Log a model as an output of a run, once for each digest `content`; return its id."""
    client()
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415

    with refusals(), patience():
        for found in client().search_logged_models([experiment()], f"tags.`{CONTENT}` = '{content}'"):
            if str(found.status) == "READY" and found.source_run_id == run_id:
                return str(found.model_id)
        made = client().create_logged_model(experiment(), name, run_id, tags={CONTENT: content})
        client().log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
        with tempfile.TemporaryDirectory(dir=package.data.parent) as folder:
            _save(package, Path(folder), run_id, made.model_id)
            client().log_model_artifacts(made.model_id, folder)
        client().finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def _save(package: Package, folder: Path, run_id: str, model_id: str) -> None:
    from mlflow import pyfunc  # noqa: PLC0415
    from mlflow.models import Model, ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema  # noqa: PLC0415

    inputs = Schema([ColSpec(DataType.string, name, required=False) for name in package.inputs])
    pyfunc.save_model(
        folder,
        loader_module=package.loader,
        data_path=str(package.data),
        code_paths=[str(package.code)],
        signature=ModelSignature(inputs, Schema([ColSpec(DataType.string, package.output)])),
        input_example=[package.example],
        pip_requirements=list(package.requirements),
        metadata=package.metadata,
        mlflow_model=Model(run_id=run_id, model_id=model_id, metadata=package.metadata),
    )
