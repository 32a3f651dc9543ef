"""The data card, written from what the stages wrote and nothing else.

    data_card(files, facts)    # files: raw, validation, bias, mixture, leaks, ... as `tasks/cards.py` reads them

Where the records come from, which were set aside and why, how they were split and made into instructions, what leaks,
who is in them, and what is not known. Counts, rules, lengths and digests only: no value of the data stands in it, but
for names of groups in the bias report, which are "group 1" there where the data are private.
"""

from collections.abc import Mapping
from typing import Any

from tasks.report.evaluated import suites
from tasks.report.instructions import certificate, instructions
from tasks.report.licences import licence, licences
from tasks.report.markdown import bullets, code, number, plain, table
from tasks.report.model_card import is_private, languages
from tasks.report.phrases import asked

Files = Mapping[str, Any]
Row = Mapping[str, Any]
ROWS = ("rows_in", "rows_valid", "rows_quarantined")
UNSAID = [
    "Nothing in the evidence says how the records were collected, from whom, or with whose consent.",
    "Nothing in the evidence says whether the records hold personal data: no step looks for them.",
]


def data_card(files: Files, facts: Mapping[str, str]) -> str:
    """The card as Markdown.

    Args:
        files: what the stages wrote, by name (`tasks.cards.READ`); any may be missing.
        facts: the version's tags: digests, git commit, Airflow run.
    """
    lines = ["# Data card", "", *headline(files)]
    for heading, body in sections(files, facts):
        lines += [f"## {heading}", "", *(body or ["unknown", ""])]
    return "\n".join(lines).rstrip() + "\n"


def headline(files: Files) -> list[str]:
    """Rows and examples in a sentence, and whether anything leaked."""
    validation, leaks = files.get("validation") or {}, files.get("leaks") or {}
    read, valid, aside = (number(validation.get(name), ",d") for name in ROWS)
    examples = (files.get("mixture") or {}).get("examples") or {}
    made = ", ".join(f"{number(count, ',d')} {plain(split)}" for split, count in examples.items()) or "unknown"
    clean = {True: "No leak was found", False: "Leaks were found", None: "Whether anything leaks is unknown"}
    told = f"{read} rows read: {valid} valid, {aside} set aside. Examples: {made}. {clean[leaks.get('clean')]}."
    return [f"**{told}**", ""]


def sections(files: Files, facts: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Every section but the headline, in order: (heading, lines)."""
    return [
        ("Sources", sources(files)),
        ("Rows set aside", aside(files)),
        ("Rules that do not pass", broken(files)),
        ("Splits and instructions", instructions(files)),
        ("Leak certificate", certificate(files.get("leaks") or {})),
        ("Lengths", lengths(files)),
        ("Who is in the data", people(files.get("bias") or {})),
        ("Language and drift", drift(files)),
        ("Benchmarks", suites(files.get("cards") or {})),
        ("What is not known", bullets([*_missing(files), *UNSAID])),
        ("Provenance", provenance(facts)),
        ("Licences", licences(files)),
    ]


def sources(files: Files) -> list[str]:
    """Where the records come from, and how many of them are used."""
    fetched = (files.get("raw") or {}).get("sources") or {}
    read = (files.get("validation") or {}).get("sources") or {}
    said = ((files.get("raw") or {}).get("licences") or {}).get("sources") or {}
    rows, places = [], []
    for name in dict.fromkeys([*fetched, *read]):
        own = fetched.get(name) or {}
        counts = [number((read.get(name) or {}).get(part), ",d") for part in ROWS]
        stated = licence(said.get(name), f"sources.{name}")
        rows.append([plain(name), *counts, number(own.get("bytes"), ",d"), stated])
        places.append(f"{plain(name)}: {code(own.get('url', 'unknown'))}, sha256 {code(own.get('sha256', 'unknown'))}")
    columns = ["source", "rows read", "valid", "set aside", "bytes", "licence"]
    return [*table(columns, rows, range(1, 5)), *bullets(places)]


def aside(files: Files) -> list[str]:
    """Rows that were set aside, by source and rule."""
    rows = []
    for name, source in ((files.get("validation") or {}).get("sources") or {}).items():
        rules = [] if is_private(files) else source.get("rules") or []
        strict = [rule for rule in rules if rule["severity"] == "critical"]  # the others set nothing aside
        for rule, count in (source.get("by_rule") or {}).items():
            alike = [asked(rule, one.get("expects") or {}) for one in strict if one["rule"] == rule]
            rows.append([plain(name), code(rule), plain("; or ".join(alike) or asked(rule, {})), number(count, ",d")])
    return table(["source", "rule", "in words", "rows"], rows, [3]) or (
        ["None.", ""] if files.get("validation") else []
    )


def broken(files: Files) -> list[str]:
    """Rules that the tables break, and how many rows break them."""
    named = ((files.get("validation") or {}).get("sources") or {}).items()
    rules = [(name, rule) for name, source in named for rule in source.get("rules") or []]
    rows = [
        [plain(name), code(rule["rule"]), plain(rule["severity"]), number(rule.get("rows_breaking"), ",d")]
        for name, rule in rules
        if not rule["passed"]
    ]
    if not rules:
        return []
    told = f"{len(rules) - len(rows):,} of {len(rules):,} rules pass."
    return [told, "", *table(["source", "rule", "severity", "rows that break it"], rows, [3])]


def lengths(files: Files) -> list[str]:
    """Tokens of each text column, of the valid rows."""
    rows = []
    for name, source in ((files.get("validation") or {}).get("sources") or {}).items():
        for column, own in ((source.get("profile") or {}).get("columns") or {}).items():
            if tokens := own.get("tokens"):
                told = [number(tokens.get(end), ",d") for end in ("least", "low", "median", "high", "most")]
                rows.append([plain(name), plain(column), number(own.get("different"), ",d"), *told])
    columns = ["source", "column", "different values", "tokens: least", "5%", "median", "95%", "most"]
    return table(columns, rows, range(2, 8))


def people(bias: Row) -> list[str]:
    """The bias report's findings, and what they cannot see."""
    if not bias:
        return []
    counted = [
        f"{plain(facet['facet'])} in {plain(facet['source'])}.{plain(facet['column'])}, "
        f"{number(facet.get('texts'), ',d')} texts: "
        + ", ".join(
            f"{plain(row['group'])} {number(row.get('n'), ',d')} ({number(row.get('percent'), '.1f')}% "
            f"[{number(row.get('low'), '.1f')}, {number(row.get('high'), '.1f')}])"
            for row in facet["groups"]
        )
        for facet in bias.get("facets") or []
    ]
    said = [plain(sentence) for sentence in bias.get("findings") or []]
    unseen = [plain(sentence) for sentence in bias.get("limits") or []]
    return [*bullets([*counted, *said]), "What this cannot see:", "", *bullets(unseen)]


def drift(files: Files) -> list[str]:
    """Languages that rules keep the data to, and what has changed since the data that were last accepted."""
    spoken = ", ".join(languages(files.get("params") or {}))
    told = [f"Languages that a rule keeps the data to: {plain(spoken) or 'none is declared, so it is unknown'}."]
    for name, source in ((files.get("validation") or {}).get("sources") or {}).items():
        found = source.get("drift")
        if not found or not found.get("accepted_rows"):
            told.append(f"{plain(name)}: no data were accepted before, so drift is unknown.")
            continue
        what = ", ".join(code(one) for one in found.get("drifted") or []) or "nothing"
        told.append(f"{plain(name)}: against {number(found['accepted_rows'], ',d')} accepted rows, {what} has drifted.")
    return bullets(told)


def _missing(files: Files) -> list[str]:
    absent = [name for name in ("raw", "validation", "bias", "mixture", "leaks") if not files.get(name)]
    return [f"These reports are not among the evidence: {', '.join(absent)}."] if absent else []


def provenance(facts: Mapping[str, str]) -> list[str]:
    """Digests of the data, from raw bytes to examples."""
    own = {name: value for name, value in facts.items() if ".data." in name or name == "luthier.leaks"}
    return table(
        ["link", "sha256"], [[plain(name.removeprefix("luthier.")), code(value)] for name, value in own.items()]
    )
