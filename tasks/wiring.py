"""The paths in dvc.yaml, for what is not a stage: no other file names them."""

from pathlib import Path

import yaml

from tasks.errors import DataError

WIRING = Path("dvc.yaml")
LOCK = Path("dvc.lock")


class Outputs(dict[str, Path]):
    """What the stages write, by stage and last part of the path: `finetune/tuned` -> models/tuned."""

    def __missing__(self, key: str) -> Path:
        """Say what there is instead."""
        raise DataError(f"{WIRING} has no output '{key}', which is needed here; it has: {', '.join(self)}.")


def outputs(wiring: Path = WIRING) -> Outputs:
    """Read the outputs of every stage of a dvc.yaml: its outs, metrics and plots, with options or without."""
    found = Outputs()
    for name, stage in yaml.safe_load(wiring.read_text())["stages"].items():
        for entry in [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]:
            path = Path(entry if isinstance(entry, str) else next(iter(entry)))
            found[f"{name}/{path.name}"] = path
    return found
