"""tasks/lineage, verify and chain: one flipped byte anywhere between the raw data and the approval is named."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tasks import lineage, register
from tasks.chain import approval, links
from tasks.chain.cache import way_back
from tasks.chain.git import has_commit
from tasks.chain.hashing import Claim, Hashing
from tasks.chain.record import chain_of, digests_in, machine
from tasks.chain.snapshot import NO_GIT, snapshot
from tasks.data import signing
from tasks.data.files import read_json, sha256_of
from tasks.errors import LineageError
from tasks.tracking import evidence, registry
from tasks.wiring import LOCK, outputs
from tests.trained import WIRING, write_project

ROOT = Path(__file__).resolve().parent.parent
READS = {
    "validate": ["data/raw"],
    "expand": ["data/valid"],
    "finetune": ["data/examples", "models/base"],
    "predict": ["models/tuned", "models/base/config.json"],
    "evaluate": ["predictions"],
}
IGNORED = ["/data/", "/models/", "/predictions/", "/reports/", "/.luthier/", "/mlflow.db*", "/mlruns/"]
URI = "models:/luthier/1"


def call(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def _set_up_git(root: Path) -> None:
    (root / ".gitignore").write_text("\n".join(IGNORED))
    call(root, "git", "init", "--quiet", "--initial-branch", "main")
    call(root, "git", "config", "user.name", "test")
    call(root, "git", "config", "user.email", "test@localhost")


def _commit(root: Path) -> str:
    call(root, "git", "add", ".")
    call(root, "git", "commit", "--quiet", "--message", "toy")
    return call(root, "git", "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with git, a real DVC cache and an approved version; tests of this module share it."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name in ("MLFLOW_TRACKING_URI", "LUTHIER_SIGNING_KEY", "LUTHIER_TRUSTED_KEYS"):
            patch.delenv(name, raising=False)
        write_project(root)
        stages = {name: stage | {"cmd": "true", "deps": READS.get(name, [])} for name, stage in WIRING.items()}
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
        (root / "requirements.lock").write_text("torch==2.13.0\n")
        _set_up_git(root)
        call(root, sys.executable, "-m", "dvc", "init", "--quiet")
        call(root, sys.executable, "-m", "dvc", "config", "cache.type", "hardlink,copy")
        call(root, sys.executable, "-m", "dvc", "commit", "--force", "--quiet")
        _commit(root)
        (root / "dvc.yaml").write_text((root / "dvc.yaml").read_text() + "# not committed\n")
        register.main()
        _approve(lineage.version_of(URI))
    return root


def _approve(version: registry.Version) -> None:
    packet = evidence.add_text(version.run_id, "# May it become champion?\n", "packets", ".md")
    said = {"version": version.number, "identity": version.tags[registry.IDENTITY], "packet_sha256": packet}
    said |= {"decision": "approve", "by": "ada", "at": "2026-11-23T06:00:00+00:00", "airflow_run": "manual"}
    registry.add_tags(version, {approval.APPROVAL: json.dumps(signing.signed(said))})


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    for name in ("MLFLOW_TRACKING_URI", "LUTHIER_SIGNING_KEY", "LUTHIER_TRUSTED_KEYS"):
        monkeypatch.delenv(name, raising=False)


def _found(project: Path, pattern: str) -> Path:
    (path,) = project.glob(pattern)
    return path


def _object(project: Path, key: str, name: str) -> Path:
    """The object in DVC's cache of one file of an output."""
    chain = read_json(_found(project, "mlruns/*/artifacts/evidence/*/chain.json"))
    (link,) = [link for link in chain["links"] if link["path"] == key]
    md5 = link["files"][name]["md5"] if name != ".dir" else link["md5"]
    return project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


@contextmanager
def flipped(path: Path) -> Iterator[None]:
    """One bit of a file is another, as long as this lasts; its hard links keep their bytes."""
    kept = path.with_name(f"{path.name}.kept")
    path.rename(kept)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    try:
        yield
    finally:
        path.unlink()
        kept.rename(path)


def test_an_untouched_version_verifies_and_says_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    lineage.main(URI, verify=True)
    told = capsys.readouterr().out
    assert "BROKEN" not in told
    for link in (
        "raw data",
        "valid rows",
        "instruction sets",
        "tuned weights",
        "predictions",
        "metrics",
        "served model",
    ):
        assert re.search(rf"^  {link} +ok", told, re.MULTILINE), link
    assert re.search(r"verified: \S+ [kM]B in [\d.]+ s, [\d.]+ GB/s; \S+ [kM]B more are hard links", told)


EVIDENCE = "mlruns/*/artifacts/evidence/*"
MODEL = "mlruns/models/*/artifacts/data/data"
FILES = {  # what is flipped: where it is, and what names it
    "raw data": (("data/raw", "manifest.json"), r"raw data: data/raw/manifest.json in DVC's cache \(files/md5/.*other bytes"),
    "valid rows": (("data/valid", "xsum.jsonl"), "valid rows: data/valid/xsum.jsonl in DVC's cache"),
    "examples": (("data/examples", "test.jsonl"), "instruction sets: data/examples/test.jsonl in DVC's cache"),
    "weights in the cache": (("models/tuned", "adapter_model.safetensors"), "tuned weights: models/tuned/adapter_model"),
    "base in the cache": (("models/base", "model.safetensors"), "base model: models/base/model.safetensors in DVC's"),
    "a list in the cache": (("models/tuned", ".dir"), "tuned weights: DVC's list of models/tuned"),
    "predictions in the cache": (("predictions", "how.json"), "predictions: predictions/how.json in DVC's cache"),
    "metrics in the cache": (("reports/metrics.json", ""), "metrics: reports/metrics.json in DVC's cache"),
    "weights as served": (f"{MODEL}/tuned/adapter_model.safetensors", "served model: tuned/adapter_model.safetensors"),
    "code as served": ("mlruns/models/*/artifacts/code/tasks/serve.py", "code as served: code/tasks/serve.py has other"),
    "the model's manifest": (f"{MODEL}/manifest.json", "served model: its manifest.json"),
    "predictions": (f"{EVIDENCE}/predictions/tuned/generations.jsonl", "predictions: evidence/.*generations.jsonl has"),
    "metrics": (f"{EVIDENCE}/metrics.json", "metrics: evidence/.*/metrics.json has other bytes"),
    "cards": (f"{EVIDENCE}/cards.json", "metric cards: evidence/.*/cards.json has other bytes"),
    "model card": (f"{EVIDENCE}/model_card.md", "model card: evidence/.*/model_card.md has other bytes"),
    "base as served": ("mlruns/models/*/artifacts/model.safetensors", "base model as served: model.safetensors of"),
    "leak certificate": (f"{EVIDENCE}/leaks.json", "leak certificate: evidence/.*/leaks.json has other bytes"),
    "validation": (f"{EVIDENCE}/validation.json", "validation: evidence/.*/validation.json has other bytes"),
    "dvc.lock": (f"{EVIDENCE}/dvc.lock", "dvc.lock: evidence/.*/dvc.lock has other bytes"),
    "environment": (f"{EVIDENCE}/requirements.lock", "requirements.lock: evidence/.* has other bytes"),
    "chain": (f"{EVIDENCE}/chain.json", "chain: evidence/.*/chain.json has other bytes"),
    "manifest": (f"{EVIDENCE}/manifest.json", "manifest of the evidence: its manifest"),
    "packet": ("mlruns/*/artifacts/packets/*.md", r"approval: the packet that was shown \(packets/.*other bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_named(project: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    place, told = FILES[name]
    path = _found(project, place) if isinstance(place, str) else _object(project, *place)
    with flipped(path), pytest.raises(LineageError, match=told):
        lineage.main(URI, verify=True)
    assert "BROKEN" in capsys.readouterr().out


def test_what_is_gone_is_not_verified_and_says_what_brings_it_back(project: Path) -> None:
    path = _object(project, "data/valid", "xsum.jsonl")
    kept = path.rename(path.with_name("kept"))
    with pytest.raises(LineageError, match=r"valid rows: .* is not there: 'dvc fetch data/valid' brings it back"):
        lineage.main(URI, verify=True)
    kept.rename(path)
    folder = _found(project, EVIDENCE)
    (folder / "metrics.json").rename(folder / "more.json")
    with pytest.raises(LineageError, match=r"metrics: .*not among the run's artifacts any more.* And 1 more"):
        lineage.main(URI, verify=True)
    (folder / "more.json").rename(folder / "metrics.json")
    packet = _found(project, "mlruns/*/artifacts/packets/*.md")
    kept = packet.rename(packet.with_name("kept"))
    with pytest.raises(LineageError, match=r"approval: the packet that was shown \(packets/.*is not among the run's"):
        lineage.main(URI, verify=True)
    kept.rename(packet)


def test_what_a_run_made_is_brought_back_by_the_run_whose_dvc_lock_names_it() -> None:
    assert way_back("data/valid") == way_back("data/valid", "none") == "dvc fetch data/valid"
    assert way_back("data/valid", "runs/manual-1a2b3c") == "luthier runs take manual-1a2b3c"


def test_a_tag_that_somebody_changed_is_named() -> None:
    version = lineage.version_of(URI)
    for tag, told in (
        ("luthier.data.valid", "its tag luthier.data.valid says"),
        ("luthier.code.commit", "code: the ver"),
    ):
        registry.add_tags(version, {tag: "0" * 40})
        with pytest.raises(LineageError, match=told):
            lineage.main(URI, verify=True)
        registry.add_tags(version, {tag: version.tags[tag]})


def test_an_approval_counts_for_what_was_shown_and_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    version = lineage.version_of(URI)
    document = json.loads(version.tags[approval.APPROVAL])
    known = signing.known_keys()

    def faults(tags: dict[str, str], required: bool = True) -> list[str]:
        return approval.faults(version.tags | tags, 1, required, known, lambda _: b"# May it become champion?\n")

    def signed_anew(**changes: object) -> dict[str, str]:
        bare = {name: value for name, value in document.items() if name != "signature"} | changes
        return {approval.APPROVAL: json.dumps(signing.signed(bare))}

    assert faults({}) == []
    assert "not what was signed" in faults({approval.APPROVAL: json.dumps(document | {"by": "eve"})})[0]
    assert "of version 2" in faults(signed_anew(version=2))[0]
    assert "decided 'reject'" in faults(signed_anew(decision="reject"))[0]
    assert faults(signed_anew(decision="reject"), required=False) == []
    assert "no JSON" in faults({approval.APPROVAL: "{"})[0]
    bare = {name: value for name, value in version.tags.items() if name != approval.APPROVAL}
    assert "asks for one" in approval.faults(bare, 1, True, known, lambda _: None)[0]
    assert approval.faults(bare, 1, False, known, lambda _: None) == []
    assert "is not among" in approval.faults(version.tags, 1, True, known, lambda _: None)[0]
    monkeypatch.setenv("LUTHIER_TRUSTED_KEYS", "")
    assert "not known here" in approval.faults(version.tags, 1, True, set(), lambda _: None)[0]


def test_a_chain_says_what_the_tags_say_and_names_dvc_s_objects(project: Path) -> None:
    chain = chain_of(outputs(), LOCK)
    assert digests_in(chain) == lineage.digests(outputs())
    locked = yaml.safe_load(LOCK.read_text())
    assert links.lock_faults(chain, locked) == []
    assert [link["stage"] for link in chain["links"]] == sorted(
        (link["stage"] for link in chain["links"]), key=list(WIRING).index
    )
    assert [link["path"] for link in chain["links"] if not link["cached"]] == ["reports/validation.json"]
    assert chain["machine"] == machine()
    for dep in locked["stages"]["predict"]["deps"]:
        before, dep["md5"] = dep["md5"], "0" * 32
        assert f"the stage predict read another {dep['path']} than the stage" in links.lock_faults(chain, locked)[0][1]
        dep["md5"] = before


def test_a_model_that_is_served_with_other_weights_than_the_chain_s_is_named(project: Path) -> None:
    chain, files = chain_of(outputs(), LOCK), read_json(_found(project, f"{MODEL}/manifest.json"))["files"]
    base = read_json(_found(project, f"{MODEL}/base.json"))["files"]
    assert links.served_faults(chain, files, base) == []
    assert "luthier.weights.base) are not needed" in links.served_faults(chain, files, None)[0][1]
    files["tuned/adapter_model.safetensors"]["sha256"] = "0" * 64
    assert "its weights (luthier.weights.tuned) are" in links.served_faults(chain, files, base)[0][1]


def test_a_version_made_without_git_and_dvc_is_verified_against_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    register.main()
    lineage.main(URI, verify=True)
    told = capsys.readouterr().out
    assert "This checkout, for it was made without DVC" in told
    assert f"code                         ok      {NO_GIT}" in told
    with (
        flipped(tmp_path / "data/valid/xsum.jsonl"),
        pytest.raises(LineageError, match=r"valid rows: data/valid/xsum\.jsonl has other"),
    ):
        lineage.main(URI, verify=True)


def test_what_dvc_does_not_know_is_not_registered(project: Path) -> None:
    with (
        flipped(project / "data/valid/xsum.jsonl"),
        pytest.raises(LineageError, match=r"data/valid is not what dvc\.lock"),
    ):
        chain_of(outputs(), LOCK)


def test_lineage_prints_every_link_within_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lineage.main(URI)
    first, *told = capsys.readouterr().out.splitlines()
    assert first.startswith(URI)
    assert all(len(line) <= 100 for line in told)
    names = ["raw data", *lineage.CHAIN.values(), "approval", *lineage.CIRCUMSTANCES.values()]
    names += ["DVC lock", "environment lock", "machine", "signing key"]
    assert [line[2:26].strip() for line in told if line] == names
    assert sum(bool(re.search(r" [0-9a-f]{64}$", line)) for line in told) == 13
    assert any("approved by ada" in line for line in told)


def test_a_snapshot_holds_the_checkout_s_code_and_leaves_the_checkout_alone(tmp_path: Path) -> None:
    _set_up_git(tmp_path)
    (tmp_path / "code.py").write_text("one = 1\n")
    (tmp_path / "gone.py").write_text("")
    head = _commit(tmp_path)
    assert snapshot(tmp_path) == {"commit": head, "changed": "no"}
    (tmp_path / "code.py").write_text("one = 2\n")
    (tmp_path / "gone.py").unlink()
    (tmp_path / "new é.py").write_text("new = 1\n")
    (tmp_path / "large.bin").write_bytes(bytes(1_000_001))
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/ignored.txt").write_text("")
    before = call(tmp_path, "git", "status", "--porcelain")
    index = (tmp_path / ".git/index").read_bytes()
    made = snapshot(tmp_path)
    assert made["changed"] == "yes"
    assert made == snapshot(tmp_path)
    assert call(tmp_path, "git", "ls-tree", "-r", "--name-only", "-z", made["commit"]).strip("\0").split("\0") == [
        ".gitignore", "code.py", "new é.py",
    ]  # fmt: skip
    assert call(tmp_path, "git", "show", f"{made['commit']}:code.py") == "one = 2"
    assert call(tmp_path, "git", "rev-parse", f"{made['commit']}^") == head
    assert call(tmp_path, "git", "status", "--porcelain") == before
    assert (tmp_path / ".git/index").read_bytes() == index
    assert call(tmp_path, "git", "rev-parse", "HEAD", "main") == f"{head}\n{head}"
    call(tmp_path, "git", "gc", "--quiet", "--prune=now")
    assert has_commit(tmp_path, made["commit"])
    assert not has_commit(tmp_path, "0" * 40)


def test_code_without_git_or_without_a_commit_is_said_and_no_error(tmp_path: Path) -> None:
    assert snapshot(tmp_path) == {"commit": NO_GIT, "changed": "no"}
    _set_up_git(tmp_path)
    made = snapshot(tmp_path)
    assert call(tmp_path, "git", "ls-tree", "--name-only", made["commit"]) == ".gitignore"


def test_a_hard_link_is_read_once(tmp_path: Path) -> None:
    one, other, copy = (tmp_path / name for name in ("one", "other", "copy"))
    one.write_bytes(bytes(1000))
    other.hardlink_to(one)
    shutil.copyfile(one, copy)
    claims = [Claim("it", path.name, path, sha256_of(one), 1000, "") for path in (one, other, copy)]
    with Hashing() as hashing:
        assert [checked.fault for checked in hashing.check(claims)] == ["", "", ""]
    assert (hashing.bytes, hashing.shared) == (2000, 1000)


@pytest.mark.service
@pytest.mark.long
@pytest.mark.nightly
def test_the_benchmark_prints_its_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    told = call(ROOT, sys.executable, "-m", "benchmarks.lineage", "--gigabytes", "0.1", "--rounds", "1")
    assert "of the speed (target: at least 0.8)" in told
    assert list(tmp_path.glob("luthier-bench-*")) == []
