"""A model as MLflow serves it: weights, the code that loads them, and what goes in and out.

The pyfunc is made from code (`loader_module`): nothing is pickled, and the package that trained the model is
shipped beside the weights. `mlflow.transformers` cannot log T5, and cannot render a raw record either.
Truth: mlflow 3.17, `mlflow/pyfunc/__init__.py`; its own `log_model` would load the model and predict with it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.data.shipped import DATA
from tasks.errors import TrackingError
from tasks.tracking.registry import Version
from tasks.tracking.server import address, client, experiment, patience, refusals

CONTENT = "luthier.model"
BASE = "luthier.base"  # tag of a logged model that is nothing but a base model's files: their digest


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
    """Log a model as an output of a run, once for each digest `content`; return its id.

    What the loader is given is moved, not copied: `package.data` is not there afterwards, if the model was not yet.
    """
    client()
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415

    with refusals(), patience():
        for found in client().search_logged_models([experiment()], f"tags.`{CONTENT}` = '{content}'"):
            if str(found.status) == "READY" and found.source_run_id == run_id:
                return str(found.model_id)
        made = client().create_logged_model(experiment(), name, run_id, tags={CONTENT: content})
        client().log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
        with tempfile.TemporaryDirectory(dir=package.data.parent) as folder:
            saved = _save(package, Path(folder), run_id, made.model_id)
            client().log_model_artifacts(made.model_id, str(saved))
        client().finalize_logged_model(made.model_id, "READY")
    return str(made.model_id)


def add_base(folder: Path, content: str) -> str:
    """Keep a base model's files once for each digest `content`, for all versions that stand on it; return its URI.

    Args:
        folder: of files alone.
        content: of the files.
    """
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    with refusals(), patience():
        for found in client().search_logged_models([experiment()], f"tags.`{BASE}` = '{content}'"):
            kept = client().list_logged_model_artifacts(found.model_id)  # somebody may have cleaned up
            if str(found.status) == "READY" and {file.path: file.file_size for file in kept} == sizes:
                return str(found.model_uri)
        made = client().create_logged_model(experiment(), "base", tags={BASE: content})
        client().log_model_artifacts(made.model_id, str(folder))
        client().finalize_logged_model(made.model_id, "READY")
    return str(made.model_uri)


def base_folder(uri: str) -> Path | None:
    """The folder of `add_base` where it is, or None if that is not this machine's disk."""
    return _here(_location(uri.removeprefix("models:/")), f"the base model {uri}")


def fetch_base(uri: str, into: Path) -> Path:
    """Copy the folder of `add_base` below `into`; return where it is then."""
    return _fetched(_location(uri.removeprefix("models:/")), f"the base model {uri}", into)


def model_folder(version: Version, into: Path) -> Path:
    """The sealed data folder of a version, read where it is if that is this machine's disk, else a copy below `into`.

    Raises:
        TrackingError: MLflow does not answer, or the folder is gone.
    """
    client()
    with refusals():
        found = client().get_model_version(version.name, str(version.number))
    return data_folder(str(found.source).removeprefix("models:/"), f"the model of {version.uri}", into)


def data_folder(model_id: str, what: str, into: Path) -> Path:
    """As `model_folder`, of a model that need not be a version; `what` it is, for the error."""
    location = _location(model_id)
    folder = (_here(location, what) or _fetched(location, what, into)) / DATA  # its code is in the same logged model
    if not folder.is_dir():
        raise TrackingError(f"{what} is not at {folder} any more: restore it there, or register the model again.")
    return folder


def logged_folder(folder: Path) -> Path:
    """The logged model that the folder of `model_folder`, or of MLflow's loader, stands in: MLmodel, code, data."""
    return folder.parents[DATA.count("/")]


def bad_request(sentence: str) -> Exception:
    """What a served model raises so that MLflow's server answers 400 and the sentence."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos.databricks_pb2 import BAD_REQUEST  # noqa: PLC0415

    return MlflowException(sentence, error_code=BAD_REQUEST)


def _location(model_id: str) -> str:
    client()
    with refusals():
        return str(client().get_logged_model(model_id).artifact_location).rstrip("/")


def local_path(location: str) -> Path | None:
    """Where a place in an artifact store is on this machine's disk; None if the store is elsewhere."""
    parts = urlsplit(location)
    if parts.scheme not in {"", "file"}:
        return None
    return Path(unquote(parts.path) if parts.scheme else location)


def _here(location: str, what: str) -> Path | None:
    here = local_path(location)
    if here and not here.is_dir():
        raise TrackingError(f"{what} is not at {here} any more: restore it there, or register the model again.")
    return here


def _fetched(location: str, what: str, into: Path) -> Path:
    """A copy of a folder of the artifact store."""
    from mlflow.artifacts import download_artifacts  # noqa: PLC0415

    with refusals(), patience():
        here = Path(download_artifacts(location, dst_path=str(into), tracking_uri=address()))
    if not here.is_dir() or not any(here.iterdir()):
        raise TrackingError(f"{what} is not at {location} any more: register the model again.")
    return here


def _save(package: Package, folder: Path, run_id: str, model_id: str) -> Path:
    """Everything that is logged, below `folder`; MLflow's own code is given an empty folder instead of big files."""
    from mlflow import pyfunc  # noqa: PLC0415
    from mlflow.models import Model, ModelSignature  # noqa: PLC0415
    from mlflow.types import ColSpec, DataType, Schema  # noqa: PLC0415

    inputs = Schema([ColSpec(DataType.string, name, required=False) for name in package.inputs])
    saved, empty = folder / "model", folder / "data"
    empty.mkdir()
    model = Model(run_id=run_id, model_id=model_id, metadata=package.metadata)
    pyfunc.save_model(
        saved,
        loader_module=package.loader,
        data_path=str(empty),
        code_paths=[str(package.code)],
        signature=ModelSignature(inputs, Schema([ColSpec(DataType.string, package.output)])),
        input_example=[package.example],
        pip_requirements=list(package.requirements),
        metadata=package.metadata,
        mlflow_model=model,
        streamable=True,
    )
    (saved / DATA).rmdir()
    package.data.rename(saved / DATA)
    model.model_size_bytes = sum(file.stat().st_size for file in saved.rglob("*") if file.is_file())
    model.save(saved / "MLmodel")
    return saved
