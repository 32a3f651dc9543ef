"""A call in a process of its own that is killed once it has written to MLflow so often."""

import json
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.tracking import evidence, journal, models, points, registry, runs, server


def in_child(folder: Path, call: Callable[[], object], kill_after: int = 0) -> Any:
    """What a call gave in a process of its own, and how often it wrote to MLflow; None: killed after so many."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.chdir(folder)
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
            counting = Counting(server.client(), kill_after)
            for module in (evidence, journal, models, points, registry, runs):
                module.client = lambda: counting  # type: ignore[attr-defined]
            os.write(write, json.dumps([call(), counting.made]).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as told:
        said = told.read()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) == bool(kill_after and not said)
    assert os.WIFSIGNALED(status) or status == 0
    return json.loads(said) if said else None


READS = ("get_", "search_", "list_", "download_")


class Counting:
    """MLflow's client, which kills its process once it has written so often.

    A kill after an answer that was only read leaves what the write before it left: those are not counted.
    """

    def __init__(self, client: Any, kill_after: int) -> None:
        self.client, self.kill_after, self.made = client, kill_after, 0

    def __getattr__(self, name: str) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = getattr(self.client, name)(*args, **kwargs)
            wrote = not name.startswith(READS)
            self.made += wrote
            if wrote and self.made == self.kill_after:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return counted
