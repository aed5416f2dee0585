"""Zips: nothing leaves its folder, no traceback, one verdict, and what is taken is what zipfile finds."""

import io
import random
import shutil
import warnings
import zipfile
from pathlib import Path

from challenge_bundle.evaluation.intake import check_zip, read_card
from challenge_bundle.evaluation.verdicts import Refusal
from challenge_bundle.findings import Finding
from challenge_bundle.guarded import At
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission.check import check_submission, find_in_files
from challenge_bundle.submission.unpack import unpack_checked
from tests.fuzz.conftest import Rounds
from tests.fuzz.mutating import mutate
from tests.models import make_graph
from tests.unit.test_check import GOOD

SETTINGS = SubmissionSettings(zip_mb=4, unpacked_mb=1, files=20)
TOKENS = (
    *(b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\7\x08", b"../", b"/", b"\\", b"C:", b"\0"),
    *(
        b"Dockerfile",
        b"dockerfile ",
        b"__MACOSX/",
        b"\xcc\x81" * 120,
        b"CON",
        b"\x75\x70\x09\0\x01",
        b"infer.py",
    ),
)
NAMES = (
    "Dockerfile",
    "dockerfile",
    "infer.py",
    "INFER.PY",
    "a/b.txt",
    "a",
    "a/",
    "../x",
    "/x",
    "a\u0301",
    "\u00e1",
    "CON.txt",
)
NAMES += (
    "model_output/model.json",
    "submission.toml",
    "x" * 250,
    "e" + "\u0301" * 120,
    "a.onnx",
    "metadata",
    "a//b",
    "./c",
    "",
)


def make(rng: random.Random) -> bytes:
    """A zip, often damaged."""
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        files: dict[str, str | bytes] = {**GOOD, "model_output/a.onnx": make_graph()}
        if rng.random() < 0.3:
            files["submission.toml"] = mutate(b'team = "A"\n', rng)
        items = list(files.items())
        rng.shuffle(items)
        for name, content in items:
            archive.writestr(name, content, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
        for _ in range(rng.choice((0, 0, 0, 1, 3))):
            info = zipfile.ZipInfo("x")
            info.filename = rng.choice(NAMES)
            info.external_attr = rng.choice((0o644, 0o100644, 0o120777, 0o40755, 0o20666)) << 16
            info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))
            info.extra = rng.choice(
                (b"", rng.randbytes(8), b"\x75\x70\x03\0abc", b"\x01\0\x10\0" + bytes(16))
            )
            archive.writestr(info, rng.choice((b"", b"text", bytes(300_000))))
        archive.comment = rng.choice((b"", b"PK\5\6" + bytes(18)))
    data = out.getvalue()
    return mutate(data, rng, TOKENS, rng.choice((1, 2, 6))) if rng.random() < 0.8 else data


def find(path: Path, folder: Path) -> list[Finding]:
    """What check_submission finds, in this process."""
    findings = [Finding(*item) for item in unpack_checked(str(path), str(folder), vars_of(SETTINGS))]
    if not any(finding.severity == "error" for finding in findings):
        items = find_in_files(str(folder), ["CXR", "Hand"])
        findings += [Finding(*item) for item in items if not isinstance(item, At)]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def vars_of(settings: SubmissionSettings) -> dict[str, int]:
    return {"zip_mb": settings.zip_mb, "unpacked_mb": settings.unpacked_mb, "files": settings.files}


def test_zips(rounds: Rounds, tmp_path: Path) -> None:
    path, folder = tmp_path / "s.zip", tmp_path / "inside" / "folder"
    taken = 0
    for number, rng in enumerate(rounds()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        data = make(rng)
        path.write_bytes(data)
        findings = find(path, folder)
        assert {entry.name for entry in tmp_path.iterdir()} == {"s.zip", "inside"}
        assert [entry.name for entry in folder.parent.iterdir()] == ["folder"]
        files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if not file.is_dir()}
        assert all(file.is_file() and not file.is_symlink() for file in files.values())
        assert sum(file.stat().st_size for file in files.values()) <= SETTINGS.unpacked_mb * 2**20
        assert all(
            finding.message and finding.hint and finding.code and str(finding).isprintable()
            for finding in findings
        )
        if not any(finding.severity == "error" for finding in findings):
            taken += 1
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                read = {member.filename: archive.read(member) for member in members}
            assert read == {name: file.read_bytes() for name, file in files.items()}
            assert {"Dockerfile", "infer.py"} <= read.keys()
        if number % 100 == 0:
            assert check_submission(path, SETTINGS, ("CXR", "Hand")) == findings
            errors = tuple(str(finding) for finding in findings if finding.severity == "error")
            refused: tuple[str, ...] = ()
            try:
                check_zip(path, SETTINGS, ("CXR", "Hand"))
            except Refusal as refusal:
                refused = refusal.verdict.lines
            assert refused == tuple(line.replace(path.name, "the zip") for line in errors[:20])
            assert set(read_card(path, SETTINGS)) <= {"team", "method"}
    assert taken
