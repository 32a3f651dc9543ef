"""Point params.yaml at a table of one's own: `luthier use tickets.csv --input ticket --target summary`.

Puts the table's bytes under DVC and writes what the table decides (source and sha256, columns and rules, grouping,
mixture, lengths, metrics); every other value and comment stays as it is, and so do the parts that replay general
instructions. `dvc repro` then runs the pipeline on it; git shows the difference.
"""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tasks.data.commented import reader
from tasks.data.files import staged
from tasks.data.intake.records import Limits, read_records
from tasks.data.keys import normalised, word_counts
from tasks.data.sources import digest
from tasks.errors import DataError, LuthierError, ParamsError
from tasks.params import PARAMS
from tasks.prompts.templates import Family, load_family

SOURCE = "mine"
TABLES = Path("tables")  # where a table from outside the checkout is put
TEXT_METRICS = [
    "rouge1", "rouge2", "rougeL", "rougeLsum", "bleu", "chrf", "unsupported", "facts", "copy_rate", "repetition",
    "empty", "length_ratio",
]  # fmt: skip
DIALOGUE = ("dialog", "conversation", "chat", "transcript")  # in a column's name
MOST_INPUT_WORDS = 300  # with its instruction, about 450 tokens of English: under finetune.max_prompt_tokens
MOST_TARGET_WORDS = 200
TOKENS_A_WORD = 2  # generous: English has about 1.3


@dataclass(frozen=True)
class Choice:
    """What a person says of their table."""

    given: str
    """The column that the model reads."""
    target: str
    """The column that it is to write."""
    group: str | None
    """The column whose rows stay in one split; each text for itself unless said."""
    family: str | None
    """The template family; unless said, one for dialogues where the input column's name is of one, else summarise."""

    @property
    def family_name(self) -> str:
        """The family, said or guessed."""
        dialogue = any(word in self.given.lower() for word in DIALOGUE)
        return self.family or ("summarise_dialogue" if dialogue else "summarise")

    @property
    def columns(self) -> list[str]:
        """The columns that the pipeline needs, each once."""
        return list(dict.fromkeys([self.given, self.target, *([self.group] if self.group else [])]))


def use(table: Path, choice: Choice, params: Path = PARAMS) -> str:
    """Track a table with DVC and write the params for it; return what they now are, in sentences.

    Args:
        table: .csv, .jsonl or .parquet, in the checkout or elsewhere.
        choice: its columns and the family.
        params: the params.yaml to change.

    Raises:
        DataError: the file or a column is not there, or it holds no row.
        ParamsError: the family is unknown, or needs more than one column.
        LuthierError: DVC cannot track the file.
    """
    family = load_family(choice.family_name)
    if len(family.fields) != 1:
        raise ParamsError(
            f"family '{family.family}' needs {family.fields}: write expand.mixture in params.yaml yourself."
        )
    if not table.is_file():
        raise DataError(f"{table} is not there: name a .csv, .jsonl or .parquet file.")
    yaml = reader()
    document = yaml.load(params.read_text(encoding="utf-8"))
    limits = Limits(document["validate"]["max_field_bytes"], frozenset(), whole=True)
    read = read_records(table, choice.columns, limits)
    if not len(read.records):
        raise DataError(
            f"{table} holds no row that can be used ({len(read.set_aside)} cannot): luthier validate {table}."
        )
    tracked = track(table)
    _write(document, tracked, choice, family, _lengths(read.records, choice))
    with staged(params) as partial:
        yaml.dump(document, partial)
    aside = f" ({len(read.set_aside):,} cannot be used: luthier validate says why)" if read.set_aside else ""
    return (
        f"{params} now uses {tracked}: {len(read.records):,} rows{aside}, '{choice.given}' -> '{choice.target}' as "
        f"{family.family} ({family.task.rstrip('.')}).\nLook at 'git diff {params}' and 'luthier preview', then: "
        "dvc repro && luthier register"
    )


def _line(**values: Any) -> CommentedMap:
    """A mapping that is written on one line."""
    line = CommentedMap(values)
    line.fa.set_flow_style()
    return line


def _list(values: list[str]) -> CommentedSeq:
    """A list that is written on one line."""
    line = CommentedSeq(values)
    line.fa.set_flow_style()
    return line


def track(table: Path) -> Path:
    """Put a table under DVC, beside the checkout's other data; one that git or DVC tracks already stays as it is.

    Returns:
        Its path in the checkout.
    """
    inside = table.resolve().is_relative_to(Path.cwd())
    path = table.resolve().relative_to(Path.cwd()) if inside else TABLES / table.name
    if (
        inside
        and subprocess.run(["git", "ls-files", "--error-unmatch", path], capture_output=True, check=False).returncode
        == 0
    ):
        return path
    TABLES.mkdir(exist_ok=True) if not inside else None
    arguments = [str(path)] if inside else [str(table.resolve()), "--force", "--out", str(path)]
    done = subprocess.run([sys.executable, "-m", "dvc", "add", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line.removeprefix("ERROR: ") for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise LuthierError(f"DVC cannot track {table}: {' '.join(said) or done.stderr.strip()[-200:]}")
    return path


def _lengths(records: pa.Table, choice: Choice) -> dict[str, int]:
    """Words that nearly all rows keep to, within what the default model reads and writes."""
    most = {choice.given: MOST_INPUT_WORDS, choice.target: MOST_TARGET_WORDS}
    columns = {name: records.column(name).combine_chunks() for name in most}
    longest = {name: int(np.quantile(word_counts(normalised(column)), 0.99)) + 1 for name, column in columns.items()}
    return {name: min(most[name], longest[name]) for name in most}


def _write(document: Any, table: Path, choice: Choice, family: Family, words: Mapping[str, int]) -> None:
    replay = [part for part in document["expand"]["mixture"] if part["replay"]]
    kept = {part["source"] for part in replay}
    fields = {family.fields[0]: choice.given, family.target: choice.target}
    _put(document["fetch"]["sources"], kept, {"url": table.as_posix(), "sha256": digest([table]), "licence": None})
    _put(document["validate"]["sources"], kept, {
        "columns": _list(choice.columns), "may_be_empty": [], "rows": None, "rules": [
            _line(rule="expect_table_row_count_to_be_between", min_value=1),
            _line(
                rule="expect_column_lengths_not_to_drift", column=choice.target, threshold=0.05, severity="warning"
            ),
        ],
    })  # fmt: skip
    document["validate"]["bias"]["facets"] = [_line(
        facet="gender", source=SOURCE, column=choice.given, lexicon="gender", length_of=choice.target, label=None
    )]  # fmt: skip
    _put(document["expand"]["sources"], kept, _line(group=choice.group, text=choice.given, given_split=None))
    own = {
        "family": family.family, "source": SOURCE, "fields": _line(**fields), "constants": {},
        "max_words": _line(input=words[choice.given], target=words[choice.target]), "wordings": 1, "weight": None,
        "replay": False, "take": _line(train=1000, dev=50, test=200),
    }  # fmt: skip
    for part in replay:  # as many as the share asks for, however large the table is
        part["take"]["train"] = None
    document["expand"]["mixture"] = [own, *replay]
    kept_families = {part["family"] for part in replay} - {family.family}
    limits = document["finetune"]["max_new_tokens"]
    metrics = document["evaluate"]["metrics"]
    for section, mine in ((limits, words[choice.target] * TOKENS_A_WORD + 8), (metrics, _list(TEXT_METRICS))):
        for name in [name for name in section if name not in kept_families]:
            del section[name]
        section.insert(0, family.family, mine)
    before = document["promote"]["primary"].partition(".")[0]
    for section in ("evaluate", "promote"):
        document[section]["primary"] = f"{family.family}.rouge1"
    guards = document["promote"]["guards"]
    for place, name in enumerate(list(guards)):
        section, _, metric = name.partition(".")
        if section == before or section.startswith(f"{before}_"):
            guards.insert(place, f"{family.family}{section.removeprefix(before)}.{metric}", guards.pop(name))
    document["promote"]["floors"] = _line()  # what the default reaches says nothing of other data


def _put(section: Any, kept: set[str], mine: dict[str, Any]) -> None:
    """Leave the replayed sources and put the table before them."""
    for name in [name for name in section if name not in kept]:
        del section[name]
    section.insert(0, SOURCE, mine)
