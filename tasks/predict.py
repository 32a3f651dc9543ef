"""5 predict: base and tuned model -> what each writes and which choice each makes.

Input: models/base, models/tuned, the test examples, data/benchmarks, section `predict` of params.yaml. Output:
predictions/base and predictions/tuned, each with generations.jsonl and choices.jsonl. The held-out examples are
prompted under the prompt contract that the model was trained with; the general suites in the plain form that they
are published with (`Answer:`), as their reference implementation does.

    python -m tasks.predict models/base models/tuned data/examples/test.jsonl data/benchmarks predictions
"""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from tasks.data.files import Row, read_rows, sha256_of, staged, write_json, write_rows
from tasks.data.questions import LETTERS, Question, read_benchmarks
from tasks.data.splits import rank
from tasks.errors import ParamsError
from tasks.model.choose import Option, encode_option, score
from tasks.model.encode import Tokenizer, contract_of, encode_prompt
from tasks.model.generate import generate
from tasks.model.load import Model, architecture, device, load_base, load_tokenizer, load_tuned, use_threads
from tasks.params import Section, load
from tasks.progress import Progress
from tasks.prompts import contract as prompt_contract
from tasks.prompts.contract import Contract
from tasks.step import run


class Suite(Section):
    """Multiple-choice questions that both models answer."""

    suite: str
    """The name under which it is reported, with the number of shots."""
    benchmark: str
    """A name in fetch.benchmarks."""
    by: Literal["letter", "text"]
    """letter: compare the scores of the options' letters; text: of the options' texts, per byte."""
    shots: int
    """Solved questions before each question; 0 for none."""
    shots_from: str | None
    """The benchmark that they are taken from."""
    questions: int
    """How many, drawn by the seed."""

    @model_validator(mode="after")
    def _shots_come_from_elsewhere(self) -> "Suite":
        if (self.shots > 0) != (self.shots_from is not None) or self.shots_from == self.benchmark:
            raise ValueError("shots need a shots_from that is another benchmark, else a question could be its own shot")
        return self


class Predict(Section):
    """What is asked of both models."""

    seed: int
    threads: int
    """CPU threads; 0: all cores."""
    batch_size: int
    """Prompts generated at once."""
    choice_batch_size: int
    """Options scored at once."""
    suites: list[Suite]


def ask(question: Question, by: str, answer: str = "") -> str:
    """A question as the field prints it (lm-evaluation-harness's MMLU and PIQA)."""
    if by == "text":
        return f"Question: {question.question}\nAnswer:"
    options = "\n".join(f"{LETTERS[at]}. {text}" for at, text in enumerate(question.options))
    return f"{question.question}\n{options}\nAnswer:{answer}"


def questions_of(benchmarks: dict[str, list[Question]], name: str) -> list[Question]:
    """All questions of one fetched benchmark."""
    if name not in benchmarks:
        known = ", ".join(benchmarks)
        raise ParamsError(f"params.yaml: predict.suites names '{name}', which is not in fetch.benchmarks: {known}.")
    return benchmarks[name]


def draw(questions: list[Question], count: int, seed: int) -> list[Question]:
    """`count` questions, chosen by the seed and their ids alone."""
    return sorted(questions, key=lambda question: rank(seed, "question", question.id))[:count]


def options_of(questions: list[Question], suite: Suite, preamble: str, tokenizer: Tokenizer, kind: str) -> list[Option]:
    """Every option of every question, in order, ready to be scored."""
    options = []
    for question in questions:
        context = preamble + ask(question, suite.by)
        for at, text in enumerate(question.options):
            continuation = f" {LETTERS[at]}" if suite.by == "letter" else f" {text}"
            options.append(encode_option(tokenizer, context, continuation, kind))
    return options


def choice_rows(questions: list[Question], suite: Suite, scores: list[float]) -> list[Row]:
    """Which option each question's scores point to; by text, scores are per byte, so that length is no advantage."""
    rows, start = [], 0
    for question in questions:
        own = scores[start : start + len(question.options)]
        start += len(own)
        if suite.by == "text":
            own = [value / len(text.encode()) for value, text in zip(own, question.options, strict=True)]
        key = f"{suite.benchmark}:{question.id}"
        rows.append({
            "suite": suite.suite, "shots": suite.shots, "id": key, "group": key, "n_choices": len(own),
            "answer": question.answer, "predicted": max(range(len(own)), key=own.__getitem__),
            "scores": [round(value, 6) for value in own],
        })  # fmt: skip
    return rows


def answer_suite(
    suite: Suite,
    benchmarks: dict[str, list[Question]],
    params: Predict,
    model: Model,
    tokenizer: Tokenizer,
    progress: Progress,
) -> list[Row]:
    """Let a model choose an option of each question of a suite."""
    questions = draw(questions_of(benchmarks, suite.benchmark), suite.questions, params.seed)
    shots = draw(questions_of(benchmarks, suite.shots_from), suite.shots, params.seed) if suite.shots_from else []
    preamble = "".join(ask(shot, suite.by, f" {LETTERS[shot.answer]}") + "\n\n" for shot in shots)
    options = options_of(questions, suite, preamble, tokenizer, architecture(model))
    each = len(options) / len(questions)
    note = f"{suite.suite}, {suite.shots} shots"
    scores = score(model, options, params.choice_batch_size, lambda done: progress.advance(done / each, note))
    return choice_rows(questions, suite, scores)


def write_answers(
    examples: list[Row], params: Predict, model: Model, tokenizer: Tokenizer, contract: Contract, progress: Progress
) -> list[Row]:
    """Generate an answer to every held-out example."""
    prompts = [encode_prompt(tokenizer, row["input"], contract) for row in examples]
    limits = [prompt_contract.limit_of(row["family"], contract) for row in examples]
    answers = generate(
        model,
        tokenizer,
        prompts,
        limits,
        contract,
        params.batch_size,
        lambda done: progress.advance(done, "held-out examples"),
    )
    kept = ("id", "family", "template", "wording", "group", "input", "target")
    return [
        {
            **{key: row[key] for key in kept},
            "output": answer.text,
            "output_tokens": answer.tokens,
            "finished": answer.finished,
        }
        for row, answer in zip(examples, answers, strict=True)
    ]


def main(base: Path, tuned: Path, test: Path, benchmarks: Path, predictions: Path) -> None:
    """Let the base and the tuned model answer the held-out examples and the general suites."""
    params = load("predict", Predict)
    use_threads(params.threads)
    tokenizer, contract, examples = load_tokenizer(tuned), prompt_contract.read(tuned), read_rows(test)
    asked = read_benchmarks(benchmarks)
    progress = Progress("predict", 2 * (len(examples) + sum(suite.questions for suite in params.suites)), "answers")
    with staged(predictions) as folder:
        for name, weights in (("base", base), ("tuned", tuned)):
            model = (load_base(base) if name == "base" else load_tuned(base, tuned)).to(device())
            limits = (contract.max_prompt_tokens, contract.max_new_tokens, contract.long_prompts)
            now = contract_of(tokenizer, architecture(model), *limits)
            prompt_contract.require_equal(contract, now)
            write_rows(
                folder / name / "generations.jsonl",
                write_answers(examples, params, model, tokenizer, contract, progress),
            )
            choices = [
                row for suite in params.suites for row in answer_suite(suite, asked, params, model, tokenizer, progress)
            ]
            write_rows(folder / name / "choices.jsonl", choices)
            write_json(folder / name / "decoding.json", {
                "weights_sha256": sha256_of(weights), "contract_sha256": prompt_contract.digest(contract),
                "decoding": "greedy",
                "max_new_tokens": contract.max_new_tokens, "batch_size": params.batch_size, "dtype": "float32",
            })  # fmt: skip


if __name__ == "__main__":
    run(main)
