"""How records became examples, as Markdown for the data card: splits, instructions, wordings, and what leaks."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from tasks.report.markdown import bullets, number, plain, table

Files = Mapping[str, Any]
Row = Mapping[str, Any]
LEAKS = ("exact", "normalised", "input", "inverse", "near")


def instructions(files: Files) -> list[str]:
    """How records were split and what was made of them."""
    expand = (files.get("params") or {}).get("expand") or {}
    mixture = files.get("mixture") or {}
    rows = [
        [plain(part["family"]), plain(part["source"]), number(part.get("wordings"), ",d")]
        + [number(part["examples"].get(split), ",d") for split in ("train", "dev", "test")]
        + [number(part["records"].get("too_long"), ",d"), "yes" if part.get("replay") else "no"]
        for part in mixture.get("parts") or []
    ]
    shares = ", ".join(f"{plain(split)} {number(share, 'g')}" for split, share in (expand.get("split") or {}).items())
    groups = {
        name: own.get("group") or f"the text of {own.get('text')}"
        for name, own in (expand.get("sources") or {}).items()
    }
    told = [
        f"Shares of the groups: {shares or 'unknown'} (seed {number(expand.get('seed'), 'd')}); "
        f"{number(expand.get('held_out_wordings'), 'd')} wordings of each family are never trained on; "
        f"{number(mixture.get('replay_share'), '.1%')} of the training examples are replayed general data.", "",
        *bullets(f"{plain(name)}: rows stay together by {plain(group)}" for name, group in groups.items()),
        *_wordings((files.get("evaluation") or {}).get("wordings") or []),
    ]  # fmt: skip
    columns = ["instruction", "source", "wordings a record", "train", "dev", "test", "records too long", "replayed"]
    return [*table(columns, rows, range(2, 7)), *told] if rows else []


def _wordings(rows: list[Row]) -> list[str]:
    """How many wordings of each family the test asks by, of those seen in training and of those held out."""
    counts = Counter((row["family"], row["wording"]) for row in rows)
    told = [
        f"{plain(family)} {counts[family, 'seen']} seen and {counts[family, 'held_out']} held out"
        for family in dict.fromkeys(row["family"] for row in rows)
    ]
    return [f"Wordings that the test asks by: {'; '.join(told)}.", ""] if told else []


def certificate(leaks: Row) -> list[str]:
    """What was found between the splits and the benchmarks."""
    if not leaks:
        return []
    bounds = leaks.get("thresholds") or {}
    rows = [
        [plain(pair), *(number(found.get(kind), ",d") for kind in LEAKS)] for pair, found in leaks["between"].items()
    ]
    return [
        f"{'Clean' if leaks.get('clean') else 'Not clean'}: {number(leaks.get('leaks'), ',d')} leaks, "
        f"{number(leaks.get('accepted'), ',d')} accepted by params.yaml. Near: a share of at least "
        f"{number(bounds.get('near_duplicate'), 'g')} of a text's runs of {number(bounds.get('run_of_words'), 'd')} "
        "words stands in the other.", "",
        *table(["between", *LEAKS], rows, range(1, 6)),
    ]  # fmt: skip
