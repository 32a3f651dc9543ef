r"""2 validate: raw records -> valid rows, quarantined rows with their reasons, reports on the data.

Input: data/raw, whose bytes are checked again, section `validate` of params.yaml (the rules, by source), the base
model's tokenizer (lengths in tokens) and the profile of the last accepted data (drift). Output: one JSON-lines file a
source in data/valid and in data/quarantine, reports/validation.json and bias.json, and both for people in data.html.
Rows in = rows valid + rows quarantined, always. The judge is Great Expectations; no report holds a clock, so the same
rows give the same bytes.

    python -m tasks.validate data/raw models/base/tokenizer.json data/accepted.json \
        data/valid data/quarantine reports/validation.json reports/bias.json reports/data.html
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationInfo, field_validator

from tasks.data.bias.report import Bias, bias_report
from tasks.data.files import Row, read_json, staged, write_json, write_rows
from tasks.data.intake.quarantine import COUNTS, account, total
from tasks.data.intake.records import Intake, Limits, read_records
from tasks.data.judge.accepted import accepted_profiles
from tasks.data.judge.derived import added_tokens
from tasks.data.judge.judged import Judged, judge_source
from tasks.data.judge.profile import control_tokens, profile_of
from tasks.data.judge.rules import Means
from tasks.data.lines import write_table
from tasks.data.sources import digest
from tasks.errors import DataError, ParamsError
from tasks.params import Section, load
from tasks.report.data_page import render
from tasks.step import run


class Table(Section):
    """What is expected of one source."""

    columns: list[str] = Field(min_length=1)
    """The columns that the pipeline needs; each is text."""
    may_be_empty: list[str]
    """Those of them that may be empty or blank; a row that is so in another is quarantined."""
    rows: int | None
    """How many rows its maker says that there are; null where nobody does."""
    rules: list[dict[str, Any]]
    """Expectations of Great Expectations or ours (data/judge/rules.py): `rule` is the name, the rest its arguments."""

    @field_validator("may_be_empty")
    @classmethod
    def _are_columns(cls, names: list[str], info: ValidationInfo) -> list[str]:
        if unknown := sorted(set(names) - set(info.data.get("columns", names))):
            raise ValueError(f"{', '.join(unknown)} not among columns")
        return names


class Validate(Section):
    """What is expected of each source."""

    private: bool
    """Whether no report, page or message may show a value of the data."""
    max_quarantined: float = Field(ge=0, le=1)
    """Share of a source's rows, 0 to 1; more than this stops the pipeline."""
    max_field_bytes: int = Field(gt=0)
    """Of one field; a row with a longer one is quarantined."""
    samples: int = Field(ge=0)
    """Rows shown for each rule on the data page."""
    bias: Bias
    """The data bias report."""
    sources: dict[str, Table]
    """By source name; the same names as in `fetch.sources`."""


def read_source(name: str, folder: Path, manifest: Row, params: Validate) -> list[tuple[Path, Intake]]:
    """Read a source's files, after a look whether they are still the bytes that were fetched.

    Raises:
        DataError: they are not, a file is damaged as a whole, or there are not as many rows as there must be.
    """
    table = params.sources[name]
    files = [folder / file for file in manifest["files"]]
    if digest(files) != manifest.get("sha256"):
        raise DataError(
            f"source '{name}': {', '.join(map(str, files))} no longer has the sha256 that it was fetched with: run "
            "fetch again (dvc repro fetch), or pin the new bytes in params.yaml, section fetch."
        )
    limits = Limits(params.max_field_bytes, frozenset(table.may_be_empty), whole=True)
    read = []
    for file in files:
        try:
            read.append((file, read_records(file, table.columns, limits)))
        except DataError:
            if not params.private:
                raise
            raise DataError(
                f"source '{name}': {file} cannot be read. Why is not shown (validate.private), because it may quote "
                f"the data. This shows it: luthier validate {file} --columns {','.join(table.columns)} --out FOLDER"
            ) from None
    rows = sum(len(intake.records) + len(intake.set_aside) for _, intake in read)
    if table.rows not in (None, rows):
        raise DataError(
            f"source '{name}' holds {rows:,} rows, but validate.sources.{name}.rows in params.yaml is {table.rows:,}: "
            "is a part missing?"
        )
    return read


def refuse(name: str, judged: Judged, ledger: Row, max_quarantined: float) -> None:
    """Stop on a table that may not be used.

    Raises:
        DataError: it is empty, a critical rule failed, or too many rows are quarantined.
    """
    if not ledger["rows_valid"]:
        raise DataError(f"source '{name}' has no valid row ({ledger['rows_in']} read): is it the right file?")
    failed = [verdict for verdict in judged.verdicts if verdict.severity == "critical" and not verdict.passed]
    if failed:
        found = "; ".join(f"{verdict.rule} ({verdict.observed})" for verdict in failed)
        raise DataError(f"source '{name}' fails {found}. Mend the data, or the rule in params.yaml, section validate.")
    share = ledger["rows_quarantined"] / ledger["rows_in"]
    if share > max_quarantined:
        raise DataError(
            f"source '{name}': {share:.0%} of its rows are quarantined ({ledger['by_rule']}), more than "
            f"validate.max_quarantined = {max_quarantined:.0%}."
        )


def report_on(judged: Judged, ledger: Row, columns: list[str], added: list[str], means: Means) -> Row:
    """What reports/validation.json says of one source."""
    return {
        **ledger,
        "rows_judged": len(judged.records),
        "rules": [verdict.told() for verdict in judged.verdicts],
        "notes": judged.notes,
        "profile": profile_of(judged.valid, columns, means.tokenizer, means.private),
        "drift": judged.drift(means.accepted),
        "control_tokens": control_tokens(judged.valid, columns, added),
    }


def main(
    raw: Path, tokenizer: Path, accepted: Path, valid: Path, quarantine: Path, report: Path, bias: Path, page: Path
) -> None:
    """Judge every source; keep the valid rows, set the others aside with their reasons."""
    params = load("validate", Validate)
    manifest = read_json(raw / "manifest.json")["sources"]
    if unknown := sorted(params.sources.keys() ^ manifest.keys()):
        raise ParamsError(f"params.yaml: fetch.sources and validate.sources differ in {', '.join(unknown)}.")
    profiles, added = accepted_profiles(accepted), added_tokens(tokenizer)
    reports, tables, samples = {}, {}, {}
    with ExitStack() as stack:
        outputs = [stack.enter_context(staged(path)) for path in (valid, quarantine, report, bias, page)]
        for name, table in params.sources.items():
            means = Means(tokenizer, profiles.get(name), params.private)
            read = read_source(name, raw / name, manifest[name], params)
            judged = judge_source(read, table.columns, table.rules, means)
            ledger = account(len(judged.valid), judged.quarantined)
            counts = (ledger[key] for key in COUNTS)
            print("{:<18} rows in {:>9,}   valid {:>9,}   quarantined {:>7,}".format(name, *counts))
            refuse(name, judged, ledger, params.max_quarantined)
            reports[name] = report_on(judged, ledger, table.columns, added, means)
            tables[name], samples[name] = judged.valid, judged.samples(params.samples)
            write_table(outputs[0] / f"{name}.jsonl", judged.valid)
            write_rows(outputs[1] / f"{name}.jsonl", judged.quarantined)
        validation = {**total(reports.values()), "private": params.private, "sources": reports}
        biases = bias_report(tables, params.bias, params.private)
        write_json(outputs[2], validation)
        write_json(outputs[3], biases)
        html = render(validation, biases, {} if params.private else samples, profiles)
        outputs[4].write_text(html, encoding="utf-8")


if __name__ == "__main__":
    run(main)
