"""The model as it is delivered: what register puts together for MLflow to serve."""

from importlib.metadata import version as installed
from pathlib import Path

import yaml

from tasks.data.files import Row, read_rows
from tasks.data.pickled import refuse_pickles
from tasks.data.sealed import files_in, seal
from tasks.data.shipped import SHIPPED, shipped
from tasks.lineage import is_adapter
from tasks.model.served import assemble
from tasks.params import PARAMS
from tasks.prompts import contract
from tasks.prompts.templates import load_family
from tasks.serve import CONTRACT
from tasks.tracking.models import Package, add_base
from tasks.wiring import Outputs

SERVED_WITH = (  # what the loader and the modules behind it import; tests/test_register.py looks
    "mlflow", "torch", "transformers", "peft", "accelerate", "safetensors", "tokenizers", "numpy", "pandas", "pydantic",
    "pyyaml", "fsspec", "cryptography", "jinja2",
)  # fmt: skip


def _base(folder: Path, chain: dict[str, str]) -> Row:
    """What refers to the base model, which the store keeps once for all versions."""
    refuse_pickles(folder, f"{folder}, the base model,")
    sha256 = chain["luthier.weights.base"]
    return {"uri": add_base(folder, sha256), "sha256": sha256, "files": files_in(folder)}


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
    tuned = out["finetune/tuned"]
    refuse_pickles(tuned, f"{tuned}, the tuned model,")
    assemble(folder, _base(out["fetch/base"], chain) if is_adapter(out) else None, tuned, constants)
    origins = {key: sha for key, sha in chain.items() if ".data." in key or ".weights." in key}
    code, loader = Path(__file__).parent, "tasks.serve"
    requirements = tuple(f"{name}=={installed(name).partition('+')[0]}" for name in SERVED_WITH)
    about = {CONTRACT: contract.digest(contract.read(tuned)), SHIPPED: shipped(code, loader, requirements)}
    seal(folder, origins | about)
    return Package(
        data=folder,
        loader=loader,
        code=code,
        inputs=("family", "prompt", *sorted(fields)),
        output="output",
        example={"family": first["family"], **example},
        requirements=requirements,
        metadata=origins,
    )
