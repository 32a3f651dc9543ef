"""A3: damaged checkpoints, through a whole training; also C15, where a checkpoint is of another training."""

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

from tests.faults import stock
from tests.faults.ground import Finding, Ground
from tests.faults.project import Case
from tests.faults.strike import Strike

FILES = ("weights.safetensors", "optimizer.safetensors", "best.safetensors", "state.json", "log.jsonl", "manifest.json")


def flip(file: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut(file: Path) -> None:
    """Lose the second half."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


MUTATIONS: dict[str, Callable[[Path], None]] = {"a bit flipped": flip, "cut in half": cut, "removed": Path.unlink}


def checkpoints(folder: Path) -> list[Path]:
    """Those of the training in this folder, oldest first."""
    return sorted(folder.glob(".luthier/training/*/step-*"))


def stopped(ground: Ground, case: Case, name: str) -> Path:
    """A training that was killed with the checkpoints of steps 3 and 6 behind it."""
    folder = case.fresh(name)
    ended = ground.run(folder, Strike("begin step 8"))
    assert (ended.status, [path.name for path in checkpoints(folder)]) == (-9, ["step-00000003", "step-00000006"])
    return folder


def damaged(ground: Ground, case: Case, file: str, how: str, everywhere: bool = False, stocked: str = "-") -> Finding:
    """Damage one file of the newest checkpoint, or of all; then go on."""
    folder = stopped(ground, case, f"{file}-{how}-{everywhere}")
    for checkpoint in checkpoints(folder) if everywhere else checkpoints(folder)[-1:]:
        MUTATIONS[how](checkpoint / file)
    ended = ground.run(folder)
    told = [line for line in ended.said.splitlines() if "set aside" in line]
    expected = "beginning at step 0" if everywhere else "going on from step 3"
    found = bool(told) and all(file in line and expected in line for line in told)
    wrong = case.wrong(folder) if ended.status == 0 else [f"exit {ended.status}: {ended.last}"]
    came = "; ".join(wrong) or f"identical; {expected}"
    where = "all checkpoints" if everywhere else "the newest checkpoint"
    injected = f"{case.name}: {file} of {where} {how}"
    return Finding(
        "A3", injected, "bytes differ on disk", stocked, came if found else f"not noticed; {came}", found and not wrong
    )


def stock_damaged(ground: Ground, file: str, how: str) -> str:
    """What the stock trainer does with such a checkpoint."""
    folder, expected = ground.case().fresh(f"stock-{file}-{how}"), ground.stock_weights
    ground.stock(folder, Strike("begin step 8"))
    MUTATIONS[how](folder / stock.OUTPUT / "checkpoint-6" / file)
    return stock.came_to(folder, ground.stock(folder), expected)


def damage(ground: Ground, wanted: AbstractSet[str]) -> Iterator[Finding]:
    """All of it, if it is wanted."""
    if wanted and "A3" not in wanted:
        return
    case = ground.case()
    theirs = {
        "weights.safetensors": "model.safetensors",
        "optimizer.safetensors": "optimizer.pt",
        "state.json": "trainer_state.json",
    }
    for file in FILES:
        for how in MUTATIONS:
            stocked = stock_damaged(ground, theirs[file], how) if file in theirs else "-"
            yield damaged(ground, case, file, how, stocked=stocked)
    yield damaged(ground, case, "weights.safetensors", "a bit flipped", everywhere=True)
    yield damaged(ground, ground.case("seq2seq", "full"), "optimizer.safetensors", "a bit flipped")
