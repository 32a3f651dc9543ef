"""The folder of a training that is not finished: found again by what decides its result, refused by anything else.

`.luthier/training/<digest of the fingerprint>/` holds checkpoints and the key of the MLflow run. It lies outside of
DVC's outputs, which DVC removes before a stage runs, and is removed when the training is finished.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.data.files import read_json, remove, write_json
from tasks.data.sources import digest
from tasks.model.manifest import differences

CODE = Path(__file__).parent.parent
FOLDER = Path(".luthier/training")
RECORD = "training.json"
OTHERS = 2  # unfinished trainings that stay beside the present one, so that the disk does not fill


def training_folder(fingerprint: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """The folder of the training with this fingerprint, made if it is not there.

    Says so where another training lies unfinished beside it: its checkpoints are not used for this one.

    Args:
        fingerprint: JSON values: all that decides the result.
        folder: of all trainings of this checkout.
    """
    mine = folder / hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:12]
    known = {path.parent: read_json(path) for path in sorted(folder.glob(f"*/{RECORD}"))}
    others = sorted((record["number"], path) for path, record in known.items() if path != mine)
    if mine not in known:
        number = max((record["number"] for record in known.values()), default=0) + 1
        write_json(mine / RECORD, {"number": number, "key": secrets.token_hex(16), "fingerprint": fingerprint})
        for _, other in others[-1:]:
            changed = ", ".join(differences(known[other]["fingerprint"], fingerprint))
            print(f"finetune  an unfinished training with {changed} is not gone on with; this one begins at step 0")
    for _, other in others[:-OTHERS]:
        remove(other)
    return mine


def fingerprint_of(params: Mapping[str, Any], digests: Mapping[str, str], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides the weights, but for the kind of CPU or GPU and the number of processes.

    Args:
        params: of the training, without what does not decide them.
        digests: of examples and base weights.
        chosen: what this machine decided: precision, kind of device, whether it is compiled.
    """
    own = sorted([*CODE.glob("finetune.py"), *CODE.glob("model/**/*.py")])
    versions = {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")}
    return {"params": params, **digests, **chosen, "code_sha256": digest(own), "versions": versions}


def key_of(training: Path) -> str:
    """What its MLflow run is found again by."""
    return str(read_json(training / RECORD)["key"])
