"""The organiser's key and what it signs."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from challenge_bundle.errors import DataError
from challenge_bundle.evaluation import signing
from challenge_bundle.evaluation.signing import (
    canonical,
    is_signed,
    key_path,
    keyed_digest,
    public_hex,
    public_text,
    read_public_key,
    sign,
    signing_key,
)
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout

DOCUMENT = {"b": 1.5, "a": {"y": "\u00e4", "x": [1, None]}}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_the_key_is_made_once_for_its_owner_alone(layout: Layout) -> None:
    first = signing_key(layout)
    path = key_path(layout)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == ["receipts.pem"]
    assert public_hex(signing_key(layout).public_key()) == public_hex(first.public_key())


def test_the_key_is_never_readable_by_others_and_on_the_disk_before_it_has_its_name(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    path = key_path(layout)
    real = {name: getattr(os, name) for name in ("open", "fsync", "link")}

    def modes() -> set[int]:
        return {stat.S_IMODE(entry.stat().st_mode) for entry in path.parent.iterdir()}

    def opened(file: object, flags: int, mode: int = 0o777, **rest: object) -> int:
        descriptor = int(real["open"](file, flags, mode, **rest))
        if str(file).startswith(str(path.parent / ".receipts")):
            order.append("open")
            assert flags & os.O_EXCL
            assert modes() == {0o600}
        return descriptor

    def fsync(descriptor: int) -> None:
        order.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real["fsync"](descriptor)

    def link(source: object, target: object) -> None:
        assert "PRIVATE KEY" in Path(str(source)).read_text()
        assert modes() == {0o600}
        order.append("link")
        real["link"](source, target)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    old = os.umask(0)
    try:
        signing_key(layout)
    finally:
        os.umask(old)
    assert order == ["open", "fsync file", "link", "fsync folder", "fsync folder"]
    assert modes() == {0o600}


def test_of_two_that_make_a_key_both_take_the_first(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    first = signing_key(layout)
    signing._make_key(key_path(layout))
    assert public_hex(signing_key(layout).public_key()) == public_hex(first.public_key())
    assert len(list(key_path(layout).parent.iterdir())) == 1


def test_processes_that_start_at_once_have_one_key(layout: Layout) -> None:
    code = (
        "import sys; from pathlib import Path; from challenge_bundle.layout import Layout\n"
        "from challenge_bundle.evaluation.signing import public_hex, signing_key\n"
        "sys.stdin.readline(); print(public_hex(signing_key(Layout(Path(sys.argv[1]))).public_key()))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(layout.root)],
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    keys = {process.communicate(timeout=60)[0] for process in started}
    assert keys == {public_hex(signing_key(layout).public_key()) + "\n"}


def private_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize("kind", ["empty", "text", "rsa", "password"])
def test_another_file_is_no_key(layout: Layout, kind: str) -> None:
    content = {
        "empty": lambda: b"",
        "text": lambda: b"\xff\x00 no key",
        "rsa": lambda: private_pem(rsa.generate_private_key(65537, 1024)),
        "password": lambda: private_pem(ed25519.Ed25519PrivateKey.generate(), b"x"),
    }[kind]()
    key_path(layout).parent.mkdir(parents=True)
    key_path(layout).write_bytes(content)
    key_path(layout).chmod(0o600)
    with pytest.raises(DataError) as fault:
        signing_key(layout)
    assert (fault.value.code, fault.value.path) == ("not-a-private-key", key_path(layout))
    assert key_path(layout).read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_key_that_others_can_reach_is_refused(layout: Layout, mode: int) -> None:
    first = signing_key(layout)
    key_path(layout).chmod(mode)
    with pytest.raises(DataError, match=f"but got mode {mode:04o}; run `chmod 600`") as fault:
        signing_key(layout)
    assert (fault.value.code, fault.value.path) == ("exposed-key", key_path(layout))
    key_path(layout).chmod(0o400)
    assert public_hex(signing_key(layout).public_key()) == public_hex(first.public_key())


def code_of(path: Path) -> tuple[str, object]:
    with pytest.raises(DataError) as fault:
        read_public_key(path)
    return fault.value.code, fault.value.path


def test_a_public_key_is_read_or_refused(layout: Layout, tmp_path: Path) -> None:
    path = tmp_path / "public.pem"
    assert code_of(path) == ("no-such-file", path)
    path.write_text(public_text(signing_key(layout).public_key()))
    assert public_hex(read_public_key(path)) == public_hex(signing_key(layout).public_key())
    assert code_of(tmp_path) == ("unreadable-file", tmp_path)
    for content in (b"", b"\xff\xfe", private_pem(ed25519.Ed25519PrivateKey.generate())):
        path.write_bytes(content)
        assert code_of(path) == ("not-a-public-key", path)


def test_what_is_signed_has_one_form() -> None:
    assert canonical(DOCUMENT) == '{"a":{"x":[1,null],"y":"\u00e4"},"b":1.5}'.encode()
    assert canonical(json.loads(json.dumps(DOCUMENT, indent=4))) == canonical(DOCUMENT)
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


def test_a_signature_is_of_every_byte(layout: Layout) -> None:
    key = signing_key(layout)
    signed = json.loads(json.dumps(sign(key, DOCUMENT)))
    public = key.public_key()
    assert is_signed(public, signed)
    assert signed["signature"]["algorithm"] == "Ed25519"
    assert not is_signed(public, signed | {"b": 1.25})
    assert not is_signed(public, signed | {"c": 0})
    assert not is_signed(public, {name: value for name, value in signed.items() if name != "b"})
    # Who signs with a key of his own and puts that into the document has signed nothing for us.
    own = ed25519.Ed25519PrivateKey.generate()
    assert not is_signed(public, sign(own, DOCUMENT))
    for name, value in (
        ("value", "0" * 128),
        ("value", signed["signature"]["value"][:-2]),
        ("value", "no hex"),
        ("algorithm", "none"),
        ("public_key", "0" * 64),
    ):
        assert not is_signed(public, signed | {"signature": signed["signature"] | {name: value}}), (
            name,
            value,
        )


def test_a_keyed_digest_reveals_nothing_without_the_key(tmp_path: Path) -> None:
    key, other = signing_key(Layout(tmp_path / "a")), signing_key(Layout(tmp_path / "b"))
    sha256 = hashlib.sha256(b"reference").hexdigest()
    digest = keyed_digest(key, "reference", sha256)
    assert len(digest) == 64
    assert digest == keyed_digest(key, "reference", sha256)
    others = {
        keyed_digest(other, "reference", sha256),
        keyed_digest(key, "scores", sha256),
        keyed_digest(key, "reference", "0" * 64),
        sha256,
    }
    assert digest not in others
    assert len(others) == 4
