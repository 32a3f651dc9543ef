"""benchmarks/: every command runs on a small scale, and what is compared is the same work."""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import gpu, gpu_cases, train, train_sides
from benchmarks.expand import WORDINGS, by_luthier, by_map, write_records
from benchmarks.train_limit import needed
from benchmarks.train_peers import by_seq2seq_trainer, by_trl
from tasks.data.files import read_rows, write_rows
from tasks.model.adapter import Lora, Method, prepare
from tasks.model.batches import collate
from tasks.model.encode import Encoded
from tasks.model.loss import response_loss
from tasks.model.settings import Finetune
from tasks.params import load
from tests import toys

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["validate", "--rows", "500", "--rounds", "1"], "target: at most 3.0"),
        (["near_duplicates", "--examples", "2000", "--sample", "2000"], "time an example, MinHash"),
        pytest.param(
            ["train", "--only", "limit", "--steps", "3", "--examples", "examples", "--base", "base"],
            "GFLOP a token",
            marks=[pytest.mark.long, pytest.mark.nightly],
        ),
    ],
)
def test_a_benchmark_runs_and_prints_its_ratio(tmp_path: Path, command: list[str], said: str) -> None:
    if command[0] == "train":
        write_toys(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{command[0]}", *command[1:]],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_both_sides_of_expand_s_benchmark_write_the_same_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    records = tmp_path / "made.jsonl"
    write_records(records, 300)
    (tmp_path / "ours").mkdir()
    ours, theirs = by_luthier(records, tmp_path / "ours"), by_map(records, tmp_path / "theirs", 100, True)
    trained = read_rows(tmp_path / "ours/train.jsonl")
    held_out = read_rows(tmp_path / "ours/dev.jsonl") + read_rows(tmp_path / "ours/test.jsonl")
    assert theirs.count == 300 * WORDINGS
    assert ours.count == len(trained) + len(held_out)
    assert len(trained) == (300 - len(held_out)) * WORDINGS > 2000
    made = by_rows(tmp_path / "theirs")
    for example in trained:
        row = made[example["id"]]
        assert (row["input"], row["target"], row["record"]) == (example["input"], example["target"], example["record"])


def by_rows(folder: Path) -> dict[str, dict[str, str]]:
    """What `datasets.map` left in its cache, by id."""
    from datasets import Dataset  # noqa: PLC0415

    (cached,) = (file for file in folder.rglob("cache-*.arrow"))
    return {row["id"]: row for row in Dataset.from_file(str(cached))}


def write_toys(root: Path) -> None:
    """What `benchmarks.train` reads: params.yaml, examples, a base model."""
    shutil.copy(ROOT / "params.yaml", root)
    for split in ("train", "dev"):
        write_rows(root / f"examples/{split}.jsonl", toys.examples(16))
    toys.write_base(root / "base", "causal")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> train_sides.Work:
    monkeypatch.setattr(train_sides, "T5", toys.model("seq2seq").config)
    monkeypatch.chdir(tmp_path)
    write_toys(tmp_path)
    params = load("finetune", Finetune)
    params = params.model_copy(update={"threads": 1, "precision": "fp32"})
    examples = train.encoded(params, tmp_path / "examples", tmp_path / "base", "causal")
    return train_sides.Work(params, tmp_path / "base", train.drawn(examples, params, 4, grouped=False))


def test_both_sides_of_train_s_benchmark_have_the_same_losses_on_the_same_batches(
    tmp_path: Path, work: train_sides.Work
) -> None:
    ours, padded = train_sides.by_luthier(work, tmp_path / "examples"), by_trl(work, "padded")
    assert len(ours.losses) == len(ours.ends) == len(work.batches) == 4
    assert train.difference(ours, padded) < train.TOLERANCE
    assert train.difference(ours, by_trl(work, "padding-free")) < train.TOLERANCE
    assert ours.tokens == padded.tokens == [sum(map(len, batch)) for batch in work.batches]
    assert ours.padding == 0 < padded.padding
    assert sum(by_trl(work, "packing").tokens) == sum(ours.tokens)


def test_both_sides_of_train_s_benchmark_have_the_same_losses_on_a_t5(work: train_sides.Work) -> None:
    ours, theirs = train_sides.by_luthier_t5(work), by_seq2seq_trainer(work, "sequential")
    assert train.difference(ours, theirs) < train.TOLERANCE
    assert (ours.tokens, ours.cells) == (theirs.tokens, theirs.cells)


def test_train_s_benchmark_refuses_to_compare_other_work(work: train_sides.Work, tmp_path: Path) -> None:
    ours = train_sides.by_luthier(work, tmp_path / "examples")
    other = dataclasses.replace(work, examples=work.examples[::-1])
    with pytest.raises(SystemExit, match=r"the losses of Luthier and TRL, padded differ"):
        train.require_equal_losses(
            "causal", [{"Luthier": ours, train.COMPILED: ours, "TRL, padded": by_trl(other, "padded")}]
        )


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_operations_that_a_training_needs_are_those_that_torch_counts(method: Method) -> None:
    model = prepare(toys.model("causal"), method, Lora(rank=4, alpha=4, dropout=0.0), "fp32").train()
    examples = [Encoded([index + 5], [index + 6]) for index in range(40)]  # so short that attention is next to nothing
    with FlopCounterMode(display=False) as counter:
        response_loss(model, collate(examples, 0, "causal")).backward()  # type: ignore[no-untyped-call]
    assert needed(model, examples) == pytest.approx(counter.get_total_flops(), rel=0.02)


@pytest.mark.parametrize("said", gpu_cases.CASES)
def test_the_gpu_s_benchmark_runs_on_toy_shapes(said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = load("finetune", Finetune, ROOT / "params.yaml").model_copy(
        update={"compile": "never"}
    )  # tests/test_compiled.py does
    monkeypatch.chdir(tmp_path)
    kind, method = gpu_cases.CASES[said]
    case = gpu_cases.Case(kind, method, params, 3, tiny=True)
    (ours, flops), (theirs, _) = gpu.by_luthier(case), gpu.by_peer(case)
    assert sum(ours.tokens) == sum(theirs.tokens) == sum(map(len, case.examples()))
    assert len(ours.losses) == 3
    assert (flops > 0) == (kind == "causal")


def test_the_gpu_s_benchmark_refuses_a_machine_without_one() -> None:
    done = subprocess.run(
        [ROOT / "benchmarks/gpu.sh"], capture_output=True, text=True, check=False,
        env={"PYTHON": sys.executable, "PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 1
    assert "needs a CUDA GPU" in done.stderr
    assert "Traceback" not in done.stderr
