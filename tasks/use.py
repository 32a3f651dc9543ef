"""Point params.yaml at a table of one's own: `luthier use tickets.csv --input ticket --target summary`.

Writes what the table decides (source and sha256, columns and rules, grouping, mixture, metrics) and leaves every
other value and comment as it is. `dvc repro` then runs the pipeline on it; git shows the difference.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tasks.data.files import staged
from tasks.data.records import read_records
from tasks.data.sources import digest
from tasks.errors import DataError, ParamsError
from tasks.params import PARAMS
from tasks.prompts.templates import load_family

SOURCE = "mine"
TEXT_METRICS = ["rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "length_ratio"]


def use(table: Path, given: str, target: str, group: str | None, family_name: str, params: Path = PARAMS) -> str:
    """Write the params for one table; return a sentence that says what they now are.

    Args:
        table: .csv, .jsonl or .parquet.
        given: the column that the model reads.
        target: the column that it is to write.
        group: the column whose rows stay in one split; `given` unless said.
        family_name: a template family with one field.

    Raises:
        DataError: the file or a column is not there, or it holds no row.
        ParamsError: the family is unknown, or needs more than one column.
    """
    family = load_family(family_name)
    if len(family.fields) != 1:
        raise ParamsError(
            f"family '{family_name}' needs {family.fields}: write expand.mixture in params.yaml yourself."
        )
    if not table.is_file():
        raise DataError(f"{table} is not there: name a .csv, .jsonl or .parquet file.")
    columns = list(dict.fromkeys([given, target, *([group] if group else [])]))
    rows, set_aside = read_records(table, columns)
    if not rows:
        raise DataError(f"{table} holds no row that can be read ({len(set_aside)} cannot).")
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 1000
    document = yaml.load(params.read_text(encoding="utf-8"))
    _write(document, table, columns, {family.fields[0]: given, family.target: target}, group or given, family_name)
    with staged(params) as partial:
        yaml.dump(document, partial)
    return (
        f"{params} now uses {table}: {len(rows):,} rows, '{given}' -> '{target}' as {family_name}. "
        f"Look at 'git diff {params}', then: dvc repro && luthier register"
    )


def _write(document: Any, table: Path, columns: list[str], fields: dict[str, str], group: str, family: str) -> None:
    rule = "expect_column_value_lengths_to_be_between"
    rules = [{"rule": rule, "column": column, "min_value": 1} for column in fields.values()]
    document["fetch"]["sources"] = {SOURCE: {"url": table.as_posix(), "sha256": digest([table])}}
    document["validate"]["sources"] = {SOURCE: {"columns": columns, "rules": rules}}
    document["expand"]["groups"] = {SOURCE: group}
    old = document["expand"]["mixture"][0]
    document["expand"]["mixture"] = [{
        "family": family, "source": SOURCE, "fields": fields, "constants": {},
        "max_words": dict(old["max_words"]), "wordings": old["wordings"],
        "take": {"train": 1000, "dev": 50, "test": 200},
    }]  # fmt: skip
    document["finetune"]["max_new_tokens"] = {family: max(document["finetune"]["max_new_tokens"].values())}
    document["evaluate"]["metrics"] = {family: TEXT_METRICS}
    for section in ("evaluate", "promote"):
        document[section]["primary"] = f"{family}.rouge1"
