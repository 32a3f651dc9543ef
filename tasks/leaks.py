"""The leak certificate for a data set that comes split already: `luthier leaks --train a.csv --test b.csv ...`.

    luthier leaks --dev dev.jsonl --test test.jsonl --input dialogue --target summary,summary1

Shows how many held-out records stand in another split, and the first of them; what counts as standing there says
tasks/data/leaks/overlap.py. Nothing is changed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from tasks.data.files import Row
from tasks.data.intake.records import Limits, read_records
from tasks.data.leaks.overlap import KINDS, Texts, certify
from tasks.data.leaks.runs import runs_of, words_of
from tasks.errors import DataError, LeakError, LuthierError

HEADINGS = dict(zip(KINDS, ("Exact", "Normalised", "Same input", "Turned round", "Near"), strict=True))
SHOWN = 5  # pairs between two splits
CUT = 110  # characters of a text that are shown
BATCH = 10_000  # records
ANY_FIELD = 1 << 27  # bytes


@dataclass(frozen=True)
class Split:
    """One file of the data set."""

    path: Path
    target: str
    """The column that is to be written."""
    records: pa.Table
    """The columns as text, and _row."""
    set_aside: int
    """Rows that cannot be read."""

    def texts(self, name: str, given: Sequence[str]) -> Iterator[Texts]:
        """The records, in batches, as records of that split."""
        for batch in self.records.to_batches(max_chunksize=BATCH):
            ids = [f"{self.path}:{row}" for row in batch.column("_row").to_pylist()]
            fields = {column: batch.column(column).to_pylist() for column in (*given, self.target)}
            yield Texts(ids, [name] * len(ids), fields, self.target)

    def said(self, record: str, columns: Sequence[str]) -> str:
        """What a record of this file says in these columns."""
        rows = self.records.column("_row").to_numpy()
        place = int(np.searchsorted(rows, int(record.rpartition(":")[2])))
        return " ".join(self.records.column(column)[place].as_py() for column in columns)


def read_split(path: Path, given: Sequence[str], targets: Sequence[str]) -> Split:
    """Read a file's input columns and the first of the target columns that it has.

    Raises:
        DataError: the file or a column is not there, or nothing in it can be read.
    """
    refused: list[DataError] = []
    for target in targets:
        columns = list(dict.fromkeys((*given, target)))
        try:
            intake = read_records(path, columns, Limits(ANY_FIELD, frozenset(columns), whole=True))
        except DataError as error:
            refused.append(error)
            continue
        if not len(intake.records):
            raise DataError(f"{path} holds no row that can be read ({len(intake.set_aside)} cannot).")
        return Split(path, target, intake.records, len(intake.set_aside))
    raise refused[0]


def leaks(splits: Mapping[str, Split], given: Sequence[str], near: float) -> Row:
    """The certificate of these files, with what was read of each under `files`."""

    def read() -> Iterator[Texts]:
        for name, split in splits.items():
            yield from split.texts(name, given)

    found = certify(read, {}, near, accepted=0)
    between = {name: pairs for name, pairs in found["between"].items() if set(name.split("/")) <= splits.keys()}
    files = {
        name: {"path": str(split.path), "target": split.target, "set_aside": split.set_aside}
        for name, split in splits.items()
    }
    kept = {"records": found["records"], "within": found["within"]}
    return {**found, "between": between, "files": files} | {
        key: {name: value[name] for name in splits} for key, value in kept.items()
    }


def show(found: Row, splits: Mapping[str, Split], given: Sequence[str], console: Console) -> None:
    """Print how many records leak, and the first pairs."""
    for name, split in splits.items():
        aside = f", {split.set_aside:,} rows set aside (luthier validate says why)" if split.set_aside else ""
        read = f"{name:<5} {split.path}: {len(split.records):,} records, target '{split.target}'{aside}"
        console.print(Text(read), soft_wrap=True)
    table = Table("Between", *(Column(heading, justify="right") for heading in HEADINGS.values()))
    for name, pairs in found["between"].items():
        table.add_row(name.replace("/", " and "), *(f"{pairs[kind]:,}" for kind in KINDS))
    console.print(table)
    for name, pairs in found["between"].items():
        sides = {split: splits[split] for split in name.split("/")}
        for pair in pairs["pairs"][:SHOWN]:
            console.print(Text(HEADINGS[pair["kind"]], style="bold"))
            for line in _lines(pair, sides, given):
                console.print(Text(f"  {line}"), soft_wrap=True)
    for name, repeated in found["within"].items():
        if repeated["normalised"] or repeated["input"]:
            console.print(
                f"Within {name}, records that repeat another: {repeated['normalised']:,}; that repeat its input alone: "
                f"{repeated['input']:,}. No leak, but they weigh more than others.",
                soft_wrap=True,
            )


def _lines(pair: Row, sides: Mapping[str, Split], given: Sequence[str]) -> Iterator[str]:
    """A pair's records, and of a near duplicate the first run of words that both say."""
    said = []
    for (name, split), record in zip(sides.items(), (pair["left"], pair["right"]), strict=True):
        # In the certificate's order, so that both sides' runs are those that it saw.
        said.append(split.said(record, sorted(given) if pair["kind"] == "input" else [*sorted(given), split.target]))
        yield f"{name:<5} row {record.rpartition(':')[2]:>7}  {_cut(said[-1])}"
    if pair["kind"] == "near":
        one, other = map(words_of, said)
        yield f"{pair['share']:.0%} shared, such as: {_cut(min(runs_of(one) & runs_of(other), key=other.find))}"


def _cut(text: str) -> str:
    """The start of a text, on one line, with nothing that a terminal would obey."""
    line = " ".join(text.split())
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line[:CUT])
    return shown + ("..." if len(line) > CUT else "")


def main(
    files: Mapping[str, Path | None], given: Sequence[str], targets: Sequence[str], near: float, as_json: bool
) -> None:
    """Certify and print.

    Args:
        files: by split; None where there is none.
        given: the columns that a model reads.
        targets: the column that it is to write; where files differ, the first that a file has.
        near: share of a text's runs of 13 words, above 0 and up to 1, that makes it a near duplicate.
        as_json: print the certificate instead of a table.

    Raises:
        LuthierError: fewer than two files, a column that is both read and written, or `near` is no such share.
        LeakError: there are leaks.
    """
    named = {name: path for name, path in files.items() if path is not None}
    if len(named) < 2:
        raise LuthierError("a leak is between two files: name at least two of --train, --dev and --test.")
    if twice := [column for column in given if column in targets]:
        raise LuthierError(f"'{twice[0]}' is named by --input and by --target: a column is read or written, not both.")
    if not 0 < near <= 1:
        raise LuthierError(f"--near {near:g} is no share of a text: give more than 0 and at most 1.")
    splits = {name: read_split(path, given, targets) for name, path in named.items()}
    found = leaks(splits, given, near)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        show(found, splits, given, Console(highlight=False))
    if not found["clean"]:
        raise LeakError(
            f"{found['leaks']:,} held-out records stand in another split: remove them there, or split again by group."
        )
