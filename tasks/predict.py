"""5 predict: base and tuned model -> what each writes and which choice each makes.

Input: models/base, models/tuned, the test examples, data/benchmarks, section `predict` of params.yaml. Output:
predictions/base and predictions/tuned, each with generations.jsonl, perturbed.jsonl (the same examples with slips, in
other spellings, about other people), repeated.jsonl (some of them once more and in other batches: the noise) and
choices.jsonl; predictions/how.json, and reports/efficiency.json. The held-out examples are prompted under the prompt
contract that the model was trained with; the general suites in the plain form that they are published with.

It works shard by shard (model/work.py) and keeps each finished one in `.luthier/parts` until all are done: killed, it
goes on where it stood. `--part 2/4` makes every fourth shard from the second and nothing else, so that several workers
may share the work; the stage then finds them, and comes to the same bytes. Memory does not grow with the examples.

    python -m tasks.predict models/base models/tuned data/examples/test.jsonl data/benchmarks predictions
    reports/efficiency.json
"""

from array import array
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field, field_validator

from tasks.data.files import Row, read_json, sha256_of, staged, write_json
from tasks.data.indexed import Indexed
from tasks.data.shards import FOLDER, Shards, folder_told
from tasks.data.splits import rank
from tasks.data.suites.declared import load_suite
from tasks.data.suites.general import General, words_of
from tasks.data.suites.questions import Benchmark, read_benchmarks
from tasks.model.encode import Tokenizer, contract_of
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
from tasks.model.shares import Ask, keyed, make, put_together, share
from tasks.model.turn import turn
from tasks.model.work import FILES, AtOnce, Task, answers_to, fingerprint, shards_of
from tasks.params import Section, load
from tasks.progress import Progress
from tasks.prompts import contract as prompt_contract
from tasks.prompts import perturbed
from tasks.prompts.contract import Contract
from tasks.step import run

__all__ = ["Predict", "Task", "answered", "main", "task_of"]


class Perturbed(Section):
    """The test examples changed, to see what the answers hold on to."""

    kinds: list[str]
    """Names of prompts/perturbed.py."""
    examples: int = Field(ge=0)
    """Of each kind at most, drawn by the seed among those that it changes; 0 for none."""

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: list[str]) -> list[str]:
        if unknown := [kind for kind in kinds if kind not in perturbed.KINDS]:
            raise ValueError(f"'{unknown[0]}' is no perturbation; there are {', '.join(perturbed.KINDS)}")
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

    @property
    def at_once(self) -> AtOnce:
        """How much a model is given at once."""
        return AtOnce(self.batch_size, self.tokens_at_once, self.repeated)


def task_of(examples: Sequence[Row], benchmarks: dict[str, Benchmark], params: Predict) -> Task:
    """Put together what both models are asked; what is drawn, by the seed and ids alone."""
    ranks = array("d", (rank(params.seed, "example", row["id"]) for row in examples))
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    changed = perturbed.drawn(examples, params.perturbed.kinds, order, params.perturbed.examples, params.seed)
    again = [examples[place] for place in sorted(order[: params.repeated])]
    repeated = [row | {"repeat": way} for way in ("again", "other batch size") for row in again]
    asked = [(one, load_suite(one.suite), words_of(one, benchmarks, params.seed)) for one in params.suites]
    return Task(examples, changed, repeated, asked)


def answered(
    task: Task, params: Predict, model: Model, tokenizer: Tokenizer, contract: Contract, progress: Progress
) -> dict[str, list[Row]]:
    """All answers of one model, by the file that they go to."""
    rows: dict[str, list[Row]] = {file: [] for file in FILES}
    for shard in shards_of(task, params.at_once):
        told = partial(progress.advance, note=shard.note)
        rows[shard.file] += answers_to(shard, model, tokenizer, contract, told)
    return rows


def how(
    params: Predict, contract: Contract, task: Task, weights: dict[str, str], known: dict[str, Benchmark], fetched: Row
) -> Row:  # fmt: skip
    """What the answers were made with: what two sets of answers must have alike to be compared."""
    return {
        "weights_sha256": weights,
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


def main(
    base: Path, tuned: Path, test: Path, benchmarks: Path, predictions: Path, efficiency: Path,
    part: Annotated[str, typer.Option(help="Only this share of the shards, such as 2/4; no files.")] = "",
) -> None:  # fmt: skip
    """Let the base and the tuned model answer the held-out examples and the general suites."""
    params = load("predict", Predict)
    use_threads(params.threads)
    tokenizer, contract = load_tokenizer(tuned), prompt_contract.read(tuned)
    known, fetched = read_benchmarks(benchmarks), read_json(benchmarks / "manifest.json")["sources"]
    task, store = task_of(Indexed(test), known, params), Shards(folder_told())
    weights = {"base": sha256_of(base), "tuned": sha256_of(tuned)}

    def ask(name: str) -> Ask:
        model = (load_base(base) if name == "base" else load_tuned(base, tuned)).to(device())
        require_finite(model, f"the {name} model")
        limits = (contract.max_prompt_tokens, contract.max_new_tokens, contract.long_prompts)
        prompt_contract.require_equal(contract, contract_of(tokenizer, architecture(model), *limits))
        return lambda shard, advance: answers_to(shard, model, tokenizer, contract, advance)

    with turn():
        work = keyed(shards_of(task, params.at_once), fingerprint(weights, contract, device()))
        make(share(work, part) if part else work, store, ask, part)
    if part:
        return
    with staged(predictions) as folder:
        costs = {name: put_together(own, store, folder / name) for name, own in work.items()}
        write_json(folder / "how.json", how(params, contract, task, weights, known, fetched))
    write_json(efficiency, costs)
    if store.folder == FOLDER:  # else it is that of whoever told so
        store.clear()


if __name__ == "__main__":
    run(main)
