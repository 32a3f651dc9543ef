"""What a model is asked, in shards: each is answered by itself, so that it does not matter by whom and after what.

Memory does not grow with the number of examples: a shard is read, answered and written. And greedy answers are the
same words until two tokens are as likely as each other to the last bits, where what is written at the same time
decides; so what is written at the same time is a shard's alone, however many workers there are.
"""

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from tasks.data.files import Row
from tasks.data.sources import digest
from tasks.data.suites.asked import Asked
from tasks.data.suites.declared import Suite
from tasks.data.suites.general import General
from tasks.model.answer import answer
from tasks.model.encode import Tokenizer, encode_prompt
from tasks.model.generate import generate
from tasks.model.load import Model
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract

BATCHES = 16  # of a shard: its last batch, which empties, is then a small part of its time
GENERATED = ("generations", "perturbed", "repeated")
FILES = (*GENERATED, "choices", "repeated_choices")
CODE = Path(__file__).parent.parent
CPUINFO, MODEL_NAME = Path("/proc/cpuinfo"), "model name"  # man 5 proc


@dataclass(frozen=True)
class Task:
    """Everything that a model is asked."""

    examples: Sequence[Row]
    perturbed: list[Row]
    repeated: list[Row]
    """Examples, with what is different: repeat = "again" or "other batch size"."""
    questions: list[tuple[General, Suite, list[Asked]]]

    @property
    def answers(self) -> int:
        """Of one model."""
        asked = sum(len(asked) for *_, asked in self.questions)
        return len(self.examples) + len(self.perturbed) + len(self.repeated) + asked


@dataclass(frozen=True)
class AtOnce:
    """How much a model is given at once."""

    batch_size: int
    """Prompts."""
    tokens: int
    """Of questions."""
    repeated: int
    """Questions of each suite that are asked again."""


@dataclass(frozen=True)
class Shard:
    """Some of what a model is asked: what stands in `whole` from `start` to `stop`."""

    file: str
    """One of `FILES`, that its answers go to."""
    note: str
    """For progress."""
    whole: Sequence[Any]
    """Rows, or questions of a suite."""
    start: int
    stop: int
    at_once: int
    """Prompts, or tokens of questions."""
    suite: tuple[General, Suite] | None = None
    """Of questions."""

    @property
    def counts(self) -> int:
        """What it counts for as progress; what is asked again for the noise of choices does not."""
        return 0 if self.file == "repeated_choices" else self.stop - self.start

    def asked(self) -> list[Any]:
        """Its rows or questions."""
        return list(self.whole[self.start : self.stop])

    def decides(self) -> Row:
        """All of it that decides what is answered, as JSON values."""
        suite = [one.model_dump(mode="json") for one in self.suite or ()]
        asked = [asdict(one) if isinstance(one, Asked) else one for one in self.asked()]
        return {"file": self.file, "at_once": self.at_once, "suite": suite, "asked": asked}


def shards_of(task: Task, at_once: AtOnce) -> list[Shard]:
    """The shards of a task, in the order of its files; the same on every worker."""

    def cut(file: str, note: str, whole: Sequence[Any], size: int, suite: tuple[General, Suite] | None = None) -> None:
        for start in range(0, len(whole), BATCHES * at_once.batch_size):
            stop = min(start + BATCHES * at_once.batch_size, len(whole))
            found.append(Shard(file, note, whole, start, stop, size, suite))

    found: list[Shard] = []
    once, in_other = ([row for row in task.repeated if row["repeat"] == way] for way in ("again", "other batch size"))
    cut("generations", "held-out examples", task.examples, at_once.batch_size)
    cut("perturbed", "perturbed examples", task.perturbed, at_once.batch_size)
    cut("repeated", "once more", once, at_once.batch_size)
    cut("repeated", "other batches", in_other, max(1, at_once.batch_size // 4))
    for file, fewer, most in (("choices", 1, None), ("repeated_choices", 4, at_once.repeated)):
        for general, suite, asked in task.questions:
            note = f"{suite.title}, {general.shots} shots"
            cut(file, note, asked[:most], max(1, at_once.tokens // fewer), (general, suite))
    return found


def answers_to(
    shard: Shard, model: Model, tokenizer: Tokenizer, contract: Contract, advance: Callable[[float], None]
) -> list[Row]:
    """Let a model answer a shard; rows of its file."""
    if shard.suite is None:
        return write_answers(shard.asked(), shard.at_once, model, tokenizer, contract, advance)
    general, suite = shard.suite
    counted = advance if shard.counts else (lambda _: None)
    return answer(model, tokenizer, suite, general.by, general.shots, shard.asked(), shard.at_once, counted)


def write_answers(
    examples: Sequence[Row], batch_size: int, model: Model, tokenizer: Tokenizer, contract: Contract,
    advance: Callable[[int], None],
) -> list[Row]:  # fmt: skip
    """Generate an answer to each example."""
    prompts = [encode_prompt(tokenizer, row["input"], contract) for row in examples]
    limits = [prompt_contract.limit_of(row["family"], contract) for row in examples]
    answers = generate(model, tokenizer, prompts, limits, contract, batch_size, advance)
    kept = ("id", "family", "template", "wording", "group", "input", "target", "perturbation", "repeat")
    return [
        {key: row[key] for key in kept if key in row}
        | {"output": one.text, "output_tokens": one.tokens, "finished": one.finished, "prompt_tokens": len(prompt)}
        for row, one, prompt in zip(examples, answers, prompts, strict=True)
    ]


def cost_of(shard: Shard, rows: Sequence[Row], seconds: float, peak_bytes: int) -> Row:
    """What a shard's answers took."""
    written = rows if shard.file in GENERATED else []
    return {
        "seconds": round(seconds, 3), "peak_bytes": peak_bytes, "answers": len(written),
        "choices": len(rows) if shard.file == "choices" else 0,
        "prompt_tokens": sum(row["prompt_tokens"] for row in written),
        "output_tokens": sum(row["output_tokens"] for row in written),
    }  # fmt: skip


def fingerprint(weights: Mapping[str, str], contract: Contract, where: torch.device) -> Row:
    """All that decides answers beside what is asked; another kind of CPU or GPU has other last bits.

    Args:
        weights: sha256 of base and tuned model.
        contract: that they are asked under.
        where: they run.
    """
    own = sorted([CODE / "predict.py", *CODE.glob("model/**/*.py"), *CODE.glob("prompts/*.py")])
    return {
        "weights": dict(weights), "contract": prompt_contract.digest(contract), "dtype": "float32",
        "device": _kind(where), "threads": torch.get_num_threads(), "code_sha256": digest(own),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "tokenizers")},
    }  # fmt: skip


def _kind(where: torch.device) -> str:
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    told = CPUINFO.read_text() if CPUINFO.is_file() else ""
    named = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith(MODEL_NAME)]
    return f"{[*named, platform.machine()][0]}, {torch.backends.cpu.get_cpu_capability()}"
