"""What MLflow shows of a model version: a page in Markdown and one number per metric."""

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Mapping[str, Mapping[str, Any]]]  # family or suite -> metric -> base, tuned, n ...
NUMBERS = ("base", "tuned", "difference", "difference_low", "difference_high", "n")


def numbers(results: Results) -> dict[str, float]:
    """Every number under one dotted key: `summarise.rouge1.tuned`."""
    return {
        f"{section}.{key}.{name}": float(row[name])
        for section, rows in results.items()
        for key, row in rows.items()
        for name in NUMBERS
    }


def _shown(results: Results, primary: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The rows to show: the primary metric first, without the split by wording, which the report has."""
    rows = [
        (section, key, row)
        for section, metrics in results.items()
        for key, row in metrics.items()
        if not section.endswith("_wording")
    ]
    return sorted(rows, key=lambda row: (f"{row[0]}.{row[1]}" != primary, row[0] != primary.partition(".")[0]))


def describe(
    results: Results, primary: str, sentence: str, facts: Mapping[str, str], example: Mapping[str, str]
) -> str:
    """The version's page: verdict, every metric with interval and n, how to use it, where it comes from."""
    table = [
        f"| {section} {key} | {row['base']:.2f} | {row['tuned']:.2f} | {row['difference']:+.2f} "
        f"[{row['difference_low']:+.2f}, {row['difference_high']:+.2f}] | {row['n']} | {row['verdict']} |"
        for section, key, row in _shown(results, primary)
    ]
    chain = [f"| {name.removeprefix('luthier.')} | `{value}` |" for name, value in facts.items()]
    record = {key: text if len(text) < 80 else f"{text[:77]}..." for key, text in example.items()}
    return "\n".join(
        [
            f"**{sentence}**",
            "",
            "| held-out test split | base | tuned | difference [interval] | n | verdict |",
            "|---|---:|---:|---|---:|---|",
            *table,
            "",
            "### Ask it",
            "```python",
            f'mlflow.pyfunc.load_model("models:/luthier@challenger").predict([{record}])',
            "```",
            'A record may also be `{"prompt": "..."}`: an instruction that is ready.',
            "",
            "### Where it comes from",
            "| link | sha256 or name |",
            "|---|---|",
            *chain,
            "",
            "The run's artifacts hold the report, metric cards, predictions, `dvc.lock` and `params.yaml`.",
            f"Rebuild it: `git checkout {facts.get('luthier.code.commit', 'COMMIT')[:12]} && dvc repro`.",
        ]
    )
