"""The organiser's signing key: made at its first use; what it signs, anyone with the public key can check."""

import contextlib
import hashlib
import hmac
import json
import os
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from challenge_bundle.errors import DataError
from challenge_bundle.files import synchronise
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ALGORITHM = "Ed25519"
MAX_KEY_BYTES = 1 << 14
KEY_HINT = "give the public-key.pem that `leaderboard` writes into the board's folder"


def key_path(layout: Layout) -> Path:
    """Path of the private key: outside the evaluation, which an import can put away while the key stays."""
    return layout.state / "keys" / "receipts.pem"


def signing_key(layout: Layout) -> "Ed25519PrivateKey":
    """The private key of a bundle; made if there is none yet.

    Raises:
        DataError: The file is not an Ed25519 key without a password, or others can read it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = key_path(layout)
    if not path.exists():
        _make_key(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise DataError(
            f"expected a private key that only its owner can read, but got mode {mode:04o}",
            path,
            code="exposed-key",
            hint="run `chmod 600` on it; if somebody may have read it, remove it, and a new one is made",
        )
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise DataError(
            "expected an Ed25519 private key (PEM) without a password",
            path,
            code="not-a-private-key",
            hint="bring it back from a backup, or remove it: a new one is made, and older receipts are"
            " checked with the old public key alone",
        )
    return key


def _make_key(path: Path) -> None:
    """Write a new key atomically and never readable by others; an existing one stays."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        # A link, not a rename: of two processes that make one at the same time, both take the first.
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    synchronise(path.parent)
    synchronise(path.parent.parent)


def public_text(key: "Ed25519PublicKey") -> str:
    """A public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_hex(key: "Ed25519PublicKey") -> str:
    """A public key's 32 bytes in hexadecimal."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def read_public_key(path: Path) -> "Ed25519PublicKey":
    """Read a public key (PEM).

    Raises:
        DataError: The file is missing, or is not an Ed25519 public key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        with path.open("rb") as opened:
            key = load_pem_public_key(opened.read(MAX_KEY_BYTES))
    except FileNotFoundError:
        raise DataError("no such file", path, code="no-such-file", hint=KEY_HINT) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    except OSError as fault:
        raise DataError(
            f"cannot be read ({fault.strerror})", path, code="unreadable-file", hint=KEY_HINT
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise DataError("expected an Ed25519 public key (PEM)", path, code="not-a-public-key", hint=KEY_HINT)
    return key


def canonical(document: dict[str, Any]) -> bytes:
    """The bytes that are signed: JSON with sorted keys, no spaces, UTF-8, numbers as Python writes them."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def sign(key: "Ed25519PrivateKey", document: dict[str, Any]) -> dict[str, Any]:
    """Add a `signature` over all other fields to a document."""
    value = key.sign(canonical(document)).hex()
    public_key = public_hex(key.public_key())
    return document | {"signature": {"algorithm": ALGORITHM, "public_key": public_key, "value": value}}


def is_signed(key: "Ed25519PublicKey", document: dict[str, Any]) -> bool:
    """Whether a document was signed with a key and is unchanged since.

    The public key in the document proves nothing: anybody can sign with a key of their own.
    """
    from cryptography.exceptions import InvalidSignature

    signature = document["signature"]
    if signature["algorithm"] != ALGORITHM or signature["public_key"] != public_hex(key):
        return False
    body = {name: value for name, value in document.items() if name != "signature"}
    try:
        key.verify(bytes.fromhex(signature["value"]), canonical(body))
    except (InvalidSignature, ValueError):
        return False
    return True


def keyed_digest(key: "Ed25519PrivateKey", what: str, sha256: str) -> str:
    """A digest that only the owner of the private key can compute, so that nobody else can test a guess.

    Args:
        key: The private key.
        what: Name of the content; the same content has different digests under different names.
        sha256: SHA-256 of the content, in hexadecimal.
    """
    secret = hashlib.sha256(b"challenge-bundle keyed digest\0" + key.private_bytes_raw()).digest()
    return hmac.new(secret, f"{what}\0{sha256}".encode(), hashlib.sha256).hexdigest()
