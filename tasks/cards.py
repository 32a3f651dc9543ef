"""The model card and the data card of what the pipeline made, from the files that its stages wrote.

register puts both among a version's evidence. What they say: tasks/report/model_card.py and data_card.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks.data.files import read_json, read_rows
from tasks.params import PARAMS
from tasks.report.data_card import data_card
from tasks.report.model_card import model_card
from tasks.step import COSTS
from tasks.wiring import Outputs

READ = {  # name on the cards: stage and last part of the path in dvc.yaml, and the file in it where that is a folder
    "metrics": ("evaluate/metrics.json", ""),
    "evaluation": ("evaluate/evaluation.json", ""),
    "cards": ("evaluate/cards.json", ""),
    "leaks": ("expand/leaks.json", ""),
    "mixture": ("expand/mixture.json", ""),
    "validation": ("validate/validation.json", ""),
    "bias": ("validate/bias.json", ""),
    "training": ("finetune/training.jsonl", ""),
    "training_run": ("finetune/training_run.json", ""),
    "raw": ("fetch/raw", "manifest.json"),
    "benchmarks": ("fetch/benchmarks", "manifest.json"),
    "base": ("fetch/base", "source.json"),
}


def read_files(out: Outputs) -> dict[str, Any]:
    """What the stages wrote, by the names of READ, with "params" and "steps"; what is not there is left out."""
    paths = {name: out[wired] / inside for name, (wired, inside) in READ.items() if wired in out}
    paths |= {"params": PARAMS, "steps": COSTS}
    return {name: _read(path) for name, path in paths.items() if path.is_file()}


def _read(path: Path) -> Any:
    if path.suffix == ".jsonl":
        return read_rows(path)
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.suffix == ".yaml" else read_json(path)


def write_cards(out: Outputs, facts: Mapping[str, str], example: Mapping[str, str], folder: Path) -> list[Path]:
    """Write model_card.md and data_card.md into a folder; return their paths.

    Args:
        out: what the stages write.
        facts: the version's tags: digests, git commit, Airflow run.
        example: one record, for "how to ask it".
        folder: is there.
    """
    files = read_files(out)
    texts = {"model_card.md": model_card(files, facts, example), "data_card.md": data_card(files, facts)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
