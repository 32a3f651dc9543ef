"""tasks/nodes: which of the machines that share a training this is, and that they find each other or say who is missing."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.errors import OutageError, ParamsError
from tasks.jobs.hosts import environment
from tasks.model import launch, meeting
from tasks.nodes import Node, node
from tests.launches import ROOT


def test_a_machine_that_is_told_nothing_is_alone_and_what_one_is_told_reads_back() -> None:
    assert node({}) == node({"PET_NNODES": "1", "PET_NODE_RANK": "0"}) == Node(0, 1)
    assert node({"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_MASTER_ADDR": "a"}) == Node(1, 2, "a", 29500)
    here = Node(1, 3, "x-0.luthier-jobs", 29501)
    assert node(here.environment()) == here and not here.first


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"PET_NNODES": "2"}, "PET_NODE_RANK has to say which of them this is, 0 to 1"),
        ({"PET_NNODES": "2", "PET_NODE_RANK": "2", "PET_MASTER_ADDR": "a"}, "they are '2' and 'a'"),
        ({"PET_NNODES": "2", "PET_NODE_RANK": "1"}, "PET_MASTER_ADDR where the first is"),
        ({"PET_NNODES": "1:4"}, "PET_NNODES is '1:4', and a whole number is expected"),
    ],
)
def test_what_does_not_say_which_machine_this_is_is_refused(told: dict[str, str], said: str) -> None:
    with pytest.raises(ParamsError, match=said):
        node(told)


def test_of_sagemaker_s_hosts_the_first_by_name_is_the_first(tmp_path: Path) -> None:
    told = {"current_host": "algo-3", "hosts": ["algo-3", "algo-1", "algo-2"], "network_interface_name": "eth0"}
    assert environment(told) == {
        "PET_NNODES": "3", "PET_NODE_RANK": "2", "PET_MASTER_ADDR": "algo-1", "PET_MASTER_PORT": "29500",
        "NCCL_SOCKET_IFNAME": "eth0", "GLOO_SOCKET_IFNAME": "eth0",
    }  # fmt: skip
    (tmp_path / "resourceconfig.json").write_text(json.dumps(told | {"network_interface_name": "it's; true"}))
    command = f'eval "$({sys.executable} -m tasks.jobs.hosts {tmp_path}/resourceconfig.json)"; echo $PET_NODE_RANK $NCCL_SOCKET_IFNAME'
    assert subprocess.check_output(["sh", "-c", command], cwd=ROOT, text=True) == "2 it's; true\n"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("rank", "said"),
    [(0, "1 of the 2 machines .* did not come .*: the first of them is number 1"), (1, "did not answer for")],
)
def test_a_machine_that_nobody_meets_ends_and_starts_nothing(
    rank: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "MEET_S", 0.3)
    with pytest.raises(OutageError, match=said):
        launch.launch(1, "tests.nothing", [], Node(rank, 2, "127.0.0.1", free_port()))


def test_the_first_machine_s_name_may_be_unknown_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "MEET_S", 0.3)
    with pytest.raises(OutageError, match=r"x-0\.luthier-jobs\.invalid:29500, did not answer"):
        launch.launch(1, "tests.nothing", [], Node(1, 2, "x-0.luthier-jobs.invalid"))


def test_machines_that_do_not_run_as_many_processes_each_say_so_at_once() -> None:
    port = free_port()
    with ThreadPoolExecutor() as pool:
        met = [pool.submit(meeting.meet, Node(rank, 3, "127.0.0.1", port), processes) for rank, processes in enumerate((2, 1, 2))]
        for one in met:
            with pytest.raises(ParamsError, match=r"number 0 runs 2, number 1 runs 1, number 2 runs 2\): give finetune"):
                one.result(20)
