"""tasks/finetune: both families, LoRA and full, from examples on disk to a model that loads and answers."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks import finetune
from tasks.data.files import read_json, read_rows, sha256_of, write_rows
from tasks.errors import ParamsError, TrackingError, TrainingError
from tasks.model.load import architecture, load_tuned
from tasks.prompts import contract as prompt_contract
from tests import toys
from tests.toys import PARAMS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rows = toys.examples(24)
    write_rows(tmp_path / "examples/train.jsonl", rows[:20])
    write_rows(tmp_path / "examples/dev.jsonl", rows[20:])
    return tmp_path


def tune(root: Path, kind: str, **changes: Any) -> Path:
    (root / "params.yaml").write_text(json.dumps({"finetune": PARAMS | changes}))
    base = root / f"base-{kind}"
    if not base.exists():
        toys.write_base(base, kind)
    outputs = ("tuned", "training.jsonl", "training_run.json", "xray.txt", "curves")
    finetune.main(root / "examples", base, *(root / name for name in outputs))
    return root / "tuned"


@pytest.mark.parametrize(
    ("kind", "method"), [("causal", "lora"), ("causal", "full"), ("seq2seq", "lora"), ("seq2seq", "full")]
)
def test_both_families_train_by_adapter_and_in_full(project: Path, kind: str, method: str) -> None:
    tuned = tune(project, kind, method=method)
    assert (tuned / "adapter_config.json").is_file() == (method == "lora")
    assert architecture(load_tuned(project / f"base-{kind}", tuned)) == kind
    assert prompt_contract.read(tuned).architecture == kind
    log = read_rows(project / "training.jsonl")
    dev = [row["dev_loss"] for row in log if "dev_loss" in row]
    assert dev[-1] < dev[0]
    assert [row["step"] for row in log] == sorted(row["step"] for row in log)
    assert read_json(project / "training_run.json")["run_id"]


def test_training_twice_gives_the_same_bytes(project: Path) -> None:
    first = sha256_of(tune(project, "causal"))
    assert sha256_of(tune(project, "causal")) == first


def test_nothing_in_the_adapter_s_folder_depends_on_the_process(project: Path) -> None:
    modules = read_json(tune(project, "causal") / "adapter_config.json")["target_modules"]
    assert modules == sorted(modules)
    assert len(modules) > 1


def test_an_answer_that_is_too_long_is_named_before_anything_is_trained(project: Path) -> None:
    with pytest.raises(
        TrainingError,
        match=r"example summarise/toy:0: its answer has \d+ tokens .* finetune.max_new_tokens.summarise = 5",
    ):
        tune(project, "causal", max_new_tokens={"summarise": 5})
    assert not (project / "tuned").exists()


def test_more_tokens_than_the_model_reads_are_refused(project: Path) -> None:
    with pytest.raises(ParamsError, match=r"= 1080, but the base model reads 1024 tokens"):
        tune(project, "causal", max_prompt_tokens=1000)


def test_an_unreachable_tracking_server_stops_it_before_training(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(TrackingError, match=r"127.0.0.1:9"):
        tune(project, "causal")
    assert not (project / "tuned").exists()
