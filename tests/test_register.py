"""tasks/register: one version per content, with its evidence, that answers a raw record from anywhere."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import lineage, register
from tasks.data.files import write_rows
from tasks.errors import DataError
from tasks.model.served import assemble, instruction
from tasks.package import SERVED_WITH
from tasks.tracking import registry, server
from tasks.wiring import outputs
from tests.trained import write_project, write_scores

ASK = """
import json, sys, mlflow
model = mlflow.pyfunc.load_model("models:/luthier@challenger")
answers = [model.predict(json.loads(line)) for line in sys.stdin]
print(json.dumps([answer["output"].tolist() for answer in answers]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registered project; tests of this module share it and its store."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        write_project(root)
        cost = {"step": "finetune", "seconds": 9.5, "peak_mb": 700, "exit": 0}
        write_rows(root / ".luthier/steps.jsonl", [cost])
        register.main()
    return root


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def _versions() -> int:
    return len(server.client().search_model_versions("name = 'luthier'"))


def test_registering_twice_makes_one_version(capsys: pytest.CaptureFixture[str]) -> None:
    register.main()
    assert _versions() == 1
    assert "was registered and is the challenger" in capsys.readouterr().out


def test_another_evaluation_of_the_same_weights_is_a_version_that_shares_the_model(project: Path) -> None:
    first = registry.get_version("luthier", "challenger")
    write_scores(project, 0.3, 0.55)
    register.main()
    second = registry.get_version("luthier", "challenger")
    write_scores(project, 0.3, 0.6)
    register.main()
    assert first and second
    assert (first.number, second.number) == (1, 2)
    assert registry.get_version("luthier", "challenger") == first
    models = {server.client().get_model_version("luthier", str(number)).source for number in (1, 2)}
    assert len(models) == 1


def test_the_run_holds_the_training_and_its_evidence() -> None:
    version = registry.get_version("luthier", "1")
    assert version is not None
    found = server.client().get_run(version.run_id)
    assert found.data.tags["luthier.trained_as"] == "f" * 32
    assert "hf_very_secret" not in found.data.params.values()
    assert len(server.client().get_metric_history(version.run_id, "loss")) == 24
    assert found.data.metrics["cost.finetune.seconds"] == 9.5
    assert found.data.metrics["summarise.rouge1.tuned"] > found.data.metrics["summarise.rouge1.base"]
    listed = server.client().list_artifacts(version.run_id, version.tags["luthier.evidence"])
    names = {Path(file.path).name for file in listed}
    assert names >= {"metrics.json", "cards.json", "report.html", "leaks.json", "params.yaml", "predictions"}


def test_the_page_of_a_version_shows_verdict_table_and_origin() -> None:
    shown = server.client().get_model_version("luthier", "1").description
    assert "| summarise rouge1 |" in shown
    assert "ROUGE-1" in shown.splitlines()[0]
    assert "model_card.md` among the run's artifacts" in shown


def test_lineage_names_every_link(capsys: pytest.CaptureFixture[str]) -> None:
    lineage.main("models:/luthier@challenger")
    told = capsys.readouterr().out
    assert all(link in told for link in lineage.CHAIN.values())
    assert len(re.findall(r" [0-9a-f]{64}$", told, re.MULTILINE)) == 11


def test_a_served_model_answers_raw_records_from_another_directory(project: Path, tmp_path: Path) -> None:
    asked = [
        [{"family": "summarise", "document": "Police look for witnesses."}, {"prompt": "Say something."}],
        [{"family": "section", "dialogue": "Where does it hurt?"}],
    ]
    environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{project}/mlflow.db"}
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input="\n".join(json.dumps(records) for records in asked),
        capture_output=True, text=True, check=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    answers = json.loads(done.stdout.splitlines()[-1])
    assert [len(answer) for answer in answers] == [2, 1]
    assert all(isinstance(text, str) for answer in answers for text in answer)


LOAD = """
import ast, importlib.metadata, pathlib, sys
import tasks.serve
from tasks.model import generate, load, stream
files = [module.__file__ for name, module in sys.modules.items() if name.startswith("tasks") and module.__file__]
nodes = [node for file in files for node in ast.walk(ast.parse(pathlib.Path(file).read_text()))]
names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
owners = importlib.metadata.packages_distributions()
print(*{owners[root][0].lower() for name in names if (root := name.split(".")[0]) in owners}, sep="\\n")
"""


def test_the_packages_that_a_served_model_asks_for_are_those_that_its_loader_imports(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True, cwd=tmp_path)
    parts = {"luthier", "mlflow-tracing", "mlflow-skinny", "pydantic_core"}  # of those that are named
    assert set(done.stdout.split()) - parts <= set(SERVED_WITH)
    assert {"mlflow", "torch", "transformers", "peft", "pandas", "cryptography"} <= set(SERVED_WITH)


def test_a_record_that_cannot_be_rendered_is_told_what_it_lacks() -> None:
    constants = {"section": {"sections": "A, B"}}
    with pytest.raises(DataError, match="a 'family' out of section"):
        instruction({"family": "poem"}, constants)
    with pytest.raises(DataError, match=r"needs \['dialogue'\]"):
        instruction({"family": "section"}, constants)
    assert "A, B" in instruction({"family": "section", "dialogue": "Where does it hurt?"}, constants)


def test_full_weights_are_served_without_the_base(project: Path, tmp_path: Path) -> None:
    assemble(tmp_path / "data", None, project / "models/base", {})
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"tuned", "constants.json"}


def test_a_stage_without_an_output_that_is_needed_is_named(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {fetch: {outs: [data/raw]}}")
    with pytest.raises(DataError, match="no output 'finetune/tuned'"):
        outputs(tmp_path / "dvc.yaml")["finetune/tuned"]
