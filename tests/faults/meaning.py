"""C1-C9, C15, C16: values that are no numbers, labels that are not as they have to be, inputs that changed."""

import json
import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from tasks.data.files import read_json, read_rows, write_json, write_rows
from tasks.data.sources import digest
from tasks.model import manifest
from tests.faults import stock
from tests.faults.damage import checkpoints, flip, stopped
from tests.faults.ground import Finding, Ground, proof_of
from tests.faults.machine import then_whole
from tests.faults.project import write_params
from tests.faults.strike import Strike


def stock_not_a_number(ground: Ground) -> str:
    """What the stock trainer makes of weights that turn into NaN in step 5."""
    folder = ground.case().fresh("stock-nan")
    return stock.came_to(folder, ground.stock(folder, Strike("begin step 5", do="nan")), ground.stock_weights)


def not_a_number(ground: Ground, stocked: str = "-") -> Finding:
    """C1: weights turn into NaN in step 5."""
    case = ground.case()
    folder = case.fresh("nan")
    ended = ground.run(folder, Strike("begin step 5", do="nan"))
    early = "loss is nan at step 5" in ended.last and "begin step 6" not in ended.events
    kept = [path.name for path in checkpoints(folder)] == ["step-00000003"] and not (folder / "tuned").exists()
    wrong = then_whole(ground, case, folder)
    came = f"exit {ended.status}: {ended.last}; kept step 3; then {'; '.join(wrong) or 'identical'}"
    return Finding(
        "C1", "NaN in the weights at step 5", proof_of(ended, 1), stocked, came, early and kept and not wrong
    )


def refused(
    ground: Ground,
    fault: str,
    injected: str,
    expected: str,
    spoil: Callable[[Path], object],
    kind: str = "causal",
    method: str = "lora",
) -> Finding:
    """Something is wrong with the inputs: one sentence, before the first step is over, and no model."""
    folder = ground.case(kind, method).fresh(re.sub(r"\W+", "-", injected))
    spoil(folder)
    ended = ground.run(folder)
    trained = "end step 2" in ended.events or (folder / "tuned").exists()
    good = ended.status == 1 and re.search(expected, ended.last) is not None and not trained
    return Finding(fault, injected, "in the inputs", "-", f"exit {ended.status}: {ended.last}", good)


def with_rows(change: dict[str, str]) -> Callable[[Path], None]:
    """The first train example with other texts."""

    def spoil(folder: Path) -> None:
        rows = read_rows(folder / "examples/train.jsonl")
        write_rows(folder / "examples/train.jsonl", [{**rows[0], **change}, *rows[1:]])

    return spoil


def with_params(**changes: Any) -> Callable[[Path], None]:
    """Other values in params.yaml."""
    return lambda folder: write_params(folder, **changes)


def fewer_ids(folder: Path) -> None:
    """A model that knows fewer tokens than its tokenizer."""
    import transformers  # noqa: PLC0415

    base = folder / "base"
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(300)
    model.save_pretrained(base)
    write_json(
        base / "source.json",
        {**read_json(base / "source.json"), "weights_sha256": digest(sorted(base.glob("*.safetensors")))},
    )


def cut_prompts(ground: Ground) -> Finding:
    """C4: prompts longer than allowed lose their middle, and every answer stays whole."""
    case = ground.case(max_prompt_tokens=64, long_prompts="cut")
    folder = case.fresh("cut")
    ended = ground.run(folder)
    told = next((line for line in ended.said.splitlines() if "prompts cut" in line), "")
    return Finding(
        "C4", "prompts over 64 tokens", "20 of 20" if "20 prompts cut" in told else "", "-", told, ended.status == 0
    )


def end_tokens(ground: Ground) -> Finding:
    """C7, C8: padding is the end token, and every end token is learned all the same."""
    case = ground.case()
    folder = case.fresh("end")
    config = read_json(folder / "base/tokenizer_config.json")
    ended = ground.run(folder)
    lines = [line for line in (folder / "xray.txt").read_text().splitlines() if "end token" in line]
    same = f"pad {config['pad_token']}, end {config['eos_token']}" if config["pad_token"] == config["eos_token"] else ""
    return Finding(
        "C8", "padding is the end token", same, "-", " / ".join(lines)[:200], ended.status == 0 and bool(lines)
    )


def no_padding(ground: Ground) -> Finding:
    """C7: a tokenizer without a pad token."""
    folder = ground.case().fresh("no-pad")
    file = folder / "base/tokenizer_config.json"
    write_json(file, {key: value for key, value in read_json(file).items() if key != "pad_token"})
    ended = ground.run(folder)
    proof = "removed from tokenizer_config.json" if "pad_token" not in json.loads(file.read_text()) else ""
    return Finding(
        "C7",
        "no pad token",
        proof,
        "-",
        f"exit {ended.status}: {ended.last}",
        ended.status == 0 and (folder / "tuned").is_dir(),
    )


def changed_params(ground: Ground) -> Finding:
    """C15: the learning rate is changed after a kill."""
    case, changed = ground.case(), {"optimizer": {"learning_rate": 2e-2}}
    other = ground.case(**changed)
    folder = stopped(ground, case, "changed-rate")
    write_params(folder, method="lora", **changed)
    ended = ground.run(folder)
    told = next((line for line in ended.said.splitlines() if "unfinished training" in line), "nothing said")
    first = next((event for event in ended.events if event.startswith("begin step")), "")
    same = ended.status == 0 and (folder / "training.jsonl").read_bytes() == other.log
    theirs = case.fresh("stock-changed")
    ground.stock(theirs, Strike("begin step 8"))
    stocked = stock.came_to(theirs, ground.stock(theirs, arguments='{"learning_rate": 0.02}'), ground.stock_weights)
    good = same and first == "begin step 1" and "params.optimizer.learning_rate is 0.01 there and 0.02 here" in told
    return Finding("C15", "learning rate changed after a kill", "in params.yaml", stocked, told, good)


def foreign_checkpoint(ground: Ground) -> Finding:
    """C15: a whole checkpoint of another training lies in this one's folder."""
    folder = stopped(ground, ground.case(), "foreign")
    for checkpoint in checkpoints(folder):
        content = read_json(checkpoint / manifest.MANIFEST)
        content["fingerprint"]["params"]["seed"] = 99
        (checkpoint / manifest.MANIFEST).write_bytes(manifest._rendered(content))
    ended = ground.run(folder)
    good = ended.status == 1 and "params.seed is 99 there and 3 here" in ended.last and len(checkpoints(folder)) == 2
    return Finding(
        "C15",
        "a whole checkpoint of another seed",
        "manifest written anew",
        "-",
        f"exit {ended.status}: {ended.last}",
        good,
    )


WAYS: list[tuple[str, Callable[[Ground], Finding]]] = [
    ("C1", lambda ground: not_a_number(ground, stock_not_a_number(ground))),
    ("C1", lambda ground: refused(ground, "C1", "learning rate 1e30, all weights", "not finite|is nan|is inf|gradient norm", with_params(method="full", optimizer={"learning_rate": 1e30}), method="full")),
    ("C2", lambda ground: refused(ground, "C2", "gradients over stop_grad_norm", r"gradient norm is .* at step 1, over finetune.optimizer.stop_grad_norm", with_params(method="lora", optimizer={"stop_grad_norm": 1e-6}))),
    ("C3", lambda ground: refused(ground, "C3", "an empty answer", "its answer has 1 tokens", with_rows({"target": ""}))),
    ("C4", cut_prompts),
    ("C4", lambda ground: refused(ground, "C4", "a prompt over the limit, refuse", "prompt", with_rows({"input": "word " * 2000}))),
    ("C5", lambda ground: refused(ground, "C5", "lengths over the context", "reads 1024 tokens", with_params(method="lora", max_prompt_tokens=1000))),
    ("C6", lambda ground: refused(ground, "C6", "ids outside the vocabulary", "vocabulary|300", fewer_ids)),
    ("C7", no_padding),
    ("C8", end_tokens),
    ("C15", changed_params),
    ("C15", foreign_checkpoint),
    ("C16", lambda ground: refused(ground, "C16", "one bit of the base weights", "not those that fetch wrote", lambda folder: flip(folder / "base/model.safetensors"))),
]  # fmt: skip


def meaning(ground: Ground, wanted: AbstractSet[str]) -> Iterator[Finding]:
    """All of them, or those whose numbers are wanted."""
    for fault, deliver in WAYS:
        if not wanted or fault in wanted:
            yield deliver(ground)
