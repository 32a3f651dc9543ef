"""Accept the data that was validated last: later data is compared with it (`luthier accept`).

Copies the profile of each source in reports/validation.json into data/accepted.json, which is committed: accepting is a
person's decision, and git remembers whose. A source that is not valid there keeps the profile that it had.
"""

from pathlib import Path

from tasks.data.files import Row, read_json, write_json
from tasks.data.judge.accepted import accepted_profiles
from tasks.errors import DataError

VALIDATION, ACCEPTED = Path("reports/validation.json"), Path("data/accepted.json")


def accept(validation: Path = VALIDATION, accepted: Path = ACCEPTED) -> str:
    """Make the validated data the accepted data; return a sentence that says what changed.

    Raises:
        DataError: there is no report, or no valid source in it.
    """
    if not validation.is_file():
        raise DataError(f"{validation} is not there yet: dvc repro validate, look at reports/data.html, then accept.")
    profiles = accepted_profiles(accepted)
    sources: dict[str, Row] = read_json(validation)["sources"]
    valid = {name: source["profile"] for name, source in sources.items() if _is_valid(source)}
    if not valid:
        raise DataError(f"{validation} holds no valid source: there is nothing to accept.")
    changed = [_change(name, profiles.get(name), profile) for name, profile in valid.items()]
    write_json(accepted, {"sources": {**profiles, **valid}})
    kept = sorted((sources.keys() | profiles.keys()) - valid.keys())
    left = f" Left as it was, for want of a valid report: {', '.join(kept)}." if kept else ""
    return f"{accepted}: {'; '.join(changed)}.{left} Commit it; dvc repro compares with it from now on."


def _is_valid(source: Row) -> bool:
    critical = [rule for rule in source["rules"] if rule["severity"] == "critical"]
    return bool(source["rows_valid"]) and all(rule["passed"] for rule in critical)


def _change(name: str, before: Row | None, now: Row) -> str:
    if before is None:
        return f"{name} is accepted for the first time ({now['rows']:,} rows)"
    if before == now:
        return f"{name} is as it was"
    return f"{name} is accepted anew ({before['rows']:,} rows before, {now['rows']:,} now)"
