"""tasks/data/sealed and signing: no byte of a sealed folder changes unseen, and strangers' signatures do not count."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.data import sealed, signing
from tasks.data.files import read_json, sha256_of
from tasks.errors import SealError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sealed folder, in a checkout of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUTHIER_SIGNING_KEY", raising=False)
    monkeypatch.delenv("LUTHIER_TRUSTED_KEYS", raising=False)
    made = tmp_path / "made"
    (made / "b").mkdir(parents=True)
    (made / "b/weights.safetensors").write_bytes(bytes(range(256)))
    (made / "b-card.md").write_text("a card")
    sealed.seal(made, {"version": 1})
    return made


def test_what_was_sealed_is_read_back(folder: Path) -> None:
    assert sealed.require_sealed(folder, "it", signing.known_keys())["about"] == {"version": 1}


def test_the_digest_of_listed_files_is_that_of_the_folder(folder: Path) -> None:
    files = sealed.files_in(folder)
    (folder / sealed.MANIFEST).unlink()
    assert sealed.digest_of(files) == sha256_of(folder)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _other_about(folder: Path) -> None:
    manifest = read_json(folder / sealed.MANIFEST)
    manifest["about"]["version"] = 2
    (folder / sealed.MANIFEST).write_text(json.dumps(manifest))


CHANGES: list[tuple[str, Callable[[Path], object], str]] = [
    ("a flipped bit", lambda f: _flip(f / "b/weights.safetensors"), "b/weights.safetensors has other bytes"),
    ("a missing file", lambda f: (f / "b-card.md").unlink(), "b-card.md is missing"),
    ("a file more", lambda f: (f / "x.bin").touch(), "x.bin does not belong"),
    ("another manifest", _other_about, "not what was signed"),
    ("no manifest", lambda f: (f / sealed.MANIFEST).unlink(), "has no manifest"),
    ("a broken manifest", lambda f: (f / sealed.MANIFEST).write_text("{"), "no JSON"),
    ("no signature", lambda f: (f / sealed.MANIFEST).write_text('{"files": {}}'), "no signature"),
]


@pytest.mark.parametrize(("change", "told"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_every_change_is_named(folder: Path, change: Callable[[Path], object], told: str) -> None:
    change(folder)
    with pytest.raises(SealError, match=told):
        sealed.require_sealed(folder, "it", signing.known_keys())


def test_a_signature_counts_where_its_key_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (maker,) = signing.known_keys()
    monkeypatch.chdir(folder)  # somebody else's checkout
    with pytest.raises(SealError, match=f"signed by the key {maker[:16]}"):
        sealed.require_sealed(folder, "it", signing.known_keys())
    sealed.require_sealed(folder, "it", None)
    monkeypatch.setenv("LUTHIER_TRUSTED_KEYS", f"{'0' * 64}, {maker.upper()}")
    sealed.require_sealed(folder, "it", signing.known_keys())


def test_the_key_is_its_owner_s_alone_and_a_named_one_is_not_made(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stat.S_IMODE((tmp_path / signing.OWN_KEY).stat().st_mode) == 0o600
    monkeypatch.setenv("LUTHIER_SIGNING_KEY", str(tmp_path / "nowhere.pem"))
    with pytest.raises(SealError, match="is not there"):
        signing.signed({})
    (tmp_path / "nowhere.pem").write_text("no key")
    with pytest.raises(SealError, match="no readable private key"):
        signing.signed({})
