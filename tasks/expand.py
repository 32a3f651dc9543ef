"""3 expand: valid records x prompt templates -> train / dev / test examples, and a leak certificate.

Input: data/valid, data/benchmarks, the template library, section `expand` of params.yaml. Output: one JSON-lines file
a split in data/examples and reports/leaks.json. Records are split by group *before* anything is rendered, so no
wording of a test record can be trained on; the last wordings of every family are never trained on either.

    python -m tasks.expand data/valid data/benchmarks data/examples reports/leaks.json
"""

from collections import Counter
from pathlib import Path

from tasks.data.files import Row, read_json, read_rows, staged, write_json, write_rows
from tasks.data.overlap import certify
from tasks.data.questions import read_flan_cot, read_options_jsonl
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
    wordings: int
    """Templates that each training record is rendered with; dev and test records get one."""
    take: dict[str, int]
    """Records at most, by split."""


class Expand(Section):
    """How records become examples."""

    seed: int
    split: dict[str, float]
    """Share of the groups, by split; sums to 1."""
    held_out_wordings: int
    """Templates a family, from its end, that only test examples use."""
    near_duplicate: float
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
    if missing := sorted({column, *mix.fields.values()} - rows[0].keys()):
        raise ParamsError(
            f"params.yaml, expand: source '{mix.source}' has no column {missing}; it has {list(rows[0])}."
        )
    fitting = [{**row, "group": group_of(row[column])} for row in rows if not too_long(row, mix, family)]
    fitting.sort(key=lambda row: rank(params.seed, "take", row["group"], str(row["row"])))
    chosen = [{**row, "split": split_of(row["group"], params.split, params.seed)} for row in fitting]
    taken = [row for split in SPLITS for row in [r for r in chosen if r["split"] == split][: mix.take[split]]]
    counts = Counter(row["split"] for row in taken)
    return taken, {
        **{split: counts[split] for split in SPLITS},
        "too_long": len(rows) - len(fitting),
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


def check_mix(mix: Mix, family: Family) -> None:
    """Refuse a mixture whose columns do not fit its family."""
    needed, given = {*family.fields, family.target}, {*mix.fields, *mix.constants}
    if needed != given:
        raise ParamsError(
            f"params.yaml: expand.mixture, family '{mix.family}' needs {sorted(needed)}, not {sorted(given)}."
        )


def read_benchmarks(folder: Path) -> dict[str, list[str]]:
    """The questions of every fetched benchmark, with their options, as text."""
    texts = {}
    for name, entry in read_json(folder / "manifest.json")["sources"].items():
        several = len(entry["files"]) > 1
        read = read_flan_cot(folder / name) if several else read_options_jsonl(folder / name / entry["files"][0])
        texts[name] = [" ".join([item.question, *item.options]) for item in read]
    return texts


def main(valid: Path, benchmarks: Path, instructions: Path, certificate: Path) -> None:
    """Split by group, certify that nothing leaks, and render the instruction sets."""
    params = load("expand", Expand)
    rendered: dict[str, list[Row]] = {split: [] for split in SPLITS}
    seen: dict[str, Row] = {}
    for mix in params.mixture:
        family = load_family(mix.family)
        check_mix(mix, family)
        taken, counts = choose_records(read_rows(valid / f"{mix.source}.jsonl"), mix, family, params)
        print(f"{mix.family:<12} " + "   ".join(f"{key} {value:>5}" for key, value in counts.items()))
        for row in taken:
            examples = render_record(row, mix, family, params)
            rendered[row["split"]] += examples
            said = " ".join(row[name] for name in sorted(mix.fields.values()))
            seen[f"{mix.family}/{examples[0]['record']}"] = {"split": row["split"], "text": said}
    if empty := [split for split in SPLITS if not rendered[split]]:
        raise DataError(f"no example in {', '.join(empty)}: give expand.split or expand.mixture more records there.")
    found = certify(seen, read_benchmarks(benchmarks), params.near_duplicate, params.accepted_leaks)
    if not found["clean"]:
        write_json(certificate.with_name("leaks.refused.json"), found)
        raise LeakError(
            f"{found['leaks']} leaks between splits or benchmarks, {params.accepted_leaks} accepted; the pairs are in "
            f"{certificate.with_name('leaks.refused.json')}. Group those records by a shared column, or remove them."
        )
    with staged(instructions) as folder:
        for split, rows in rendered.items():
            write_rows(folder / f"{split}.jsonl", rows)
    write_json(certificate, found)


if __name__ == "__main__":
    run(main)
