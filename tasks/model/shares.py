"""The shards of both models: which are there already, which are whose, and how files are put together from them."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tasks.data.files import Row
from tasks.data.shards import Shards, key_of, part_of
from tasks.model.load import device
from tasks.model.peak import peak_bytes, reset_peak
from tasks.model.work import FILES, Shard, cost_of
from tasks.progress import Progress

MODELS = ("base", "tuned")
COUNTED = ("answers", "choices", "prompt_tokens", "output_tokens")  # of a shard's costs
Ask = Callable[[Shard, Callable[[float], None]], list[Row]]  # answers a shard, saying how far it is
Keyed = dict[str, Shard]  # shards of one model by their keys, in the order of its files


def keyed(shards: Sequence[Shard], decides: Row) -> dict[str, Keyed]:
    """The shards of both models, by all that decides their bytes."""
    digests = [(shard, key_of(shard.decides())) for shard in shards]
    return {
        name: {key_of([name, decides, place, own]): shard for place, (shard, own) in enumerate(digests)}
        for name in MODELS
    }


def share(work: Mapping[str, Keyed], part: str) -> dict[str, Keyed]:
    """What a part such as 2/4 makes: every fourth shard from the second."""
    number, count = part_of(part)
    places = {key: place for place, key in enumerate(key for own in work.values() for key in own)}
    return {
        name: {key: shard for key, shard in own.items() if places[key] % count == number - 1}
        for name, own in work.items()
    }


def make(work: Mapping[str, Keyed], store: Shards, ask: Callable[[str], Ask], part: str) -> None:
    """Answer the shards that are not there yet.

    Args:
        work: what has to be there in the end.
        store: where.
        ask: loads a model; what it returns lets it answer a shard.
        part: which part this is, for the lines that it prints; empty: the whole.
    """
    lacking = {name: {key: one for key, one in own.items() if not store.has(key)} for name, own in work.items()}
    total, left = (sum(one.counts for own in some.values() for one in own.values()) for some in (work, lacking))
    shards, there = (sum(map(len, some.values())) for some in (work, lacking))
    name_of = f"predict {part}".strip()
    if there < shards:
        print(f"{name_of}  {shards - there} of {shards} shards were there", flush=True)
    # Parts of one run work in one folder, which has room for one file of progress.
    progress = Progress(name_of, total, "answers", begun=total - left, aside=bool(part))
    for name, own in lacking.items():
        if own:
            reset_peak(device())
            answers = ask(name)
        for key, shard in own.items():
            start = time.monotonic()
            rows = answers(shard, partial(progress.advance, note=shard.note))
            store.put(key, cost_of(shard, rows, time.monotonic() - start, peak_bytes(device())), rows)


def put_together(own: Keyed, store: Shards, folder: Path) -> Row:
    """Write one model's files out of its shards; what they took, whoever made them, without loading the model."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.jsonl").open("wb")) for name in FILES}
        for key, shard in own.items():
            files[shard.file].write(store.lines(key))
    costs = [store.cost(key) for key in own]
    counted = {name: sum(cost[name] for cost in costs) for name in COUNTED}
    seconds, peak = sum(cost["seconds"] for cost in costs), max((cost["peak_bytes"] for cost in costs), default=0)
    return {"seconds": round(seconds, 1), "peak_mb": peak >> 20, **counted}
