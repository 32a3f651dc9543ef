"""Do the sources still hold the bytes that params.yaml pins, or that were seen last? If not, say which.

    python -m tasks.watch      # prints {"sources": {name: sha256}} and exits 0 where there are new bytes, else 99

By content, not by clock: a file that was touched or written again with the same bytes is nothing new. What cannot have
changed at its address is not looked at (a wheel, a revision of a hub). A source is read whole only where what its file
system says of it (size, time, ETag) is not what it said the last time.
Whoever starts a run on this pins it to what was seen here: bytes that change again meanwhile stop its fetch.
A task that was killed after it looked, and before the scheduler knew, tells the same again when it is tried again.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.data.files import read_json, write_json
from tasks.data.sources import digest_at, mark_at, may_change
from tasks.fetch import Fetch, Source
from tasks.params import load
from tasks.step import run

SEEN = Path(".luthier/watched.json")  # {url: {mark, sha256, before, told_by}}
SKIPPED = 99


def look(sources: Mapping[str, Source], seen: Mapping[str, Any], me: str) -> tuple[dict[str, str], dict[str, Any]]:
    """The sources with new bytes, and what is known from now on.

    Args:
        sources: of section fetch, by name.
        seen: by url what was known.
        me: who looks: the scheduler's run, the same one when it is tried again.

    Returns:
        {name: sha256} of what is new, and what is known from now on by url, of all that may change.

    Raises:
        SourceError: one is not there, or cannot be read.
    """
    new, known = {}, {}
    for name, source in sources.items():
        if not may_change(source.url):
            continue
        last = seen.get(source.url) or {"mark": None, "sha256": source.sha256, "before": "", "told_by": ""}
        before = last["before"] if me and last["told_by"] == me else last["sha256"]
        mark = mark_at(source.url)
        sha256 = last["sha256"] if mark == last["mark"] else digest_at(source.url)
        told_by = me if sha256 != before else last["told_by"]
        known[source.url] = {"mark": mark, "sha256": sha256, "before": before, "told_by": told_by}
        if sha256 != before:
            new[name] = sha256
    return new, known


def main() -> None:
    """Look at every source once."""
    sources = load("fetch", Fetch).sources
    me = os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", "")
    new, known = look(sources, read_json(SEEN) if SEEN.exists() else {}, me)
    write_json(SEEN, known)
    if not new:
        print(f"nothing new in {len(known)} sources that may change ({len(sources) - len(known)} cannot)")
        sys.exit(SKIPPED)
    for name, sha256 in new.items():
        print(f"{name} ({sources[name].url}) has new bytes: sha256 {sha256}")
    print(json.dumps({"sources": new}))


if __name__ == "__main__":
    run(main)
