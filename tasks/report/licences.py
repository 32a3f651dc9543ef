"""Under what base model, data and benchmarks may be used, as far as params.yaml states it."""

from collections.abc import Mapping
from typing import Any

from tasks.report.markdown import code, plain, table

WHERE = "not stated: write it into params.yaml as fetch.{}.licence, then `dvc repro` and register again"


def licences(files: Mapping[str, Any]) -> list[str]:
    """Lines of a table: base model, sources, benchmarks."""
    said = (files.get("raw") or {}).get("licences") or {}
    rows = [["base model", code((files.get("base") or {}).get("name", "unknown")), licence(said.get("model"), "model")]]
    for part, kind in (("sources", "source"), ("benchmarks", "benchmark")):
        listed = (files.get("raw" if part == "sources" else "benchmarks") or {}).get("sources") or {}
        named = said.get(part) or {}
        rows += [
            [kind, plain(name), licence(named.get(name), f"{part}.{name}")] for name in dict.fromkeys([*listed, *named])
        ]
    return table(["what", "name", "licence"], rows)


def licence(stated: str | None, where: str) -> str:
    """What is stated, or where to state it."""
    return plain(stated) if stated else WHERE.format(plain(where))
