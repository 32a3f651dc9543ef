"""Twenty thousand examples of three kilobytes take hardly more memory than two hundred: texts are not held."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.data.files import Row, read_rows, write_rows
from tasks.data.shards import PARTS
from tasks.model.encode import contract_of
from tasks.prompts import contract as prompt_contract
from tests import invented, test_shards, toys

pytestmark = [pytest.mark.slow, pytest.mark.long]
ROOT = Path(__file__).resolve().parent.parent
FEW, MANY = 200, 20_000  # rows: of the latter's 60 MB of inputs each file holds one copy


def texts(count: int) -> Iterator[Row]:
    """Examples of some three kilobytes, no two alike."""
    documents = [row["document"] for row in toys.articles()]
    for number in range(count):
        text = " ".join(documents[(number + step) % len(documents)] for step in range(5))[:3000]
        yield {
            "id": f"summarise/articles/{number}", "family": "summarise", "template": f"t{number % 3}", "wording": "seen",
            "group": f"g{number // 2}", "source": "articles", "input": f"{number}: {text}", "target": f"target {number}",
        }  # fmt: skip


def peak_mb(root: Path, step: str, *arguments: str) -> int:
    """What a step's process holds at most."""
    env = {name: value for name, value in os.environ.items() if name != PARTS} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"tasks.{step}", *arguments],
        cwd=root,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(read_rows(root / ".luthier/steps.jsonl")[-1]["peak_mb"])


def test_predict_holds_a_shard_and_eight_bytes_an_example(tmp_path: Path) -> None:
    root = test_shards.write(tmp_path / "here", "causal")
    contract = contract_of(toys.tokenizer("causal"), "causal", 400, {"summarise": 2}, "cut")
    prompt_contract.write(contract, root / "tuned")
    peaks = []
    for count in (FEW, MANY):
        write_rows(root / "test.jsonl", texts(count))
        peaks.append(peak_mb(root, "predict", *test_shards.ARGUMENTS, "--part", "1/1000"))
    assert peaks[1] - peaks[0] < 30, peaks


def test_evaluate_holds_numbers_and_names_of_an_example(tmp_path: Path) -> None:
    root = tmp_path / "here"
    arguments = invented.write_run(root)
    params = invented.PARAMS | {
        "metrics": {"summarise": ["exact_match", "empty"]}, "primary": "summarise.exact_match", "resamples": 100,
    }  # fmt: skip
    (root / "params.yaml").write_text(json.dumps({"evaluate": params}))
    wrote = {"output_tokens": 3, "prompt_tokens": 9, "finished": True}
    peaks = []
    for count in (FEW, MANY):
        write_rows(root / "data/examples/test.jsonl", texts(count))
        for model, ends in (("base", 7), ("tuned", 3)):
            rows = (
                row | {"output": row["target"] if n % ends == 0 else "no"} | wrote for n, row in enumerate(texts(count))
            )
            write_rows(root / f"predictions/{model}/generations.jsonl", rows)
            for name, more in (("perturbed", "perturbation"), ("repeated", "repeat")):
                some = read_rows(root / f"predictions/{model}/generations.jsonl")[:6] if count == FEW else []
                if some:
                    write_rows(root / f"predictions/{model}/{name}.jsonl", [row | {more: "again"} for row in some])
        peaks.append(peak_mb(root, "evaluate", *arguments))
    assert peaks[1] - peaks[0] < 110, peaks
