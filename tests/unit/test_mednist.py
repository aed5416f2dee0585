"""The download: from a real server, continued after a break, verified, kept."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.mednist import MedNISTSource, download
from tests.conftest import say_nothing, write_image


class Server(http.server.ThreadingHTTPServer):
    """Serves one file; the first answers break off after `break_after` bytes, as often as `breaks` says."""

    content = b""
    break_after = 0
    breaks = 0
    honour_ranges = True
    ranges: list[str | None]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        start = 0
        if self.path != "/file":
            self.send_error(404)
            return
        if wanted and self.server.honour_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206 if start < len(self.server.content) else 416)
        else:
            self.send_response(200)
        body = self.server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: self.server.break_after]
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.ranges = []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def url(server: Server, path: str = "/file") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("honour_ranges", [True, False])
def test_a_broken_download_is_continued(honour_ranges: bool, server: Server, tmp_path: Path) -> None:
    server.content = bytes(range(256)) * 4000
    server.breaks, server.break_after, server.honour_ranges = 1, 600_000, honour_ranges

    download(url(server), tmp_path / "file", md5(server.content), say_nothing)

    assert (tmp_path / "file").read_bytes() == server.content
    assert len(server.ranges) == 2
    assert server.ranges[0] is None
    assert server.ranges[1] is not None
    assert not (tmp_path / "file.part").exists()


def test_what_an_earlier_process_left_is_continued(server: Server, tmp_path: Path) -> None:
    server.content = b"0123456789" * 1000
    (tmp_path / "file.part").write_bytes(server.content[:4000])

    download(url(server), tmp_path / "file", md5(server.content), say_nothing)

    assert (tmp_path / "file").read_bytes() == server.content
    assert server.ranges == ["bytes=4000-"]


def test_a_complete_part_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    server.content = b"complete"
    (tmp_path / "file.part").write_bytes(server.content)
    download(url(server), tmp_path / "file", md5(server.content), say_nothing)
    assert (tmp_path / "file").read_bytes() == server.content


def test_another_md5_is_refused_and_removed(server: Server, tmp_path: Path) -> None:
    server.content = b"not what was expected"
    with pytest.raises(DataError, match="expected MD5") as fault:
        download(url(server), tmp_path / "file", md5(b"expected"), say_nothing)
    assert fault.value.code == "download-damaged"
    assert list(tmp_path.iterdir()) == []


def test_no_server_and_no_file_end_in_a_sentence(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"404.*put the file at .* by hand") as fault:
        download(url(server, "/other"), tmp_path / "file", "", say_nothing)
    assert fault.value.code == "download-failed"
    assert len(server.ranges) == 1


def test_archive_to_bundle(server: Server, layout: Layout, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for label, class_name in enumerate(("CXR", "Hand")):
            for number in range(6):
                name = f"MedNIST/{class_name}/{number:06d}.jpeg"
                archive.add(write_image(tmp_path / name, seed=10 * label + number, size=(64, 64)), name)
    server.content = buffer.getvalue()
    source = MedNISTSource(url(server), md5(server.content), tmp_path / "cache")

    summary = import_images(source, ImportRequest(sample_size=1), layout, say_nothing)

    assert summary.counts == dict.fromkeys(SPLITS, 2)
    import_images(source, ImportRequest(), layout, say_nothing)
    assert len(server.ranges) == 1, "the archive is kept in the cache"
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        "MedNIST",
        "MedNIST.tar.gz",
        "lock",
    ]


def test_an_archive_that_would_escape_is_refused(server: Server, layout: Layout, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(write_image(tmp_path / "x.png"), "../escaped.png")
    server.content = buffer.getvalue()
    source = MedNISTSource(url(server), md5(server.content), tmp_path / "cache")

    with pytest.raises(DataError, match="cannot be unpacked .it would write ../escaped.png") as fault:
        import_images(source, ImportRequest(), layout, say_nothing)
    assert fault.value.code == "archive-unreadable"
    assert not (tmp_path / "escaped.png").exists()
