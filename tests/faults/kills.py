"""A1, A2: SIGKILL at every kind of moment; the same command goes on to the same bytes."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from tests.faults.ground import Finding, Ground, after, at, proof_of
from tests.faults.project import Case
from tests.faults.strike import Strike

NO_CHANGE = re.compile(
    r"remove .*\.partial|mkdir (training|curves|\.|\.luthier.*|.*\.partial)|open curves.*|rename curves.*"
)


def steps(events: Sequence[str]) -> dict[str, Strike]:
    """Moments between the writes."""
    assert events[events.index("begin step 4") :][1:3] == ["part", "part"], "no step is computed in parts"
    return {
        "before step 1": Strike("begin step 1"),
        "after step 1": Strike("end step 1"),
        "a step before a save": Strike("end step 8"),
        "step of a save, before it": Strike("end step 6"),
        "right after a save": Strike("begin step 7"),
        "a step after a save": Strike("end step 7"),
        "an epoch's last step": Strike("end step 5"),
        "an epoch's first step": Strike("begin step 6"),
        "between the parts of a step": after(events, "begin step 4", "part"),
        "in a dev loss": after(events, "end step 4", "dev batch"),
        "last step but one": Strike("end step 9"),
        "last step": Strike("end step 10"),
        "MLflow run just created": Strike("run created"),
    }


def save(events: Sequence[str]) -> dict[str, Strike]:
    """Every change to a file in one save and the rotation behind it, and each tensor file cut in half."""
    partial = "training/.step-00000009.partial"
    begin, end = events.index(f"mkdir {partial}"), events.index("begin step 10")
    torn = {
        f"torn {name}": after(events, f"mkdir {partial}", f"written {partial}/{name}.safetensors", "tear")
        for name in ("weights", "optimizer", "best")
    }
    return torn | swept(events, begin, end)


def finish(events: Sequence[str]) -> dict[str, Strike]:
    """Every change to a file from the tuned model to the key of the MLflow run, behind which the training is over."""
    return swept(events, events.index("mkdir .tuned.partial"), events.index("remove training/training.json") + 1)


def swept(events: Sequence[str], begin: int, end: int) -> dict[str, Strike]:
    """Each event of a stretch that changes something."""
    inside = [index for index in range(begin, end) if index == begin or not NO_CHANGE.fullmatch(events[index])]
    return {f"{events[index]}": at(events, index) for index in inside}


def few(events: Sequence[str]) -> dict[str, Strike]:
    """Kill points of one kind each, for the other families and methods."""
    of = steps(events)
    chosen = ["after step 1", "between the parts of a step", "an epoch's last step", "in a dev loss", "last step"]
    saving = save(events)
    names = ("torn weights", "torn optimizer", "fsync training/.step-00000009.partial/manifest.json",
             "rename training/step-00000009", "remove training/.step-00000003.removed/manifest.json")  # fmt: skip
    ends = {"rename tuned": after(events, "begin step 10", "rename tuned")}
    return {name: of[name] for name in chosen} | {name: saving[name] for name in names} | ends


def killed(ground: Ground, case: Case, name: str, strikes: Sequence[Strike], fault: str, stock: str = "-") -> Finding:
    """Kill one training at each of these moments, one attempt each; then let it end."""
    folder = case.fresh(re.sub(r"\W+", "-", name))
    proofs = [proof_of(ground.run(folder, strike), -9) for strike in strikes]
    ended = ground.run(folder)
    wrong = case.wrong(folder) if ended.status == 0 else [f"exit {ended.status}: {ended.last}"]
    came = "identical" if not wrong else "; ".join(wrong)
    return Finding(fault, f"{case.name}: {name}", " | ".join(proofs) if all(proofs) else "", stock, came, not wrong)


def kills(ground: Ground, wanted: AbstractSet[str]) -> Iterator[Finding]:
    """All of them, one after another, or those whose numbers are wanted."""
    if wanted and not wanted & {"A1", "A2"}:
        return
    whole = ground.case()
    stocks = {
        "after step 1": lambda: ground.stock_killed("first", "end step 1"),
        "last step but one": lambda: ground.stock_killed("last", "end step 9"),
        "torn optimizer": lambda: ground.stock_killed("optimizer", "done _save_optimizer_and_scheduler", 2),
        "torn weights": lambda: ground.stock_killed("model", "done save_model", 2),
        "torn best": lambda: ground.stock_killed("rng", "done _save_rng_state", 2),
    }
    for fault, points in (("A1", steps(whole.events)), ("A2", save(whole.events)), ("A1", finish(whole.events))):
        for name, strike in points.items() if not wanted or fault in wanted else ():
            yield killed(ground, whole, name, [strike], fault, stocks[name]() if name in stocks else "-")
    for kind, method in (("causal", "full"), ("seq2seq", "lora"), ("seq2seq", "full")):
        other = ground.case(kind, method)
        for name, strike in few(other.events).items():
            yield killed(ground, other, name, [strike], "A1" if "step" in name or "dev" in name else "A2")
    for method in ("lora", "full"):  # kernels are compiled anew in each process
        other = ground.case(method=method, compile="always")
        points = few(other.events)
        for fault, name in (("A1", "between the parts of a step"), ("A2", "torn weights")):
            yield killed(ground, other, name, [points[name]], fault)
    often = [Strike(f"end step {step}") for step in (1, 2, 4, 5, 7, 8, 10)]
    yield killed(ground, whole, "seven kills, one after another", often, "A1")
