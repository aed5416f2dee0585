"""A participant's zip: its limits to the byte, and what comes out of it."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from challenge_bundle.errors import SubmissionError
from challenge_bundle.findings import Finding
from challenge_bundle.guarded import ReadLimits
from challenge_bundle.settings import SubmissionSettings
from challenge_bundle.submission import unpack
from challenge_bundle.submission.unpack import (
    check_archive,
    find_card,
    has_too_many_files,
    open_archive,
    unpack_checked,
    unpack_submission,
)

MIB = 2**20


def write_zip(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as opened:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = kind
            member.external_attr = (stat.S_IFREG | (0o755 if name.endswith(".sh") else 0o640)) << 16
            opened.writestr(member, content)
    return path


def found(path: Path, **limits: int) -> list[str]:
    return [finding.code for finding in check_archive(path, SubmissionSettings(**limits))]


def test_a_zip_may_be_as_large_as_the_limit_and_no_byte_more(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"Dockerfile": b""})
    empty = path.stat().st_size
    write_zip(path, {"Dockerfile": bytes(MIB - empty)})
    assert path.stat().st_size == MIB
    assert found(path, zip_mb=1) == []
    write_zip(path, {"Dockerfile": bytes(MIB - empty + 1)})
    assert found(path, zip_mb=1) == ["zip-size"]
    (finding,) = check_archive(path, SubmissionSettings(zip_mb=1))
    assert "at most 1 MB" in finding.message


def test_the_number_of_files_at_its_limit(tmp_path: Path) -> None:
    files = {"Dockerfile": b"", "a": b"", "b": b""}
    assert found(write_zip(tmp_path / "s.zip", files), files=3) == []
    assert found(tmp_path / "s.zip", files=2) == ["zip-file-count"]
    (finding,) = check_archive(tmp_path / "s.zip", SubmissionSettings(files=2))
    assert "at most 2 files" in finding.message


def test_a_table_of_contents_is_looked_at_up_to_a_kilobyte_a_file(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as opened:
        member = zipfile.ZipInfo("Dockerfile")
        # 46 bytes and the name are an entry; its comment fills it up to 1,024 and then one more.
        member.comment = b"x" * (1024 - 46 - len(member.filename))
        opened.writestr(member, b"")
    assert not has_too_many_files(path, SubmissionSettings(files=1))
    with zipfile.ZipFile(path, "w") as opened:
        member.comment += b"x"
        opened.writestr(member, b"")
    assert has_too_many_files(path, SubmissionSettings(files=1))
    assert not has_too_many_files(path, SubmissionSettings(files=2))
    assert found(path, files=1) == ["zip-file-count"]
    (tmp_path / "none.zip").write_bytes(b"no zip")
    assert not has_too_many_files(tmp_path / "none.zip", SubmissionSettings(files=1))
    (finding,) = check_archive(tmp_path / "none.zip", SubmissionSettings())
    assert finding.code == "zip-unreadable"
    assert finding.message.startswith("is not a readable zip (")


def test_all_together_may_unpack_to_the_limit_and_no_byte_more(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"Dockerfile": bytes(MIB), "a": bytes(MIB)})
    assert found(path, unpacked_mb=2) == []
    write_zip(path, {"Dockerfile": bytes(MIB), "a": bytes(MIB + 1)})
    assert found(path, unpacked_mb=2) == ["zip-unpacked-size"]


def of_ratio(file_size: int, compress_size: int) -> list[str]:
    member = zipfile.ZipInfo("a")
    member.file_size, member.compress_size = file_size, compress_size
    return [finding.code for finding in unpack._check_totals([member], SubmissionSettings(), "s.zip")]


def test_a_file_that_grows_more_than_200_times_is_a_bomb_unless_it_is_small() -> None:
    bomb = ["zip-bomb"]
    assert of_ratio(200 * 10_000, 10_000) == []
    assert of_ratio(200 * 10_000 + 1, 10_000) == bomb
    assert of_ratio(MIB, 1) == []
    assert of_ratio(MIB + 1, 1) == bomb
    assert of_ratio(MIB + 1, 0) == bomb
    assert of_ratio(0, 0) == []


def test_what_is_encrypted_or_an_archive_is_refused() -> None:
    member = zipfile.ZipInfo("more.TGZ")
    member.flag_bits = 0x1 | 0x800
    codes = [finding.code for finding in unpack._check_totals([member], SubmissionSettings(), "s.zip")]
    assert codes == ["zip-encrypted", "zip-nested-archive"]
    member = zipfile.ZipInfo("a.zip.txt")
    member.flag_bits = 0x800
    assert list(unpack._check_totals([member], SubmissionSettings(), "s.zip")) == []


def test_files_come_out_whole_in_their_folders_and_keep_whether_they_can_be_run(tmp_path: Path) -> None:
    files = {
        "Dockerfile": b"FROM a\n",
        "deep/er/run.sh": b"#!",
        "deep/er/b": b"x" * (3 * MIB + 1),
        "deep/c": b"",
    }
    path = write_zip(tmp_path / "s.zip", files, zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(path, "a") as opened:
        opened.mkdir("empty")
    target = tmp_path / "out"
    target.mkdir()
    umask = os.umask(0o022)
    try:
        unpack_submission(path, target, SubmissionSettings())
    finally:
        os.umask(umask)
    there = {file.relative_to(target).as_posix(): file for file in target.rglob("*") if file.is_file()}
    assert {name: file.read_bytes() for name, file in there.items()} == files
    assert {name: stat.S_IMODE(file.stat().st_mode) for name, file in there.items()} == {
        "Dockerfile": 0o644,
        "deep/er/run.sh": 0o755,
        "deep/er/b": 0o644,
        "deep/c": 0o644,
    }
    assert not (target / "empty").exists()


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "a/../../outside"])
def test_nothing_is_written_elsewhere_even_if_the_names_were_not_checked(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "s.zip", {name: b"x"})
    (tmp_path / "out").mkdir()
    with pytest.raises(SubmissionError) as fault:
        unpack_submission(path, tmp_path / "out", SubmissionSettings())
    assert fault.value.code == "zip-name-outside"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "s.zip"]


def test_what_differs_from_its_entry_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"Dockerfile": b"x" * 100}, zipfile.ZIP_DEFLATED)
    (tmp_path / "out").mkdir()
    data = path.read_bytes()
    # The size in the central directory: 24 bytes after its signature.
    place = data.index(b"PK\x01\x02") + 24
    path.write_bytes(data[:place] + (99).to_bytes(4, "little") + data[place + 4 :])
    with pytest.raises(SubmissionError) as fault:
        unpack_submission(path, tmp_path / "out", SubmissionSettings())
    assert fault.value.code in ("zip-member-size", "zip-member-unreadable")
    crc = data.index(b"PK\x01\x02") + 16
    path.write_bytes(data[:crc] + bytes(4) + data[crc + 4 :])
    (tmp_path / "other").mkdir()
    with pytest.raises(SubmissionError, match=r"'Dockerfile' cannot be unpacked \(Bad CRC-32") as fault:
        unpack_submission(path, tmp_path / "other", SubmissionSettings())
    assert fault.value.code == "zip-member-unreadable"


def test_a_full_disk_is_no_fault_of_the_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_zip(tmp_path / "s.zip", {"Dockerfile": b"x"})

    def no_room(self: Path, *args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", no_room)
    with pytest.raises(OSError, match="No space left"):
        unpack_submission(path, tmp_path, SubmissionSettings())


def test_in_a_process_of_its_own_the_same_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path / "s.zip", {"Dockerfile": b"FROM a\n", "a/b": b"x" * (2 * MIB)})
    (tmp_path / "out").mkdir()
    # Relative paths are those of the caller.
    monkeypatch.chdir(tmp_path)
    assert open_archive(Path("s.zip"), Path("out"), SubmissionSettings(unpacked_mb=3)) == []
    assert (tmp_path / "out" / "a" / "b").stat().st_size == 2 * MIB
    (finding,) = open_archive(Path("s.zip"), Path("out"), SubmissionSettings(unpacked_mb=1))
    assert str(finding) == (
        "error: s.zip: expected at most 1 MB of unpacked files, but got 2.0 MB; leave out what the Dockerfile"
        " does not copy"
    )


def test_the_time_that_unpacking_gets_grows_with_what_can_come_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ReadLimits] = []

    def keep(function: str, arguments: object, where: str, limits: ReadLimits) -> list[Finding]:
        asked.append(limits)
        return []

    monkeypatch.setattr(unpack, "find_guarded", keep)
    (tmp_path / "s.zip").write_bytes(bytes(MIB))
    for unpacked_mb in (100, 500, 4096):
        open_archive(tmp_path / "s.zip", tmp_path, SubmissionSettings(unpacked_mb=unpacked_mb))
    # 50 MB a second, on top of ten seconds; a zip of 1 MB unpacks to 1,032 MB at most.
    assert [limits.cpu_s for limits in asked] == [12, 20, 30]
    assert [limits.wall_s for limits in asked] == [360.0, 600.0, 900.0]
    assert [limits.file_mb for limits in asked] == [101, 501, 4097]


def test_with_an_error_nothing_is_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"Dockerfile": b"", "../x": b"", "a": b""})
    (tmp_path / "out").mkdir()
    settings = {"zip_mb": 1, "unpacked_mb": 1, "files": 9}
    findings = list(unpack_checked(str(path), str(tmp_path / "out"), settings))
    assert any(finding[1] == "error" for finding in findings)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_card_is_found_unless_there_are_too_many_files(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "s.zip", {"submission.toml": b'team = "A"\n'})
    assert list(find_card(str(path), 1)) == [{"team": "A"}]
    assert list(find_card(str(path), 0)) == []
