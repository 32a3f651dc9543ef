"""The delivered model over real HTTP: `mlflow models serve` on it, and a store that only a server can reach."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from tasks import register, serve
from tasks.data.files import read_json
from tasks.errors import SealError, TrackingError
from tasks.model.served import BASE
from tasks.tracking import models, registry, server
from tests.trained import write_project, write_scores

pytestmark = [pytest.mark.service, pytest.mark.long]

ASKED = [
    {"family": "summarise", "document": "Police look for witnesses."},
    {"prompt": "Say something."},
    {"family": "section", "dialogue": "Where does it hurt?"},
]


@contextmanager
def _running(command: list[str], path: str, folder: Path, **environment: str) -> Iterator[str]:
    """A server in a process group of its own; yields its address once `path` answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir(exist_ok=True)
    own = os.environ | {"HOME": str(folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | environment
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log, stderr=log, start_new_session=True, cwd=folder, env=own,
        )  # fmt: skip
    try:
        until = time.monotonic() + 180
        while not _answers(f"http://127.0.0.1:{port}{path}"):
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _post(url: str, body: object) -> tuple[int, Any]:
    answer = httpx.post(url, json=body, timeout=120)
    return answer.status_code, answer.json()


def _version() -> registry.Version:
    found = registry.get_version("luthier", "challenger")
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "LUTHIER_TRUSTED_KEYS", "LUTHIER_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_mlflow_models_serve_answers_records_and_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    register.main()
    expected = serve.load(models.model_folder(_version(), tmp_path)).answer(ASKED)
    command = ["models", "serve", "-m", "models:/luthier/1", "--env-manager", "local"]
    tracking = {"MLFLOW_TRACKING_URI": server.address(), "PYTHONPATH": ""}  # the code is the one in the model
    with _running(command, "/ping", tmp_path / "elsewhere", **tracking) as url:
        assert _answers(f"{url}/health")
        invocations = f"{url}/invocations"
        assert _post(invocations, {"dataframe_records": ASKED}) == (
            200, {"predictions": [{"output": text} for text in expected]},
        )  # fmt: skip
        status, told = _post(invocations, {"dataframe_records": [{"family": "section"}]})
        assert (status, told["error_code"]) == (400, "BAD_REQUEST")
        assert "a record of family 'section' needs ['dialogue']; it has ['family']." in told["message"]
        assert "Traceback" not in json.dumps(told)
        status, told = _post(invocations, {"dataframe_records": [{"prompt": "much " * 400}]})
        assert status == 400
        assert "more than finetune.max_prompt_tokens = 300" in told["message"]
        assert _post(invocations, {"dataframe_records": ASKED[:1]})[0] == 200  # it goes on
    said = (tmp_path / "elsewhere/log").read_text()
    assert said.count("LUTHIER_TRUSTED_KEYS is not set") == 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An MLflow server that hands artifacts out itself, and its folder."""
    folder = tmp_path_factory.mktemp("mlflow")
    command = ["server", "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/s.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--serve-artifacts"]
    with _running(command, "/health", folder) as url:
        yield url, folder


def test_a_base_model_behind_a_server_is_fetched_once_and_looked_at_each_time(
    store: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    for number in range(2):
        (tmp_path / "models/tuned/README.md").write_text(f"training {number}")
        write_scores(tmp_path, 0.3, 0.6 + number / 100)
        register.main()
    base = tmp_path / "models/base/model.safetensors"
    stored = [path for path in folder.rglob("*.safetensors") if path.read_bytes() == base.read_bytes()]
    assert len(stored) == 1  # of two versions

    (tmp_path / "into").mkdir()
    model = models.model_folder(_version(), tmp_path / "into")
    assert model.is_relative_to(tmp_path / "into")
    expected = serve.load(model).answer(ASKED)
    (kept,) = (tmp_path / "cache/bases").iterdir()
    assert kept.name == read_json(model / BASE)["sha256"]

    kept_weights, content = kept / "model.safetensors", stored[0].read_bytes()
    written = kept_weights.stat().st_mtime_ns
    stored[0].write_bytes(content[:-1] + b"!")  # nobody looks there as long as ours is whole
    assert serve.load(model).answer(ASKED) == expected
    assert kept_weights.stat().st_mtime_ns == written
    kept_weights.write_bytes(b"damaged")
    with pytest.raises(SealError, match=r"base model models:/m-\w+ .* model\.safetensors has other bytes"):
        serve.load(model)
    stored[0].write_bytes(content)
    assert serve.load(model).answer(ASKED) == expected  # fetched anew
    assert kept_weights.read_bytes() == content
    assert not [path for path in kept.parent.iterdir() if path != kept]


def test_what_is_gone_behind_a_server_is_told_in_a_sentence(
    store: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = store
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    (tmp_path / "models/tuned/README.md").write_text("of another project")
    write_scores(tmp_path, 0.3, 0.7)
    register.main()
    model = models.model_folder(_version(), tmp_path / "into")
    (folder / "artifacts").rename(folder / "moved")
    try:
        for call in (lambda: models.model_folder(_version(), tmp_path / "again"), lambda: serve.load(model)):
            with pytest.raises(TrackingError) as caught:
                call()
            assert "\n" not in str(caught.value)
            assert any(said in str(caught.value) for said in ("any more", "refuses"))
    finally:
        (folder / "moved").rename(folder / "artifacts")
