"""The model as it is delivered: what register puts together for MLflow to serve."""

from importlib.metadata import version as installed
from pathlib import Path

import yaml

from tasks.data.files import read_rows
from tasks.lineage import is_adapter
from tasks.model.served import assemble
from tasks.params import PARAMS
from tasks.prompts.templates import load_family
from tasks.tracking.models import Package
from tasks.wiring import Outputs

SERVED_WITH = ("mlflow", "torch", "transformers", "peft", "pandas", "pydantic", "pyyaml", "typer", "psutil")


def package(out: Outputs, folder: Path, chain: dict[str, str]) -> Package:
    """The model as it is served, put together in `folder`."""
    mixture = yaml.safe_load(PARAMS.read_text())["expand"]["mixture"]
    constants = {mix["family"]: mix["constants"] for mix in mixture}
    fields = {name for mix in mixture for name in load_family(mix["family"]).fields} - {
        name for fixed in constants.values() for name in fixed
    }
    first = mixture[0]
    row = read_rows(out["validate/valid"] / f"{first['source']}.jsonl")[0]
    example = {field: str(row[first["fields"][field]]) for field in load_family(first["family"]).fields}
    assemble(folder, out["fetch/base"] if is_adapter(out) else None, out["finetune/tuned"], constants)
    return Package(
        data=folder,
        loader="tasks.model.served",
        code=Path(__file__).parent,
        inputs=("family", "prompt", *sorted(fields)),
        output="output",
        example={"family": first["family"], **example},
        requirements=tuple(f"{name}=={installed(name).partition('+')[0]}" for name in SERVED_WITH),
        metadata={key: sha for key, sha in chain.items() if ".data." in key or ".weights." in key},
    )
