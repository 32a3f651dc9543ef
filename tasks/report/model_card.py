"""The model card, written from what the stages wrote and nothing else.

    model_card(files, facts, example)    # files: metrics, cards, evaluation, ... as `tasks/cards.py` reads them

Sections are those that the field knows from Mitchell et al. 2019 and model hubs: details, uses and limits, how to ask
it, training data and procedure, evaluation, bias and harm, cost, provenance, licences. A number that is not in the
evidence is "unknown"; no sentence is true of every model. No clock: the same evidence gives the same card.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from tasks.report.comparisons import headline, ordered, scores
from tasks.report.evaluated import calibration, forgetting, harm, noise, perturbed, phrasing
from tasks.report.licences import licence, licences
from tasks.report.limits import limits
from tasks.report.markdown import bullets, code, number, plain, table, visible
from tasks.report.page import trained

Files = Mapping[str, Any]
Section = tuple[str, list[str]]
EXAMPLE_CHARACTERS = 80
COMMIT = re.compile(r"[0-9a-f]{40}")
UNKNOWN_RESULT = "It is unknown whether tuning helped."
LONGER = {"cut": "longer ones lose their middle", "refuse": "longer ones are refused"}


def model_card(files: Files, facts: Mapping[str, str], example: Mapping[str, str]) -> str:
    """The card as Markdown.

    Args:
        files: what the stages wrote, by name (`tasks.cards.READ`); any may be missing.
        facts: the version's tags: digests, git commit, Airflow run.
        example: a record of the first family, for "how to ask it"; not shown where the data are private.
    """
    sentence = headline(*_measured(files)[:2])
    lines = ["# Model card", "", f"**{plain(sentence)}**" if sentence else UNKNOWN_RESULT, ""]
    for heading, body in sections(files, facts, example):
        lines += [f"## {heading}", "", *(body or ["unknown", ""])]
    return "\n".join(lines).rstrip() + "\n"


def sections(files: Files, facts: Mapping[str, str], example: Mapping[str, str]) -> list[Section]:
    """Every section but the headline, in order: (heading, lines)."""
    return [
        ("Model details", details(files, facts)),
        ("Intended use", use(files)),
        ("Limits", bullets(plain(sentence) for sentence in limits(files))),
        ("How to ask it", ask(files, example)),
        ("Training data", data(files)),
        ("Training procedure", procedure(files)),
        ("Evaluation", evaluation(files)),
        ("Bias and harm, as measured", harm(*_measured(files))),
        ("Cost", cost(files)),
        ("Provenance", provenance(facts)),
        ("Licences", licences(files)),
    ]


def _measured(files: Files) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Comparisons, metric cards and what stands behind them; empty where there are none."""
    return files.get("metrics") or {}, files.get("cards") or {}, files.get("evaluation") or {}


def details(files: Files, facts: Mapping[str, str]) -> list[str]:
    """What it is."""
    base, params = files.get("base") or {}, files.get("params") or {}
    cards = files.get("cards") or {}
    tuning = params.get("finetune") or {}
    lora = tuning.get("lora") or {}
    how = f" (rank {number(lora.get('rank'), 'g')}, alpha {number(lora.get('alpha'), 'g')})" if lora else ""
    made: Mapping[str, Any] = cards["decoding"] if isinstance(cards.get("decoding"), Mapping) else {}
    rows = [
        ["base model", code(base.get("name", "unknown"))],
        ["its revision", code(base["revision"]) if base.get("revision") else "pinned by sha256" if base else "unknown"],
        ["its licence", licence(((files.get("raw") or {}).get("licences") or {}).get("model"), "model")],
        ["its weights (sha256)", code(base.get("weights_sha256", "unknown"))],
        ["tuned by", plain(f"{tuning.get('method', 'unknown')}{how if tuning.get('method') != 'full' else ''}")],
        ["tuned weights (sha256)", code(facts.get("luthier.weights.tuned", "unknown"))],
        ["prompt contract (sha256)", code(made.get("contract_sha256", "unknown"))],
        ["languages of the data", plain(", ".join(languages(params)) or "unknown")],
    ]
    return table(["what", "value"], rows)


def languages(params: Mapping[str, Any]) -> list[str]:
    """Those that a critical rule of validation keeps the data to."""
    sources = ((params.get("validate") or {}).get("sources") or {}).values()
    rules = [rule for source in sources for rule in source.get("rules") or []]
    found = [
        rule.get("languages", []) for rule in rules if rule.get("rule") == "expect_column_values_to_be_in_language"
    ]
    return sorted({language for named in found for language in named})


def use(files: Files) -> list[str]:
    """What it was trained and measured for."""
    params = files.get("params") or {}
    mixture = (params.get("expand") or {}).get("mixture") or []
    tuning = params.get("finetune") or {}
    limit, lengths = tuning.get("max_prompt_tokens"), tuning.get("max_new_tokens") or {}
    rows = [
        [plain(part["family"]), plain(part["source"]), ", ".join(plain(field) for field in part["fields"]),
         number(lengths.get(part["family"]), "d"), "yes" if part.get("replay") else "no"]
        for part in mixture
    ]  # fmt: skip
    if not rows:
        return []
    return [
        "It was trained for these kinds of instructions, and measured on them, under its own prompt contract. Of any "
        "other use the evidence says nothing.", "",
        *table(["instruction", "source", "fields", "tokens of an answer at most", "replayed general data"], rows, [3]),
        f"Prompts hold at most {number(limit, 'd')} tokens; "
        f"{LONGER.get(str(tuning.get('long_prompts')), 'what is done with longer ones is unknown')}.", "",
    ]  # fmt: skip


def ask(files: Files, example: Mapping[str, str]) -> list[str]:
    """A record and the call; of private data the names of the fields alone."""
    params = files.get("params") or {}
    hidden = is_private(files)
    cut = {key: text if len(text) < EXAMPLE_CHARACTERS else f"{text[:77]}..." for key, text in example.items()}
    record = {key: "..." if hidden and key != "family" else text for key, text in cut.items()}
    name = (params.get("register") or {}).get("model", "NAME")
    told = [f"    {json.dumps(key)}: {json.dumps(text, ensure_ascii=False)}," for key, text in record.items()]
    lines = ["import mlflow", "", f'model = mlflow.pyfunc.load_model("models:/{name}@challenger")', "model.predict([{"]
    shown = [visible(line) for line in [*lines, *told]]
    return ["```python", *shown, "}])", "```", "", 'A record may also be `{"prompt": "..."}`: an instruction.', ""]


def is_private(files: Files) -> bool:
    """Whether any file says that no value of the data may be shown; what is not known is private."""
    said = [
        (files.get("validation") or {}).get("private"),
        ((files.get("params") or {}).get("validate") or {}).get("private"),
    ]
    known = [value for value in said if value is not None]
    return any(known) if known else True


def data(files: Files) -> list[str]:
    """How many examples of what; the data card has the rest."""
    parts = (files.get("mixture") or {}).get("parts") or []
    rows = [
        [plain(part["family"]), plain(part["source"]), number(part["records"].get("train"), ",d")]
        + [number(part["examples"].get(split), ",d") for split in ("train", "dev", "test")]
        for part in parts
    ]
    columns = ["instruction", "source", "records trained on", "examples train", "dev", "test"]
    return [*table(columns, rows, [2, 3, 4, 5]), "The data card has sources, rules, leaks and who is in them.", ""]


def procedure(files: Files) -> list[str]:
    """Settings, and what training came to."""
    tuning, run = (files.get("params") or {}).get("finetune") or {}, files.get("training_run") or {}
    optimizer, log = tuning.get("optimizer") or {}, trained(files.get("training") or [])
    settings = ("epochs", "batch_size", "learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm")
    best = log["best"] or (run.get("dev_loss_after"), run.get("best_step"))
    rows = [
        *([name.replace("_", " "), plain(optimizer.get(name, "unknown"))] for name in settings),
        ["seed", plain(tuning.get("seed", "unknown"))],
        ["precision", plain(run.get("precision", "unknown"))],
        ["steps", number(run.get("steps", log["steps"] or None), ",d")],
        ["tokens trained on", number(run.get("tokens"), ",d")],
        ["dev loss before, nats a token", number(run.get("dev_loss_before"), ".4f")],
        ["lowest dev loss, nats a token", number(best[0], ".4f")],
        ["at step, whose weights are kept", number(best[1], ",d")],
    ]
    return table(["what", "value"], rows)


def evaluation(files: Files) -> list[str]:
    """Every comparison, and what stands behind them."""
    results, cards, more = _measured(files)
    primary, intervals = str(cards.get("primary", "")), cards.get("intervals") or {}
    whole = ordered(results, primary)
    if not whole:
        return []
    return [
        f"Base against tuned on held-out data, 0..100 unless said otherwise; the primary metric, named before looking, "
        f"is {plain(primary or 'unknown')}. Intervals: {plain(intervals.get('method', 'unknown'))}; "
        f"{number(intervals.get('resamples'), ',d')} resamples, seed {number(intervals.get('seed'), 'd')}.", "",
        *scores(whole, cards),
        "### Held-out and seen wordings", "", *phrasing(results, cards, more),
        "### Forgetting", "", *forgetting(more),
        "### Robustness and fairness to wording", "", *perturbed(more),
        "### Calibration", "", *calibration(results),
        "### Noise", "", *noise(more),
    ]  # fmt: skip


def cost(files: Files) -> list[str]:
    """Seconds and memory of each step and of both models' answers."""
    last = {row["step"]: row for row in files.get("steps") or [] if row.get("exit") == 0}
    rows = [
        [plain(step), number(row.get("seconds"), ",.1f"), number(row.get("peak_mb"), ",d")]
        for step, row in last.items()
    ]
    models = (files.get("evaluation") or {}).get("efficiency") or {}
    rows += [
        [f"answers of {who} ({number(row.get('answers'), ',d')} texts, {number(row.get('choices'), ',d')} questions)",
         number(row.get("seconds"), ",.1f"), number(row.get("peak_mb"), ",d")]
        for who, row in models.items()
    ]  # fmt: skip
    return [*table(["what", "seconds", "peak memory, MB"], rows, [1, 2]), "Energy and emissions were not measured.", ""]


def provenance(facts: Mapping[str, str]) -> list[str]:
    """Digests and names that the version is traced back by."""
    rows = [[plain(name.removeprefix("luthier.")), code(value)] for name, value in facts.items()]
    return [*table(["link", "sha256 or name"], rows), *rebuilt(facts), ""]


def rebuilt(facts: Mapping[str, str]) -> list[str]:
    """How to make it again, where the commit is known."""
    commit = facts.get("luthier.code.commit", "")
    return [f"Rebuild it: `git checkout {commit[:12]} && dvc repro`."] if COMMIT.fullmatch(commit) else []
