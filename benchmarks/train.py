"""Fine-tuning against the field's trainers, on this CPU: real tokens a second, memory, distance from the limit.

    python -m benchmarks.train                             # all of it: half an hour on two cores
    python -m benchmarks.train --only causal --rounds 1    # or causal, seq2seq, limit; --json for a program

Causal: the default's base model with adapters, as `finetune` trains it, against TRL's SFTTrainer with completion-only
loss on the same token ids, in the same order, fp32, without gradient checkpointing and bf16, which its defaults have
on. Padded, with padding-free batches, packed (its own batches), and grouped by length (its own order; told, no target).
TRL says that batches without padding need flash attention, or examples may see each other; where its loss is compared,
they do not here. `finetune` compiles trainings of more than some minutes by itself (auto); TRL's torch_compile gained
nothing and took three minutes. TRL's processes have torch's own memory settings, but in the lines marked "memory".
Seq2seq: a T5 of FLAN-T5-small's shape with random weights, all of them trained, against Seq2SeqTrainer with its usual
collator. No T5 tokenizer is at hand: ids are the base model's, modulo T5's vocabulary. Luthier draws its batches by
length, so losses are compared with one more run of the trainer, over those batches.
Every side sees the same examples and is a process of its own; all take turns, and ratios are those within a round.
"""

import json
import os
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.train_limit import Distance, distance
from benchmarks.train_peers import Peer, by_seq2seq_trainer, by_trl
from benchmarks.train_sides import T5, WARM_UP, Run, Work, by_luthier, by_luthier_t5, measured
from tasks.data.files import read_rows
from tasks.model.batches import order
from tasks.model.encode import Encoded, contract_of, encode_example
from tasks.model.load import load_tokenizer
from tasks.model.settings import Finetune
from tasks.params import load

TARGETS = {"causal": 1.6, "seq2seq": 1.5, "limit": 0.6}
TOLERANCE = 1e-3  # nats, of each step's loss
TRL: dict[str, tuple[Peer, bool]] = {  # how, and with whose memory settings (Luthier's?)
    "TRL, padded": ("padded", False),
    "TRL, padding-free": ("padding-free", False),
    "TRL, packing": ("packing", False),
    "TRL, grouped by length": ("grouped", False),
    "TRL, padded, memory": ("padded", True),
    "TRL, padding-free, memory": ("padding-free", True),
}
TRAINER: dict[str, tuple[Peer, bool]] = {
    "Seq2SeqTrainer": ("padded", False),
    "Seq2SeqTrainer, grouped by length": ("grouped", False),
    "Seq2SeqTrainer, Luthier's batches": ("sequential", False),
    "Seq2SeqTrainer, memory": ("padded", True),
}
COMPILED = "Luthier, compiled"
BASELINE = {"causal": ("TRL, padded", "TRL, padding-free", "TRL, packing"), "seq2seq": ("Seq2SeqTrainer",)}
COMPARED = {
    "causal": (COMPILED, "TRL, padded", "TRL, padding-free", "TRL, padded, memory", "TRL, padding-free, memory"),
    "seq2seq": ("Seq2SeqTrainer, Luthier's batches",),
}  # those that have the same batches


def encoded(params: Finetune, data: Path, base: Path, kind: Literal["causal", "seq2seq"]) -> list[Encoded]:
    """The default's training examples; for the T5, ids of its vocabulary."""
    tokenizer = load_tokenizer(base)
    contract = contract_of(tokenizer, kind, params.max_prompt_tokens, params.max_new_tokens, params.long_prompts)
    rows = read_rows(data / "train.jsonl")
    examples = [encode_example(tokenizer, row["input"], row["target"], contract) for row in rows]
    if kind == "causal":
        return examples
    size = T5.vocab_size
    return [Encoded([i % size for i in one.prompt], [i % size for i in one.response]) for one in examples]


def drawn(examples: list[Encoded], params: Finetune, steps: int, grouped: bool) -> list[Encoded]:
    """So many steps' examples, in Luthier's order: a random choice, put into batches."""
    size = params.optimizer.batch_size
    chosen = [examples[at] for batch in order([0] * len(examples), size, params.seed, False)[:steps] for at in batch]
    batches = order(list(map(len, chosen)), size, params.seed, grouped)
    return [chosen[at] for batch in batches for at in batch]


def causal_round(console: Console, work: Work, data: Path) -> dict[str, Run]:
    """Every side once."""
    runs = {"Luthier": told(console, "Luthier", measured(by_luthier, work, data))}
    runs[COMPILED] = told(console, COMPILED, measured(by_luthier, work, data, "always"))
    for name, (how, memory) in TRL.items():
        runs[name] = told(console, name, measured(by_trl, work, how, memory=memory))
    return runs


def seq2seq_round(console: Console, work: Work, shuffled: Work) -> dict[str, Run]:
    """Every side once; the trainer draws its batches at random, but for one run."""
    runs = {"Luthier": told(console, "Luthier", measured(by_luthier_t5, work))}
    for name, (how, memory) in TRAINER.items():
        given = work if how == "sequential" else shuffled
        runs[name] = told(console, name, measured(by_seq2seq_trainer, given, how, memory=memory))
    return runs


def told(console: Console, name: str, run: Run) -> Run:
    """Print a run as soon as it is done."""
    console.print(f"  {name}: {run.rate:,.0f} tokens/s, {run.cpu_ms:.2f} CPU ms a token, {run.peak_gb:.2f} GB")
    return run


def difference(ours: Run, theirs: Run) -> float:
    """The largest, of the losses of one step."""
    return max(abs(one - other) for one, other in zip(ours.losses, theirs.losses, strict=True))


def require_equal_losses(kind: str, rounds: list[dict[str, Run]]) -> None:
    """Stop where the same batches gave another loss: then it is not the same work that is timed."""
    for runs in rounds:
        for name in COMPARED[kind]:
            if (far := difference(runs["Luthier"], runs[name])) > TOLERANCE:
                raise SystemExit(f"the losses of Luthier and {name} differ by {far:.1e} nats, over {TOLERANCE}.")


def compared(kind: str, rounds: list[dict[str, Run]]) -> list[dict[str, Any]]:
    """A row for each side."""
    rows = []
    for name in rounds[0]:
        ratios = [runs["Luthier"].rate / runs[name].rate for runs in rounds]
        rows.append({
            "side": name,
            "tokens_per_s": statistics.median(runs[name].rate for runs in rounds),
            "ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios),
            "cpu_ms": statistics.median(runs[name].cpu_ms for runs in rounds),
            "padding": rounds[0][name].padding,
            "peak_gb": max(runs[name].peak_gb for runs in rounds),
            "loss_difference": difference(rounds[0]["Luthier"], rounds[0][name]) if name in COMPARED[kind] else None,
        })  # fmt: skip
    return rows


def show(console: Console, kind: str, rows: list[dict[str, Any]]) -> None:
    """The table of one kind, and what it says about the target."""
    table = Table("", "real tokens/s", "Luthier is", "CPU ms a token", "padding", "peak GB", "loss, largest difference")
    for row in rows:
        times = f"{row['ratio']:.2f} x ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        differs = "its own batches" if row["loss_difference"] is None else f"{row['loss_difference']:.1e}"
        own = row["side"] == "Luthier"
        table.add_row(
            row["side"], f"{row['tokens_per_s']:,.0f}", "" if own else times, f"{row['cpu_ms']:.2f}",
            f"{row['padding']:.0%}",
            f"{row['peak_gb']:.2f}", "" if own else differs,
        )  # fmt: skip
    console.print(table)
    best = baseline(kind, rows)
    compiled = [best["ratio"] / row["ratio"] for row in rows if row["side"] == COMPILED]
    more = "".join(f"; {ratio:.2f} compiled" for ratio in compiled)
    console.print(f"{kind}: {best['ratio']:.2f} times {best['side']}{more}; target {TARGETS[kind]}")


def baseline(kind: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The fastest of the peer's ways that the target names."""
    return max((row for row in rows if row["side"] in BASELINE[kind]), key=lambda row: float(row["tokens_per_s"]))


def show_limit(console: Console, found: Distance) -> None:
    """The distance from the limit, and what takes the rest."""
    console.print(
        f"limit: {found.flops_a_token / 1e9:.3f} GFLOP a token, {found.reached:,.0f} GFLOP/s of them; a square product "
        f"reaches {found.square:,.0f}: {found.share:.0%} (aim {TARGETS['limit']:.0%}). The layers' products alone "
        f"reach {found.own:,.0f}: {found.reached / found.own:.0%} of that."
    )
    for operator, share in found.operators:
        console.print(f"  {share:5.1%}  {operator}")


def main(
    steps: Annotated[int, typer.Option(help=f"Steps of a run; the first {WARM_UP} are not counted.")] = 12,
    rounds: Annotated[int, typer.Option(help="Alternating rounds.")] = 3,
    only: Annotated[Literal["causal", "seq2seq", "limit"] | None, typer.Option(help="One of the three parts.")] = None,
    examples: Annotated[Path, typer.Option(help="Folder of train.jsonl.")] = Path("data/examples"),
    base: Annotated[Path, typer.Option(help="The causal base model.")] = Path("models/base"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone.")] = False,
) -> None:
    """Print real tokens a second of every side, their ratio, and the distance from the limit."""
    if steps <= WARM_UP:
        raise typer.BadParameter(f"--steps has to be over {WARM_UP}, which are not counted.")
    console, said = Console(quiet=as_json), {}
    params, data, base = load("finetune", Finetune), examples.resolve(), base.resolve()
    console.print(f"{os.cpu_count()} cores, {steps} steps of {params.optimizer.batch_size} examples, {rounds} rounds")
    ours = encoded(params, data, base, "causal")
    work = Work(params, base, drawn(ours, params, steps, grouped=False))
    if only in (None, "causal"):
        said["causal"] = report(console, "causal", [causal_round(console, work, data) for _ in range(rounds)])
    if only in (None, "seq2seq"):
        ids = encoded(params, data, base, "seq2seq")
        grouped, shuffled = (Work(params, base, drawn(ids, params, steps, grouped=way)) for way in (True, False))
        said["seq2seq"] = report(console, "seq2seq", [seq2seq_round(console, grouped, shuffled) for _ in range(rounds)])
    if only in (None, "limit"):
        found = measured(distance, work, data)
        show_limit(console, found)
        said["limit"] = asdict(found) | {"share": found.share, "target": TARGETS["limit"]}
    if as_json:
        print(json.dumps(said, indent=2))


def report(console: Console, kind: str, rounds: list[dict[str, Run]]) -> dict[str, Any]:
    """Check, show and return what was measured."""
    require_equal_losses(kind, rounds)
    rows = compared(kind, rounds)
    show(console, kind, rows)
    best = baseline(kind, rows)
    return {"sides": rows, "baseline": best["side"], "ratio": best["ratio"], "target": TARGETS[kind]}


if __name__ == "__main__":
    typer.run(main)
