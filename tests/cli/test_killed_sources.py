"""kill -9 in the middle of an ingest and of an import of each source: the same again ends as undisturbed."""

import contextlib
import functools
import hashlib
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.database.connect import with_driver
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.sources.folder import FolderSource
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.tables import ANNOTATIONS, CATEGORIES, IMAGES
from tests.conftest import say_nothing, upload_folder, write_image
from tests.dicoms import write_dicom
from tests.forwarding import forwarding

COMMAND = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py")]
COUNT = 3000
PART = 300
CHUNK_BYTES = 1 << 13

DOWNLOAD_MEDNIST = """
import sys
from pathlib import Path
from challenge_bundle.layout import Layout
from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.sources.mednist import MedNISTSource

url, md5, cache, bundle = sys.argv[1:]
import_images(MedNISTSource(url, md5, Path(cache)), ImportRequest(), Layout(Path(bundle)), lambda *_: None)
"""


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number:06d}.png", seed=number)
    return tmp_path / "images"


class Slow(http.server.BaseHTTPRequestHandler):
    """Serves the files of a folder, or the rest of one, a little at a time."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def __init__(self, *arguments: Any, folder: Path) -> None:
        self.folder = folder
        super().__init__(*arguments)

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        content = (self.folder / self.path.removeprefix("/")).read_bytes()[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        # Whoever asks is killed in the middle of it.
        with contextlib.suppress(ConnectionError):
            for place in range(0, len(content), CHUNK_BYTES):
                time.sleep(0.005)
                self.wfile.write(content[place : place + CHUNK_BYTES])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A slow server of tmp_path/served; gives its address."""
    Slow.asked.clear()
    (tmp_path / "served").mkdir()
    handler = functools.partial(Slow, folder=tmp_path / "served")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def take_part(images: Path, tmp_path: Path, count: int = PART) -> Path:
    """A folder with some of the images."""
    for path in sorted(images.rglob("*.png"))[:: COUNT // count]:
        target = tmp_path / "part" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return tmp_path / "part"


def kill_when(command: list[str], is_time: Callable[[], bool], sign: int = signal.SIGKILL) -> int:
    """Send a running command a signal, SIGKILL by default; gives its exit status."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=PROJECT_ROOT) as process:
        deadline = time.monotonic() + 60
        while not is_time():
            assert process.poll() is None, "it ended before it was to be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, sign)
    assert sign != signal.SIGKILL or process.returncode == -signal.SIGKILL
    return process.returncode


def make_bundle(root: Path) -> Layout:
    root.mkdir()
    (root / "bundle.toml").write_text('[bundle]\nname = "tiny"\n')
    return Layout(root)


def test_an_ingest(database_url: str, images: Path, tmp_path: Path) -> None:
    layout = make_bundle(tmp_path / "bundle")
    command = [
        *COMMAND,
        "--bundle",
        str(layout.root),
        "store",
        "ingest",
        f"folder:{images}",
        "--database",
        database_url,
    ]
    with closing(ImageStore(database_url, create=True)) as store:

        def count() -> int:
            with store.engine.connect() as connection:
                return int(connection.execute(sa.select(sa.func.count()).select_from(IMAGES)).scalar_one())

        kept = []
        for share in (0, 1000):
            kill_when(command, lambda share=share: count() > share)  # type: ignore[misc]
            kept.append(count())
        assert 0 < kept[0] < kept[1] < COUNT
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"{COUNT - kept[1]:,} new of {COUNT:,} images, {kept[1]:,} there already" in done.stdout
        found = list(store.images(as_="record"))
    assert len({image.sha256 for image in found}) == len({image.origin for image in found}) == COUNT
    assert all(Path(image.origin).read_bytes() == image.data for image in found)


def import_command(source: str, layout: Layout) -> list[str]:
    return [*COMMAND, "--bundle", str(layout.root), "data", "import", source]


def run_import(source: str, layout: Layout) -> None:
    subprocess.run(import_command(source, layout), check=True, stdout=subprocess.DEVNULL)


def count_files(folder: Path) -> int:
    """How many there are; none in a folder that comes and goes."""
    try:
        return len(os.listdir(folder))
    except FileNotFoundError:
        return 0


def kill_import(source: str, layout: Layout) -> None:
    """Kill it twice while it copies images, the second time later than the first."""
    staged = layout.input_data / ".incoming" / "images"
    for share in (50, 150):
        kill_when(
            import_command(source, layout),
            lambda share=share: count_files(staged) > share,  # type: ignore[misc]
        )
        assert not layout.origins_csv.exists()


def check_same(calm: Layout, killed: Layout) -> None:
    """Hold the end of an import that was killed against that of one that was not."""
    assert killed.origins_csv.read_text() == calm.origins_csv.read_text()
    for split in SPLITS:
        assert killed.solution_csv(split).read_bytes() == calm.solution_csv(split).read_bytes()
        pairs = [
            {path.name: path.read_bytes() for path in layout.split_dir(split).iterdir()}
            for layout in (calm, killed)
        ]
        assert pairs[0] == pairs[1]
    assert sorted(os.listdir(killed.input_data)) == sorted(os.listdir(calm.input_data))
    assert sorted(os.listdir(killed.state)) == sorted(os.listdir(calm.state))


def test_an_import_from_s3(
    s3_server: str, s3_bucket: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept when it was killed is not fetched again, and all else once."""
    upload_folder(take_part(images, tmp_path), s3_bucket, "x")
    calm, killed = make_bundle(tmp_path / "calm"), make_bundle(tmp_path / "killed")
    source = f"s3://{s3_bucket}/x"
    with forwarding(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)
        kill_import(source, killed)
        kept = [path for path in killed.downloads.rglob("*") if path.is_file()]
        assert 0 < len(kept) < PART
        for path in kept:
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name.partition("-")[2]
        server.fetched.clear()
        run_import(source, killed)
        assert (len(server.fetched), set(server.fetched.values())) == (PART - len(kept), {1})
        assert not killed.downloads.exists()
        run_import(source, calm)
    check_same(calm, killed)


def write_dicom_folders(images: Path, folder: Path) -> str:
    """The images as DICOM files, five to a patient."""
    for number, path in enumerate(sorted(images.rglob("*.png"))[::5]):
        pixels = np.asarray(Image.open(path)).astype(np.int16)
        target = folder / path.parent.name / f"{path.stem}.dcm"
        write_dicom(target, pixels, PatientID=f"P{number // 5}")
    return f"dicom:{folder}"


def fill_database(images: Path, file: Path) -> str:
    with closing(ImageStore(f"sqlite:///{file}", create=True)) as store:
        ingest_images(FolderSource(images), store, ImportRequest(), say_nothing)
    return f"sqlite:///{file}"


def annotated(url: str) -> list[tuple[Any, ...]]:
    """All that a store holds of annotations, without its own numbers."""
    query = (
        sa.select(ANNOTATIONS.c.source_id, IMAGES.c.origin, IMAGES.c.label, CATEGORIES.c.name)
        .join(IMAGES, IMAGES.c.id == ANNOTATIONS.c.image_id)
        .join(CATEGORIES, CATEGORIES.c.id == ANNOTATIONS.c.category_id)
        .order_by(ANNOTATIONS.c.source_id)
    )
    with closing(ImageStore(url)) as store, store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]


def is_locked(url: str) -> bool:
    """Whether somebody is changing annotations."""
    engine = sa.create_engine(with_driver(url), connect_args={"timeout": 0} if "sqlite" in url else {})
    try:
        with engine.connect() as connection:
            if "sqlite" in url:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return False
            held = "relation = 'dataset'::regclass and mode = 'ExclusiveLock'"
            return bool(connection.execute(sa.text(f"select count(*) from pg_locks where {held}")).scalar())
    except sa.exc.OperationalError:
        return True
    finally:
        engine.dispose()


def test_an_ingest_of_a_corrected_annotations_file(database_url: str, images: Path, tmp_path: Path) -> None:
    """All of a correction or nothing of it, and all when it is done again."""
    paths = sorted(take_part(images, tmp_path).rglob("*.png"))
    document = {
        "images": [
            {"id": number, "file_name": path.relative_to(tmp_path / "part").as_posix()}
            for number, path in enumerate(paths)
        ],
        "annotations": [
            {"id": number, "image_id": number % PART, "category_id": 1 + number % 2}
            for number in range(60 * PART)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    annotations = tmp_path / "few.json"
    annotations.write_text(json.dumps(document))
    bundle = make_bundle(tmp_path / "bundle")
    source = f"coco:{annotations}?category=cat&images={tmp_path / 'part'}"
    command = [*COMMAND, "--bundle", str(bundle.root), "store", "ingest", source, "--database"]
    subprocess.run([*command, database_url], check=True, capture_output=True)
    before = annotated(database_url)
    assert len(before) == 60 * PART

    for one in document["annotations"]:
        one["category_id"] = 3 - one["category_id"]
    del document["annotations"][::3]
    annotations.write_text(json.dumps(document))
    kill_when([*command, database_url], lambda: is_locked(database_url))
    assert annotated(database_url) == before
    done = subprocess.run([*command, database_url], check=True, capture_output=True, text=True)
    # Of the images that lost all their annotations, half had no cat before.
    assert "annotations: 0 new, 12,000 changed, 6,000 removed; images with another class: 250" in done.stdout
    calm = f"sqlite:///{tmp_path / 'calm.sqlite'}"
    subprocess.run([*command, calm], check=True, capture_output=True)
    assert annotated(database_url) == annotated(calm) != before


@pytest.mark.parametrize("kind", ["folder", "dicom", "sqlite"])
def test_an_import(kind: str, images: Path, tmp_path: Path) -> None:
    made = {
        "folder": lambda: f"folder:{images}",
        "dicom": lambda: write_dicom_folders(images, tmp_path / "dicom"),
        "sqlite": lambda: fill_database(take_part(images, tmp_path, 1000), tmp_path / "images.sqlite"),
    }
    source = made[kind]()
    calm, killed = make_bundle(tmp_path / "calm"), make_bundle(tmp_path / "killed")
    kill_import(source, killed)
    run_import(source, killed)
    run_import(source, calm)
    check_same(calm, killed)


def test_an_import_that_is_asked_to_end_leaves_nothing(images: Path, tmp_path: Path) -> None:
    layout = make_bundle(tmp_path / "bundle")
    staged = layout.input_data / ".incoming" / "images"
    command = [*COMMAND, "--bundle", str(layout.root), "data", "import", f"folder:{images}"]
    status = kill_when(command, lambda: staged.is_dir() and len(list(staged.iterdir())) > 50, signal.SIGTERM)
    assert status == 130
    assert not list(layout.input_data.iterdir())


def test_an_import_from_coco_that_fetches(server: str, images: Path, tmp_path: Path) -> None:
    """No image is fetched twice but those that were under way when it was killed; none is kept in part."""
    paths = sorted(take_part(images, tmp_path).rglob("*.png"))
    for path in paths:
        path.rename(tmp_path / "served" / path.name)
    document = {
        "images": [
            {
                "id": number,
                "file_name": path.name,
                "width": 8,
                "height": 8,
                "coco_url": f"{server}/{path.name}",
            }
            for number, path in enumerate(paths)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 17, "bbox": [1, 1, 2, 2]}
            for number, path in enumerate(paths)
            if number % 2
        ],
        "categories": [{"id": 17, "name": "cat", "supercategory": "animal"}],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_few.json").write_text(json.dumps(document))
    source = f"coco:{tmp_path}/annotations/instances_few.json?category=cat&download=1"
    calm, killed = make_bundle(tmp_path / "calm"), make_bundle(tmp_path / "killed")
    served, fetched = contents(tmp_path / "served"), tmp_path / "few"

    kill_import(source, killed)
    kept = {name: data for name, data in contents(fetched).items() if not name.startswith(".")}
    assert 150 <= len(kept) < PART
    assert kept.items() <= served.items()
    Slow.asked.clear()
    run_import(source, killed)
    assert len(Slow.asked) == PART - len(kept)
    assert contents(fetched) == served

    shutil.rmtree(fetched)
    run_import(source, calm)
    check_same(calm, killed)


def test_a_download_of_mednist(server: str, images: Path, tmp_path: Path) -> None:
    """Killed while it downloads, and while it unpacks."""
    archive = tmp_path / "served" / "MedNIST.tar.gz"
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(images, "MedNIST")
    md5, cache = hashlib.md5(archive.read_bytes()).hexdigest(), tmp_path / "cache"
    layout = make_bundle(tmp_path / "bundle")
    command = [sys.executable, "-c", DOWNLOAD_MEDNIST, f"{server}/{archive.name}", md5, str(cache)]
    command.append(str(layout.root))

    part, unpacking = cache / "MedNIST.tar.gz.part", cache / ".unpacking" / "MedNIST" / "a"
    kill_when(command, lambda: part.is_file() and part.stat().st_size > 0)
    kept = part.stat().st_size
    assert 0 < kept < archive.stat().st_size
    kill_when(command, lambda: count_files(unpacking) > 50)
    assert [wanted for _, wanted in Slow.asked] == [None, f"bytes={kept}-"]
    subprocess.run(command, check=True, cwd=PROJECT_ROOT)

    assert len(Slow.asked) == 2
    assert contents(cache / "MedNIST") == contents(images)
    assert sorted(os.listdir(cache)) == ["MedNIST", "MedNIST.tar.gz", "lock"]
    with layout.origins_csv.open() as opened_csv:
        assert len(opened_csv.readlines()) == COUNT + 1
