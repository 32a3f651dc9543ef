"""Answers to the held-out examples against plain `model.generate` of transformers, on this CPU: tokens a second.

    python -m benchmarks.evaluate_generate                          # all examples: some ten minutes on two cores
    python -m benchmarks.evaluate_generate --rounds 1 --examples 40

Both sides have the default's base model, fp32, the threads of `predict`, the same prompts' ids and the contract's
limits. Plain: left-padded, in file order, each batch up to its highest limit, at the fastest of five batch sizes, found
in the first round. What it writes beyond a prompt's own limit is neither kept nor counted. Luthier: `generate`, with
`predict.batch_size`. Neither side turns ids into text. Both take turns, and ratios are those within a round; processor
time is told too, which a busy machine disturbs less.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import transformers
import typer
from rich.console import Console
from rich.table import Table

from tasks.data.files import read_rows
from tasks.model.encode import contract_of, encode_prompt
from tasks.model.generate import generate
from tasks.model.load import Model, load_base, load_tokenizer, use_threads
from tasks.model.settings import Finetune
from tasks.params import load
from tasks.predict import Predict
from tasks.prompts.contract import Contract, limit_of

TARGET = 2.0  # times as fast
SIZES = (4, 8, 16, 32, 64)  # batch sizes of plain generate
OURS = "Luthier"


@dataclass(frozen=True)
class Work:
    """What both sides are given."""

    model: Model
    prompts: list[list[int]]
    limits: list[int]
    contract: Contract


@dataclass(frozen=True)
class Run:
    """One side's run over all prompts."""

    seconds: float
    cpu_seconds: float
    """Of all threads."""
    written: list[list[int]]
    """Ids of each answer, without the end token."""

    @property
    def tokens(self) -> int:
        """Written in all."""
        return sum(map(len, self.written))


class Ids:
    """Stands where a tokenizer does, and lets an answer be its ids."""

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        """The ids, with spaces."""
        return " ".join(map(str, ids))


def by_luthier(work: Work, batch_size: int) -> list[list[int]]:
    """What `predict` calls."""
    answers = generate(work.model, Ids(), work.prompts, work.limits, work.contract, batch_size)
    return [[int(number) for number in answer.text.split()] for answer in answers]


def by_transformers(work: Work, batch_size: int) -> list[list[int]]:
    """Plain `generate`, in the order given."""
    written, end, pad = [], work.contract.end_token_id, work.contract.pad_token_id
    for start in range(0, len(work.prompts), batch_size):
        stop = start + batch_size
        prompts, limits = work.prompts[start:stop], work.limits[start:stop]
        width = max(map(len, prompts))
        ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        settings = transformers.GenerationConfig(
            max_new_tokens=max(limits), do_sample=False, num_beams=1, eos_token_id=end, pad_token_id=pad
        )
        with torch.inference_mode():
            output = work.model.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        for row, limit in zip(output[:, width:].tolist(), limits, strict=True):
            kept = row[:limit]
            written.append(kept[: kept.index(end)] if end in kept else kept)
    return written


def side(way: Callable[[Work, int], list[list[int]]], work: Work, batch_size: int) -> Run:
    """Time one side."""
    begin, busy = time.perf_counter(), time.process_time()
    written = way(work, batch_size)
    return Run(time.perf_counter() - begin, time.process_time() - busy, written)


def compare(
    work: Work, batch_size: int, rounds: int, sizes: Sequence[int] = SIZES, tell: Callable[[str, Run], None] = print
) -> dict[str, Any]:
    """Let both sides take turns.

    Args:
        work: model, prompts and limits.
        batch_size: Luthier's.
        rounds: at least 1.
        sizes: plain generate's batch sizes, all in the first round; in later ones, the fastest.
        tell: is called with each side's name and run.

    Returns:
        Tokens a second of both, the ratio in wall and in processor time (medians, and the lowest and highest of
        wall time), plain's best batch size, and how many answers are equal token for token.
    """
    names = {f"transformers, batches of {size}": size for size in sizes}
    found: list[dict[str, Run]] = []
    for _ in range(rounds):
        runs = {OURS: side(by_luthier, work, batch_size)}
        tell(OURS, runs[OURS])
        for name, size in names.items():
            runs[name] = side(by_transformers, work, size)
            tell(name, runs[name])
        found.append(runs)
        best = min(names, key=lambda name: found[0][name].seconds)
        names = {best: names[best]}
    ours, plain = [runs[OURS] for runs in found], [runs[best] for runs in found]
    ratios = [slow.seconds / fast.seconds for slow, fast in zip(plain, ours, strict=True)]
    return {
        "tokens_per_s": statistics.median(run.tokens / run.seconds for run in ours),
        "plain_tokens_per_s": statistics.median(run.tokens / run.seconds for run in plain),
        "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
        "cpu_ratio": statistics.median(s.cpu_seconds / f.cpu_seconds for s, f in zip(plain, ours, strict=True)),
        "plain_batch_size": names[best], "target": TARGET, "answers": len(work.prompts),
        "equal": sum(one == other for one, other in zip(ours[0].written, plain[0].written, strict=True)),
    }  # fmt: skip


def work_of(base: Path, test: Path, examples: int) -> Work:
    """The base model and the held-out examples: so many of them, evenly over the file; 0 for all."""
    params, tokenizer, rows = load("finetune", Finetune), load_tokenizer(base), read_rows(test)
    contract = contract_of(tokenizer, "causal", params.max_prompt_tokens, params.max_new_tokens, params.long_prompts)
    count = min(examples or len(rows), len(rows))
    rows = [rows[at * len(rows) // count] for at in range(count)]
    prompts = [encode_prompt(tokenizer, row["input"], contract) for row in rows]
    return Work(load_base(base), prompts, [limit_of(row["family"], contract) for row in rows], contract)


def show(console: Console, said: dict[str, Any]) -> None:
    """The table, and what it says about the target."""
    table = Table("", "tokens/s", "Luthier is", "equal answers")
    times = f"{said['ratio']:.2f} x ({said['ratio_low']:.2f} to {said['ratio_high']:.2f})"
    table.add_row(OURS, f"{said['tokens_per_s']:.0f}", "", "")
    table.add_row(
        f"transformers, batches of {said['plain_batch_size']}", f"{said['plain_tokens_per_s']:.0f}", times,
        f"{said['equal']} of {said['answers']}",
    )  # fmt: skip
    console.print(table)
    console.print(f"{said['ratio']:.2f} times, {said['cpu_ratio']:.2f} in processor time; target {said['target']}")


def main(
    rounds: Annotated[int, typer.Option(help="Alternating rounds.", min=1)] = 3,
    examples: Annotated[int, typer.Option(help="Held-out examples, evenly over the file; 0: all.")] = 0,
) -> None:
    """Print tokens a second of both sides, their ratio, and how many answers are equal."""
    console, predict = Console(), load("predict", Predict)
    use_threads(predict.threads)
    work = work_of(Path("models/base"), Path("data/examples/test.jsonl"), examples)

    def tell(name: str, run: Run) -> None:
        rate = run.tokens / run.seconds
        console.print(f"  {name}: {rate:.0f} tokens/s, {run.seconds:.1f} s, {run.cpu_seconds:.1f} s of processor")

    show(console, compare(work, predict.batch_size, rounds, tell=tell))


if __name__ == "__main__":
    typer.run(main)
