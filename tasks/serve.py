"""A model version, checked before its first answer: what MLflow calls to load it, on any machine.

    mlflow.pyfunc.load_model("models:/luthier@champion").predict([{"family": "summarise", "document": "..."}])
    mlflow models serve -m models:/luthier@champion --env-manager local

Every byte, of the code too, is compared with the signed manifest that register wrote. Where LUTHIER_TRUSTED_KEYS is
set, only these keys may have signed it. The base model is kept once for all versions: it is read where it is if that is
this machine's disk, else from the shared cache, into which it is fetched the first time.
"""

import functools
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pandas as pd

from tasks.data.files import Row, read_json, remove
from tasks.data.pickled import refuse_pickles
from tasks.data.sealed import broken, require_sealed
from tasks.data.shipped import SHIPPED, require_shipped
from tasks.data.sources import cache
from tasks.errors import ContractError, LuthierError, SealError
from tasks.model.served import BASE, Served
from tasks.prompts import contract
from tasks.tracking.models import bad_request, base_folder, fetch_base, logged_folder

CONTRACT = "luthier.contract"  # in the manifest: the digest of the prompt contract that was registered


def load(folder: Path) -> Served:
    """The model in a sealed folder, as `tasks.tracking.models.model_folder` gives it.

    Raises:
        SealError: a byte, of the model or of the code shipped with it, is not what was signed, or nobody trusted
            signed it.
        ContractError: the model would be prompted in another way than it was trained with.
        TrackingError: its base model is not to be had.
    """
    what = f"the model in {folder}"
    trusted = _trusted()
    manifest = require_sealed(folder, what, trusted)
    if trusted is None:
        _say_unpinned()
    if SHIPPED in manifest["about"]:
        require_shipped(logged_folder(folder), manifest["about"], what)
    else:
        _say_older()
    refuse_pickles(folder, what)
    if (found := contract.digest(contract.read(folder / "tuned"))) != manifest["about"].get(CONTRACT, found):
        raise ContractError(
            f"{what} has another prompt contract than it was registered with: register it again, or restore the file."
        )
    return Served(folder, _base(folder))


def _trusted() -> set[str] | None:
    """Keys that may have signed, or None for any."""
    told = {key.strip().lower() for key in os.environ.get("LUTHIER_TRUSTED_KEYS", "").split(",") if key.strip()}
    return told or None


@functools.cache
def _say_unpinned() -> None:
    print(
        "luthier: LUTHIER_TRUSTED_KEYS is not set, so a model is loaded whoever signed it: set it to the public keys "
        "that count (each stands in its manifest.json).",
        file=sys.stderr,
        flush=True,
    )


@functools.cache
def _say_older() -> None:
    print(
        "luthier: this model was registered before its code was signed: only its data are verified. 'python -m "
        "tasks.register' in the run that made it registers it again, code included.",
        file=sys.stderr,
        flush=True,
    )


def _base(folder: Path) -> Path | None:
    """The folder of the base model that a sealed folder refers to, every byte compared."""
    if not (folder / BASE).is_file():
        return None
    told: Row = read_json(folder / BASE)
    kept = cache() / "bases" / str(told["sha256"])
    if kept.is_dir() and not broken(kept, told["files"]):
        return kept
    here = base_folder(told["uri"])
    return _whole(here, told) if here else _fetched(told, kept)


def _fetched(told: Row, kept: Path) -> Path:
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".partial-") as partial:
        here = _whole(fetch_base(told["uri"], Path(partial) / "base"), told)
        remove(kept)  # not whole any more
        with suppress(OSError):  # another process was faster
            here.rename(kept)
    return kept


def _whole(base: Path, told: Row) -> Path:
    if said := broken(base, told["files"]):
        raise SealError(f"the base model {told['uri']} in {base} is not what was registered: {said[0]}.")
    return base


class Delivered:
    """A checked model as MLflow calls it; whoever sends a record that cannot be answered is told so in a sentence."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """See `Served.predict`."""
        try:
            return self.served.predict(model_input)
        except LuthierError as error:
            raise bad_request(str(error)) from error

    def predict_stream(self, model_input: Mapping[str, object]) -> Iterator[str]:
        """See `Served.predict_stream`."""
        try:
            return self.served.predict_stream(model_input)
        except LuthierError as error:
            raise bad_request(str(error)) from error


def _load_pyfunc(data_path: str) -> Delivered:
    """What MLflow calls."""
    return Delivered(load(Path(data_path)))
