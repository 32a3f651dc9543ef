"""Brings an alert to people: the log, a file and a webhook. It never fails its caller, nor keeps it for long.

    tell("late", "finetune_pipeline: run X is 90 s late ...", dag="finetune_pipeline", run="X", late_s=90)

At error level in the log; as a JSON line of `.luthier/alerts.jsonl`; and by POST, the same JSON, to the address in
LUTHIER_ALERT_URL where that is set. Slack, Mattermost and their like show `text`; the other fields are for programs.
"""

import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

FILE = Path(__file__).resolve().parents[1] / ".luthier/alerts.jsonl"
ANSWER_S = 3.0  # what a webhook may take, from the look-up of its name to the end of its answer
log = logging.getLogger(__name__)


def tell(kind: str, text: str, **fields: Any) -> None:
    """Tell it in all three places; what one of them refuses is a warning in the log."""
    log.error(text)
    line = json.dumps({"text": text, "kind": kind, "at": datetime.now(UTC).isoformat(), **fields}, default=str)
    try:
        FILE.parent.mkdir(exist_ok=True)
        with FILE.open("a") as file:
            file.write(line + "\n")  # in one write: lines of tasks that fail at once do not mix
    except OSError as error:
        log.warning("the alert is not in %s: %s", FILE, error)
    if url := os.environ.get("LUTHIER_ALERT_URL", "").strip():
        # A thread, since no timeout of urlopen covers the look-up of a name or a server that drips.
        sending = Thread(target=_post, args=(url, line.encode()), daemon=True)
        sending.start()
        sending.join(ANSWER_S)
        if sending.is_alive():
            log.warning("LUTHIER_ALERT_URL did not answer in %s s: nobody may have read the alert there", ANSWER_S)


def _post(url: str, body: bytes) -> None:
    """The address, and words that may quote it, stay out of the log: such addresses hold a token."""
    try:
        if not url.startswith(("http://", "https://")):
            return log.warning("LUTHIER_ALERT_URL is not an address that starts with http:// or https://")
        request = Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 (checked)
        urlopen(request, timeout=ANSWER_S).close()  # noqa: S310
    except Exception as error:
        why = f"status {error.code}" if isinstance(error, HTTPError) else type(error).__name__
        log.warning("LUTHIER_ALERT_URL did not take the alert (%s)", why)
