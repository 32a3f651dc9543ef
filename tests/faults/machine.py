"""A4-A7, A22-A25: signals, full disks, two at once, DVC killed, clocks, other users."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path

from tasks.data.files import read_rows
from tests.faults import stock
from tests.faults.damage import checkpoints, stopped
from tests.faults.ground import NEEDS_ROOT, Finding, Ground, proof_of
from tests.faults.project import Case
from tests.faults.strike import Strike
from tests.faults.warm import FORGET, ROOT

NOBODY = 65534
STAGE = """
stages:
  finetune:
    cmd: {python} -m tasks.finetune examples base tuned training.jsonl training_run.json xray.txt curves
    deps: [examples, base]
    params: [finetune]
    outs: [tuned, training.jsonl, training_run.json]
"""


def then_whole(ground: Ground, case: Case, folder: Path) -> list[str]:
    """Run the same command again, to its end; what is wrong then."""
    ended = ground.run(folder)
    return case.wrong(folder) if ended.status == 0 else [f"then exit {ended.status}: {ended.last}"]


def asked_to_stop(ground: Ground, do: str, status: int, stocked: str = "-") -> Finding:
    """A5: SIGTERM or Ctrl-C within a step ends it within 5 s, at the step's end, and says that it is not done.

    Where more processes want to run than there are cores, each second of this one takes that much longer.
    """
    case = ground.case()
    folder = case.fresh(f"stop-{do}")
    ended = ground.run(folder, Strike("begin step 5", do=do))
    allowed = 5 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    last = checkpoints(folder)[-1].name if checkpoints(folder) else "none"
    told = f"exit {ended.status} after {ended.after_s:.1f} s (of {allowed:.0f}), checkpoint {last}"
    early = ended.after_s < allowed and last == "step-00000005" and not (folder / "tuned").exists()
    wrong = then_whole(ground, case, folder)
    came = f"{told}; then {'; '.join(wrong) or 'identical'}"
    return Finding("A5", f"{do} in step 5", proof_of(ended, status), stocked, came, early and not wrong)


def stock_asked(ground: Ground, do: str) -> str:
    """What the stock trainer does then."""
    folder = ground.case().fresh(f"stock-{do}")
    return stock.came_to(folder, ground.stock(folder, Strike("begin step 5", do=do)), ground.stock_weights)


def second_writer(ground: Ground) -> Finding:
    """A7: a second training in the same checkout is told who is at work, and the first is not disturbed."""
    case = ground.case()
    folder = case.fresh("second-writer")
    first = ground.warm.start(folder, Strike("begin step 5", do="wait"))
    until = time.monotonic() + 60
    while not (struck := (first[1] / "struck.json").exists()) and time.monotonic() < until:
        time.sleep(0.05)
    second = ground.run(folder)
    (folder / "go").touch()
    ended = ground.warm.wait(*first)
    wrong = case.wrong(folder) if ended.status == 0 else [ended.last]
    told = second.status == 75 and f"in use by process {first[0]} on" in second.last
    came = f"second: exit {second.status}: {second.last}; first: {'; '.join(wrong) or 'identical'}"
    proof = f"the first waits in step 5, process {first[0]}" if struck else ""
    return Finding("A7", "two trainings in one checkout", proof, "-", came, told and not wrong)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of its own under a folder; needs root."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "luthier", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def full_disk(ground: Ground) -> Finding:
    """A4: the disk fills up in the middle of a training."""
    case = ground.case("causal", "full")
    folder = case.fresh("full-disk")
    with small_disk(folder / ".luthier", "48m"):
        ended = ground.run(folder, Strike("begin step 5", do="fill"))
        kept = [path.name for path in checkpoints(folder)]
        (folder / ".luthier/ballast").unlink()
        wrong = then_whole(ground, case, folder)
    said = next((line for line in ended.said.splitlines() if line.startswith("luthier:")), ended.last)
    told = "disk is full while writing" in said and "(0 MB free there)" in said and kept == ["step-00000003"]
    came = f"exit {ended.status}: {said}; kept {', '.join(kept)}; with room again {'; '.join(wrong) or 'identical'}"
    return Finding("A4", "disk full from step 5 on", proof_of(ended, 74), "-", came, told and not wrong)


def no_room(ground: Ground) -> Finding:
    """A4: the disk has too little room before anything is spent."""
    case = ground.case("causal", "full")
    folder = case.fresh("no-room")
    with small_disk(folder / ".luthier", "3m"):
        ended = ground.run(folder)
        free = os.statvfs(folder / ".luthier")
        small = free.f_blocks * free.f_frsize
        began = "begin step 1" in ended.events
    told = ended.status == 1 and "bytes free" in ended.last and not began
    return Finding("A4", "too small a disk", f"{small:,} bytes in all", "-", f"exit {ended.status}: {ended.last}", told)


def bounded(ground: Ground) -> Finding:
    """A23: fifty saves never have more than three checkpoints on the disk, nor leave one behind."""
    case = ground.case(optimizer={"epochs": 10}, care={"save_every": 1, "look_every": 25})
    now = most = saves = 0
    for event in case.events[: case.events.index("mkdir .tuned.partial")]:
        saved = event.startswith("rename training/step-")
        saves, now = saves + saved, now + saved - event.startswith("rmdir training/.step-")
        most = max(most, now)
    return Finding(
        "A23",
        "50 saves in one training",
        f"{saves} saves" if saves == 50 else "",
        "-",
        f"at most {most} at once",
        most == 3,
    )


def wrong_clocks(ground: Ground) -> Finding:
    """A24: the older checkpoint's files are of 2099, the newest's of 1970, and the time zone changes."""
    case = ground.case()
    folder = stopped(ground, case, "clocks")
    for checkpoint, time_ in zip(checkpoints(folder), (4_070_908_800, 0), strict=True):
        for path in (checkpoint, *checkpoint.iterdir()):
            os.utime(path, (time_, time_))
    ended = ground.run(folder, env={"TZ": "Pacific/Kiritimati"})
    first = next((event for event in ended.events if event.startswith("begin step")), "no step")
    wrong = case.wrong(folder) if ended.status == 0 else [ended.last]
    came = f"goes on with '{first}': {'; '.join(wrong) or 'identical'}"
    return Finding(
        "A24",
        "file times of 1970 and 2099, another time zone",
        "set on disk",
        "-",
        came,
        first == "begin step 7" and not wrong,
    )


def lost_steps(ground: Ground) -> Finding:
    """A22: whatever kills the task, no more steps are lost than there are between two saves."""
    case = ground.case()
    folder = stopped(ground, case, "lost")
    ended = ground.run(folder, Strike("begin step [0-9]+"))
    return Finding(
        "A22",
        "killed in step 8",
        proof_of(ended, -9),
        "-",
        f"goes on with '{ended.events[-1]}'",
        ended.events[-1] == "begin step 7",
    )


def other_user(ground: Ground) -> Finding:
    """A25: another user reads every checkpoint and the tuned model."""
    case = ground.case()
    folder = stopped(ground, case, "other-user")
    unread = [path for checkpoint in checkpoints(folder) for path in checkpoint.iterdir() if not read_by(path, NOBODY)]
    wrong = then_whole(ground, case, folder)
    unread += [path for path in (folder / "tuned").rglob("*") if path.is_file() and not read_by(path, NOBODY)]
    came = f"unreadable: {', '.join(path.name for path in unread)}" if unread else "reads all of it"
    secret = folder / "secret"
    secret.touch(0o600)
    proof = "a file of mode 0600 is refused to it" if not read_by(secret, NOBODY) else ""
    return Finding("A25", f"user {NOBODY} reads checkpoints and model", proof, "-", came, not unread and not wrong)


def read_by(path: Path, user: int) -> bool:
    """Whether this user can read the file."""
    return subprocess.run(["cat", path], user=user, group=user, capture_output=True, check=False).returncode == 0


def dvc_killed(ground: Ground) -> Finding:
    """A6, A13: `dvc repro` killed with -9: the training under it ends too, and the next `dvc repro` goes on."""
    case = ground.case(optimizer={"epochs": 40}, care={"look_every": 50})
    folder = case.fresh("dvc")
    (folder / "dvc.yaml").write_text(STAGE.format(python=sys.executable))
    environment = {key: value for key, value in os.environ.items() if key not in FORGET} | {"PYTHONPATH": str(ROOT)}
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], cwd=folder, env=environment, check=True)
    with (folder / "said").open("w") as said:
        first = subprocess.Popen([*dvc, "repro"], cwd=folder, env=environment, stdout=said, stderr=said)
        until = time.monotonic() + 120
        while not checkpoints(folder) and first.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed_at, costs = time.monotonic(), folder / ".luthier/steps.jsonl"
        while not costs.exists() and time.monotonic() < killed_at + 20:
            time.sleep(0.05)
        took = time.monotonic() - killed_at
        status = read_rows(costs)[-1]["exit"] if costs.exists() else None
        again = subprocess.run([*dvc, "repro"], cwd=folder, env=environment, stdout=said, stderr=said, check=False)
    wrong = case.wrong(folder) if again.returncode == 0 else [(folder / "said").read_text()[-300:]]
    came = f"the training ends with {status} after {took:.1f} s; then dvc repro: {'; '.join(wrong) or 'identical'}"
    proof = f"dvc repro ended by signal {-first.returncode} with a checkpoint there" if first.returncode == -9 else ""
    return Finding("A6", "dvc repro killed with -9", proof, "-", came, status == 75 and took < 5 and not wrong)


ROOTS = {full_disk, no_room, other_user}
ALL: list[tuple[str, Callable[[Ground], Finding]]] = [
    ("A5", lambda ground: asked_to_stop(ground, "term", 75, stock_asked(ground, "term"))),
    ("A5", lambda ground: asked_to_stop(ground, "interrupt", 130, stock_asked(ground, "interrupt"))),
    ("A4", full_disk),
    ("A4", no_room),
    ("A7", second_writer),
    ("A22", lost_steps),
    ("A23", bounded),
    ("A24", wrong_clocks),
    ("A25", other_user),
    ("A6", dvc_killed),
]


def machine(ground: Ground, wanted: AbstractSet[str]) -> Iterator[Finding]:
    """All of them, or those whose numbers are wanted."""
    for fault, deliver in ALL:
        if wanted and fault not in wanted:
            continue
        if deliver in ROOTS and os.geteuid():
            yield Finding(fault, str(deliver.__doc__), NEEDS_ROOT, "-", "-", False)
        else:
            yield deliver(ground)
