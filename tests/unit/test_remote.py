"""Class folders behind URLs: real servers that have many keys, fail, refuse or have nothing."""

import builtins
import csv
import functools
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.sources import retry as retrying
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.sources.remote import RemoteSource
from challenge_bundle.store.images import ImageStore
from tests.conftest import say_nothing, upload_folder, write_image

CHEST = PROJECT_ROOT.parent / "shared" / "data" / "chest_xray" / "train"
PATIENT = r"person(\d+)_|NORMAL2-(IM-\d+)|(IM-\d+)"


def list_from(url: str, anonymous: bool = False) -> list[str]:
    listing = RemoteSource(url, anonymous).list_images(ImportRequest(), say_nothing)
    return [image.origin for image in listing.images]


def chest_x_rays(drawn: Path) -> Path:
    """The real ones if they are there, else noise under such names."""
    if CHEST.is_dir():
        return CHEST
    for number in range(80):
        write_image(drawn / "NORMAL" / f"IM-{number // 2:04d}-{number:04d}.jpeg", seed=number)
        write_image(drawn / "PNEUMONIA" / f"person{number // 3}_virus_{number}.jpeg", seed=1000 + number)
    return drawn


def test_more_keys_than_a_page_of_the_listing_has(s3_bucket: str, tmp_path: Path) -> None:
    for number in range(1, 1301):
        path = (
            tmp_path
            / "images"
            / ("train" if number % 2 else "test")
            / "ab"[number % 3 == 0]
            / f"{number}.png"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    upload_folder(tmp_path / "images", s3_bucket, "many")
    found = list_from(f"s3://{s3_bucket}/many/")
    assert len(found) == len(set(found)) == 1300
    assert Counter(origin.split("/")[-3] for origin in found) == {"train": 650, "test": 650}
    assert found == sorted(found, key=lambda origin: origin.split("/"))


def test_chest_x_rays_from_a_bucket_are_those_of_the_folder(s3_bucket: str, tmp_path: Path) -> None:
    part = tmp_path / "part"
    for folder in sorted(chest_x_rays(tmp_path / "drawn").iterdir()):
        (part / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:80]:
            (part / folder.name / path.name).symlink_to(path)
    upload_folder(part, s3_bucket, "chest")
    rows = []
    for name, source in (("1", FolderSource(part)), ("2", RemoteSource(f"s3://{s3_bucket}/chest"))):
        layout = Layout(tmp_path / name)
        import_images(source, ImportRequest(group=PATIENT), layout, say_nothing)
        with layout.origins_csv.open(newline="") as opened:
            rows.append([{**row, "origin": Path(row["origin"]).name} for row in csv.DictReader(opened)])
    assert len(rows[0]) == 160
    assert rows[0] == rows[1]


@pytest.mark.parametrize("where", ["nothing/here", ""])
def test_a_missing_prefix_and_an_empty_bucket(where: str, s3_bucket: str) -> None:
    with pytest.raises(DataError, match="no such place, or nothing in it") as fault:
        list_from(f"s3://{s3_bucket}/{where}")
    assert fault.value.code == "no-images"


def test_a_missing_bucket(s3_bucket: str) -> None:
    with pytest.raises(DataError, match="no-such-bucket/x: no such place, or nothing in it") as fault:
        list_from("s3://no-such-bucket/x")
    assert fault.value.code == "no-images"


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.0)
    with pytest.raises(UnavailableError, match="cannot list http://127.0.0.1:9/x after 4 attempts") as fault:
        list_from("http://127.0.0.1:9/x")
    assert fault.value.code == "server-unreachable"


def test_without_credentials(s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "images" / "a" / "1.png")
    upload_folder(tmp_path / "images", s3_bucket, "x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert list_from(f"s3://{s3_bucket}/x", anonymous=True) == [f"s3://{s3_bucket}/x/a/1.png"]


@pytest.fixture
def _opened_anew() -> Iterator[None]:
    """A process keeps the connections that it has made; this test's are its own."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    yield
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.mark.usefixtures("_opened_anew")
@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "give credentials .*--anonymous"),
        ({"AWS_SECRET_ACCESS_KEY": ""}, "give credentials"),
        ({"AWS_PROFILE": "nobody"}, "nobody.*correct AWS_PROFILE"),
        ({"AWS_DEFAULT_REGION": "mars north"}, "mars north.*correct AWS_DEFAULT_REGION"),
        ({"AWS_ENDPOINT_URL": "localhost:9000"}, "localhost:9000.*correct AWS_ENDPOINT_URL"),
    ],
)
def test_settings_at_fault_are_not_tried_again(
    settings: dict[str, str], cure: str, s3_bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    with pytest.raises(UnavailableError, match=rf"cannot list s3://{s3_bucket}/x \(.*{cure}") as fault:
        list_from(f"s3://{s3_bucket}/x")
    assert fault.value.code == "server-settings"


@pytest.mark.usefixtures("_opened_anew")
def test_objects_that_may_not_be_read_are_a_matter_of_rights(
    s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", seed=number)
    upload_folder(tmp_path / "images", s3_bucket, "x")

    async def refuse(*_: Any, **__: Any) -> bytes:
        raise PermissionError("Forbidden")

    monkeypatch.setattr("s3fs.S3FileSystem._cat_file", refuse)
    source = RemoteSource(f"s3://{s3_bucket}/x")
    with pytest.raises(UnavailableError, match="png: access is refused .*Forbidden.*--anonymous") as fault:
        import_images(source, ImportRequest(), Layout(tmp_path / "bundle"), say_nothing)
    assert fault.value.code == "access-refused"
    with (
        closing(ImageStore(f"sqlite:///{tmp_path / 'store.sqlite'}", create=True)) as store,
        pytest.raises(UnavailableError, match="access is refused"),
    ):
        ingest_images(source, store, ImportRequest(), say_nothing)


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_fsspec(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("fsspec"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_fsspec)
    with pytest.raises(
        UnavailableError, match=r"s3:// needs a package .* `.venv/bin/pip install -e '.\[s3\]'` in"
    ):
        list_from("s3://bucket/x")


def test_a_kind_of_url_that_nothing_reads() -> None:
    with pytest.raises(DataError, match="nope://x: cannot be read .* expected s3://") as fault:
        list_from("nope://x")
    assert fault.value.code == "unknown-source"


class Flaky(http.server.SimpleHTTPRequestHandler):
    """Says "not now" to the first two requests for each image, always for `down`, and "no" for `secret`."""

    asked: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path] += 1
        if self.path.endswith("secret.png"):
            self.send_error(403)
        elif self.path.endswith("down.png") or (self.path.endswith(".png") and self.asked[self.path] < 3):
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def flaky(tmp_path: Path) -> Iterator[str]:
    """A server of tmp_path; gives its address."""
    Flaky.asked.clear()
    handler = functools.partial(Flaky, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_fails_at_first_is_fetched_again(flaky: str, tmp_path: Path) -> None:
    for number in range(8):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", seed=number)
    layout = Layout(tmp_path / "bundle")
    summary = import_images(RemoteSource(f"{flaky}/images"), ImportRequest(), layout, say_nothing)
    assert sum(summary.counts.values()) == 8


def test_what_a_web_server_refuses_is_asked_for_once(flaky: str, tmp_path: Path) -> None:
    write_image(tmp_path / "images" / "a" / "secret.png")
    write_image(tmp_path / "images" / "b" / "1.png", seed=1)
    with pytest.raises(UnavailableError, match=r"secret.png: access is refused \(403") as fault:
        import_images(
            RemoteSource(f"{flaky}/images"), ImportRequest(), Layout(tmp_path / "bundle"), say_nothing
        )
    assert fault.value.code == "access-refused"
    assert Flaky.asked["/images/a/secret.png"] == 1


def test_what_goes_on_failing_ends_the_import(
    flaky: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_S", 0.0)
    for number in range(4):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number}.png", seed=number)
    write_image(tmp_path / "images" / "a" / "down.png", seed=9)
    layout = Layout(tmp_path / "bundle")
    with pytest.raises(UnavailableError, match=r"cannot read .*down.png after 4 attempts \(503") as fault:
        import_images(RemoteSource(f"{flaky}/images"), ImportRequest(), layout, say_nothing)
    assert fault.value.code == "server-unreachable"
    assert not layout.origins_csv.exists()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:secret@host:8000/a/b/", "http://host:8000/a/b"),
        ("https://host/a?X-Signature=secret#x", "https://host/a"),
        ("s3://bucket/a/b", "s3://bucket/a/b"),
    ],
)
def test_what_is_written_down_of_a_url_has_no_secret(url: str, told: str) -> None:
    assert RemoteSource(url).description == told
