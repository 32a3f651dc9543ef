"""Which records each part of the mixture gives: splits, lengths, caps, then weights and the share of replay.

Training on a part of general instructions beside one's own (replay) is what keeps a model from forgetting the general;
its share is of the training examples, as it is in the literature (Scialom et al. 2022, arXiv 2205.12393).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from tasks.data.blocks import first_row
from tasks.data.files import Row
from tasks.data.keys import mixed
from tasks.data.mixture import first, place, weighed
from tasks.data.splits import SPLITS
from tasks.errors import ParamsError
from tasks.prompts.declared import Expand, Mix, check, require_columns
from tasks.prompts.parts import Part, Survey, eligible, survey
from tasks.prompts.templates import Family, load_family

TRAIN = SPLITS.index("train")


def choose(valid: Path, params: Expand) -> list[Part]:
    """The parts of the mixture with their chosen records.

    Raises:
        ParamsError: a part does not fit its family or source, or the shares cannot be met.
    """
    families = {mix.family: load_family(mix.family) for mix in params.mixture}
    sources = dict.fromkeys(mix.source for mix in params.mixture)
    surveys = {source: look(valid, source, families, params) for source in sources}
    capped = [_capped(valid, mix, families[mix.family], surveys[mix.source], params) for mix in params.mixture]
    return _balanced(capped, params)


def look(valid: Path, source: str, families: Mapping[str, Family], params: Expand) -> Survey:
    """Survey one source of the mixture, having checked that what the params say of it can be."""
    mixes = [(mix, families[mix.family]) for mix in params.mixture if mix.source == source]
    for mix, family in mixes:
        check(mix, family, params.held_out_wordings, params.mixture)
    known = sorted(file.stem for file in valid.glob("*.jsonl"))
    if known and source not in known:
        raise ParamsError(
            f"params.yaml: expand.mixture names source '{source}', which is not there; known: {', '.join(known)}."
        )
    if source not in params.sources:
        raise ParamsError(f"params.yaml: expand.sources has no entry for source '{source}'.")
    grouping, path = params.sources[source], valid / f"{source}.jsonl"
    targets = {mix.fields[family.target] for mix, family in mixes}
    counted = {name for mix, family in mixes for name in _limited(mix, family)}
    if there := first_row(path):
        needed = grouping.columns | {name for mix, _ in mixes for name in mix.fields.values()}
        require_columns(source, needed, [name for name in there if not name.startswith("_")])
    return survey(path, sorted(grouping.columns), sorted(counted), sorted(targets))


def _limited(mix: Mix, family: Family) -> set[str]:
    """The columns whose words have a limit."""
    target = mix.fields[family.target]
    given = {name for field, name in mix.fields.items() if field != family.target}
    return (given if mix.max_words.input is not None else set()) | (
        {target} if mix.max_words.target is not None else set()
    )


def _capped(valid: Path, mix: Mix, family: Family, found: Survey, params: Expand) -> Part:
    """One part with as many records of each split as it may take."""
    grouping = params.sources[mix.source]
    groups = found.keys[grouping.group] if grouping.group else None
    keys = found.keys[grouping.text]
    places = place(keys, groups, params.split, params.seed, grouping.given_split)
    wanted, left_out = eligible(found, mix, family, places)
    ranks = mixed(keys, params.seed, "take", mix.family)
    chosen = np.zeros(len(wanted), np.bool_)
    for code, split in enumerate(SPLITS):
        chosen |= first(ranks, wanted & (places.split == code), getattr(mix.take, split))
    counts = {split: int((chosen & (places.split == code)).sum()) for code, split in enumerate(SPLITS)}
    counts |= left_out | {"not_needed": int(wanted.sum() - chosen.sum())}
    return Part(mix, family, valid / f"{mix.source}.jsonl", places, keys, chosen, counts)


def _balanced(parts: list[Part], params: Expand) -> list[Part]:
    """Leave out training records until weights and the share of replay hold."""
    own, replay = [part for part in parts if not part.mix.replay], [part for part in parts if part.mix.replay]
    if bool(replay) != bool(params.replay_share) or not own:
        raise ParamsError(
            "params.yaml: expand.replay_share is the share of the parts with replay: true; give both or neither, and "
            f"leave one part without (now: share {params.replay_share}, {len(replay)} of {len(parts)} parts)."
        )
    numbers = _weighed(own, None)
    asked = round(params.replay_share / (1 - params.replay_share) * sum(numbers.values()))
    numbers |= _weighed(replay, asked) if replay else {}
    return [_reduced(part, numbers[part.mix.family, part.mix.source], params.seed) for part in parts]


def _weighed(parts: list[Part], total: int | None) -> dict[tuple[str, str], int]:
    """Training records of each part."""
    available = [part.examples("train") for part in parts]
    examples = weighed(available, [part.mix.weight for part in parts], total)
    return {
        (part.mix.family, part.mix.source): count // part.mix.wordings
        for part, count in zip(parts, examples, strict=True)
    }


def _reduced(part: Part, records: int, seed: int) -> Part:
    """The part with its first `records` training records."""
    train = part.chosen & (part.places.split == TRAIN)
    kept = first(mixed(part.keys, seed, "take", part.mix.family), train, records)
    left_out = int(train.sum() - kept.sum())
    counts = part.counts | {"train": int(kept.sum()), "not_needed": part.counts["not_needed"] + left_out}
    return replace(part, chosen=np.where(train, kept, part.chosen), counts=counts)


def described(parts: list[Part]) -> Row:
    """The mixture as it came out, for reports/mixture.json."""
    total: Callable[[str], int] = lambda split: sum(part.examples(split) for part in parts)  # noqa: E731
    replayed = sum(part.examples("train") for part in parts if part.mix.replay)
    return {
        "examples": {split: total(split) for split in SPLITS},
        "replay_share": round(replayed / total("train"), 4) if total("train") else 0.0,
        "parts": [part.described() for part in parts],
    }
