"""5 predict: base and tuned model -> what each writes and which choice each makes.

Input: models/base, models/tuned, the test examples, data/benchmarks, section `predict` of params.yaml. Output:
predictions/base and predictions/tuned, each with generations.jsonl, perturbed.jsonl (the same examples with slips, in
other spellings, about other people), repeated.jsonl (some of them once more and in other batches: the noise) and
choices.jsonl; predictions/how.json, and reports/efficiency.json. The held-out examples are prompted under the prompt
contract that the model was trained with; the general suites in the plain form that they are published with.

    python -m tasks.predict models/base models/tuned data/examples/test.jsonl data/benchmarks predictions
    reports/efficiency.json
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, field_validator

from tasks.data.files import Row, read_json, read_rows, sha256_of, staged, write_json, write_rows
from tasks.data.splits import rank
from tasks.data.suites.asked import Asked
from tasks.data.suites.declared import Suite, load_suite
from tasks.data.suites.general import General, words_of
from tasks.data.suites.questions import Benchmark, read_benchmarks
from tasks.model.answer import answer
from tasks.model.encode import Tokenizer, contract_of, encode_prompt
from tasks.model.generate import generate
from tasks.model.load import (
    Model,
    architecture,
    device,
    load_base,
    load_tokenizer,
    load_tuned,
    require_finite,
    use_threads,
)
from tasks.model.peak import peak_bytes, reset_peak
from tasks.params import Section, load
from tasks.progress import Progress
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract
from tasks.prompts.perturbed import KINDS, perturb
from tasks.step import run


class Perturbed(Section):
    """The test examples changed, to see what the answers hold on to."""

    kinds: list[str]
    """Names of prompts/perturbed.py."""
    examples: int = Field(ge=0)
    """Of each kind at most, drawn by the seed among those that it changes; 0 for none."""

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: list[str]) -> list[str]:
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise ValueError(f"'{unknown[0]}' is no perturbation; there are {', '.join(KINDS)}")
        return kinds


class Predict(Section):
    """What is asked of both models."""

    seed: int
    threads: int
    """CPU threads; 0: all cores."""
    batch_size: int = Field(ge=1)
    """Prompts generated at once."""
    tokens_at_once: int = Field(ge=1)
    """Tokens of questions that one pass reads."""
    suites: list[General]
    perturbed: Perturbed
    repeated: int = Field(ge=0)
    """Examples and questions answered twice more, to measure the noise; 0 for none."""


@dataclass(frozen=True)
class Task:
    """Everything that a model is asked."""

    examples: list[Row]
    perturbed: list[Row]
    repeated: list[Row]
    """Examples, with what is different: repeat = "again" or "other batch size"."""
    questions: list[tuple[General, Suite, list[Asked]]]

    @property
    def answers(self) -> int:
        """Of one model."""
        asked = sum(len(asked) for *_, asked in self.questions)
        return len(self.examples) + len(self.perturbed) + len(self.repeated) + asked


def drawn(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """Some rows, chosen by the seed and their ids alone, in their order."""
    kept = {row["id"] for row in sorted(rows, key=lambda row: rank(seed, "example", row["id"]))[:count]}
    return [row for row in rows if row["id"] in kept]


def task_of(examples: list[Row], benchmarks: dict[str, Benchmark], params: Predict) -> Task:
    """Put together what both models are asked."""
    changed = [
        row
        for kind in params.perturbed.kinds
        for row in drawn(perturb(examples, kind, params.seed), params.perturbed.examples, params.seed)
    ]
    again = drawn(examples, params.repeated, params.seed)
    repeated = [row | {"repeat": way} for way in ("again", "other batch size") for row in again]
    asked = [(one, load_suite(one.suite), words_of(one, benchmarks, params.seed)) for one in params.suites]
    return Task(examples, changed, repeated, asked)


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


def answered(
    task: Task, params: Predict, model: Model, tokenizer: Tokenizer, contract: Contract, progress: Progress
) -> dict[str, list[Row]]:
    """All answers of one model, by the file that they go to."""

    def generations(rows: Sequence[Row], batch_size: int, note: str) -> list[Row]:
        return write_answers(rows, batch_size, model, tokenizer, contract, lambda done: progress.advance(done, note))

    def choices(general: General, suite: Suite, asked: list[Asked], tokens_at_once: int) -> list[Row]:
        note = f"{suite.title}, {general.shots} shots"
        counts = tokens_at_once == params.tokens_at_once  # what is asked again for the noise does not
        done = (lambda more: progress.advance(more, note)) if counts else (lambda _: None)
        return answer(model, tokenizer, suite, general.by, general.shots, asked, tokens_at_once, done)

    other = max(1, params.batch_size // 4)
    once, in_other = ([row for row in task.repeated if row["repeat"] == way] for way in ("again", "other batch size"))
    return {
        "generations": generations(task.examples, params.batch_size, "held-out examples"),
        "perturbed": generations(task.perturbed, params.batch_size, "perturbed examples"),
        "repeated": generations(once, params.batch_size, "once more") + generations(in_other, other, "other batches"),
        "choices": [row for one in task.questions for row in choices(*one, params.tokens_at_once)],
        "repeated_choices": [
            row for general, suite, asked in task.questions
            for row in choices(general, suite, asked[: params.repeated], max(1, params.tokens_at_once // 4))
        ],
    }  # fmt: skip


def cost(rows: dict[str, list[Row]], seconds: float, peak: int) -> Row:
    """What one model's answers took."""
    written = [row for key in ("generations", "perturbed", "repeated") for row in rows[key]]
    return {
        "seconds": round(seconds, 1), "peak_mb": peak >> 20, "answers": len(written), "choices": len(rows["choices"]),
        "prompt_tokens": sum(row["prompt_tokens"] for row in written),
        "output_tokens": sum(row["output_tokens"] for row in written),
    }  # fmt: skip


def how(
    params: Predict, contract: Contract, task: Task, folders: dict[str, Path], known: dict[str, Benchmark], fetched: Row
) -> Row:  # fmt: skip
    """What the answers were made with: what two sets of answers must have alike to be compared."""
    return {
        "weights_sha256": {name: sha256_of(folder) for name, folder in folders.items()},
        "contract_sha256": prompt_contract.digest(contract),
        "decoding": "greedy", "max_new_tokens": contract.max_new_tokens, "long_prompts": contract.long_prompts,
        "batch_size": params.batch_size, "tokens_at_once": params.tokens_at_once, "dtype": "float32",
        "device": device().type, "threads": params.threads, "seed": params.seed,
        "chat_template": {"held-out examples": contract.format, "suites": "none"},
        "suites": [
            {
                **general.model_dump(), "version": suite.version, "title": suite.title, "licence": suite.licence,
                "origin": suite.origin, "paper": suite.paper, "prompt_of": suite.prompt_of, "length": suite.length,
                "asked": len(asked), "available": len(known[general.benchmark].questions),
                "left_out": known[general.benchmark].left_out, "published": suite.published,
                "url": fetched[general.benchmark]["url"], "sha256": fetched[general.benchmark]["sha256"],
            }
            for general, suite, asked in task.questions
        ],
    }  # fmt: skip


def main(base: Path, tuned: Path, test: Path, benchmarks: Path, predictions: Path, efficiency: Path) -> None:
    """Let the base and the tuned model answer the held-out examples and the general suites."""
    params = load("predict", Predict)
    use_threads(params.threads)
    tokenizer, contract = load_tokenizer(tuned), prompt_contract.read(tuned)
    known, fetched = read_benchmarks(benchmarks), read_json(benchmarks / "manifest.json")["sources"]
    task = task_of(read_rows(test), known, params)
    progress, costs = Progress("predict", 2 * task.answers, "answers"), {}
    with staged(predictions) as folder:
        for name in ("base", "tuned"):
            start, _ = time.monotonic(), reset_peak(device())
            model = (load_base(base) if name == "base" else load_tuned(base, tuned)).to(device())
            require_finite(model, f"the {name} model")
            limits = (contract.max_prompt_tokens, contract.max_new_tokens, contract.long_prompts)
            prompt_contract.require_equal(contract, contract_of(tokenizer, architecture(model), *limits))
            rows = answered(task, params, model, tokenizer, contract, progress)
            for file, own in rows.items():
                write_rows(folder / name / f"{file}.jsonl", own)
            costs[name] = cost(rows, time.monotonic() - start, peak_bytes(device()))
        folders = {"base": base, "tuned": tuned}
        write_json(folder / "how.json", how(params, contract, task, folders, known, fetched))
    write_json(efficiency, costs)


if __name__ == "__main__":
    run(main)
