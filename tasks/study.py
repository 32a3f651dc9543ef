"""A study: the same pipeline at several points, each in a workspace of its own, then one answer with its intervals.

    LUTHIER_RUN=study_examples/mine LUTHIER_STUDY='{"kind": "examples", "sizes": [100, 250], ...}' \
        python -m tasks.study points       # after `python -m tasks.workspace validate --all` of the same LUTHIER_RUN
    python -m tasks.workspace evaluate --all        # once for each point, with the environment that `points` printed
    LUTHIER_POINTS='[...]' python -m tasks.study collect

`points` prints, as its last line, a JSON list of environments; Airflow maps one task over it. All start from the commit
that it was planned at, whatever the checkout becomes meanwhile. `collect` compares what is there on the same test
examples, says what is missing, and writes .luthier/studies/<slug>/ (study.html, study.svg, study.json) and MLflow: one
parent run, one run below it for each point. Twice is as good as once.
"""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from tasks.data.files import Row, staged, write_json
from tasks.errors import LuthierError
from tasks.params import PARAMS
from tasks.report.study_page import page, plot
from tasks.report.version import numbers
from tasks.runs.asked import Asked, slug_of
from tasks.step import run
from tasks.study_points import Examples, Grid, Study, points_of
from tasks.study_results import Result, read_result, require_same_test
from tasks.study_told import told_of
from tasks.tracking import check
from tasks.tracking.studies import Child, Parent, log_study, seconds_of
from tasks.wiring import outputs
from tasks.workspace import Workspace, close, open_workspace

ROOT = Path.cwd()
STUDIES = Path(".luthier/studies")
KINDS: TypeAdapter[Examples | Grid] = TypeAdapter(Study)


class Action(StrEnum):
    """What is done."""

    POINTS = "points"
    COLLECT = "collect"


def asked_study(text: str) -> Examples | Grid:
    """The study that the form describes.

    Raises:
        LuthierError: it is none.
    """
    try:
        return KINDS.validate_python({k: v for k, v in json.loads(text).items() if v is not None})
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        raise LuthierError(f"LUTHIER_STUDY is no study: {said}.") from None


def plan() -> None:
    """Print the points' environments, having read the valid records of the study's own workspace."""
    own = os.environ["LUTHIER_RUN"]
    study = asked_study(os.environ["LUTHIER_STUDY"])
    folder = open_workspace(ROOT, Asked(own, {}, os.environ.get("LUTHIER_REVISION", ""))).project
    params = yaml.safe_load((folder / PARAMS).read_text(encoding="utf-8"))
    points = points_of(study, params, folder / outputs(folder / "dvc.yaml")["validate/valid"])
    head = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True, check=True).stdout.strip()
    for point in points:
        print(point.label)
    print(json.dumps([point.environment(own, commit) for point in points]), flush=True)


def gathered(environments: Sequence[Mapping[str, str]]) -> tuple[list[Result], list[Row], list[Workspace]]:
    """Results of the points that are there, label and reason of those that are not, and where the former worked."""
    found: list[Result] = []
    missing: list[Row] = []
    places: list[Workspace] = []
    for own in environments:
        label, overrides = own["LUTHIER_POINT"], json.loads(own["LUTHIER_SET"])
        try:
            there = open_workspace(ROOT, Asked(own["LUTHIER_RUN"], overrides, own["LUTHIER_REVISION"]))
            one = read_result(there.project, label, json.loads(own["LUTHIER_FACTS"]), overrides)
            found.append(replace(one, seconds=seconds_of(one.trained["run_id"])))
            places.append(there)
        except (LuthierError, FileNotFoundError) as error:
            missing.append({"label": label, "why": str(error)})
            print(f"missing: {label}: {error}")
    return found, missing, places


def collect() -> None:
    """Compare the points, write the page and MLflow's runs, print the answer.

    Raises:
        LuthierError: fewer than two points are there, or they were not asked alike.
    """
    own, study = os.environ["LUTHIER_RUN"], asked_study(os.environ["LUTHIER_STUDY"])
    environments: list[dict[str, str]] = json.loads(os.environ["LUTHIER_POINTS"]) or []
    check()
    found, missing, places = gathered(environments)
    if len(found) < 2:
        raise LuthierError(
            f"{len(found)} of {len(environments)} points are there, and a study needs two to compare: see the logs of "
            "the others, clear them in Airflow, then this task."
        )
    require_same_test(found)
    base = open_workspace(ROOT, Asked(own, {}, os.environ.get("LUTHIER_REVISION", "")))
    params = yaml.safe_load((base.project / PARAMS).read_text(encoding="utf-8"))
    told = told_of(study, params, found, missing)
    files = written(told, STUDIES / slug_of(own))
    run_id = log_study(parent_of(own, study, told, files), [child_of(own, one, told) for one in found])
    for place in places:  # its branch stays, and what failed stays as it is
        close(place)
    for sentence in [told["sentence"], *told["more"]]:
        print(sentence)
    print(f"{files[0].resolve()}; MLflow run {run_id} with {len(found)} runs below it.")


def written(told: Row, folder: Path) -> list[Path]:
    """Write page, plot and numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"study.{kind}" for kind in ("html", "svg", "json")]
    for file, text in zip(files, (page(told), plot(told)), strict=False):
        with staged(file) as partial:
            partial.write_text(text, encoding="utf-8")
    write_json(files[2], told)
    return files


def parent_of(own: str, study: Examples | Grid, told: Row, files: Sequence[Path]) -> Parent:
    """The study's run: what was varied, the answer, the curve over records."""
    note = "\n\n".join([told["sentence"], *told["more"]])
    curves: dict[str, list[tuple[int, float]]] = {}
    for row in told.get("points", []):
        name = f"{told['metric']['primary']}.wordings_{row['wordings']}"
        curves.setdefault(name, []).append((row["records"], row["score"]))
    params = study.model_dump() | {"run": own, "test_sha256": told["test_sha256"]}
    return Parent(own, told["question"], params, note, curves, dict.fromkeys(files, "study"))


def child_of(own: str, one: Result, told: Row) -> Child:
    """A point's run: what it varied, its scores with the ends of their intervals, its cost."""
    cost = {"cost.tokens": float(one.trained["tokens"])} | ({"cost.seconds": one.seconds} if one.seconds else {})
    row: Row = next((row for row in told.get("points", []) if row["label"] == one.label), {})
    per_point = {f"cost.{key}": row[key] for key in ("tokens_per_point", "seconds_per_point") if row.get(key)}
    examples: dict[str, Any] = {"train_examples": one.mixture["examples"]["train"]}
    params = one.facts | examples | {"replay_share": one.mixture["replay_share"], "test_sha256": one.test}
    metrics = numbers(one.metrics) | cost | per_point
    return Child(f"{own}/{one.label}", one.label, params, metrics, one.trained["run_id"])


def main(action: Action) -> None:
    """Plan a study's points, or collect them."""
    (plan if action is Action.POINTS else collect)()


if __name__ == "__main__":
    run(main)
