"""3 expand: valid records x prompt templates -> train / dev / test examples, and a leak certificate.

Input: data/valid, data/benchmarks, the template library, section `expand` of params.yaml. Output: one JSON-lines file
a split in data/examples, reports/leaks.json and reports/mixture.json. Records are split by group *before* anything is
rendered, so no wording of a test record can be trained on; the last wordings of every family are never trained on
either. Memory does not grow with the number of examples.

    python -m tasks.expand data/valid data/benchmarks data/examples reports/leaks.json reports/mixture.json
"""

from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from tasks.data.files import Row, remove, staged, write_json
from tasks.data.leaks.overlap import certify
from tasks.data.splits import SPLITS
from tasks.data.suites.questions import read_benchmarks, told
from tasks.errors import DataError, LeakError
from tasks.memory import keep_memory
from tasks.params import load
from tasks.prompts.declared import Expand
from tasks.prompts.mixing import choose, described
from tasks.prompts.parts import Part, examples_of, texts_of
from tasks.step import run


def require_examples(parts: list[Part]) -> None:
    """Refuse a mixture that leaves a split empty."""
    if empty := [split for split in SPLITS if not sum(part.examples(split) for part in parts)]:
        raise DataError(f"no example in {', '.join(empty)}: give expand.split or expand.mixture more records there.")


def certified(parts: list[Part], benchmarks: Path, certificate: Path, params: Expand) -> Row:
    """The leak certificate of the chosen records.

    Raises:
        LeakError: there are more leaks than params accept; the refused certificate lies beside the good one's place.
    """
    found = certify(
        lambda: chain.from_iterable(map(texts_of, parts)),
        {name: [told(one) for one in found.questions] for name, found in read_benchmarks(benchmarks).items()},
        params.near_duplicate,
        params.accepted_leaks,
    )
    refused = certificate.with_name("leaks.refused.json")
    remove(refused)
    if not found["clean"]:
        write_json(refused, found)
        first = next(pair for between in found["between"].values() for pair in between["pairs"])
        raise LeakError(
            f"{found['leaks']} leaks between splits or benchmarks, {params.accepted_leaks} accepted; the pairs are in "
            f"{refused}. The first: {first['left']} and {first['right']} ({first['kind']}). Group such records by a "
            f"shared column, remove them, or accept them with expand.accepted_leaks: {found['leaks']}."
        )
    return found


def write_examples(parts: list[Part], folder: Path, params: Expand) -> None:
    """Render every part of the mixture into one file a split."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        files = {split: stack.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS}
        for part in parts:
            for split, lines in examples_of(part, params.seed, params.held_out_wordings):
                files[split].write(lines)


def main(valid: Path, benchmarks: Path, instructions: Path, certificate: Path, mixture: Path) -> None:
    """Split by group, certify that nothing leaks, and render the instruction sets."""
    keep_memory()
    params = load("expand", Expand)
    parts = choose(valid, params)
    for part in parts:
        print(f"{part.mix.family:<18} " + "   ".join(f"{key} {value:>5,}" for key, value in part.counts.items()))
    require_examples(parts)
    found = certified(parts, benchmarks, certificate, params)
    with staged(instructions) as folder:
        write_examples(parts, folder, params)
    write_json(certificate, found)
    write_json(mixture, described(parts))


if __name__ == "__main__":
    run(main)
