"""tasks/model/distributed and launch: a training is the same one however many processes share it, and ends as one.

Run as a module, this file is what the processes do: every case, in one launch.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tasks import finetune
from tasks.data.files import Row, read_json, read_rows, sha256_of, write_rows
from tasks.errors import TrainingError
from tasks.finetune import Outputs
from tasks.model.batches import cells
from tasks.model.distributed import World, blocks, joined, spread
from tasks.model.encode import Encoded
from tasks.model.launch import launch
from tasks.model.load import load_tuned, use_threads
from tasks.model.settings import Finetune
from tasks.nodes import Node
from tests import toys
from tests.toys import PARAMS

ROOT = Path(__file__).resolve().parent.parent
OUTPUTS = ("tuned", "training.jsonl", "training_run.json", "xray.txt", "curves")
CASES = {  # kind, method, sharding, tokens at once, batch size
    "packed-lora": ("causal", "lora", "none", 4096, 4),
    "packed-full-sharded-in-parts": ("causal", "full", "full", 400, 4),
    "padded-full-in-parts": ("seq2seq", "full", "none", 400, 4),
    "padded-lora-sharded": ("seq2seq", "lora", "full", 4096, 4),
    "one-example-a-step": ("causal", "lora", "none", 4096, 1),
}


def params_of(case: str, **changes: Any) -> dict[str, Any]:
    _, method, sharding, most, batch = CASES[case]
    optimizer = PARAMS["optimizer"] | {"max_tokens_at_once": most, "batch_size": batch, "log_every": 1}
    return PARAMS | {"method": method, "sharding": sharding, "optimizer": optimizer} | changes


def write_project(folder: Path) -> None:
    rows = toys.examples(24)
    write_rows(folder / "examples/train.jsonl", rows[:20])
    write_rows(folder / "examples/dev.jsonl", rows[20:])
    for kind in ("causal", "seq2seq"):
        toys.write_base(folder / f"base-{kind}", kind)


def train_all(to: Path, world: World) -> None:
    """Train every case by the processes of this world."""
    for case, (kind, *_) in CASES.items():
        sharding = CASES[case][2] if world.size > 1 else "none"
        outputs = Outputs(*(to / case / name for name in OUTPUTS))
        params = Finetune.model_validate(params_of(case, sharding=sharding))
        finetune.train(params, Path("examples"), Path(f"base-{kind}"), outputs, world)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Every case, trained by one process (one/) and by two (two/)."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        write_project(folder)
        use_threads(1)
        train_all(Path("one"), World(0, 1, torch.device("cpu")))
        assert launch(2, "tests.test_distributed", ["two"]) == 0
        yield folder


def losses(log: list[Row]) -> dict[tuple[int, str], float]:
    return {(row["step"], name): row[name] for row in log for name in ("loss", "dev_loss", "grad_norm") if name in row}


def assert_same(
    found: dict[tuple[int, str], float], expected: dict[tuple[int, str], float], within: float = 1e-5
) -> None:
    """The same steps, and the same losses to `within`; norms of gradients to a hundred times that."""
    assert list(found) == list(expected)
    for (step, name), value in expected.items():
        tolerance = 100 * within if name == "grad_norm" else within
        assert found[step, name] == pytest.approx(value, rel=tolerance), (step, name)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_losses_and_weights_of_one(trained: Path, case: str) -> None:
    one, two = (losses(read_rows(trained / count / case / "training.jsonl")) for count in ("one", "two"))
    assert_same(two, one)
    folders = [trained / count / case / "tuned" for count in ("one", "two")]
    assert {file.name for file in folders[0].iterdir()} == {file.name for file in folders[1].iterdir()}
    (weights,) = folders[0].glob("*model.safetensors")
    ours, theirs = load_file(weights), load_file(folders[1] / weights.name)
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-4) for name in ours | theirs)
    load_tuned(trained / f"base-{CASES[case][0]}", folders[1])


def test_two_processes_have_one_mlflow_run_and_leave_no_checkpoint(trained: Path) -> None:
    runs = [read_json(trained / "two" / case / "training_run.json")["run_id"] for case in CASES]
    assert len(set(runs)) == len(runs)
    assert not list((trained / ".luthier/training").glob("*/step-*"))


def test_a_batch_is_shared_by_tokens_and_every_process_computes_as_many_parts() -> None:
    examples = [Encoded([1] * (length - 1), [2]) for length in (900, 300, 200, 250, 100, 50)]
    worlds = [World(rank, 2, torch.device("cpu")) for rank in range(2)]
    rounds = [world.rounds(examples, 600, "causal", True) for world in worlds]
    assert len(rounds[0]) == len(rounds[1]) == 2
    own = [[example for part, weight in parts if weight for example in part] for parts in rounds]
    assert sorted(map(len, own[0] + own[1])) == sorted(map(len, examples))
    assert [cells(share, "causal", True) for share in own] == [900, 900]


def test_with_fewer_examples_than_processes_some_compute_one_again_for_nothing() -> None:
    example = Encoded([1] * 9, [2])
    rounds = [World(rank, 3, torch.device("cpu")).rounds([example], 500, "causal", True) for rank in range(3)]
    assert rounds == [[([example], 1.0)], [([example], 0.0)], [([example], 0.0)]]


@pytest.mark.parametrize(("kind", "count"), [("causal", 2), ("seq2seq", 4)])
def test_the_layers_that_are_sharded_are_whole_ones(kind: str, count: int) -> None:
    assert len(blocks(toys.model(kind))) == count


def test_sharding_over_one_process_is_refused_with_a_sentence() -> None:
    with pytest.raises(TrainingError, match=r"finetune.sharding = full .* this is one"):
        spread(toys.model("causal"), World(0, 1, torch.device("cpu")), "full")


class Training:
    """The step's own command, with this many processes of its own, in a project of its own."""

    def __init__(self, folder: Path, case: str = "packed-lora", epochs: int = 60) -> None:
        self.folder, self.case, self.epochs = folder, case, epochs
        self.kind = CASES[case][0]

    def write(self, processes: int, sharding: str = "none", **changes: Any) -> None:
        params = params_of(self.case, processes=processes, sharding=sharding, **changes)
        # At a higher rate the toys overfit within 50 steps, and rounding grows a million times, without any kill.
        params["optimizer"] |= {"epochs": self.epochs, "learning_rate": 1e-3}
        params["care"] |= {"save_every": 5, "look_every": 50}
        (self.folder / "params.yaml").write_text(json.dumps({"finetune": params}))

    def command(self, to: str) -> list[str]:
        outputs = [f"{to}/{name}" for name in OUTPUTS]
        return ["-m", "tasks.finetune", "examples", f"base-{self.kind}", *outputs]

    def start(self, to: str, front: list[str] | None = None, **environment: str) -> "Started":
        with (self.folder / "said").open("ab") as said:
            began = said.tell()
            process = subprocess.Popen(
                [*(front or [sys.executable]), *self.command(to)], cwd=self.folder, stdout=said, stderr=said,
                start_new_session=True, env=os.environ | environment,
            )  # fmt: skip
        return Started(process, self.folder, began)


class Started:
    """A training that runs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, began: int) -> None:
        self.process, self.folder, self.began = process, folder, began
        self.before = self.saved()

    def saved(self) -> set[str]:
        """The names of its checkpoints, and of those that it goes on from."""
        return {path.name for path in self.folder.glob(".luthier/training/*/step-*")}

    def workers(self) -> list[psutil.Process]:
        """Those that share it, by rank."""
        found = []
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                found.append((int(process.environ()["RANK"]), process))
        return [process for _, process in sorted(found, key=lambda pair: pair[0])]

    def until_saved(self) -> list[psutil.Process]:
        """Wait for a checkpoint of its own; return the processes."""
        until(lambda: bool(self.saved() - self.before) or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        return self.workers()

    def ended(self, patience_s: float = 400) -> int:
        """Its exit status."""
        return self.process.wait(patience_s)

    @property
    def said(self) -> str:
        """What it wrote, to people."""
        return (self.folder / "said").read_bytes()[self.began :].decode()

    @property
    def sentences(self) -> list[str]:
        """What it said about its end."""
        return [line for line in self.said.splitlines() if line.startswith("luthier:") or "Traceback" in line]


def until(true: Callable[[], bool], patience_s: float = 180) -> None:
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project; whatever still runs in it at the end is ended by its id."""
    for name in ("MLFLOW_TRACKING_URI", "DVC_STAGE", "WORLD_SIZE", "RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_project(tmp_path)
    yield tmp_path
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(tmp_path) and process.pid != os.getpid():
                process.kill()


def unbroken(training: Training, processes: int = 1) -> dict[tuple[int, str], float]:
    """The losses of a training that nobody kills."""
    training.write(processes)
    started = training.start("unbroken")
    assert started.ended() == 0, started.said
    return losses(read_rows(training.folder / "unbroken/training.jsonl"))


def killed(training: Training) -> None:
    """Kill a training and its processes behind a checkpoint of its own, all at once."""
    started = training.start("killed")
    workers = started.until_saved()
    for process in [psutil.Process(started.process.pid), *workers]:
        process.kill()
    assert started.ended() == -signal.SIGKILL
    psutil.wait_procs(workers)
    assert not (training.folder / "killed/training.jsonl").exists()


def goes_on(training: Training, expected: dict[tuple[int, str], float]) -> None:
    """Finish it, without a step's values changed, and none missing."""
    started = training.start("finished")
    assert started.ended() == 0, started.said
    assert started.before, "there was nothing to go on from"
    assert not list(training.folder.glob(".luthier/training/*/")), "it began anew, beside what was killed"
    assert_same(losses(read_rows(training.folder / "finished/training.jsonl")), expected)


@pytest.mark.long
def test_killed_by_two_processes_it_goes_on_with_one_and_all_end_together(project: Path) -> None:
    training = Training(project, epochs=20)
    expected = unbroken(training)
    training.write(2)
    started = training.start("broken")
    second = started.until_saved()[1]
    second.kill()
    asked = time.monotonic()
    assert started.ended() == 1
    assert time.monotonic() - asked < 30  # within seconds on a machine that has nothing else to do
    assert len(started.sentences) == 1
    assert "process 1 of its 2 was ended by SIGKILL" in started.sentences[0]
    assert not (project / "broken/training.jsonl").exists()
    training.write(1)
    goes_on(training, expected)


TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
ACCELERATE = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
ACCELERATE += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("case", ["packed-lora", "padded-full-in-parts"])
def test_it_is_killed_and_goes_on_by_other_numbers_of_processes_and_shardings(project: Path, case: str) -> None:
    training = Training(project, case, epochs=20)
    expected = unbroken(training)
    for processes, sharding in ((1, "none"), (2, "none"), (2, "full"), (1, "none"), (2, "full")):
        training.write(processes, sharding)
        killed(training)
    training.write(2)
    goes_on(training, expected)


@pytest.mark.long
@pytest.mark.parametrize(
    "front",
    [[*TORCHRUN, "--standalone", "--nproc-per-node", "2"], pytest.param(ACCELERATE, marks=pytest.mark.nightly)],
    ids=["torchrun", "accelerate"],
)
def test_other_launchers_train_the_same(project: Path, front: list[str]) -> None:
    training = Training(project, epochs=2)
    expected = unbroken(training)
    started = training.start("launched", front, HOSTNAME="nowhere.invalid")
    assert started.ended() == 0, started.said
    assert_same(losses(read_rows(project / "launched/training.jsonl")), expected)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return str(probe.getsockname()[1])


@pytest.mark.long
@pytest.mark.parametrize("rendezvous", [pytest.param("static", marks=pytest.mark.nightly), "c10d"])
def test_two_machines_train_the_same(project: Path, rendezvous: str) -> None:
    training = Training(project, epochs=2)
    expected = unbroken(training)
    where = ["--rdzv-backend", rendezvous, "--rdzv-endpoint", f"127.0.0.1:{free_port()}", "--rdzv-id", "7"]
    nodes = [
        training.start("nodes", [*TORCHRUN, "--nnodes", "2", "--nproc-per-node", "1", "--node-rank", node, *where])
        for node in ("0", "1")
    ]
    assert [node.ended() for node in nodes] == [0, 0], nodes[0].said
    assert_same(losses(read_rows(project / "nodes/training.jsonl")), expected)


@pytest.mark.long
def test_the_plain_environment_is_enough_and_a_machine_of_its_own_checkout_is_refused(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    training, other = Training(project, epochs=2), Training(tmp_path_factory.mktemp("other"), epochs=2)
    write_project(other.folder)
    for one in (training, other):
        one.write(1)
    port = free_port()
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    both = [one.start("apart", RANK=str(rank), **place) for rank, one in enumerate((training, other))]
    assert sorted(one.ended() for one in both) == [1, 75]
    sentences = [sentence for one in both for sentence in one.sentences]
    assert len(sentences) == 1
    assert "do not have the same training folder" in sentences[0]


@pytest.fixture
def two(project: Path) -> list[Training]:
    """Machines that share a training, each with a checkout on a disk of its own and one process."""
    made = [Training(project / name) for name in ("first", "second")]
    for one in made:
        write_project(one.folder)
        one.write(1)
    return made


def begun(nodes: list[Training], to: str) -> list["Started"]:
    """The step's own command on each, told as a job tells it; devices are locked by machine."""
    port = int(free_port())
    told = [Node(rank, len(nodes), "127.0.0.1", port).environment() for rank in range(len(nodes))]
    return [one.start(to, LUTHIER_CACHE=str(one.folder / "cache"), **told[rank]) for rank, one in enumerate(nodes)]


@pytest.mark.long
@pytest.mark.parametrize("each", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_machines_with_disks_of_their_own_make_the_bytes_that_as_many_processes_of_one_make(
    project: Path, two: list[Training], each: int
) -> None:
    alone = Training(project, epochs=2)
    alone.write(2 * each)
    assert alone.start("made").ended() == 0
    for one in two:
        one.epochs = 2
        one.write(each)
    nodes = begun(two, "made")
    assert [node.ended() for node in nodes] == [0, 0], nodes[0].said + nodes[1].said
    for name in ("tuned", "training.jsonl", "curves", "xray.txt"):
        assert sha256_of(two[0].folder / "made" / name) == sha256_of(project / "made" / name), name
    assert not (two[1].folder / "made").exists()
    assert not nodes[1].sentences


@pytest.mark.long
@pytest.mark.parametrize("lost", [0, pytest.param(1, marks=pytest.mark.nightly)])
def test_when_a_machine_is_lost_the_others_end_with_75_and_no_process_stays(two: list[Training], lost: int) -> None:
    nodes = begun(two, "broken")
    until(lambda: bool(nodes[0].saved()) or any(node.process.poll() is not None for node in nodes))
    workers = [node.workers() for node in nodes]
    assert [len(own) for own in workers] == [1, 1], nodes[0].said + nodes[1].said
    for process in [psutil.Process(nodes[lost].process.pid), *workers[lost]]:
        process.kill()
    other = nodes[1 - lost]
    assert other.ended(90) == 75, other.said
    (sentence,) = other.sentences
    assert "finetune: another of the 2 machines of this training is gone" in sentence
    assert not psutil.wait_procs(workers[0] + workers[1], 30)[1]


@pytest.mark.long
@pytest.mark.nightly
def test_machines_of_which_one_alone_has_a_checkpoint_are_told_how_to_begin_again(two: list[Training]) -> None:
    nodes = begun(two, "broken")
    until(lambda: bool(nodes[0].saved()) or any(node.process.poll() is not None for node in nodes))
    workers = [worker for node in nodes for worker in node.workers()]
    for node in nodes:
        node.process.kill()
    assert workers and not psutil.wait_procs(workers, 30)[1]
    nodes = begun(two, "broken")
    assert sorted(node.ended(90) for node in nodes) == [1, 75]
    (sentence,) = (sentence for node in nodes for sentence in node.sentences if "the same checkpoint" in sentence)
    assert "with a disk each, remove .luthier/training on all and begin again" in sentence
    shutil.rmtree(two[0].folder / ".luthier/training")
    assert [node.ended() for node in begun(two, "broken")] == [0, 0]


@pytest.mark.long
@pytest.mark.nightly
def test_of_two_machines_the_one_that_knows_why_ends_first_and_says_it(two: list[Training]) -> None:
    two[0].write(1, initial_loss={"low": 0.05, "high": 0.1})
    two[1].write(1, initial_loss={"low": 0.05, "high": 0.1})
    first, second = begun(two, "broken")
    assert first.ended() == 1 and second.process.poll() is None
    assert len(first.sentences) == 1
    assert second.ended(90) == 75
    assert len(second.said.splitlines()) == 1, second.said
    assert "another of the 2 machines of this training is gone" in second.said


@pytest.mark.long
@pytest.mark.nightly
def test_machines_with_other_parameters_are_refused_before_the_first_step(two: list[Training]) -> None:
    two[1].write(1, seed=4)
    nodes = {node.ended(): node for node in begun(two, "apart")}
    assert sorted(nodes) == [1, 75]
    (sentence,) = nodes[1].sentences
    assert "do not have the same parameters" in sentence
    assert all("is gone" in other for other in nodes[75].sentences)


@pytest.mark.long
def test_sigterm_to_the_launcher_or_to_one_process_ends_all_with_75_behind_a_checkpoint(project: Path) -> None:
    training = Training(project)
    training.write(2)
    for number in (None, 0, 1):
        started = training.start("broken")
        workers = started.until_saved()
        os.kill(started.process.pid if number is None else workers[number].pid, signal.SIGTERM)
        assert started.ended() == 75
        assert len(started.sentences) == 1
        assert "stopped by SIGTERM" in started.sentences[0]
        assert not psutil.wait_procs(workers, 0)[1]


@pytest.mark.long
def test_when_the_launcher_is_killed_no_process_stays(project: Path) -> None:
    training = Training(project)
    training.write(2)
    for front in (None, [*TORCHRUN, "--standalone", "--nproc-per-node", "2"]):
        started = training.start("broken", front)
        workers = started.until_saved()
        assert len(workers) == 2
        started.process.kill()
        assert not psutil.wait_procs(workers, 60)[1]
        assert not (project / "broken/training.jsonl").exists()


@pytest.mark.long
def test_an_error_is_one_sentence_and_exit_1_wherever_it_happens(project: Path) -> None:
    training = Training(project)
    training.write(2, initial_loss={"low": 0.05, "high": 0.1})  # process 0 alone looks
    first = training.start("broken")
    assert (first.ended(), len(first.sentences)) == (1, 1), first.said
    assert "initial" in first.sentences[0] or "loss" in first.sentences[0]
    training.write(2)
    (project / "sitecustomize.py").write_text(ONLY_SECOND)
    second = training.start("broken", PYTHONPATH=f"{project}:{ROOT}")
    assert (second.ended(), len(second.sentences)) == (1, 1), second.said
    assert "the second process alone" in second.sentences[0]


ONLY_SECOND = """
import os, threading, time
if os.environ.get("RANK") == "1":
    def spoil():
        import sys
        while not hasattr(sys.modules.get("tasks.model.fit"), "mean_loss"):
            time.sleep(0.01)
        from tasks.errors import TrainingError
        def fail(*given):
            raise TrainingError("the second process alone")
        sys.modules["tasks.model.fit"].mean_loss = fail
    threading.Thread(target=spoil, daemon=True).start()
"""


if __name__ == "__main__":
    use_threads(1)
    with joined(torch.device("cpu")) as own:
        train_all(Path(sys.argv[1]), own)
