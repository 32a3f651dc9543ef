"""tasks/rebuild: a toy that DVC really trained is made again in a worktree, and is the same or is told apart."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tasks import rebuild, register
from tasks.chain import cache
from tasks.chain.remake import pin
from tasks.chain.scores import moved
from tasks.data.files import read_json, sha256_of, write_json, write_rows
from tasks.errors import LineageError
from tasks.lineage import digests, evidence_of, version_of
from tasks.wiring import outputs
from tests import toys
from tests.trained import PROMOTE, write_project

ROOT = Path(__file__).resolve().parent.parent
URI = "models:/luthier/1"
TRAIN = (
    "python -m tasks.finetune data/examples models/base models/tuned reports/training.jsonl models/training_run.json "
    "reports/xray.txt reports/curves"
)
# A team's stages in small: real ones but for the texts; what OTHER and SHIFT say depends on the machine, so to speak.
STAGES = {
    "fetch": {"cmd": "false", "outs": ["data/raw", "models/base"]},
    "validate": {
        "cmd": [
            "mkdir -p data/valid reports && cp data/raw/toy.jsonl data/valid/ && cp given/validation.json reports/",
            'test -z "$SLEEP" || sleep "$SLEEP"',
        ],
        "deps": ["data/raw", "given/validation.json"],
        "outs": ["data/valid", "reports/validation.json"],
    },
    "expand": {
        "cmd": "python expand.py data/valid data/examples && cp given/leaks.json reports/",
        "deps": ["data/valid", "expand.py"],
        "outs": ["data/examples", "reports/leaks.json"],
    },
    "finetune": {
        "cmd": [TRAIN, 'test -z "$OTHER" || echo "$OTHER" > models/tuned/other.txt'],
        "deps": ["data/examples", "models/base"],
        "params": ["finetune"],
        "outs": [
            "models/tuned",
            "reports/training.jsonl",
            "models/training_run.json",
            "reports/xray.txt",
            "reports/curves",
        ],
    },
    "predict": {
        "cmd": "cp -r given/predictions .",
        "deps": ["models/tuned", "given/predictions"],
        "outs": ["predictions"],
    },
    "evaluate": {
        "cmd": [
            "cp given/*.json given/report.html reports/",
            'test -z "$SHIFT" || sed -i "s/: 77.5,/: $SHIFT,/" reports/metrics.json',
        ],
        "deps": ["predictions", "given/metrics.json"],
        "outs": [
            f"reports/{name}" for name in ("metrics.json", "evaluation.json", "cards.json", "scores.json", "report.html")
        ],
    },
}  # fmt: skip
EXPAND = """
import json, pathlib, sys
rows = [json.loads(line) for line in (pathlib.Path(sys.argv[1]) / "toy.jsonl").open()]
folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True)
for name, part in (("train", rows[:8]), ("dev", rows[8:10]), ("test", rows[10:])):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in part))
"""
IGNORED = ["/data/", "/models/", "/predictions/", "/reports/", "/.luthier/", "/mlflow.db*", "/mlruns/"]


def call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def dvc(*arguments: str) -> str:
    return call(sys.executable, "-m", "dvc", *arguments)


def _write_given(root: Path) -> None:
    """What a model answered and how that was scored, of another toy; one score stands out and has a noise floor."""
    elsewhere = root.parent / "elsewhere"
    elsewhere.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        write_project(elsewhere)
    shutil.copytree(elsewhere / "predictions", root / "given/predictions")
    for file in (elsewhere / "reports").iterdir():
        if file.is_file():
            shutil.copyfile(file, root / "given" / file.name)
    metrics = read_json(root / "given/metrics.json")
    metrics["summarise"]["rouge1"] |= {"tuned": 77.5, "noise": 0.5}
    write_json(root / "given/metrics.json", metrics)


def _write_sources(root: Path) -> None:
    rows = toys.examples(12)
    write_rows(root / "data/raw/toy.jsonl", [row | {"document": row["input"]} for row in rows])
    write_json(root / "data/raw/manifest.json", {"sources": {}})
    toys.write_base(root / "models/base", "causal")
    mixture = [{"family": "summarise", "source": "toy", "fields": {"document": "document"}, "constants": {}}]
    params = {"expand": {"mixture": mixture}, "finetune": toys.PARAMS, "register": {"model": "luthier"}}
    (root / "params.yaml").write_text(yaml.safe_dump(params | {"promote": PROMOTE}))
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (root / "expand.py").write_text(EXPAND)
    (root / ".gitignore").write_text("\n".join(IGNORED))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout whose stages really ran, with what came of them registered; the working directory of this module."""
    root = tmp_path_factory.mktemp("team") / "project"
    (root / "given").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "LUTHIER_SIGNING_KEY", "LUTHIER_TRUSTED_KEYS"):
            patch.delenv(name, raising=False)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        _write_given(root)
        patch.chdir(root)
        _write_sources(root)
        call("git", "init", "--quiet")
        for name in ("name", "email"):
            call("git", "config", f"user.{name}", "test@localhost")
        dvc("init", "--quiet")
        dvc("config", "cache.type", "hardlink,copy")
        dvc("commit", "--force", "fetch")
        call("git", "add", ".")
        call("git", "commit", "--quiet", "--message", "toy")
        dvc("repro", "evaluate")  # dvc.lock is not committed
        register.main()
        yield root


def _worktrees() -> int:
    return len(call("git", "worktree", "list").splitlines())


def _cached(root: Path) -> dict[str, str]:
    objects = root / ".dvc/cache"
    return {str(path.relative_to(objects)): sha256_of(path) for path in objects.rglob("*") if path.is_file()}


def _runs(root: Path) -> int:
    return len([path for path in (root / "mlruns").iterdir() if path.name != "models"])


@pytest.mark.service
@pytest.mark.long
def test_the_same_weights_come_out_and_nobody_else_hears_of_it(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tuned = digests(outputs())["luthier.weights.tuned"]
    objects, runs, status = _cached(project), _runs(project), call("git", "status", "--porcelain")
    said = rebuild.rebuild(version_of(URI), project, tmp_path / "kept")
    assert said == f"identical: the tuned weights have sha256 {tuned}"
    told = capfd.readouterr().out
    assert "the same class as where it was registered" in told
    for link in ("raw data", "base model"):
        assert f"{link:<28} from the cache" in told
    for link in ("valid rows", "instruction sets", "tuned weights"):
        assert f"{link:<28} identical" in told
    assert sha256_of(tmp_path / "kept/models/tuned") == tuned
    assert (_cached(project), _runs(project), call("git", "status", "--porcelain")) == (objects, runs, status)
    call("git", "worktree", "remove", "--force", str(tmp_path / "kept"))
    assert _worktrees() == 1


@pytest.mark.service
@pytest.mark.long
def test_other_weights_pass_by_their_scores_within_the_noise_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    version = version_of(URI)
    monkeypatch.setenv("OTHER", "bits")
    monkeypatch.setenv("SHIFT", "77.9")
    said = rebuild.rebuild(version, project, None)
    assert "equal within the noise: the weights are others" in said
    assert (
        "summarise.rouge1 tuned                          77.50 ->    77.90  noise floor 0.50" in capfd.readouterr().out
    )
    assert _worktrees() == 1


@pytest.mark.service
@pytest.mark.long
def test_a_recorded_digest_that_is_wrong_is_named(project: Path, tmp_path: Path) -> None:
    evidence = evidence_of(version_of(URI), tmp_path)
    chain = read_json(evidence / "chain.json")
    (valid,) = [link for link in chain["links"] if link["path"] == "data/valid"]
    valid["sha256"] = "0" * 64
    with pytest.raises(LineageError, match=r"the rebuilt valid rows \(data/valid\) is not the recorded one"):
        rebuild.rebuild_chain(chain, evidence, project, None)
    (raw,) = [link for link in chain["links"] if link["path"] == "data/raw"]
    raw["files"]["toy.jsonl"]["sha256"] = "0" * 64
    with pytest.raises(LineageError, match=r"data/raw/toy\.jsonl in DVC's cache .* has other bytes"):
        rebuild.rebuild_chain(chain, evidence, project, None)
    chain["code"]["commit"] = "0" * 40
    with pytest.raises(LineageError, match="is not in this git repository"):
        rebuild.rebuild_chain(chain, evidence, project, None)
    assert _worktrees() == 1


@pytest.mark.service
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_rebuilding_that_is_stopped_leaves_no_worktree_and_no_process(
    project: Path, tmp_path: Path, number: int
) -> None:
    environment = os.environ | {"SLEEP": "1234.5", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "tasks.cli", "rebuild", URI]
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("luthier-rebuild-*/worktree/data/valid")):
        assert child.poll() is None, child.stderr.read() if child.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.2)
    child.send_signal(number)
    _, told = child.communicate(timeout=60)
    assert child.returncode == {signal.SIGINT: 130, signal.SIGTERM: 75}[signal.Signals(number)], told
    assert _worktrees() == 1
    assert list(tmp_path.glob("luthier-*")) == []
    assert "1234.5" not in call("ps", "-eo", "args")


@pytest.mark.service
def test_the_cache_is_where_dvc_s_settings_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/config").write_text(f"[cache]\n    dir = {tmp_path / 'shared'}\n")
    (tmp_path / "checkout").mkdir()
    monkeypatch.chdir(tmp_path / "checkout")
    call("git", "init", "--quiet")
    dvc("init", "--quiet")
    assert cache.cache_of(Path()) == tmp_path / "checkout/.dvc/cache/files/md5"
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "settings"))
    assert cache.cache_of(Path()) == tmp_path / "shared/files/md5"
    with pytest.raises(LineageError, match="is no DVC repository"):
        cache.cache_of(tmp_path / "settings")


def test_scores_are_compared_one_by_one_and_what_is_no_number_is_not_the_same() -> None:
    before = {"summarise": {"rouge1": {"base": 1.0, "tuned": 2.0, "noise": 0.5}, "bleu": {"base": 3.0, "tuned": 4.0}}}
    now = {"summarise": {"rouge1": {"base": float("nan"), "tuned": 2.4}, "bleu": {"base": 3.0, "tuned": 5.0}}}
    assert [(score.floor, score.within) for score in moved(before, now)] == [
        (0.5, False), (0.5, True), (None, True), (None, False),
    ]  # fmt: skip
    with pytest.raises(LineageError, match=r"summarise\.bleu is in one of them alone"):
        moved(before, {"summarise": {"rouge1": before["summarise"]["rouge1"]}})


def test_scores_beyond_their_noise_are_another_model_and_scores_without_a_floor_prove_nothing() -> None:
    row = {"base": 1.0, "tuned": 77.5}
    before = {"summarise": {"rouge1": row | {"noise": 0.5}, "bleu": row}}
    assert rebuild.judged(moved(before, {"summarise": {"rouge1": row | {"tuned": 78.0}, "bleu": row}})) == 2
    now = {"summarise": {"rouge1": row | {"tuned": 78.1}, "bleu": row}}
    with pytest.raises(LineageError, match=r"another model.*summarise\.rouge1 tuned was 77\.50 and is 78\.10"):
        rebuild.judged(moved(before, now))
    with pytest.raises(LineageError, match="no score has a noise floor"):
        rebuild.judged(moved({"summarise": {"bleu": row}}, {"summarise": {"bleu": row}}))


def test_what_a_training_measured_is_not_measured_again(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("finetune:\n  precision: auto # measured\n  compile: auto\n  seed: 17\n")
    pin(params, {"precision": "bf16", "compiled": False})
    assert params.read_text() == "finetune:\n  precision: bf16 # measured\n  compile: never\n  seed: 17\n"
    pin(params, {"precision": "fp32"})  # what was said stays
    assert yaml.safe_load(params.read_text())["finetune"]["precision"] == "bf16"
