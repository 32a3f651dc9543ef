"""A whole study by its command lines, as Airflow runs it: points, a workspace each, collect; one point fails."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.tracking.server import client
from tests.study_project import write_project

pytestmark = [pytest.mark.service, pytest.mark.long]
FORM = {
    "kind": "examples",
    "sizes": [15, 40, 90],
    "every_record": True,
    "wordings": [1],
    "every_wording": False,
    "suites": False,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy project, with a home of its own."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_project(tmp_path / "toy")
    monkeypatch.chdir(tmp_path / "toy")
    return tmp_path / "toy"


def go(*line: str, status: int = 0, **told: str) -> str:
    env = os.environ | {"LUTHIER_RUN": "study_examples/one", "LUTHIER_STUDY": json.dumps(FORM)} | told
    done = subprocess.run([sys.executable, "-m", *line], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_a_study_answers_from_the_points_that_are_there_and_says_which_is_not(project: Path) -> None:
    go("tasks.workspace", "validate", "--all")
    points: list[dict[str, str]] = json.loads(go("tasks.study", "points").splitlines()[-1])
    assert [point["LUTHIER_POINT"] for point in points][:3] == [
        "15 records, 1 wording",
        "40 records, 1 wording",
        "90 records, 1 wording",
    ]
    (project / "params.yaml").write_text("changed meanwhile: true\n")  # the points are pinned
    early = go("tasks.study", "collect", status=1, LUTHIER_POINTS=json.dumps(points))
    assert early.count("missing: ") == 4
    for point in points:
        go("tasks.workspace", "evaluate", "--all", status=int(point["LUTHIER_POINT"].startswith("40")), **point)
    for _ in range(2):
        said = go("tasks.study", "collect", LUTHIER_POINTS=json.dumps(points))
    assert "missing: 40 records, 1 wording: its evaluation is not there: it came as far as expand" in said
    assert "with 3 runs below it" in said
    told: dict[str, Any] = json.loads(next(project.glob(".luthier/studies/*/study.json")).read_text())
    assert [row["records"] for row in told["points"]][:2] == [15, 90]
    assert told["points"][0]["score"] < told["points"][1]["score"]
    assert told["sentence"] in said
    assert [one["label"] for one in told["missing"]] == ["40 records, 1 wording"]
    where = client().get_experiment_by_name("luthier")
    assert where is not None
    assert len(client().search_runs([where.experiment_id])) == 4
