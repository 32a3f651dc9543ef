"""The code that is shipped beside a model, covered by the model's signed manifest: no line of it changes unseen.

A logged model is a folder: `MLmodel` says what is loaded, `code/` holds the package that loads it, `data/data` is what
tasks/data/sealed.py seals. What Python itself compiled (`__pycache__`) counts where it says what its source says.
What a changed loader says of itself proves nothing: who does not trust the store looks from a checkout of their own,
as promote, answer and `luthier lineage --verify` do. Truth: mlflow 3.17, `mlflow/pyfunc/__init__.py` (load_model).
"""

import marshal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tasks.data.files import Row
from tasks.data.sealed import differences, files_in, links_in
from tasks.errors import SealError

SHIPPED = "luthier.shipped"  # in the manifest's `about`: {loader, requirements, files}
CODE, DATA = "code", "data/data"
FLAVOR = "python_function"
REGISTERED_BEFORE = "it was registered before its code was signed: register the model again"


def shipped(package: Path, loader: str, requirements: Sequence[str]) -> Row:
    """What a manifest says of the code beside its model.

    Args:
        package: the folder that MLflow copies into `code/`.
        loader: the module that MLflow calls.
        requirements: of pip, as they are logged.
    """
    files = {f"{package.name}/{name}": row for name, row in files_in(package).items() if "__pycache__" not in name}
    return {"loader": loader, "requirements": list(requirements), "files": files}


def faults(logged: Path, about: Mapping[str, Any]) -> list[str]:
    """What is wrong with the code of a logged model, as clauses; none if it is what was signed."""
    if SHIPPED not in about:
        return [REGISTERED_BEFORE]
    told, folder = about[SHIPPED], logged / CODE
    said = [f"{CODE}/{name} is a symbolic link" for name in links_in(folder)]
    now = {name: row for name, row in files_in(folder).items() if not _is_compiled(folder / name)}
    said += [f"{CODE}/{clause}" for clause in differences(now, told["files"])]
    return said + list(_loaded_otherwise(logged, told))


def require_shipped(logged: Path, about: Mapping[str, Any], what: str) -> None:
    """Refuse a logged model whose code is not what was signed with it.

    Args:
        logged: the folder that holds `MLmodel`.
        about: of the signed manifest.
        what: whose code it is, for the error.

    Raises:
        SealError: naming the first file that differs, is missing or does not belong there.
    """
    if said := faults(logged, about):
        raise SealError(f"the code shipped with {what} is not what was signed: {said[0]}.")


def _loaded_otherwise(logged: Path, told: Mapping[str, Any]) -> Iterator[str]:
    """What MLflow would load, or install, beside what was signed."""
    try:
        flavors = yaml.safe_load((logged / "MLmodel").read_text())["flavors"]
        wanted = {FLAVOR: {"loader_module": told["loader"], "code": CODE, "data": DATA}}
        if {name: {key: one.get(key) for key in wanted.get(name, {})} for name, one in flavors.items()} != wanted:
            yield f"MLmodel does not say that {told['loader']} in {CODE}/ loads {DATA}"
        listed = {
            "requirements.txt": (logged / "requirements.txt").read_text().splitlines(),
            "conda.yaml": yaml.safe_load((logged / "conda.yaml").read_text())["dependencies"][-1]["pip"],
        }
        for name, requirements in listed.items():
            if requirements != told["requirements"]:
                yield f"{name} asks for other packages"
        if yaml.safe_load((logged / "python_env.yaml").read_text())["dependencies"] != ["-r requirements.txt"]:
            yield "python_env.yaml asks for other packages"
    except FileNotFoundError as error:
        yield f"{Path(str(error.filename)).name} is missing"
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError):
        yield "MLmodel, requirements.txt, conda.yaml or python_env.yaml is not what MLflow wrote"


def _is_compiled(file: Path) -> bool:
    """Whether a file is what this Python makes of a source beside it, and nothing else."""
    name, tag, end = file.name.partition(f".{sys.implementation.cache_tag}")
    source = file.parent.parent / f"{name}.py"
    if file.parent.name != "__pycache__" or not tag or end != ".pyc":
        return False
    try:
        kept = marshal.loads(file.read_bytes()[16:])  # noqa: S302  builds a code object, which is not run
        return bool(kept == compile(source.read_bytes(), str(source), "exec", dont_inherit=True, optimize=0))
    except (OSError, ValueError, EOFError, TypeError, SyntaxError):
        return False
