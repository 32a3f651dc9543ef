"""A project as the stages leave it: invented predictions, their real metrics, a real but tiny model."""

import json
from pathlib import Path

import peft
import torch
import transformers
import yaml
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from tasks import evaluate
from tasks.data.files import sha256_of, write_json, write_rows
from tasks.model.encode import contract_of
from tasks.prompts import contract
from tests.invented import PARAMS, WORDS, how, write_run

WIRING = {
    "fetch": {"outs": ["data/raw", {"models/base": {"persist": False}}]},
    "validate": {"outs": ["data/valid"], "metrics": [{"reports/validation.json": {"cache": False}}]},
    "expand": {"outs": ["data/examples", "reports/leaks.json"]},
    "finetune": {"outs": ["models/tuned", "models/training_run.json", "reports/training.jsonl"]},
    "predict": {"outs": ["predictions"]},
    "evaluate": {
        "outs": ["reports/metrics.json", "reports/evaluation.json", "reports/cards.json", "reports/report.html"],
        "metrics": ["reports/scores.json"],
        "plots": ["reports/plots"],
    },
}
PROMOTE = {
    "primary": "summarise.rouge1", "min_examples": 50, "floors": {}, "may_forget": None, "guards": {},
    "approval": "none", "approvers": ["admin"], "answer_within_h": 1.0,
}  # fmt: skip
MIXTURE = [
    {"family": "summarise", "source": "xsum", "fields": {"document": "document"}, "constants": {}},
    {"family": "section", "source": "mts", "fields": {"dialogue": "talk"}, "constants": {"sections": "A, B"}},
]


def write_project(root: Path, run_id: str = "f" * 32) -> None:
    """Write everything that register reads, under `root`, which has to be the working directory."""
    params = {
        "expand": {"mixture": MIXTURE},
        "finetune": {"method": "lora", "learning_rate": 1e-3, "hub": {"hf_token": "hf_very_secret"}},
        "evaluate": PARAMS,
        "register": {"model": "luthier"},
        "promote": PROMOTE,
    }
    write_json(root / "data/raw/manifest.json", {"sources": {}})
    write_rows(root / "data/valid/xsum.jsonl", [{"document": " ".join(WORDS), "summary": "A bridge opens."}])
    write_model(root / "models")
    write_json(root / "models/training_run.json", {"run_id": run_id, "tracking_uri": "sqlite:///elsewhere.db"})
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": WIRING}))
    (root / "params.yaml").write_text(json.dumps(params))  # JSON is YAML
    write_scores(root, 0.3, 0.6)


def write_scores(root: Path, base: float, tuned: float, batch_size: int = 32) -> None:
    """Predictions that keep this share of the target's words, and what evaluate makes of them."""
    ours = [root / "models/tuned/prompt_contract.json", root / "params.yaml"]  # write_run has its own
    kept = [path.read_bytes() for path in ours]
    arguments = write_run(root, base, tuned, examples=60)
    for path, content in zip(ours, kept, strict=True):
        path.write_bytes(content)
    own = contract.digest(contract.read(root / "models/tuned"))
    made = how(sha256_of(root / "models/tuned"), own) | {"batch_size": batch_size}
    write_json(root / "predictions/how.json", made)
    evaluate.main(*(Path(argument) for argument in arguments))


def write_model(models: Path) -> None:
    """A base Llama of two layers, an adapter on it, and its prompt contract."""
    torch.manual_seed(0)
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = ByteLevel(), Decoder()
    trainer = BpeTrainer(vocab_size=400, special_tokens=["<end>"], initial_alphabet=ByteLevel.alphabet())
    tokenizer.train_from_iterator([" ".join(WORDS)], trainer)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")  # noqa: S106
    config = transformers.LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(models / "base")
    fast.save_pretrained(models / "base")
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    peft.get_peft_model(model, lora).save_pretrained(models / "tuned")
    fast.save_pretrained(models / "tuned")
    contract.write(contract_of(fast, "causal", 300, {"summarise": 8, "section": 8}), models / "tuned")
