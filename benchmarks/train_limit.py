"""How far a CPU training is from what this machine could do: operations needed, over the matrix products' own rate.

Floating-point operations that n real tokens need, of which r carry loss, in a model whose weights are frozen under
adapters; where they are trained themselves, each product of a weight is needed once more
(2 for a weight and a token in each direction: arXiv 2001.08361, table 1; 2204.02311, appendix B):

    linear layers   2 n in out forward, and as many backward to the inputs; none for the first layer's query, key and
                    value, whose input is the frozen embedding; none to frozen weights
    adapters        2 n rank (in + out) forward, twice that backward, to inputs and weights
    attention       2 n^2 heads width forward in each layer (both products, causal: half of each), twice that backward
    logits          2 r width vocabulary forward and as many backward, at the tokens that carry loss alone

Padding, recomputing, softmax, norms, rotations, the optimizer: not needed, and what takes time beside the products.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.train_sides import Work, train
from tasks.model.distributed import World
from tasks.model.encode import Encoded
from tasks.model.load import Model, use_threads
from tasks.model.precision import matmul_rate
from tasks.model.prepared import prepared

CPU = torch.device("cpu")
SHOWN = 10  # operators
PROFILED = 3  # steps


@dataclass(frozen=True)
class Distance:
    """Where the time of a training goes."""

    flops_a_token: float
    """Needed."""
    reached: float
    """GFLOP/s of them."""
    square: float
    """GFLOP/s of a square product, measured before and after, the better one."""
    own: float
    """GFLOP/s of the products of this model's layers alone, at the tokens of a step."""
    operators: list[tuple[str, float]]
    """The dearest ones, with their share of the time."""

    @property
    def share(self) -> float:
        """Of the square product's rate."""
        return self.reached / self.square


def layers(model: Model) -> Iterator[tuple[str, int, int, int]]:
    """The linear layers but the output layer: name, width in, width out, rank of the adapter (0: trained itself)."""
    found = {name: module for name, module in model.named_modules() if hasattr(module, "lora_A")}
    plain = {
        name: module for name, module in model.named_modules()
        if type(module) is torch.nn.Linear and module is not model.get_output_embeddings()
    }  # fmt: skip
    for name, module in (found or plain).items():
        outward, inward = (module.base_layer if found else module).weight.shape
        yield name, inward, outward, module.r["default"] if found else 0


def needed(model: Model, examples: Sequence[Encoded]) -> float:
    """Floating-point operations of one training step over `examples`, by the formula above."""
    config = model.config
    width = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    n, r = sum(map(len, examples)), sum(len(example.response) for example in examples)
    first = ("layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj", "layers.0.self_attn.v_proj")
    total = 6 * config.num_hidden_layers * width * sum(len(example) ** 2 for example in examples)
    for name, inward, outward, rank in layers(model):
        to_input = bool(not rank or not name.endswith(first))
        total += 2 * n * inward * outward * (1 + to_input + (not rank))
        total += 2 * n * rank * (inward + outward) * 2 + 2 * n * rank * (outward + inward * to_input)
        adapted = rank > 0
    return float(total + (4 if adapted else 6) * r * config.hidden_size * config.vocab_size)


def own_rate(model: Model, tokens: int, for_s: float = 0.2) -> float:
    """GFLOP/s of the layers' products, forward and to the inputs, one after another, with nothing between them."""
    shapes = [(inward, outward) for _, inward, outward, _ in layers(model)]
    seconds = {}
    for inward, outward in set(shapes):
        x, weight, dy = (torch.randn(*size) for size in ((tokens, inward), (outward, inward), (tokens, outward)))
        best, started = float("inf"), time.perf_counter()
        while time.perf_counter() - started < for_s:
            before = time.perf_counter()
            torch.nn.functional.linear(x, weight)
            dy @ weight
            best = min(best, time.perf_counter() - before)
        seconds[inward, outward] = best
    total = sum(4 * tokens * inward * outward for inward, outward in shapes)
    return total / sum(seconds[shape] for shape in shapes) / 1e9


def distance(work: Work, data: Path) -> Distance:
    """Train, count, and look where the time goes; to be run in a process of its own."""
    use_threads(work.params.threads)
    ready = prepared(work.params, data, work.base, World(0, 1, CPU))
    before = matmul_rate(CPU, torch.float32, for_s=1.0)
    run = train(ready.setup, work.batches)
    after = matmul_rate(CPU, torch.float32, for_s=1.0)
    flops = needed(ready.model, work.examples) / sum(run.tokens)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        train(ready.setup, work.batches[:PROFILED])
    events = sorted(seen.key_averages(), key=lambda event: -event.self_cpu_time_total)
    whole = sum(event.self_cpu_time_total for event in events)
    operators = [(event.key, event.self_cpu_time_total / whole) for event in events[:SHOWN]]
    tokens = round(sum(run.tokens) / len(run.tokens))
    return Distance(flops, flops * run.rate / 1e9, max(before, after), own_rate(ready.model, tokens), operators)
