"""What every step's command line shares: typed arguments in, one-sentence errors out, its cost written down.

    if __name__ == "__main__":
        run(main)

Arguments and their help come from `main`'s signature and docstring (typer). A step that is interrupted exits
with 130 (Ctrl-C) or 75 (SIGTERM, "try again"), never with 0. 75 is also what does not answer now and may later: a
lock that another holds, MLflow, the network, a lost GPU. 74 is a disk. Whoever schedules us retries those two, and
nothing else: bad input is as bad the next time.
"""

import errno
import functools
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil
import typer

from tasks.data.files import free_bytes
from tasks.errors import LuthierError, OutageError
from tasks.memory import peak_bytes
from tasks.orphan import Terminated, end_with_parent

COSTS = Path(".luthier/steps.jsonl")  # outside DVC: a cost is of one run, not of a result
EX_TEMPFAIL = 75
EX_IOERR = 74
EX_NOINPUT = 66
NOT_THERE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
# cudaError_t: unavailable, no device, uncorrectable ECC, NVLink, stream and context gone, illegal address, launch
# time-out, launch failure, not ready, unknown. Not 710, a device-side assert: that is a bug, or bad input.
LOST = {46, 100, 214, 220, 400, 700, 702, 709, 719, 802, 999}
GONE = ("No CUDA GPUs are available", "Found no NVIDIA driver", "NCCL error", "uncorrectable ECC", "GPU is lost")


PATIENCE_S = 3.0  # Airflow kills 5 s after it asked: what takes longer is not waited for


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


class Asking:
    """SIGTERM or Ctrl-C that waits for a good moment, once it was asked for; a second one does not wait."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.patient = False

    def asked(self, next_s: float) -> bool:
        """Whether one came.

        Args:
            next_s: seconds until this is called again; where that is too long, one that comes meanwhile does not wait.
        """
        self.patient = next_s <= PATIENCE_S
        return self.number is not None

    def leave(self) -> None:
        """End as it asks."""
        raise KeyboardInterrupt if self.number == signal.SIGINT else Terminated

    def _take(self, number: int, _frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        if again or not self.patient:
            self.leave()


@contextmanager
def deferred() -> Iterator[Asking]:
    """As long as this lasts, SIGTERM and Ctrl-C wait until the work asks whether one came, and leaves."""
    asking = Asking()
    before = {number: signal.signal(number, asking._take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asking
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asking.number is not None:
        asking.leave()


def _fail(message: str) -> None:
    print(f"luthier: {message}", file=sys.stderr, flush=True)


def _explain_os_error(error: OSError) -> tuple[str, int] | None:
    """What is wrong with a file or disk, and the exit status for it; None: nothing that we know."""
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        free_mb = free_bytes(Path(str(error.filename or "."))) / 1e6
        return (
            f"the disk is full{where} ({free_mb:,.0f} MB free there). Nothing of this step is kept as finished: "
            "make room (e.g. 'dvc gc -w') and run it again."
        ), EX_IOERR
    if error.errno == errno.EFBIG:
        return f"a file grew over this shell's size limit{where}: raise 'ulimit -f' and run the step again.", EX_IOERR
    if isinstance(error, NOT_THERE):
        return f"{error.strerror}: {error.filename}. Run the steps in order: dvc repro.", EX_NOINPUT
    return None


def _explain_device_error(error: RuntimeError) -> tuple[str, int] | None:
    """What happened to the GPU, and the exit status for it; None: nothing that we know, so a bug of ours.

    By names and codes, for torch is seconds to import. Truth: torch 2.11 and 2.13 on an H100, CUDA's cudaError_t.
    """
    told = (str(error).strip() or type(error).__name__).splitlines()[0]
    if type(error).__name__ == "OutOfMemoryError":
        how = "lower finetune.optimizer.max_tokens_at_once or predict.batch_size, or set gradient_checkpointing: always"
        return f"the GPU has too little memory ({told[:160]}): {how}.", 1
    lost = getattr(error, "error_code", None) in LOST or any(text in told for text in GONE)
    return (f"the GPU was lost ({told[:160]}): run the step again.", EX_TEMPFAIL) if lost else None


def exit_status(call: Callable[[], object], name: str) -> int:
    """Run `call`; return 0, or print one sentence and return what the process should exit with."""
    try:
        call()
    except LuthierError as error:
        _fail(f"{name}: {error}")
        return EX_TEMPFAIL if isinstance(error, OutageError) else 1
    except KeyboardInterrupt:
        _fail(f"{name}: stopped by Ctrl-C. Nothing of this step is kept as finished; the same command runs it again.")
        return 130
    except Terminated:
        _fail(f"{name}: stopped by SIGTERM. Nothing of this step is kept as finished; the same command runs it again.")
        return EX_TEMPFAIL
    except (OSError, RuntimeError) as error:
        known = _explain_os_error(error) if isinstance(error, OSError) else _explain_device_error(error)
        if known is None:
            raise
        _fail(f"{name}: {known[0]}")
        return known[1]
    except SystemExit as exited:  # of processes that it started
        return int(exited.code or 0)
    return 0


def _record_cost(name: str, status: int) -> None:
    """Append wall seconds since the process started (imports included) and its peak resident memory in MB."""
    started = psutil.Process().create_time()
    row = {
        "step": name,
        "started": started,
        "seconds": round(time.time() - started, 1),
        "peak_mb": peak_bytes() // 1024**2,
        "exit": status,
    }
    COSTS.parent.mkdir(exist_ok=True)
    with COSTS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def _watched(main: Callable[..., None], *args: object, **kwargs: object) -> None:
    end_with_parent()
    main(*args, **kwargs)


def run(main: Callable[..., None]) -> None:
    """Make `main` this process's command line and run it."""
    name = (main.__module__ if main.__module__ != "__main__" else Path(sys.argv[0]).stem).rpartition(".")[2]

    @functools.wraps(main)
    def guarded(*args: object, **kwargs: object) -> None:
        signal.signal(signal.SIGTERM, _on_sigterm)
        status = exit_status(lambda: _watched(main, *args, **kwargs), name)
        try:
            _record_cost(name, status)
        except OSError as error:
            _fail(f"{name}: could not note its cost in {COSTS}: {error.strerror}")
            status = status or EX_IOERR
        raise typer.Exit(status)

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(guarded)
    app()
