"""Evidence that nobody measured, for every part of the reviewer's page; a test spoils the part that it is about."""

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.data.files import write_json, write_rows
from tasks.metrics.identity import card
from tasks.report.page import Evidence, verdict_sentence

Row = dict[str, Any]
ODD = (
    "<script>alert('no')</script> & \"quoted\" http://example.org/x",
    "a line\nand another line",
    "naïve café, 東京は晴れ, \u202eright to left",
    "",
)
TEXT = "the council said a new bridge over the river will open next spring after years of delays and higher cost"
WORDS = TEXT.split()
TEXT_METRICS = ["rouge1", "bleu", "unsupported", "facts", "copy_rate", "repetition", "empty", "length_ratio"]
SUITES = ["mmlu_0shot", "mmlu_5shot", "piqa_0shot"]
INPUT = "Summarise in one sentence.\n\nMary Scott left Leeds in 2017 with 3 dogs. "
TOTALS = ("rows_in", "rows_valid", "rows_quarantined")


@dataclass
class Told:
    """A family as the page needs it."""

    base: list[Row]
    tuned: list[Row]
    statistics: dict[str, object]

    def per_example(self, key: str) -> list[tuple[float, float]]:
        """Losses and gains, from the number in the id."""
        return [(50.0, 50.0 + (-1) ** place * (place % 45)) for place in range(len(self.base))]


def compared(base: float, tuned: float, verdict: str, reach: float = 5.0, n: int = 60, **more: Any) -> Row:
    """One row of metrics.json; intervals reach so far to each side."""
    points = {"base": base, "tuned": tuned, "difference": tuned - base}
    row: Row = {"n": n, "groups": n, "verdict": verdict, "test": "bootstrap", "p": 0.01, "p_holm": 0.04}
    row |= {"detectable": reach, "equivalent_within": abs(tuned - base) + reach, "groups_needed": None}
    for name, value in points.items():
        row |= {name: value, f"{name}_low": value - reach, f"{name}_high": value + reach}
    if verdict == "cannot tell":
        row["groups_needed"] = 3969
    return row | more


def results(verdict: str | None = None) -> dict[str, dict[str, Row]]:
    """A table of all kinds of comparisons; `verdict`: of all that are judged."""
    own = {
        "rouge1": compared(20.0, 44.0, "better", noise=0.1),
        "bleu": compared(3.0, 12.0, "better"),
        "unsupported": compared(30.0, 12.0, "better", targets=40.0),
        "facts": compared(4.0, 2.0, "not judged", 0.4, targets=2.4, p=None, p_holm=None, test=None),
        "copy_rate": compared(3.0, 2.0, "not judged", targets=2.0, p=None, p_holm=None, test=None),
        "repetition": compared(0.0, 0.0, "equivalent", 0.5),
        "empty": compared(0.0, 0.0, "equivalent", 0.5),
        "length_ratio": compared(2.0, 1.1, "not judged", 0.1, p=None, p_holm=None, test=None),
    }
    parts = ("summarise", "summarise_held_out_wording", "summarise_seen_wording")
    table = {name: dict(own) for name in parts}
    for suite in SUITES:
        table[suite] = {
            "accuracy": compared(60.0, 59.0, "cannot tell", chance=25.0),
            "ece": compared(10.0, 12.0, "cannot tell"),
            "brier": compared(0.6, 0.61, "cannot tell", 0.1),
        }
    table["crows_pairs_0shot"] = {
        "stereotyped": compared(60.0, 62.0, "not judged", p=None, p_holm=None, test=None),
        "off_balance": compared(10.0, 12.0, "cannot tell"),
    }
    table["outputs_harm"] = {"toxic": compared(0.0, 0.0, "equivalent", 0.5, targets=1.0)}
    table["outputs_bias"] = {"gender_mentions": compared(12.0, 9.0, "cannot tell", targets=8.0)}
    if verdict:
        for rows in table.values():
            for key, row in rows.items():
                rows[key] = row | ({"verdict": verdict} if row["verdict"] != "not judged" else {})
    return table


def budget(*verdicts: str) -> Row:
    """The part `forgetting` with one suite a verdict."""
    said = {"kept": (-1.0, -4.0, 2.0), "forgotten": (-25.0, -32.0, -18.0), "cannot tell": (-6.0, -16.0, 4.0)}
    suites = []
    for suite, verdict in zip(SUITES, verdicts, strict=False):
        difference, low, high = said[verdict]
        row = {"suite": suite, "n": 60, "groups": 60, "base": 60.0, "tuned": 60.0 + difference, "verdict": verdict}
        row |= {"difference": difference, "low": low, "high": high, "margin": 10.0}
        suites.append(row | {"groups_needed": 196 if verdict == "cannot tell" else None})
    return {"margin": 10.0, "verdict": verdicts[0] if verdicts else "cannot tell", "suites": suites}


def wordings(*names: str) -> list[Row]:
    """Wordings of the one family, worst first."""
    return [
        {
            "family": "summarise",
            "metric": "rouge1",
            "template": name,
            "wording": "held_out" if place % 3 == 0 else "seen",
        }
        | compared(20.0, 40.0 + place, "better", n=8)
        for place, name in enumerate(names)
    ]


def more() -> Row:
    """What stands behind the scores."""
    change = compared(40.0, 38.0, "cannot tell", n=16)
    bins = [{"confidence": 0.35, "accuracy": 0.2, "n": 20}, {"confidence": 0.62, "accuracy": 0.7, "n": 40}]
    subjects = [
        {"suite": "mmlu_0shot", "by": by, "name": f"{by}_{number}", "n": 5, "base": 60.0, "tuned": 20.0 * (number % 6)}
        for by, count in (("discipline", 4), ("subject", 57))
        for number in range(count)
    ]
    model = {"seconds": 63.2, "peak_mb": 2500, "answers": 60, "choices": 180}
    model |= {"prompt_tokens": 40000, "output_tokens": 7000}
    return {
        "forgetting": budget("kept", "kept", "kept"),
        "wordings": wordings("lead", "tldr", "gist", "short"),
        "phrasing": [{"family": "summarise", "metric": "rouge1"} | compared(1.0, -1.0, "cannot tell")],
        "subjects": subjects,
        "perturbed": [
            {"kind": kind, "view": view, "n": 16, "base": change, "tuned": change, "changed": {"base": 30.0, "tuned": 12.5}}
            for kind, view in (("typos", "robustness"), ("dialect", "fairness"), ("new_kind", "fairness"))
        ],
        "mentions": {who: {"female": 10, "male": 30} for who in ("base", "tuned", "targets")},
        "toxic": {"base": [], "tuned": [{"id": "summarise/004", "output": ODD[0], "probability": 81.0}]},
        "calibration": {suite: {"base": bins, "tuned": bins} for suite in SUITES},
        "noise": [{"model": "base", "repeat": "again", "n": 12, "changed": 0}],
        "what": {"toxic": "Words, not meaning.", "changed": "Answers that are others."},
        "efficiency": {"base": model, "tuned": model},
    }  # fmt: skip


def family(examples: int) -> Told:
    """Outputs with an invention each; some are odd."""
    rng = random.Random(7)
    base, tuned = [], []
    for number in range(examples):
        row = {
            "id": f"summarise/{number:03d}", "family": "summarise", "template": "lead", "group": f"g{number}",
            "wording": "held_out" if number % 3 == 0 else "seen", "finished": number % 10 > 0,
            "input": INPUT + " ".join(rng.choices(WORDS, k=400)), "target": "Mary Scott left Leeds in May.",
        }  # fmt: skip
        base.append(row | {"output": ODD[number % 4] if number < 4 else " ".join(rng.choices(WORDS, k=60))})
        tuned.append(row | {"output": f"Scott left Paris with 3 dogs {' '.join(rng.choices(WORDS, k=50))}."})
    return Told(base, tuned, dict.fromkeys(TEXT_METRICS))


def cards(table: dict[str, dict[str, Row]]) -> Row:
    """What the numbers are."""
    suite = {
        "suite": "mmlu", "title": "MMLU", "shots": 0, "asked": 60, "available": 2850, "left_out": 2, "version": 1,
        "published": {"test": 14042, "dev": 285}, "licence": "MIT", "origin": "somewhere", "prompt_of": "lm-eval 1.0",
        "paper": "Hendrycks et al. 2021", "url": "wheel:somewhere", "sha256": "b3" * 32,
    }  # fmt: skip
    intervals = {"method": "paired bootstrap", "seed": 17, "resamples": 1000, "confidence": 0.95, "least_groups": 6}
    return {
        "primary": "summarise.rouge1",
        "sentence": verdict_sentence("summarise", "ROUGE-1", table["summarise"]["rouge1"], 0.95),
        "intervals": intervals | {"margin": 1.0},
        "metrics": {key: card(key) for rows in table.values() for key in rows},
        "sha256": {"test": "54" * 32},
        "weights_sha256": {"base": "90" * 32, "tuned": "91" * 32},
        "decoding": {"decoding": "greedy", "device": "cpu", "max_new_tokens": {"summarise": 56}, "suites": [suite]},
    }


def validation() -> Row:
    """Counts of the rows that were read."""
    broken = {"expect_column_value_lengths_to_be_between document": 30, "unreadable": 8}
    sources = {
        "xsum": {"rows_in": 1000, "rows_valid": 962, "rows_quarantined": 38, "by_rule": broken},
        "mts_dialog": {"rows_in": 100, "rows_valid": 100, "rows_quarantined": 0, "by_rule": {}},
    }
    return {**{key: sum(own[key] for own in sources.values()) for key in TOTALS}, "sources": sources}


def certificate(leaks: int = 0) -> Row:
    """The leak certificate."""
    found = {"exact": leaks, "normalised": 0, "input": 0, "inverse": 0, "near": 0}
    thresholds = {"run_of_words": 13, "near_duplicate": 0.5}
    return {
        "clean": not leaks,
        "leaks": leaks,
        "accepted": 0,
        "thresholds": thresholds,
        "between": {"train/test": found},
    }


def evidence(
    table: dict[str, dict[str, Row]] | None = None, examples: int = 60, leaks: int = 0, log: list[Row] | None = None,
    **others: Any,
) -> Evidence:  # fmt: skip
    """A model that tuning helped and that lost nothing; `others` are parts of `more`."""
    table = table or results()
    if log is None:
        log = [{"step": step, "loss": 3.0 - step / 100} for step in range(5, 121, 5)]
        log += [{"step": step, "dev_loss": 3.1 - step / 200} for step in (0, 60, 120)]
    families = {"summarise": family(examples)}
    return Evidence(table, cards(table), families, log, validation(), certificate(leaks), more() | others)


def write_reports(root: Path) -> None:
    """The files that the terminal's summary reads."""
    told = evidence()
    write_json(root / "reports/metrics.json", told.results)
    write_json(root / "reports/cards.json", told.cards)
    write_json(root / "reports/validation.json", told.validation)
    steps = [("fetch", 10.0, 3.1), ("finetune", 20.0, 75.0), ("fetch", 30.0, 2.0), ("finetune", 40.0, 263.4)]
    rows = [{"step": step, "started": at, "seconds": took, "peak_mb": 2100, "exit": 0} for step, at, took in steps]
    write_rows(root / ".luthier/steps.jsonl", rows)
