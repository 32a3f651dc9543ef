"""3 expand: valid records x prompt templates -> train / dev / test examples, and a leak certificate.

Input: data/valid, data/benchmarks, the template library, section `expand` of params.yaml. Output: one JSON-lines file
a split in data/examples and reports/leaks.json. Records are split by group *before* anything is rendered, so no
wording of a test record can be trained on; the last wordings of every family are never trained on either.

    python -m tasks.expand data/valid data/benchmarks data/examples reports/leaks.json
"""

from collections import Counter
from pathlib import Path

from pydantic import Field

from tasks.data.files import Row, read_rows, remove, staged, write_json, write_rows
from tasks.data.overlap import certify
from tasks.data.questions import read_benchmarks
from tasks.data.splits import SPLITS, group_of, rank, split_of
from tasks.errors import DataError, LeakError, ParamsError
from tasks.params import Section, load
from tasks.prompts.templates import Family, load_family, render
from tasks.step import run


class Length(Section):
    """Words, divided by white space."""

    input: int
    """In all columns but the target's together."""
    target: int


class Take(Section):
    """Records at most, by split."""

    train: int = Field(ge=0)
    dev: int = Field(ge=0)
    test: int = Field(ge=0)


class Mix(Section):
    """One part of the mixture: a family of instructions over one source."""

    family: str
    """A file of prompts/library."""
    source: str
    """A source's name."""
    fields: dict[str, str]
    """The family's field: the source's column."""
    constants: dict[str, str]
    """The family's field: a text that is the same for every record."""
    max_words: Length
    """Longer records are left out and counted."""
    wordings: int = Field(ge=1)
    """Templates that each training record is rendered with; dev and test records get one."""
    take: Take


class Expand(Section):
    """How records become examples."""

    seed: int
    split: dict[str, float]
    """Share of the groups, by split; sums to 1."""
    held_out_wordings: int = Field(ge=0)
    """Templates a family, from its end, that only test examples use."""
    near_duplicate: float = Field(gt=0, le=1)
    """Share of a text's 13-word runs, 0 to 1, that makes it a near duplicate."""
    accepted_leaks: int
    """Leaks that are known and accepted."""
    groups: dict[str, str]
    """Source: the column whose text keeps rows together."""
    mixture: list[Mix]


def too_long(row: Row, mix: Mix, family: Family) -> bool:
    """Whether a record's text goes over the mixture's lengths."""
    words = {field: len(row[column].split()) for field, column in mix.fields.items()}
    target = words.pop(family.target)
    return target > mix.max_words.target or sum(words.values()) > mix.max_words.input


def choose_records(rows: list[Row], mix: Mix, family: Family, params: Expand) -> tuple[list[Row], Row]:
    """Divide one source's rows into splits and take the wanted number of each; return them and the counts."""
    column = params.groups.get(mix.source)
    if column is None:
        raise ParamsError(f"params.yaml: expand.groups has no entry for source '{mix.source}'.")
    if missing := sorted({column, *mix.fields.values()} - rows[0].keys() if rows else []):
        raise ParamsError(
            f"params.yaml, expand: source '{mix.source}' has no column {missing}; it has {list(rows[0])}."
        )
    answered = [row for row in rows if row[mix.fields[family.target]].strip()]
    fitting = [{**row, "group": group_of(row[column])} for row in answered if not too_long(row, mix, family)]
    fitting.sort(key=lambda row: rank(params.seed, "take", row["group"], str(row["row"])))
    chosen = [{**row, "split": split_of(row["group"], params.split, params.seed)} for row in fitting]
    taken = [row for split in SPLITS for row in [r for r in chosen if r["split"] == split][: getattr(mix.take, split)]]
    counts = Counter(row["split"] for row in taken)
    return taken, {
        **{split: counts[split] for split in SPLITS},
        "too_long": len(answered) - len(fitting),
        "no_target": len(rows) - len(answered),
        "not_needed": len(fitting) - len(taken),
    }


def render_record(row: Row, mix: Mix, family: Family, params: Expand) -> list[Row]:
    """The examples of one record; its wordings are drawn by the seed, the held-out ones for test alone."""
    seen = family.templates[: len(family.templates) - params.held_out_wordings]
    record = f"{mix.source}/{row['file']}:{row['row']}"
    allowed = family.templates if row["split"] == "test" else seen
    drawn = sorted(allowed, key=lambda template: rank(params.seed, "wording", family.family, record, template.id))
    values = {**mix.constants, **{field: row[column] for field, column in mix.fields.items()}}
    return [
        {
            "id": f"{family.family}/{record}/{template.id}",
            "family": family.family,
            "template": template.id,
            "wording": "seen" if template in seen else "held_out",
            "group": row["group"],
            "source": mix.source,
            "record": record,
            "input": render(template.text, values),
            "target": values[family.target].strip(),
        }
        for template in drawn[: mix.wordings if row["split"] == "train" else 1]
    ]


def check_mix(mix: Mix, family: Family, params: Expand) -> None:
    """Refuse a part of the mixture that does not fit its family."""
    needed, given = {*family.fields, family.target}, {*mix.fields, *mix.constants}
    where = f"params.yaml: expand.mixture, family '{mix.family}'"
    if needed != given:
        raise ParamsError(f"{where} needs {sorted(needed)}, not {sorted(given)}.")
    if family.target in mix.constants:
        raise ParamsError(f"{where}: '{family.target}' is what the model is to write; name its column under fields.")
    seen = max(0, len(family.templates) - params.held_out_wordings)
    if seen < mix.wordings:
        raise ParamsError(f"{where} has {seen} wordings to train on, fewer than the {mix.wordings} that it asks for.")
    if [(other.family, other.source) for other in params.mixture].count((mix.family, mix.source)) > 1:
        raise ParamsError(f"{where} stands there twice for source '{mix.source}': its examples would be, too.")


def read_source(valid: Path, mix: Mix) -> list[Row]:
    """The valid rows of one source."""
    path = valid / f"{mix.source}.jsonl"
    known = sorted(file.stem for file in valid.glob("*.jsonl"))
    if known and not path.is_file():
        raise ParamsError(
            f"params.yaml: expand.mixture names source '{mix.source}', which is not there; known: {', '.join(known)}."
        )
    return read_rows(path)


def said(row: Row, mix: Mix, family: Family) -> Row:
    """A record's own texts, for the leak certificate."""
    given = sorted(column for field, column in mix.fields.items() if field != family.target)
    return {
        "fields": [row[column] for column in sorted({*mix.fields.values()})],
        "input": " ".join(row[column] for column in given),
    }


def main(valid: Path, benchmarks: Path, instructions: Path, certificate: Path) -> None:
    """Split by group, certify that nothing leaks, and render the instruction sets."""
    params = load("expand", Expand)
    rendered: dict[str, list[Row]] = {split: [] for split in SPLITS}
    seen: dict[str, Row] = {}
    for mix in params.mixture:
        family = load_family(mix.family)
        check_mix(mix, family, params)
        taken, counts = choose_records(read_source(valid, mix), mix, family, params)
        print(f"{mix.family:<12} " + "   ".join(f"{key} {value:>5}" for key, value in counts.items()))
        for row in taken:
            examples = render_record(row, mix, family, params)
            rendered[row["split"]] += examples
            seen[f"{mix.family}/{examples[0]['record']}"] = {"split": row["split"], **said(row, mix, family)}
    if empty := [split for split in SPLITS if not rendered[split]]:
        raise DataError(f"no example in {', '.join(empty)}: give expand.split or expand.mixture more records there.")
    found = certify(seen, read_benchmarks(benchmarks), params.near_duplicate, params.accepted_leaks)
    refused = certificate.with_name("leaks.refused.json")
    remove(refused)
    if not found["clean"]:
        write_json(refused, found)
        first = next(pair for between in found["between"].values() for pair in between["pairs"])
        raise LeakError(
            f"{found['leaks']} leaks between splits or benchmarks, {params.accepted_leaks} accepted; the pairs are in "
            f"{refused}. The first: {first['left']} and {first['right']} ({first['kind']}). Group such records by a "
            "shared column, remove them, or accept that many with expand.accepted_leaks."
        )
    with staged(instructions) as folder:
        for split, rows in rendered.items():
            write_rows(folder / f"{split}.jsonl", rows)
    write_json(certificate, found)


if __name__ == "__main__":
    run(main)
