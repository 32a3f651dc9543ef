"""`luthier estimate` and what is done about memory: formulas held to what autograd keeps, estimates to real trainings."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

from tasks import estimate
from tasks.data.files import read_json, write_rows
from tasks.errors import ParamsError, TrainingError
from tasks.model.adapter import Lora, Method, prepare
from tasks.model.attention import pack
from tasks.model.batches import Kind, collate
from tasks.model.cost import judged
from tasks.model.encode import Encoded
from tasks.model.footprint import activation_bytes, keep_or_not, largest_part, ram
from tasks.model.load import Model, architecture
from tasks.model.loss import response_loss
from tasks.model.settings import Finetune
from tasks.model.trial import Trial, line
from tests import toys
from tests.toys import PARAMS

ROOT = Path(__file__).resolve().parent.parent
CPU = torch.device("cpu")
PARTS = [[(20, 5), (31, 4)], [(11, 3), (25, 6), (7, 3)], [(40, 9)]]  # tokens of prompt and response


def part(sizes: list[tuple[int, int]]) -> list[Encoded]:
    return [Encoded(list(range(10, 10 + prompt)), list(range(60, 60 + answer))) for prompt, answer in sizes]


def ready(kind: Kind, method: Method) -> tuple[Model, bool]:
    model = toys.model(kind)
    packed = pack(model, part(PARTS[0]), 0)
    torch.manual_seed(1)
    return prepare(model, method, Lora(rank=4, alpha=8, dropout=0.1), "fp32").train(), packed


def gradients(model: Model, packed: bool) -> list[dict[str, torch.Tensor]]:
    found = []
    for sizes in PARTS:
        torch.manual_seed(7)
        response_loss(model, collate(part(sizes), 0, architecture(model), packed)).backward()  # type: ignore[no-untyped-call]
        found.append({name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None})
        model.zero_grad()
    return found


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
def test_activations_computed_again_give_the_same_gradients(kind: Kind, method: Method) -> None:
    model, packed = ready(kind, method)
    assert packed == (kind == "causal")
    kept = gradients(model, packed)
    said = keep_or_not("always", model, 100, 10, "fp32", CPU)
    assert said == "activations computed again: asked for"
    calls: list[int] = []
    first = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    first.register_forward_hook(lambda *_: calls.append(1))
    again = gradients(model, packed)
    assert len(calls) == 2 * len(PARTS)  # each layer ran twice: it was delivered
    for left, right in zip(kept, again, strict=True):
        assert left.keys() == right.keys()
        for name, gradient in left.items():
            if kind == "causal":  # bit for bit; T5's layers share what they are given, and sum its gradients in turn
                assert torch.equal(right[name], gradient)
            assert float((right[name] - gradient).abs().max()) <= 1e-5 * float(gradient.abs().max())


def kept_bytes(model: Model, sizes: list[tuple[int, int]], packed: bool) -> int:
    """What autograd keeps for a part, weights not counted."""
    weights = {one.untyped_storage().data_ptr() for one in model.parameters()}
    kept: dict[int, int] = {}

    def note(value: torch.Tensor) -> torch.Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, lambda value: value):
        response_loss(model, collate(part(sizes), 0, architecture(model), packed)).backward()  # type: ignore[no-untyped-call]
    return sum(kept.values())


def model_of(name: str) -> Model:
    size: dict[str, Any] = {"vocab_size": 300, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    heads = {"num_hidden_layers": 3, "num_attention_heads": 4, "hidden_size": 128}
    if name == "llama":
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**size, **heads, intermediate_size=352))
    if name == "falcon":
        return transformers.FalconForCausalLM(transformers.FalconConfig(**size, **heads))
    if name == "gpt2":
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**size, n_layer=3, n_head=4, n_embd=128))
    config = transformers.T5Config(
        **size, d_model=128, d_kv=32, d_ff=256, num_layers=3, num_heads=4, decoder_start_token_id=0
    )
    return transformers.T5ForConditionalGeneration(config)


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize("name", ["llama", "falcon", "gpt2", "t5"])
def test_the_formula_for_activations_is_near_what_autograd_keeps(name: str, method: Method) -> None:
    model = model_of(name).eval()
    packed = pack(model, part(PARTS[0]), 0)
    model = prepare(model, method, Lora(rank=4, alpha=8, dropout=0.0), "fp32").train()
    small, large = (kept_bytes(model, [(prompt, 5)] * 4, packed) for prompt in (20, 60))
    measured = (large - small) / 160
    if name == "t5":  # of 65 tokens, 5 go through the decoder: as many blocks see the others
        measured *= 2
    least = 0.4 if name == "gpt2" else 0.6  # its GELU is spelled out, and every step of it is kept
    assert least < activation_bytes(model, "fp32") / measured < 1.7


def test_activations_are_computed_again_only_where_they_do_not_fit() -> None:
    model = ready("causal", "lora")[0]
    assert keep_or_not("auto", model, 1000, 10, "fp32", CPU).startswith("activations kept: about 0.6 GB of ")
    assert not inner_checkpointing(model)
    assert keep_or_not("never", model, 10**10, 10, "fp32", CPU) == "activations kept: asked for"
    assert not inner_checkpointing(model)
    assert keep_or_not("auto", model, 10**10, 10, "fp32", CPU).startswith("activations computed again: about")
    assert inner_checkpointing(model)


def inner_checkpointing(model: Model) -> bool:
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def test_an_architecture_that_cannot_compute_again_says_so_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.model("causal")
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    with pytest.raises(ParamsError, match=r"gradient_checkpointing = always, but .* \(llama\).*set auto or never"):
        keep_or_not("always", model, 10, 1, "fp32", CPU)


def test_the_largest_part_is_an_example_or_what_a_pass_may_hold() -> None:
    params = Finetune(**PARAMS).optimizer
    assert largest_part([5, 7, 9, 11, 13], params) == 40
    assert largest_part([900] * 8, params.model_copy(update={"max_tokens_at_once": 2000})) == 2000
    assert largest_part([900, 3000], params.model_copy(update={"max_tokens_at_once": 2000})) == 3000


def test_a_container_s_limit_counts_where_it_is_lower(tmp_path: Path) -> None:
    limit, used = tmp_path / "max", tmp_path / "current"
    used.write_text("300\n")
    limit.write_text("1000\n")
    assert ram([(str(limit), str(used))]) == (700, 1000)
    limit.write_text("max\n")
    assert min(ram([(str(limit), str(used))])) > 10**6


def test_a_line_is_never_steeper_than_proportional_and_never_below_nothing() -> None:
    assert line((10, 20), (3.0, 5.0)) == pytest.approx((1.0, 0.2))
    assert line((10, 20), (1.0, 6.0)) == pytest.approx((0.0, 0.3))
    assert line((10, 20), (6.0, 4.0)) == pytest.approx((4.0, 0.0))
    assert line((20, 20), (3.0, 4.0)) == pytest.approx((0.0, 0.2))


TRIAL = Trial(
    device="cpu", why="fp32: activations kept", examples=100, tokens=10_000, supervised=900, steps=25,
    longest_batch=2000, largest_part=2000, trained=1_000_000, parameters=10**8, measured=(100, 400), start_s=10.0,
    train_s=50.0, look_s=1.0, held_bytes=10**9, update_bytes=16 * 10**6, activation_bytes=2 * 10**9,
    logit_bytes=10**8, dev_bytes=10**8, free_bytes=10**10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "trial", "said"),
    [
        ({}, {}, "fits"),
        ({}, {"why": "activations computed again: about"}, "fits with gradient checkpointing"),
        ({}, {"free_bytes": 10**9}, r"will not fit: 2\.3 GB more are needed and 1\.0 GB are free\. Set .*_checkpointing: always\."),
        (
            {}, {"free_bytes": 10**9, "why": "activations computed again"},
            r"Set finetune\.optimizer\.max_tokens_at_once: [67]\d\d\.",
        ),
        ({"method": "full"}, {"free_bytes": 10**8, "why": "computed again"}, r"Set finetune\.method: lora"),
        ({}, {"free_bytes": 10**8, "why": "computed again"}, r"choose a smaller fetch\.model"),
        ({}, {"trained": 10**13}, r"the disk has .* GB free"),
    ],
)  # fmt: skip
def test_the_verdict_names_what_to_turn(changes: dict[str, Any], trial: dict[str, Any], said: str) -> None:
    found = judged(Finetune(**(PARAMS | changes)), replace(TRIAL, **trial), 1e8)
    assert re.search(said, found.verdict)
    assert found.fits == said.startswith("fits")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toy project, with the wiring that estimate reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    rows = toys.examples(120)
    write_rows(tmp_path / "examples/train.jsonl", rows[:100])
    write_rows(tmp_path / "examples/dev.jsonl", rows[100:])
    toys.write_base(tmp_path / "base", "causal")
    wiring = {"fetch": {"outs": ["base"]}, "expand": {"outs": ["examples"]}}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": wiring}))
    (tmp_path / "params.yaml").write_text(json.dumps({"finetune": PARAMS}))
    return tmp_path


@pytest.mark.long
def test_an_estimate_is_near_what_the_training_takes(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    estimate.estimate(as_json=False)
    assert "verdict" in (shown := capsys.readouterr().out) and "fits" in shown
    assert sorted(path.name for path in checkout.iterdir()) == sorted(
        [".luthier", "base", "dvc.yaml", "examples", "params.yaml"]
    )
    names = ("tuned", "training.jsonl", "training_run.json", "xray.txt", "curves")
    command = [sys.executable, "-m", "tasks.finetune", "examples", "base", *names]
    subprocess.run(command, check=True, capture_output=True, env=dict(os.environ))
    estimate.estimate(as_json=True)
    checked = json.loads(capsys.readouterr().out)["checked"]
    assert read_json(estimate.RECORD)["checked"] == checked
    assert 0.5 < checked["took_s"] / checked["estimated_s"] < 2
    assert 1 / 1.5 < checked["took_bytes"] / checked["estimated_bytes"] < 1.5
    assert estimate.compared(checked).startswith("The last training under these params: estimated ")


def test_a_training_that_would_be_refused_is_not_estimated(checkout: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (checkout / "params.yaml").write_text(json.dumps({"finetune": PARAMS | {"max_new_tokens": {"summarise": 5}}}))
    with pytest.raises(TrainingError, match="would be refused"):
        estimate.estimate(as_json=True)
    assert "example summarise/toy:0: its answer has" in capfd.readouterr().err
    assert not estimate.RECORD.exists()
