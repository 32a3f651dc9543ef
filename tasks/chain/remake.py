"""Stages that are run again in a worktree of their own, and what they make compared with the chain.

DVC runs them, without its run-cache (a replay would prove nothing) and without committing: the shared cache is read
and not written. What they track goes to an MLflow store beside the worktree.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tasks.chain import cache
from tasks.chain.findings import COLUMN
from tasks.chain.hashing import Hashing
from tasks.chain.record import TAGS, key_of, word_of
from tasks.data.commented import reader
from tasks.data.files import sha256_of
from tasks.errors import LineageError

PATIENCE_S = 30  # between asking a stage to end and ending it
COMPILE = {True: "always", False: "never", None: None}  # training_run.json's word for it in params.yaml's
DECIDE = {key for key, _ in TAGS.values()}  # outputs that have to be the same; others hold clocks and run ids


@dataclass(frozen=True)
class Remaking:
    """A chain, and where it is made again."""

    chain: Mapping[str, Any]
    project: Path
    """The checkout in the worktree."""
    cache: Path
    """The team's DVC objects."""
    store: Path
    """The folder of an MLflow store of its own."""
    run: str = "none"
    """The branch of the run that made it, if one did: what lacks in the cache is brought by its name."""

    @property
    def stages(self) -> list[str]:
        """In order."""
        return list(dict.fromkeys(link["stage"] for link in self.chain["links"]))

    def take(self, stage: str) -> None:
        """Check what a stage made in DVC's cache, byte by byte, and put it into the worktree.

        Raises:
            LineageError: an object is missing, or has other bytes.
        """
        links = [link for link in self.chain["links"] if link["stage"] == stage]
        faults = [told for link in links if (told := cache.list_fault(link, self.cache, self.run))]
        with Hashing() as hashing:
            claims = [claim for link in links for claim in cache.claims(link, self.cache, self.run)]
            faults += [one.fault for one in hashing.check(claims) if one.fault]
        if faults:
            raise LineageError(f"the rebuilding starts from what {stage} made, and {faults[0]}.")
        self.dvc("checkout", "--force", *(link["path"] for link in links))
        for link in links:
            _say(word_of(link), "from the cache", link["sha256"])

    def make(self, stage: str) -> list[str]:
        """Run a stage anew; return which of what it made is not as it has to be, in words."""
        print(f"  {stage} ...", flush=True)
        started = time.monotonic()
        self.dvc("repro", "--single-item", "--force", "--no-run-cache", "--no-commit", stage)
        _say(stage, f"{time.monotonic() - started:.1f} s", "")
        others = []
        for link in (link for link in self.chain["links"] if link["stage"] == stage):
            path, decides = self.project / link["path"], key_of(link) in DECIDE
            same = path.exists() and sha256_of(path) == link["sha256"]
            if decides and not same:
                others.append(f"{word_of(link)} ({link['path']})")
            what = "identical" if same else "DIFFERS" if decides else "differs"
            _say(word_of(link), what, link["sha256"] if same else "" if decides else "no part of the proof")
        return others

    def dvc(self, *arguments: str) -> None:
        """Run DVC in the worktree, in a process group of its own: whoever stops us stops the trainer too.

        Raises:
            LineageError: it failed.
        """
        settings = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # for dvc.yaml's `python`
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.store / 'mlflow.db'}",
            "PYTHONUNBUFFERED": "1",
        }
        command = [sys.executable, "-m", "dvc", *arguments]
        child = subprocess.Popen(command, cwd=self.project, env=os.environ | settings, start_new_session=True)
        try:
            status = child.wait()
        except BaseException:
            _end(child)
            raise
        if status:
            raise LineageError(f"'dvc {' '.join(arguments)}' failed while rebuilding (exit {status}): see above.")


def pin(params: Path, run: Mapping[str, Any]) -> None:
    """Write into params.yaml what a training chose by measuring: on a busy machine it might choose otherwise."""
    yaml = reader()
    document = yaml.load(params.read_text())
    training = document["finetune"]
    for key, chosen in (("precision", run.get("precision")), ("compile", COMPILE.get(run.get("compiled")))):
        if training.get(key) == "auto" and chosen:
            training[key] = chosen
    with params.open("w") as file:
        yaml.dump(document, file)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a whole process group and see it gone: asked first, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        deadline = time.monotonic() + PATIENCE_S
        while _runs(child.pid) and time.monotonic() < deadline:
            child.poll()
            time.sleep(0.1)


def _runs(group: int) -> bool:
    """Whether a process group has a process that is no mere remnant."""
    for process in psutil.process_iter(["status"]):
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                return True
    return False


def _say(what: str, told: str, digest: str) -> None:
    print(f"  {what:<{COLUMN}} {told:<15} {digest}".rstrip(), flush=True)
