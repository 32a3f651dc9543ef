"""A process that has imported all that a training imports, and forks a training in no time.

    with Warm() as warm:
        ended = warm.run(folder, Strike("end step 3"))       # ended.status is -9, ended.said what it printed

It has no threads of its own (OpenMP's and OpenBLAS's are switched off, jemalloc's survives a fork) and has opened
nothing, so that what it forks is as a process of its own would be. The trainings run
`tasks.step.run(tasks.finetune.main)`: command line, signals and exit codes are the real ones.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tasks.tracking import server
from tests.faults.strike import Strike, install

ROOT = Path(__file__).resolve().parents[2]
ALONE = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FORGET = ("DVC_STAGE", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")
ARGUMENTS = ("examples", "base", "tuned", "training.jsonl", "training_run.json", "xray.txt", "curves")


@dataclass(frozen=True)
class Ended:
    """How a training ended."""

    status: int
    """Its exit code; -9 where SIGKILL ended it."""
    said: str
    """All that it printed."""
    struck: dict[str, Any]
    """The event that was struck and the monotonic clock then; empty: the fault was not delivered."""
    after_s: float
    """Seconds from the strike to the end."""
    events: list[str]
    """What happened before, and at, the strike."""

    @property
    def last(self) -> str:
        """The last sentence that it printed."""
        lines = [line for line in self.said.splitlines() if line.strip()]
        return lines[-1] if lines else ""


class Warm(AbstractContextManager["Warm"]):
    """The warm process, seen from outside."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if key not in FORGET}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment | ALONE | {"PYTHONPATH": str(ROOT)},
        )
        self.attempts = 0

    def start(
        self, folder: Path, strike: Strike | None = None, what: str = "luthier", env: Mapping[str, str] | None = None
    ) -> tuple[int, Path]:
        """Begin a training in a folder; its process id, and where its notes are."""
        self.attempts += 1
        notes = folder.parent / "notes" / f"{self.attempts:04d}"
        order = {
            "folder": str(folder), "notes": str(notes), "strike": asdict(strike) if strike else None, "what": what,
            "env": dict(env or {}),
        }  # fmt: skip
        return int(self._ask(order)["pid"]), notes

    def wait(self, pid: int, notes: Path) -> Ended:
        """The end of a training."""
        ended = self._ask({"wait": pid})
        struck = json.loads((notes / "struck.json").read_text()) if (notes / "struck.json").exists() else {}
        events = (notes / "events").read_text().splitlines() if (notes / "events").exists() else []
        after = ended["at"] - struck["at"] if struck else 0.0
        return Ended(ended["status"], (notes / "said").read_text(errors="replace"), struck, after, events)

    def run(
        self, folder: Path, strike: Strike | None = None, what: str = "luthier", env: Mapping[str, str] | None = None
    ) -> Ended:
        """A training from its start to its end."""
        return self.wait(*self.start(folder, strike, what, env))

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(30)


def serve() -> None:
    """Inside the warm process: fork a training for every order."""
    import_all()
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            _, status = os.waitpid(order["wait"], 0)
            answer = {"status": os.waitstatus_to_exitcode(status), "at": time.monotonic()}
        elif not (pid := os.fork()):
            become(order)
        else:
            answer = {"pid": pid}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def import_all() -> None:
    """What a training imports, and nothing opened or computed."""
    os.environ.update(server.SWITCHES)  # mlflow reads them at its import
    import datasets.arrow_dataset  # noqa: F401, PLC0415
    import mlflow.store.tracking.sqlalchemy_store  # noqa: PLC0415
    import mlflow.system_metrics.system_metrics_monitor  # noqa: F401, PLC0415
    import sqlalchemy.orm  # noqa: PLC0415
    import transformers  # noqa: PLC0415

    import tests.faults.stock  # noqa: F401, PLC0415

    for name in ("LlamaForCausalLM", "T5ForConditionalGeneration", "AutoTokenizer", "PreTrainedTokenizerFast"):
        getattr(transformers, name)
    sqlalchemy.orm.configure_mappers()


def become(order: dict[str, Any]) -> None:
    """Inside the fork: run a training, and end with its exit code."""
    from tasks.finetune import main  # noqa: PLC0415
    from tasks.step import run  # noqa: PLC0415
    from tests.faults import stock  # noqa: PLC0415

    notes = Path(order["notes"])
    notes.mkdir(parents=True)
    said = os.open(notes / "said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(order["folder"])
    os.environ.update(order["env"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    taps = install(Strike(**order["strike"]) if order["strike"] else None, notes)
    sys.argv = ["finetune", *ARGUMENTS]
    if order["what"] == "stock":
        sys.exit(stock.train(taps))
    run(main)
    sys.exit(0)


if __name__ == "__main__":
    serve()
