"""Ed25519 signatures of JSON documents: who vouches for a manifest or an approval, and whether it is still that one.

The private key is a PEM file: the one that LUTHIER_SIGNING_KEY names, or this checkout's own, made at the first use
and readable by its owner alone. A signature counts where its public key is known: this checkout's own, or one of
LUTHIER_TRUSTED_KEYS (hex, separated by commas), which is how a second machine believes the first.
Truth: RFC 8032, by way of `cryptography`.
"""

import json
import os
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tasks.data.files import Row
from tasks.errors import SealError

OWN_KEY = Path(".luthier/keys/signing.pem")
SIGNATURE = "signature"


def signed(document: Row) -> Row:
    """The document with `signature`: {key, value}, both hex, over its canonical JSON."""
    key = _private_key()
    value = key.sign(_canonical(document)).hex()
    return document | {SIGNATURE: {"key": _public(key), "value": value}}


def require_signed(document: Row, what: str, known: Collection[str] | None) -> Row:
    """The document without its signature, which holds.

    Args:
        document: of `signed`.
        what: whose document it is, for the error.
        known: public keys, hex, that may have signed it; None: any may, which proves what was signed and not by whom.

    Raises:
        SealError: there is no signature, it is of other content, or its key is not known.
    """
    bare = {name: value for name, value in document.items() if name != SIGNATURE}
    try:
        key, value = document[SIGNATURE]["key"], document[SIGNATURE]["value"]
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(value), _canonical(bare))
    except (KeyError, TypeError, ValueError):
        raise SealError(f"{what} carries no signature: register the model again.") from None
    except InvalidSignature:
        raise SealError(f"{what} is not what was signed: somebody changed it afterwards.") from None
    if known is not None and key not in known:
        raise SealError(
            f"{what} is signed by the key {key[:16]}..., which is not known here: if it is a colleague's, add it to "
            "LUTHIER_TRUSTED_KEYS."
        )
    return bare


def known_keys() -> set[str]:
    """Public keys, hex, whose signatures count here; no key is made by asking."""
    told = {key.strip().lower() for key in os.environ.get("LUTHIER_TRUSTED_KEYS", "").split(",") if key.strip()}
    own = _key_file()
    return told | ({_public(_read(own))} if own.exists() else set())


def own_key(root: Path) -> Path:
    """The private key of the checkout at `root`, made if there is none: for work that is done elsewhere in its name."""
    path = root / OWN_KEY
    if not path.exists():
        _make(path)
    return path


def _key_file() -> Path:
    return Path(os.environ.get("LUTHIER_SIGNING_KEY") or OWN_KEY)


def _private_key() -> Ed25519PrivateKey:
    path = _key_file()
    if not path.exists():
        if "LUTHIER_SIGNING_KEY" in os.environ:
            raise SealError(f"LUTHIER_SIGNING_KEY names {path}, which is not there: nothing can be signed without it.")
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; of two processes that make one at once, both use the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    try:
        os.link(partial, path)
    except FileExistsError:
        pass
    finally:
        partial.unlink()


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise SealError(f"{path} is no readable private key in PEM without a password ({error}).") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise SealError(f"{path} is no Ed25519 key: make one with 'openssl genpkey -algorithm ed25519'.")
    return key


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def _canonical(document: Row) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
