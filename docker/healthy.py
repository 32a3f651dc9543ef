"""Does a service answer? Exits with 0 or 1; it needs nothing of Luthier, for it is asked every few seconds.

python docker/healthy.py http://localhost:8080/api/v2/monitor/health scheduler    # an address; a heart beat in it
python docker/healthy.py worker@%h                                               # a Celery worker by its name
"""

import json
import os
import socket
import sys
import urllib.request
from datetime import UTC, datetime

OLD_S = 60  # a heart beat


def answers(url: str, heart: str) -> bool:
    """Whether an address answers, and in Airflow's answer a component's heart beats."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=8) as answer:
        said = answer.read()
    if not heart:
        return True
    beat = (json.loads(said).get(heart) or {}).get(f"latest_{heart}_heartbeat")
    return bool(beat) and (datetime.now(UTC) - datetime.fromisoformat(beat)).total_seconds() < OLD_S


def listens(worker: str) -> bool:
    """Whether a worker answers over the broker."""
    from celery import Celery  # noqa: PLC0415

    broker = os.environ["AIRFLOW__CELERY__BROKER_URL"]
    return bool(Celery(broker=broker).control.ping(destination=[worker.replace("%h", socket.gethostname())], timeout=5))


def main(what: str, heart: str = "") -> None:
    """Exit with 0 where it does."""
    try:
        well = answers(what, heart) if what.startswith("http") else listens(what)
    except (OSError, ValueError) as error:
        sys.exit(f"{what}: {error}")
    sys.exit(0 if well else f"{what} {heart}: no answer")


if __name__ == "__main__":
    main(*sys.argv[1:])
