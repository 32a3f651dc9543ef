"""tasks/model/checkpoints: a kill at any moment and damage to any byte cost time, never the result."""

import errno
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tasks.errors import TrainingError
from tasks.model import checkpoints as checkpoints_module
from tasks.model import manifest as manifest_module
from tasks.model.checkpoints import Checkpoint, Checkpoints, require_space
from tasks.model.manifest import DamagedError, verified

FINGERPRINT = {"finetune": {"seed": 7, "lora": {"rank": 8}}, "data": "5f3a", "learning_rate": 1e-4}
FILES = ["best.safetensors", "log.jsonl", "manifest.json", "optimizer.safetensors", "state.json", "weights.safetensors"]


def tensors_of(step: int) -> dict[str, dict[str, torch.Tensor]]:
    made = torch.Generator().manual_seed(step)
    return {
        "weights": {"a": torch.randn(40, 30, generator=made), "half": torch.randn(50, generator=made).bfloat16()},
        "optimizer": {"a.exp_avg": torch.randn(40, 30, generator=made), "a.step": torch.tensor(float(step))},
        "best": {"a": torch.ones(40, 30), "none": torch.zeros(0, 3), "count": torch.tensor([2**40])},
    }


def state_of(step: int) -> dict[str, Any]:
    return {"epoch": step / 10, "best": {"loss": 0.1 + 0.2, "step": None}, "order": [3, 1, 2]}


def log_of(step: int) -> list[dict[str, Any]]:
    return [{"step": done, "loss": 1 / done} for done in range(1, step + 1)]


def save(checkpoints: Checkpoints, *steps: int, **kwargs: Any) -> None:
    for step in steps:
        checkpoints.save(step, tensors_of(step), state_of(step), log_of(step), **kwargs)


def opened(folder: Path, keep: int = 2) -> Checkpoints:
    return Checkpoints(folder, FINGERPRINT, keep)


def assert_is(checkpoint: Checkpoint | None, step: int) -> None:
    assert checkpoint is not None
    assert checkpoint.step == step
    assert checkpoint.state == state_of(step)
    assert checkpoint.log == log_of(step)
    expected = tensors_of(step)
    assert checkpoint.tensors.keys() == expected.keys()
    for name, content in expected.items():
        assert checkpoint.tensors[name].keys() == content.keys()
        for key, tensor in content.items():
            assert checkpoint.tensors[name][key].dtype == tensor.dtype
            assert torch.equal(checkpoint.tensors[name][key], tensor)


def reasons(folder: Path) -> list[str]:
    return [json.loads(file.read_text())["reason"] for file in sorted(folder.glob("quarantine/*/reason.json"))]


def bytes_in(folder: Path) -> int:
    """Bytes of all files, each once whatever its names."""
    found = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    return sum({stat.st_ino: stat.st_size for stat in found}.values())


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"quarantine", "fingerprint.json"}


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A training's folder with the checkpoints of steps 10 and 20."""
    save(opened(tmp_path / "training"), 10, 20)
    return tmp_path / "training"


def test_what_was_saved_comes_back_with_its_types_its_state_and_its_log(two: Path) -> None:
    assert_is(opened(two).newest(), 20)
    assert sorted(path.name for path in (two / "step-00000020").iterdir()) == FILES
    assert not (two / "quarantine").exists()


def test_a_folder_that_is_not_there_has_no_checkpoint(tmp_path: Path) -> None:
    assert opened(tmp_path / "a/b").newest() is None
    assert opened(tmp_path / "a/b").steps == []


# Damage: every way, to every file


def flip(place: float) -> Callable[[Path, Path], None]:
    def change(file: Path, _before: Path) -> None:
        content = bytearray(file.read_bytes())
        content[min(int(place * len(content)), len(content) - 1)] ^= 0x10
        file.write_bytes(content)

    return change


def linked(file: Path, _before: Path) -> None:
    file.rename(file.parent.parent / "moved")
    file.symlink_to(file.parent.parent / "moved")


def emptied_folder(file: Path, _before: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path, _before: Path) -> None:
    file.unlink()
    os.mkfifo(file)


MUTATIONS: dict[str, Callable[[Path, Path], object]] = {
    "a bit of the first byte flipped": flip(0),
    "a bit in the middle flipped": flip(0.5),
    "a bit of the last byte flipped": flip(1),
    "cut by one byte": lambda file, _: os.truncate(file, file.stat().st_size - 1),
    "cut in half": lambda file, _: os.truncate(file, file.stat().st_size // 2),
    "emptied": lambda file, _: os.truncate(file, 0),
    "longer by one byte": lambda file, _: file.write_bytes(file.read_bytes() + b"\n"),
    "zeros of the same length": lambda file, _: file.write_bytes(bytes(file.stat().st_size)),
    "missing": lambda file, _: file.unlink(),
    "a link to the same bytes": linked,
    "a folder": emptied_folder,
    "a pipe": pipe,
    "the file of the step before": lambda file, before: shutil.copyfile(before, file),
}


@pytest.mark.parametrize(
    ("name", "mutation"),
    # both steps have the same best weights: to exchange them damages nothing
    sorted({(name, what) for name in FILES for what in MUTATIONS} - {(FILES[0], "the file of the step before")}),
)
def test_a_damaged_file_is_named_and_the_checkpoint_before_it_is_used(
    two: Path, name: str, mutation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = two / "step-00000020" / name
    MUTATIONS[mutation](file, two / "step-00000010" / name)
    assert_is(opened(two).newest(), 10)
    (reason,) = reasons(two)
    assert reason.startswith(name)
    said = capsys.readouterr().out
    assert said == f"finetune  checkpoint step-00000020 set aside: {reason}; going on from step 10\n"
    assert names_in(two) - {"moved"} == {"step-00000010"}


@pytest.mark.parametrize("name", ["state.json", "manifest.json"])
def test_no_byte_can_change_unseen(two: Path, name: str) -> None:
    file = two / "step-00000020" / name
    content = file.read_bytes()
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        file.write_bytes(changed)
        with pytest.raises(DamagedError, match=name):
            verified(file.parent)
    file.write_bytes(content)
    assert verified(file.parent)["step"] == 20


def test_safetensors_alone_takes_flipped_weights_in_silence(two: Path) -> None:
    file = two / "step-00000020/weights.safetensors"
    flip(1)(file, file)
    load_file(file)  # the negative control: no error
    with pytest.raises(DamagedError, match=r"weights\.safetensors has other bytes than its manifest says"):
        verified(file.parent)


def test_a_file_that_the_manifest_does_not_list_is_named(two: Path) -> None:
    (two / "step-00000020/training_args.bin").write_bytes(b"pickle")
    assert_is(opened(two).newest(), 10)
    assert reasons(two) == ["training_args.bin is not in the manifest"]


def test_files_swapped_between_two_checkpoints_set_both_aside(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (two / f"step-000000{step}0/optimizer.safetensors" for step in (1, 2))
    first.rename(two / "third")
    second.rename(first)
    (two / "third").rename(second)
    assert opened(two).newest() is None
    assert reasons(two) == ["optimizer.safetensors has other bytes than its manifest says"] * 2
    assert capsys.readouterr().out.count("; beginning at step 0\n") == 2


def test_a_checkpoint_under_the_name_of_another_step_is_not_that_step(two: Path) -> None:
    (two / "step-00000020").rename(two / "step-00000030")
    assert_is(opened(two).newest(), 10)
    assert reasons(two) == ["manifest.json is that of step 20"]


def test_a_link_or_a_file_in_a_checkpoint_s_place_is_set_aside(two: Path) -> None:
    (two / "step-00000030").symlink_to(two / "step-00000020")
    (two / "step-00000040").write_bytes(b"")
    assert_is(opened(two).newest(), 20)
    assert reasons(two) == ["step-00000030 is no folder", "step-00000040 is no folder"]


def forge(folder: Path, **changed: Any) -> None:
    """Write a manifest that vouches for itself and says something else."""
    manifest = {**json.loads((folder / "manifest.json").read_text()), **changed}
    (folder / "manifest.json").write_bytes(manifest_module._rendered(manifest))


def test_a_manifest_of_an_unknown_format_is_not_guessed_at(two: Path) -> None:
    forge(two / "step-00000020", format=2)
    assert_is(opened(two).newest(), 10)
    assert reasons(two) == ["manifest.json has format 2, and this version reads 1"]


def test_a_state_of_another_step_is_found_even_where_the_manifest_vouches_for_it(two: Path) -> None:
    folder = two / "step-00000020"
    shutil.copyfile(two / "step-00000010/state.json", folder / "state.json")
    known = json.loads((two / "step-00000010/manifest.json").read_text())["files"]["state.json"]
    files = json.loads((folder / "manifest.json").read_text())["files"]
    forge(folder, files={**files, "state.json": known})
    assert_is(opened(two).newest(), 10)
    assert reasons(two) == ["state.json is that of step 10"]


def test_a_file_that_the_disk_cannot_give_back_counts_as_damaged(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = manifest_module.sha256_of

    def failing(path: Path) -> str:
        if path == two / "step-00000020/weights.safetensors":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path)

    monkeypatch.setattr(manifest_module, "sha256_of", failing)
    assert_is(opened(two).newest(), 10)
    assert reasons(two) == ["weights.safetensors cannot be read from the disk (Input/output error)"]


def test_an_older_damaged_checkpoint_is_set_aside_too_before_it_is_needed(two: Path) -> None:
    MUTATIONS["emptied"](two / "step-00000010/log.jsonl", two)
    checkpoints = opened(two)
    assert_is(checkpoints.newest(), 20)
    assert checkpoints.steps == [20]
    assert reasons(two) == ["log.jsonl has 0 bytes where its manifest says 316"]


# Whose checkpoint it is


def test_a_checkpoint_of_another_training_is_refused_with_every_difference_and_left_as_it_is(two: Path) -> None:
    (two / ".step-00000030.partial").mkdir()
    lay = sorted(two.rglob("*"))
    other = {"finetune": {"seed": 8, "lora": {"rank": 8}}, "data": "5f3a", "threads": 2}
    checkpoints = Checkpoints(two, other, keep=2)
    for attempt in (checkpoints.newest, lambda: save(checkpoints, 30)):
        with pytest.raises(TrainingError) as refused:
            attempt()
    assert str(refused.value) == (
        f"{two}/step-00000010 is a checkpoint of another training: finetune.seed is 7 there and 8 here; "
        "learning_rate is 0.0001 there and not set here; threads is not set there and 2 here. "
        f"Set these back to go on with it, or remove {two} to begin anew."
    )
    assert sorted(two.rglob("*")) == lay
    (two / ".step-00000030.partial").rmdir()
    assert_is(opened(two).newest(), 20)


def test_a_fingerprint_with_tuples_is_that_which_its_json_reads_back_as(tmp_path: Path) -> None:
    fingerprint = {"betas": (0.9, 0.999)}
    save(Checkpoints(tmp_path, fingerprint, 2), 1)
    assert_is(Checkpoints(tmp_path, fingerprint, 2).newest(), 1)
    assert json.loads((tmp_path / "fingerprint.json").read_text()) == {"betas": [0.9, 0.999]}


# Order, rotation, quarantine, space


def test_processes_that_look_behind_the_first_write_nothing_since_they_look_at_once(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"seed": 1}, 2).newest()
    written = (tmp_path / "fingerprint.json").stat()
    Checkpoints(tmp_path, {"seed": 1}, 2).newest()
    found = (tmp_path / "fingerprint.json").stat()
    assert (found.st_ino, found.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_the_newest_is_that_of_the_highest_step_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(opened(tmp_path, keep=3), 9, 10, 11)
    future = time.time() + 10 * 365 * 86_400
    for path in [tmp_path / "step-00000009", *(tmp_path / "step-00000009").iterdir()]:
        os.utime(path, (future, future))
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Pacific/Kiritimati")
        time.tzset()
        checkpoints = opened(tmp_path)
        assert_is(checkpoints.newest(), 11)
        assert checkpoints.steps == [10, 11]
        save(checkpoints, 12)
        assert names_in(tmp_path) == {"step-00000011", "step-00000012"}
    time.tzset()


def test_steps_go_up(two: Path) -> None:
    checkpoints = opened(two)
    for step in (5, 20):
        with pytest.raises(ValueError, match=f"step {step} is to be saved, and step 20 lies there already"):
            save(checkpoints, step)
    assert checkpoints.steps == [10, 20]


def test_fewer_than_two_are_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        opened(tmp_path, keep=1)


def test_a_save_that_was_cut_off_is_set_aside_with_its_reason_and_an_aware_time(
    two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (two / ".step-00000030.partial").mkdir()
    (two / ".step-00000030.partial/weights.safetensors").write_bytes(b"half")
    assert_is(opened(two).newest(), 20)
    said = "its save was interrupted before its manifest was in place"
    assert capsys.readouterr().out == f"finetune  checkpoint step-00000030 set aside: {said}; going on from step 20\n"
    entry = json.loads((two / "quarantine/000001-step-00000030/reason.json").read_text())
    assert (entry["reason"], entry["step"]) == (said, 30)
    when = datetime.fromisoformat(entry["time"])
    assert when.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - when).total_seconds()) < 60
    assert (two / "quarantine/000001-step-00000030/checkpoint/weights.safetensors").read_bytes() == b"half"


def test_quarantine_keeps_every_reason_and_the_bytes_of_the_last_alone(two: Path) -> None:
    for _ in range(3):
        checkpoints = opened(two)
        save(checkpoints, 30)
        MUTATIONS["emptied"](two / "step-00000030/log.jsonl", two)
        assert opened(two).newest() is not None
    assert sorted(path.name for path in (two / "quarantine").iterdir()) == [
        f"00000{number}-step-00000030" for number in (1, 2, 3)
    ]
    assert len(reasons(two)) == 3
    assert [path.parent.name for path in two.glob("quarantine/*/checkpoint")] == ["000003-step-00000030"]


@pytest.mark.parametrize("keep", [2, 3])
def test_the_disk_is_bounded_over_fifty_saves_while_they_run(
    tmp_path: Path, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (real(descriptor), peaks.append(bytes_in(tmp_path))))
    checkpoints = opened(tmp_path, keep)
    for step in range(1, 51):
        save(checkpoints, step)
        if step % 10 == 0:  # killed in a save, the one before damaged: the worst that a new start finds
            shutil.copytree(tmp_path / f"step-{step:08d}", tmp_path / f".step-{step + 1:08d}.partial")
            flip(0.5)(tmp_path / f"step-{step:08d}/weights.safetensors", tmp_path)
            peaks.append(bytes_in(tmp_path))
            checkpoints = opened(tmp_path, keep)
            assert checkpoints.steps[-1] == step - 1
    one = max(bytes_in(path) for path in tmp_path.glob("step-*"))
    assert len(peaks) > 50 * len(FILES)
    assert (
        (keep + 1) * one < max(peaks) < (keep + 2) * one + 20_000
    )  # reasons and fingerprint: a few hundred bytes each
    assert opened(tmp_path, keep).steps[-1] == 49
    assert len(names_in(tmp_path)) == keep - 1  # the last of them was damaged just now


def test_a_file_that_the_caller_says_is_unchanged_is_one_file_on_the_disk(two: Path) -> None:
    save(opened(two), 30, same_as_before={"best", "unknown"})
    assert_is(opened(two).newest(), 30)
    best, weights = (
        {(two / f"step-000000{step}0" / f"{name}.safetensors").stat().st_ino for step in (2, 3)}
        for name in ("best", "weights")
    )
    assert (len(best), len(weights)) == (1, 2)
    MUTATIONS["emptied"](two / "step-00000030/best.safetensors", two)
    assert opened(two).newest() is None  # the price of one file


def test_nothing_is_linked_where_there_is_no_checkpoint_before_or_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = opened(tmp_path)
    save(checkpoints, 10, same_as_before={"best"})
    tried = []

    def refuse(*paths: Path) -> None:
        tried.append(paths)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    save(checkpoints, 20, same_as_before={"best"})
    assert len(tried) == 1
    assert (tmp_path / "step-00000020/best.safetensors").stat().st_nlink == 1
    assert_is(opened(tmp_path).newest(), 20)


def test_a_finished_training_leaves_its_lock_file_alone(two: Path) -> None:
    (two / "lock").touch()
    (two / ".step-00000005.removed").mkdir()
    (two / ".step-00000030.partial").mkdir()
    MUTATIONS["emptied"](two / "step-00000010/log.jsonl", two)
    checkpoints = opened(two)
    assert checkpoints.steps == [20]
    (two / ".step-00000030.partial").mkdir()
    checkpoints.clear()
    assert [path.name for path in two.iterdir()] == ["lock"]
    assert checkpoints.steps == []


def test_too_little_room_is_refused_with_path_need_and_rest(tmp_path: Path) -> None:
    folder = tmp_path / "not/there/yet"
    require_space(folder, 1000)
    with pytest.raises(TrainingError) as refused:
        require_space(folder, 10**18)
    said = (
        re.escape(f"the checkpoints in {folder} need 1,000,000,000,000,000,000 bytes") + r", and .* [\d,]+ bytes free"
    )
    assert re.match(said, str(refused.value))


# A full disk


@contextmanager
def small_disk(place: Path, size_kb: int) -> Iterator[Path]:
    place.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(place)], check=False, capture_output=True
        ).returncode
    ):
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("pages", range(9))  # of 4 KB; a checkpoint needs 9
def test_a_disk_that_fills_up_in_a_save_is_an_error_with_a_file_name_and_the_next_try_works(
    tmp_path: Path, pages: int
) -> None:
    with small_disk(tmp_path / "disk", 300) as disk:
        folder = disk / "training"
        checkpoints = opened(folder)
        save(checkpoints, 10, 20)
        used = shutil.disk_usage(disk).used // 1024
        subprocess.run(["mount", "-o", f"remount,size={used + 4 * pages}k", str(disk)], check=True)
        with pytest.raises(OSError) as full:
            save(checkpoints, 30)
        assert full.value.errno == errno.ENOSPC
        assert "step-00000030" in str(full.value.filename)
        assert names_in(folder) == {"step-00000010", "step-00000020"}
        subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
        save(checkpoints, 30)
        assert_is(opened(folder).newest(), 30)
        assert reasons(folder) == []


@pytest.mark.parametrize(("limit", "file"), [(100, "weights"), (4600, "state|log|weights|optimizer")])
def test_a_file_over_the_shell_s_limit_is_an_error_with_its_name(two: Path, limit: int, file: str) -> None:
    checkpoints = opened(two)
    assert checkpoints.steps == [10, 20]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(OSError) as large:
            save(checkpoints, 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert large.value.errno == errno.EFBIG
    assert re.search(rf"step-00000030.*({file})", str(large.value.filename))
    save(checkpoints, 30)
    assert_is(opened(two).newest(), 30)


# Rights


@pytest.mark.parametrize(
    ("umask", "file_mode", "folder_mode"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o077, 0o600, 0o700)]
)
def test_files_have_the_rights_that_the_umask_gives(
    tmp_path: Path, umask: int, file_mode: int, folder_mode: int
) -> None:
    before = os.umask(umask)
    try:
        save(opened(tmp_path / "training"), 10)
    finally:
        os.umask(before)
    folder = tmp_path / "training/step-00000010"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {file_mode}
    assert folder.stat().st_mode & 0o777 == folder_mode


def forked(work: Callable[[], object]) -> int:
    """Do `work` in a forked process, which has torch imported already; its wait status. It never returns here."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a second user")
def test_another_user_reads_what_this_one_saved(two: Path) -> None:
    unreadable = two / "step-00000010/weights.safetensors"

    def as_another() -> None:
        os.chdir(two)  # pytest's own folder above it is closed to others
        os.setgid(65534)
        os.setuid(65534)
        assert verified(Path("step-00000020"))["step"] == 20
        with pytest.raises(PermissionError):
            verified(Path("step-00000010"))

    unreadable.chmod(0o600)  # what safetensors alone leaves behind: the negative control, and no damage
    assert forked(as_another) == 0


# kill -9


class Killer:
    """Counts what a save does to the disk, and kills this very process after the n-th such call, as kill -9 does."""

    def __init__(self, at: int) -> None:
        self.at, self.count = at, 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = real(*args, **kwargs)
            self.tick()
            return result

        setattr(owner, name, call)

    def lie_in_wait(self) -> None:
        """Only ever called in a forked process: nothing is put back."""
        real = manifest_module.save_file

        def half_first(content: dict[str, torch.Tensor], file: Path) -> None:
            real(content, file)
            os.truncate(file, file.stat().st_size // 2)  # a kill in the middle of the writing
            self.tick()
            file.unlink()
            real(content, file)

        manifest_module.save_file = half_first
        self.after(manifest_module, "save_file")
        for name in ("mkdir", "chmod", "write_bytes", "write_text", "rename", "replace", "open"):
            self.after(Path, name)
        for name in ("fsync", "link", "unlink", "rmdir", "open"):
            self.after(os, name)


def kill_points(lay: Path, place: Path, work: Callable[[Path], object]) -> Iterator[int]:
    """Copy `lay` to `place` and kill `work` on it after its 1st, 2nd ... call, until it ends without a kill."""
    for at in range(1, 500):
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(lay, place)
        killer = Killer(at)

        def doomed(killer: Killer = killer) -> None:
            killer.lie_in_wait()
            work(place)

        status = forked(doomed)
        if status == 0:
            return
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL  # the fault was delivered
        yield at
    raise AssertionError("the work never ended without a kill")


def test_a_save_killed_anywhere_leaves_the_checkpoint_before_or_the_new_one_whole(two: Path, tmp_path: Path) -> None:
    seen = []
    lives = tmp_path / "killed"
    for _ in kill_points(two, lives, lambda folder: save(opened(folder), 30, same_as_before={"best"})):
        checkpoints = opened(lives)
        newest = checkpoints.newest()
        assert newest is not None
        assert_is(newest, newest.step)
        seen.append(newest.step)
        assert len(names_in(lives)) == 2  # nothing half done is left among them
        assert set(reasons(lives)) <= {"its save was interrupted before its manifest was in place"}
        save(checkpoints, 40)
        assert_is(opened(lives).newest(), 40)
    assert len(seen) >= 40
    assert seen == sorted(seen)
    assert set(seen) == {20, 30}


def test_setting_aside_killed_anywhere_loses_nothing_that_is_whole(two: Path, tmp_path: Path) -> None:
    flip(0.5)(two / "step-00000020/weights.safetensors", two)
    (two / ".step-00000030.partial").mkdir()
    lives = tmp_path / "killed"
    count = 0
    for _ in kill_points(two, lives, lambda folder: opened(folder).newest()):
        assert_is(opened(lives).newest(), 10)
        assert names_in(lives) == {"step-00000010"}
        assert {"weights.safetensors has other bytes than its manifest says"} < set(reasons(lives))
        assert len(list(lives.glob("quarantine/*/checkpoint"))) == 1
        count += 1
    assert count >= 10


def test_a_save_stopped_by_an_exception_leaves_nothing_behind(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints = opened(two)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(checkpoints_module, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            save(checkpoints, 30)
    assert names_in(two) == {"step-00000010", "step-00000020"}
    save(checkpoints, 30)
    assert_is(opened(two).newest(), 30)
