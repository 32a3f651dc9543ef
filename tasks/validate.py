"""2 validate: raw records -> valid rows, quarantined rows with their reasons, a report.

Input: data/raw and section `validate` of params.yaml (the rules, by source). Output: one JSON-lines file a source
in data/valid and in data/quarantine, and reports/validation.json. Rows in = rows valid + rows quarantined, always.
The judge is Great Expectations; the report holds no clock, so the same rows give the same bytes.

    python -m tasks.validate data/raw data/valid data/quarantine reports/validation.json
"""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tasks.data.files import Row, read_json, staged, write_json, write_rows
from tasks.data.records import read_records
from tasks.errors import DataError, ParamsError
from tasks.params import Section, load
from tasks.step import run

if TYPE_CHECKING:
    from tasks.data.expectations import Verdict


class Table(Section):
    """What is expected of one source."""

    columns: list[str]
    """The columns that the pipeline needs; each is text."""
    rules: list[dict[str, Any]]
    """Great Expectations' expectations: `rule` is its name, the rest its arguments."""


class Validate(Section):
    """What is expected of each source."""

    max_quarantined: float = Field(ge=0, le=1)
    """Share of a source's rows, 0 to 1; more than this stops the pipeline."""
    sources: dict[str, Table]
    """By source name; the same names as in `fetch.sources`."""


def split_rows(records: list[Row], verdicts: "list[Verdict]") -> tuple[list[Row], list[Row]]:
    """Divide records into valid and quarantined; a quarantined row carries every rule that it breaks."""
    reasons: dict[int, list[str]] = {}
    for verdict in verdicts:
        if verdict.severity == "critical":
            for position in verdict.broken_by:
                reasons.setdefault(position, []).append(verdict.rule)
    valid = [record for position, record in enumerate(records) if position not in reasons]
    quarantined = [
        {
            "row": records[position]["row"],
            "rule": broken[0],
            "reason": "breaks " + ", ".join(broken),
            "raw": records[position],
        }
        for position, broken in sorted(reasons.items())
    ]
    return valid, quarantined


def refuse(name: str, ledger: Row, verdicts: "list[Verdict]", max_quarantined: float) -> None:
    """Stop on a table that may not be used.

    Raises:
        DataError: it is empty, a critical rule failed, or too many rows are quarantined.
    """
    if not ledger["rows_valid"]:
        raise DataError(f"source '{name}' has no valid row ({ledger['rows_in']} read): is it the right file?")
    failed = [verdict for verdict in verdicts if verdict.severity == "critical" and not verdict.passed]
    if failed:
        found = "; ".join(f"{verdict.rule} ({verdict.observed})" for verdict in failed)
        raise DataError(f"source '{name}' fails {found}. Mend the data, or the rule in params.yaml, section validate.")
    share = ledger["rows_quarantined"] / ledger["rows_in"]
    if share > max_quarantined:
        raise DataError(
            f"source '{name}': {share:.0%} of its rows are quarantined ({ledger['by_rule']}), more than "
            f"validate.max_quarantined = {max_quarantined:.0%}."
        )


def validate_source(files: list[Path], table: Table) -> "tuple[list[Row], list[Row], list[Verdict]]":
    """Read one source and judge it; return valid rows, quarantined rows and the verdicts."""
    records: list[Row] = []
    set_aside: list[Row] = []
    for file in files:
        read, refused = read_records(file, table.columns)
        records += [{"file": file.name, **record} for record in read]
        set_aside += [{"file": file.name, **row} for row in refused]
    if not records:
        return [], set_aside, []
    from tasks.data.expectations import judge  # noqa: PLC0415  (takes seconds: what is wrong with the files comes first)

    verdicts = judge(records, table.columns, table.rules)
    valid, quarantined = split_rows(records, verdicts)
    return valid, set_aside + quarantined, verdicts


def account(valid: list[Row], quarantined: list[Row]) -> Row:
    """The ledger of one source: rows in = rows valid + rows quarantined."""
    by_rule = Counter(row["rule"] for row in quarantined)
    return {
        "rows_in": len(valid) + len(quarantined),
        "rows_valid": len(valid),
        "rows_quarantined": len(quarantined),
        "by_rule": dict(sorted(by_rule.items())),
    }


def main(raw: Path, valid: Path, quarantine: Path, report: Path) -> None:
    """Judge every source; keep the valid rows, set the others aside with their reasons."""
    params = load("validate", Validate)
    manifest = read_json(raw / "manifest.json")["sources"]
    if unknown := sorted(params.sources.keys() ^ manifest.keys()):
        raise ParamsError(f"params.yaml: fetch.sources and validate.sources differ in {', '.join(unknown)}.")
    ledgers: dict[str, Row] = {}
    with staged(valid) as valid_folder, staged(quarantine) as quarantine_folder:
        for name, table in params.sources.items():
            rows, bad, verdicts = validate_source([raw / name / file for file in manifest[name]["files"]], table)
            ledgers[name] = account(rows, bad)
            print(f"{name:<18} rows in {len(rows) + len(bad):>7,}   valid {len(rows):>7,}   quarantined {len(bad):>5,}")
            refuse(name, ledgers[name], verdicts, params.max_quarantined)
            ledgers[name]["rules"] = [
                {key: value for key, value in asdict(verdict).items() if key != "broken_by"} for verdict in verdicts
            ]
            write_rows(valid_folder / f"{name}.jsonl", rows)
            write_rows(quarantine_folder / f"{name}.jsonl", bad)
    totals = {
        key: sum(ledger[key] for ledger in ledgers.values()) for key in ("rows_in", "rows_valid", "rows_quarantined")
    }
    by_rule = sum((Counter(ledger["by_rule"]) for ledger in ledgers.values()), Counter[str]())
    write_json(report, {**totals, "by_rule": dict(by_rule), "sources": ledgers})


if __name__ == "__main__":
    run(main)
