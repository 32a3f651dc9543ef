"""What a study's points came to, read from their workspaces, and the refusal to compare what was not asked alike.

A point counts when its own evaluation is there. All points have to have the same test split, to the byte, and cards
that agree in everything that moves a score without being the model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.data.files import Row, read_json, read_rows
from tasks.errors import DataError, ParamsError
from tasks.metrics.cards import require_alike
from tasks.metrics.compare import Matrix
from tasks.metrics.identity import MEASURES
from tasks.metrics.texts import Texts
from tasks.wiring import LOCK, WIRING, outputs

AGAIN = "Clear its task in Airflow, then the last one."


@dataclass(frozen=True)
class Result:
    """One training of a study, evaluated."""

    label: str
    facts: dict[str, Any]
    """What was varied."""
    cards: Row
    """reports/cards.json."""
    metrics: dict[str, dict[str, Row]]
    """reports/metrics.json."""
    trained: Row
    """models/training_run.json: run_id, tokens, steps, precision."""
    mixture: Row
    """reports/mixture.json."""
    base: list[Row]
    """generations.jsonl of the base model."""
    tuned: list[Row]
    """Of the tuned one."""
    seconds: float | None = None
    """That the training took, as MLflow knows it; None where it does not."""

    @property
    def test(self) -> str:
        """Sha256 of the test split."""
        return str(self.cards["sha256"]["test"])


def require_done(lock: Path, overrides: Mapping[str, Any]) -> None:
    """Refuse a workspace whose evaluation is missing, or of other parameters or of older outputs than it has now.

    Raises:
        DataError: it is.
    """
    done = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {}) if lock.exists() else {}
    if "evaluate" not in done:
        last = f"it came as far as {list(done)[-1]}" if done else "no stage of it ended"
        raise DataError(f"its evaluation is not there: {last}. {AGAIN}")
    made = {out["path"]: out.get("md5") for stage in done.values() for out in stage.get("outs", [])}
    for name, stage in done.items():
        for dep in stage.get("deps", []):
            if made.get(dep["path"], dep.get("md5")) != dep.get("md5"):
                raise DataError(f"its {name} is older than its {dep['path']}, so it did not end well. {AGAIN}")
    for key, wanted in overrides.items():
        value = _within(done.get(key.partition(".")[0], {}).get("params", {}).get("params.yaml", {}), key)
        if value != wanted:
            raise DataError(f"it was made with {key}: {value}, and the study's is {wanted}. {AGAIN}")


def _within(tree: Any, key: str) -> Any:
    """The value at a dotted key, a number being a place in a list; None where there is none."""
    for part in key.split("."):
        if isinstance(tree, Mapping):
            tree = tree.get(part)
        elif isinstance(tree, list) and part.isdigit() and int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return None
    return tree


def read_result(folder: Path, label: str, facts: dict[str, Any], overrides: Mapping[str, Any]) -> Result:
    """Read a point's workspace.

    Raises:
        DataError: its evaluation is not there.
    """
    require_done(folder / LOCK, overrides)
    out = {name: folder / path for name, path in outputs(folder / WIRING).items()}
    predictions = out["predict/predictions"]
    return Result(
        label=label,
        facts=facts,
        cards=read_json(out["evaluate/cards.json"]),
        metrics=read_json(out["evaluate/metrics.json"]),
        trained=read_json(out["finetune/training_run.json"]),
        mixture=read_json(out["expand/mixture.json"]),
        base=read_rows(predictions / "base/generations.jsonl"),
        tuned=read_rows(predictions / "tuned/generations.jsonl"),
    )


def require_same_test(results: Sequence[Result]) -> None:
    """Refuse to compare points that were not asked the same.

    Raises:
        DataError: the test splits differ, or something else that moves a score does.
    """
    first = results[0]
    for other in results[1:]:
        if other.test != first.test:
            raise DataError(
                f"the test split of '{other.label}' is not that of '{first.label}' (sha256 {other.test[:12]}, not "
                f"{first.test[:12]}), so their scores cannot be compared: run the study anew, from one revision, "
                "with overrides that leave the test split alone."
            )
        require_alike(first.cards, other.cards, f"'{other.label}'")


def counted(rows: Sequence[Row], primary: str) -> Matrix:
    """(n, k) statistics of the primary metric over its family's rows.

    Raises:
        ParamsError: the primary metric is not one of a family of free text.
    """
    family, _, key = primary.partition(".")
    own = [row for row in rows if row["family"] == family]
    if not own or key not in MEASURES:
        known = ", ".join(dict.fromkeys(row["family"] for row in rows))
        raise ParamsError(
            f"params.yaml: 'evaluate.primary' = '{primary}': a study compares by a metric of a family of free text; "
            f"the families here are {known}, such as {known.split(', ')[0]}.{next(iter(MEASURES))}."
        )
    return MEASURES[key].statistics(Texts.of(own))[key]


def groups_of(rows: Sequence[Row], primary: str) -> list[str]:
    """The group of each row of the primary metric's family."""
    return [str(row["group"]) for row in rows if row["family"] == primary.partition(".")[0]]
