"""Imports from S3 that broke off: what was fetched is not fetched again, unless it changed or is spoiled."""

import contextlib
import csv
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources import retry as retrying
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.sources.remote import RemoteSource, _state
from challenge_bundle.store.images import ImageStore
from tests.conftest import say_nothing, upload_folder, write_image
from tests.forwarding import Forwarder, forwarding

COUNT = 60
FETCHED = 25


@pytest.fixture
def forwarder(s3_server: str, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forwarder]:
    """Between this process and the S3 server; nothing but the tool's own attempts is made again."""
    import s3fs

    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.0)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with forwarding(s3_server) as server:
        # What it keeps of a server hangs on the arguments alone, not on the environment.
        s3fs.S3FileSystem.clear_instance_cache()
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        yield server
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number:06d}.png", seed=number)
    return tmp_path / "images"


@pytest.fixture
def source(images: Path, s3_bucket: str) -> RemoteSource:
    upload_folder(images, s3_bucket, "x")
    return RemoteSource(f"s3://{s3_bucket}/x")


def bring(source: RemoteSource | FolderSource, layout: Layout, strip: bool = False) -> None:
    import_images(source, ImportRequest(strip_metadata=strip), layout, say_nothing)


def break_off(source: RemoteSource, layout: Layout, forwarder: Forwarder, strip: bool = False) -> list[Path]:
    """Import until the network is lost; gives the files that are kept."""
    forwarder.images_left = FETCHED
    with pytest.raises(
        UnavailableError,
        match=r"cannot read .* after 4 attempts .* run the same command again; what was fetched is kept",
    ):
        bring(source, layout, strip)
    assert not layout.origins_csv.exists()
    forwarder.images_left = None
    forwarder.fetched.clear()
    return sorted(path for path in layout.downloads.rglob("*") if path.is_file())


def contents(layout: Layout) -> dict[str, bytes]:
    """All that an import writes, by relative path."""
    files = [layout.origins_csv, *(layout.solution_csv(split) for split in SPLITS)]
    files += [path for split in SPLITS for path in layout.split_dir(split).iterdir()]
    return {path.relative_to(layout.root).as_posix(): path.read_bytes() for path in files}


def test_it_goes_on_where_the_network_was_lost(
    source: RemoteSource, layout: Layout, forwarder: Forwarder, tmp_path: Path
) -> None:
    kept = break_off(source, layout, forwarder)
    assert len(kept) == FETCHED
    bring(source, layout)
    assert set(forwarder.fetched.values()) == {1}
    assert len(forwarder.fetched) == COUNT - FETCHED
    assert not layout.downloads.exists()

    bring(source, Layout(tmp_path / "calm"))
    assert contents(layout) == contents(Layout(tmp_path / "calm"))


def test_what_is_kept_is_what_the_server_gave_though_metadata_are_removed(
    images: Path, s3_bucket: str, layout: Layout, forwarder: Forwarder
) -> None:
    clean = {path: path.read_bytes() for path in images.rglob("*.png")}
    text = PngInfo()
    text.add_text("PatientName", "Doe^Jane")
    for path in clean:
        with Image.open(path) as opened:
            opened.save(path, pnginfo=text)
    upload_folder(images, s3_bucket, "x")
    source = RemoteSource(f"s3://{s3_bucket}/x")
    kept = break_off(source, layout, forwarder, strip=True)
    assert len(kept) == FETCHED
    assert {path.read_bytes() for path in kept} < {path.read_bytes() for path in images.rglob("*.png")}
    bring(source, layout, strip=True)
    assert set(forwarder.fetched.values()) == {1}
    assert len(forwarder.fetched) == COUNT - FETCHED
    stored = [path.read_bytes() for path in layout.input_data.rglob("*.png")]
    assert sorted(stored) == sorted(clean.values())
    assert not layout.downloads.exists()


def test_one_request_an_image(source: RemoteSource, layout: Layout, forwarder: Forwarder) -> None:
    bring(source, layout)
    # One page of the listing.
    assert forwarder.commands == {"GET": COUNT + 1}


def test_what_is_spoiled_on_the_disk_is_fetched_again(
    source: RemoteSource, layout: Layout, forwarder: Forwarder, tmp_path: Path
) -> None:
    cut, zeros, empty, *_ = break_off(source, layout, forwarder)
    cut.write_bytes(cut.read_bytes()[:-1])
    zeros.write_bytes(bytes(zeros.stat().st_size))
    empty.write_bytes(b"")
    bring(source, layout)
    assert len(forwarder.fetched) == COUNT - FETCHED + 3
    bring(source, Layout(tmp_path / "calm"))
    assert contents(layout) == contents(Layout(tmp_path / "calm"))


def test_what_was_changed_on_the_server_is_fetched_again(
    source: RemoteSource,
    images: Path,
    s3_bucket: str,
    layout: Layout,
    forwarder: Forwarder,
) -> None:
    break_off(source, layout, forwarder)
    for path in images.rglob("*.png"):
        if path.name < "000040":
            write_image(path, seed=1000 + int(path.stem))
    upload_folder(images, s3_bucket, "x")
    bring(source, layout)
    assert {path.rpartition("/")[2] for path in forwarder.fetched} >= {
        f"{number:06d}.png" for number in range(40)
    }
    assert len(forwarder.fetched) < COUNT
    with layout.origins_csv.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == COUNT
    for row in rows:
        original = images / row["class"] / row["origin"].rpartition("/")[2]
        assert (layout.split_dir(row["split"]) / row["file"]).read_bytes() == original.read_bytes()


def test_what_is_no_image_is_fetched_until_it_is_mended(
    source: RemoteSource, images: Path, s3_bucket: str, layout: Layout, forwarder: Forwarder
) -> None:
    import boto3

    client = boto3.client("s3")
    mended = (images / "a" / "000000.png").read_bytes()
    for content, fetched in ((b"<html>not now</html>", COUNT), (b"<html>not now</html>", 1), (mended, 1)):
        client.put_object(Bucket=s3_bucket, Key="x/a/000000.png", Body=content)
        forwarder.fetched.clear()
        refused = pytest.raises(DataError, match="1 of 60 images cannot be read")
        with contextlib.nullcontext() if content == mended else refused:
            bring(source, layout)
        assert forwarder.fetched.total() == fetched
    assert layout.origins_csv.is_file()


def test_what_another_source_left_is_removed(
    source: RemoteSource, images: Path, s3_bucket: str, layout: Layout, forwarder: Forwarder
) -> None:
    kept = break_off(source, layout, forwarder)
    with pytest.raises(DataError, match="no such place") as fault:
        bring(RemoteSource(f"s3://{s3_bucket}/slip"), layout)
    assert fault.value.code == "no-images"
    assert all(path.is_file() for path in kept)
    (images / "a" / "000000.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 60 images cannot be read") as fault:
        bring(FolderSource(images), layout)
    assert fault.value.code == "image-unreadable"
    assert list(layout.downloads.iterdir()) == []


def test_a_kill_while_it_is_published(
    source: RemoteSource, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("challenge_bundle.dataset.importer.recover_import", lambda layout: None)
        bring(source, layout)
    staged = [path for path in layout.input_data.rglob("*.png") if path.is_file()]
    kept = [path for path in layout.downloads.rglob("*") if path.is_file()]
    # The same files under other names: they take no room of their own. Testing images are new files, so that
    # their inode numbers do not tell in which order they came.
    assert len(kept) == COUNT
    of_kept = {path.stat().st_ino for path in kept}
    is_testing = {path: "testing" in path.parent.name for path in staged}
    assert set(is_testing.values()) == {False, True}
    assert all((path.stat().st_ino in of_kept) != testing for path, testing in is_testing.items())
    recover_import(layout)
    assert not layout.downloads.exists()
    assert layout.origins_csv.is_file()


def test_where_files_cannot_be_linked(
    source: RemoteSource, layout: Layout, forwarder: Forwarder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    assert len(break_off(source, layout, forwarder)) == FETCHED
    bring(source, layout)
    assert len(forwarder.fetched) == COUNT - FETCHED


def test_where_nothing_can_be_kept(source: RemoteSource, layout: Layout) -> None:
    layout.state.mkdir()
    layout.downloads.write_text("in the way")
    bring(source, layout)
    assert layout.origins_csv.is_file()


def test_an_ingest_fetches_nothing_twice(
    source: RemoteSource, layout: Layout, forwarder: Forwarder, tmp_path: Path
) -> None:
    with closing(ImageStore(f"sqlite:///{tmp_path / 'store.sqlite'}", create=True)) as store:
        for size, fetched in ((20, 20), (20, 0), (0, COUNT - 20), (0, 0)):
            forwarder.fetched.clear()
            ingest_images(source, store, ImportRequest(sample_size=size), say_nothing)
            assert forwarder.fetched.total() == fetched
    assert not layout.downloads.exists()


def test_nothing_is_kept_where_no_version_is_told(images: Path, layout: Layout) -> None:
    import fsspec

    fsspec.filesystem("memory").put(f"{images}/", f"/{layout.root.name}", recursive=True)
    shutil.rmtree(images)
    source = RemoteSource(f"memory://{layout.root.name}")
    listing = source.list_images(ImportRequest(), say_nothing)
    assert {image.version for image in listing.images} == {None}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("challenge_bundle.dataset.importer.recover_import", lambda layout: None)
        bring(source, layout)
    assert not layout.downloads.exists()


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ({"ETag": '"a1"', "LastModified": "2026-01-02", "size": 3}, '"a1"'),
        ({"etag": "a1", "updated": "2026-01-02", "size": 3}, "a1"),
        ({"etag": "", "last_modified": "2026-01-02", "size": 3}, "2026-01-02 3"),
        ({"name": "x", "size": None, "type": "file"}, None),
        ({}, None),
    ],
)
def test_the_version_that_a_listing_tells(told: dict[str, object], version: str | None) -> None:
    assert _state(told).version == version
