"""Predictions and reports that nobody made, in the files that evaluate reads, for every part of the page."""

import json
import random
from pathlib import Path

from tasks.data.files import write_json, write_rows

METRICS = {
    "summarise": ["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "unsupported", "empty", "length_ratio"],
    "section": ["exact_match"],
}
PARAMS = {
    "seed": 17,
    "resamples": 400,
    "confidence": 0.95,
    "primary": "summarise.rouge1",
    "margin": 1.0,
    "may_forget": 10.0,
    "seed_spread": {},
    "metrics": METRICS,
}
RULE = {
    "about_rows": True, "columns": ["document"], "detail": "", "expects": {"min_value": 150, "mostly": 0.95},
    "observed": "30 rows break it", "passed": True, "rows_breaking": 30, "severity": "critical",
    "rule": "expect_column_value_lengths_to_be_between document",
}  # fmt: skip
TOTALS = ("rows_in", "rows_valid", "rows_quarantined")
TEXT = (
    "the council said a new bridge over river Tay will open next spring after two years of delays police are "
    "looking for witnesses of an accident on the coast road and hospital staff have been offered higher pay"
)
WORDS = TEXT.split()
ODD = (
    "<script>alert('no')</script> & \"quoted\" http://example.org/x",
    "a line\nand another line\n\nand a third",
    "naïve café, 東京は晴れ, \u202eright to left",
    "",
)


def _text(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words)).capitalize() + "."


def _near(rng: random.Random, target: str, kept: float) -> str:
    return " ".join(word if rng.random() < kept else rng.choice(WORDS) for word in target.split())


def generations(kept: float, examples: int = 24) -> list[dict[str, object]]:
    """Rows of generations.jsonl by a model that keeps this share of the target's words (0 to 1)."""
    told, wrote = random.Random(1), random.Random(int(kept * 1000))
    rows = []
    for number in range(examples):
        target = _text(told, told.randint(12, 24))
        output = ODD[number // 5 % 4] if number % 5 == 4 and kept < 0.5 else _near(wrote, target, kept)
        rows.append(("summarise", f"article-{number}", _text(told, 120), target, output))
    for number in range(examples // 2):
        target = told.choice(["GENHX", "MEDICATIONS", "FAM/SOCHX"])
        output = target if wrote.random() < kept else "GENHX: the patient"
        rows.append(("section", f"dialogue-{number // 2}", _text(told, 60), target, output))
    return [
        {
            "id": f"{family}/{number:03d}",
            "family": family,
            "template": f"{family}-{number % 3}",
            "wording": "held_out" if family == "summarise" and number % 3 == 2 else "seen",
            "group": group,
            "input": f"Summarise in one sentence:\n\n{text}",
            "target": target,
            "output": output,
            "output_tokens": len(output.split()),
            "prompt_tokens": 100,
            "finished": True,
        }
        for number, (family, group, text, target, output) in enumerate(rows)
    ]


def choices(right: float, questions: int = 40) -> list[dict[str, object]]:
    """Rows of choices.jsonl by a model that is right this often."""
    asked, guess = random.Random(2), random.Random(int(right * 1000))
    rows = []
    for suite, shots, n in (("mmlu", 0, 4), ("mmlu", 5, 4), ("piqa", 0, 2)):
        for number in range(questions):
            answer = asked.randrange(n)
            scores = [-guess.random() - 1.0 for _ in range(n)]
            scores[answer if guess.random() < right else guess.randrange(n)] = -0.5
            row = {"suite": suite, "measure": "accuracy", "shots": shots, "id": f"q{number}", "group": f"q{number}"}
            row |= {
                "subject": "anatomy" if number % 2 else "law",
                "discipline": "",
                "n_choices": n,
                "roles": {},
                "cut": False,
            }
            rows.append({**row, "answer": answer, "predicted": scores.index(max(scores)), "scores": scores})
    return rows


def how(weights: str = "f" * 64, contract: str = "c" * 64) -> dict[str, object]:
    """What predictions/how.json says."""
    return {
        "weights_sha256": {"base": "b" * 64, "tuned": weights}, "contract_sha256": contract, "decoding": "greedy",
        "max_new_tokens": {"summarise": 56}, "batch_size": 32, "dtype": "float32", "device": "cpu", "threads": 2, "suites": [],
    }  # fmt: skip


def write_run(root: Path, base: float = 0.3, tuned: float = 0.5, examples: int = 24) -> list[str]:
    """Write a run's files under `root`; return evaluate's arguments, relative to it."""
    for model, skill in (("base", base), ("tuned", tuned)):
        write_rows(root / f"predictions/{model}/generations.jsonl", generations(skill, examples))
        write_rows(root / f"predictions/{model}/choices.jsonl", choices(skill / 4))
        write_rows(root / f"predictions/{model}/repeated_choices.jsonl", choices(skill / 4)[:10])
        own = generations(skill, examples)
        write_rows(root / f"predictions/{model}/repeated.jsonl", [row | {"repeat": "again"} for row in own[:6]])
        changed = [row | {"output": str(row["output"]).lower(), "perturbation": "lower_case"} for row in own[:12]]
        write_rows(root / f"predictions/{model}/perturbed.jsonl", changed)
    write_json(root / "predictions/how.json", how())
    cost = {
        "seconds": 60.0,
        "peak_mb": 2000,
        "answers": 54,
        "choices": 120,
        "prompt_tokens": 5400,
        "output_tokens": 900,
    }
    write_json(root / "reports/efficiency.json", {"base": cost, "tuned": cost})
    write_rows(root / "data/examples/test.jsonl", generations(base, examples))
    write_json(root / "models/tuned/prompt_contract.json", {"template": "chat"})
    log = [
        {"step": step, "steps": 120, "loss": 2 + 1.4 / (1 + step / 12) + step % 3 / 5, "learning_rate": 1e-4}
        | ({"dev_loss": 2.2 + 1.1 / (1 + step / 15)} if step % 30 == 0 else {})
        for step in range(5, 121, 5)
    ]
    write_rows(root / "reports/training.jsonl", log)
    sources = {
        "xsum": {
            "rows_in": 1000,
            "rows_valid": 962,
            "rows_quarantined": 38,
            "by_rule": {"expect_column_value_lengths_to_be_between document": 30, "unreadable": 8},
            "rules": [RULE],
        },
        "mts_dialog": {"rows_in": 100, "rows_valid": 100, "rows_quarantined": 0, "by_rule": {}, "rules": []},
    }
    totals = {key: sum(source[key] for source in sources.values()) for key in TOTALS}
    write_json(root / "reports/validation.json", {**totals, "by_rule": {"unreadable": 8}, "sources": sources})
    nothing = {"pairs": [], "exact": 0, "normalised": 0, "input": 0, "inverse": 0, "near": 0}
    leaks = {
        "clean": True,
        "leaks": 0,
        "accepted": 0,
        "thresholds": {"run_of_words": 13, "near_duplicate": 0.5},
        "records": {"train": 500, "dev": 36, "test": 180},
        "between": {"train/test": nothing, "train/mmlu": nothing},
    }
    write_json(root / "reports/leaks.json", leaks)
    (root / "params.yaml").write_text(json.dumps({"evaluate": PARAMS}))  # JSON is YAML
    return [
        "predictions", "data/examples/test.jsonl", "models/tuned/prompt_contract.json",
        "reports/training.jsonl", "reports/validation.json", "reports/leaks.json", "reports/efficiency.json",
        "reports/metrics.json", "reports/scores.json", "reports/evaluation.json", "reports/cards.json",
        "reports/report.html", "reports/plots",
    ]  # fmt: skip
