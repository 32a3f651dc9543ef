"""One fault, delivered at one named event of a training; runs inside the training's own process.

    install(Strike("fsync training/.step-00000003.partial/manifest.json", do="kill"))
    tasks.step.run(tasks.finetune.main)

Events are texts: `begin step 3`, `end step 3`, `part` (after the backward pass of a part of a step), `dev batch`,
`run created`, `written FILE` (by safetensors), `fsync FILE`, `synced FILE`, and what Python's audit hook tells of
`open` (for writing), `rename`, `remove`, `mkdir`, `rmdir`, `chmod` and `link`, before it happens. Paths are those below
the working directory, `training/` is the folder of the training. All events so far stand in the file `events`; what
was struck, and when, in `struck.json`, written before the fault is delivered.
"""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TRAINING = re.compile(r"\.luthier/training/[0-9a-f]{12}")
NAMED = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.chmod": 0, "os.link": 1}  # place of the path
FOLDER_AT = {"os.rename": 3, "os.remove": 1, "os.mkdir": 2, "os.rmdir": 1, "os.chmod": 2, "os.link": 3}  # of its folder
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "interrupt": signal.SIGINT}


@dataclass(frozen=True)
class Strike:
    """What is done, and when."""

    event: str
    """A regular expression for the whole of an event's text."""
    nth: int = 1
    """Which of the events that match."""
    do: str = "kill"
    """kill, term, interrupt; tear (cut the file in half, then kill); nan (in the embeddings); fill (the disk of
    .luthier); wait (until a file `go` is there)."""


class Taps:
    """Where events are noticed."""

    def __init__(self, strike: Strike | None, notes: Path) -> None:
        self.strike, self.notes, self.root = strike, notes, f"{Path.cwd()}/"
        self.matched, self.busy = 0, False
        notes.mkdir(parents=True, exist_ok=True)
        self.events = os.open(notes / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        sys.addaudithook(self.audit)

    def event(self, text: str, at: Any = None) -> None:
        """Note an event, and strike if it is the one."""
        if self.busy or threading.current_thread() is not threading.main_thread():
            return
        os.write(self.events, f"{text}\n".encode())
        if self.strike is None or not re.fullmatch(self.strike.event, text):
            return
        self.matched += 1
        if self.matched == self.strike.nth:
            self.busy = True
            (self.notes / "struck.json").write_text(json.dumps({"event": text, "at": time.monotonic()}))
            deliver(self.strike.do, at)
            self.busy = False

    def audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        """What Python tells before it touches a file."""
        if self.busy:
            return
        if name == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING:
            self.file("open", arguments[0])
        elif name in NAMED:
            self.file(name.removeprefix("os."), arguments[NAMED[name]], arguments[FOLDER_AT[name]])

    def file(self, what: str, path: object, folder: int = -1, at: Any = None) -> None:
        """Something is done to a file below the working directory."""
        if not isinstance(path, str | bytes | os.PathLike):
            return
        named = os.fsdecode(path)
        if not named.startswith("/"):
            named = f"{os.readlink(f'/proc/self/fd/{folder}')}/{named}" if folder >= 0 else self.root + named  # noqa: PTH115
        if named.startswith(self.root) and "mlruns" not in named and "mlflow.db" not in named:
            self.event(f"{what} {TRAINING.sub('training', named.removeprefix(self.root))}", at)


def install(strike: Strike | None, notes: Path) -> Taps:
    """Watch this process's training from now on, and strike once."""
    import mlflow  # noqa: PLC0415  # whoever only names a fault has no need of seconds of imports
    import torch  # noqa: PLC0415

    from tasks.model import fit, manifest, setup  # noqa: PLC0415

    taps = Taps(strike, notes)
    update, collate, save_file, fsync = fit.update, setup.collate, manifest.save_file, os.fsync
    backward, create_run = torch.Tensor.backward, mlflow.MlflowClient.create_run

    def updating(given: Any, optimizer: Any, examples: Any, step: int, learning_rate: float) -> Any:
        taps.event(f"begin step {step}", given.model.model)
        result = update(given, optimizer, examples, step, learning_rate)
        taps.event(f"end step {step}")
        return result

    def collating(*arguments: Any) -> Any:
        if not torch.is_grad_enabled():
            taps.event("dev batch")
        return collate(*arguments)

    def saving(content: Any, file: Path) -> None:
        save_file(content, file)
        taps.file("written", file.absolute(), at=file)

    def syncing(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        taps.file("fsync", path)
        fsync(descriptor)
        taps.file("synced", path)

    fit.update, setup.collate, manifest.save_file, os.fsync = updating, collating, saving, syncing
    torch.Tensor.backward = _then(backward, lambda: taps.event("part"))
    mlflow.MlflowClient.create_run = _then(create_run, lambda: taps.event("run created"))
    return taps


def _then(call: Callable[..., Any], tell: Callable[[], None]) -> Callable[..., Any]:
    def called(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        tell()
        return result

    return called


def deliver(what: str, at: Any) -> None:
    """Do it to this very process."""
    if what == "tear":
        os.truncate(at, at.stat().st_size // 2)
        what = "kill"
    if what in SIGNALS:
        os.kill(os.getpid(), SIGNALS[what])
    elif what == "nan":
        at.get_input_embeddings().weight.data[:] = float("nan")
    elif what == "fill":
        fill(Path(".luthier/ballast"))
    elif what == "wait":
        until = time.monotonic() + 120
        while not Path("go").exists() and time.monotonic() < until:
            time.sleep(0.02)
    else:
        raise ValueError(f"no such fault: {what}")


def fill(file: Path) -> None:
    """Take all the room of a disk."""
    with file.open("wb", buffering=0) as ballast:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    ballast.write(bytes(size))
            except OSError:
                continue
