"""kill -9 in the middle of an ingest and of an import from S3: the same command again ends as undisturbed."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.conftest import DATABASES, new_database, upload_folder, write_image
from tests.forwarding import forwarding
from tools.layout import PROJECT_ROOT, SPLITS, Layout
from tools.store.images import ImageStore
from tools.store.tables import IMAGES

COMMAND = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py")]
COUNT = 3000
PART = 300


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    return new_database(request)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number:06d}.png", seed=number)
    return tmp_path / "images"


def take_part(images: Path, tmp_path: Path) -> Path:
    """A folder with PART of the images."""
    for path in sorted(images.rglob("*.png"))[:: COUNT // PART]:
        target = tmp_path / "part" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    return tmp_path / "part"


def kill_when(command: list[str], is_time: Callable[[], bool]) -> None:
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not is_time():
            assert process.poll() is None, "it ended before it was to be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def make_bundle(root: Path) -> Layout:
    root.mkdir()
    (root / "bundle.toml").write_text('[bundle]\nname = "tiny"\n')
    return Layout(root)


def test_an_ingest(url: str, images: Path, tmp_path: Path) -> None:
    layout = make_bundle(tmp_path / "bundle")
    command = [
        *COMMAND,
        "--bundle",
        str(layout.root),
        "store",
        "ingest",
        f"folder:{images}",
        "--database",
        url,
    ]
    with closing(ImageStore(url)) as store:

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


def kill_import(source: str, layout: Layout) -> None:
    """Kill it twice while it copies images, the second time later than the first."""
    staged = layout.input_data / ".incoming" / "images"
    for share in (50, 150):
        kill_when(
            import_command(source, layout),
            lambda share=share: staged.is_dir() and len(os.listdir(staged)) > share,  # type: ignore[misc]
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
        kept = [path.read_bytes() for path in killed.downloads.rglob("*") if path.is_file()]
        whole = [data for data in kept if hashlib.sha256(data[32:]).digest() == data[:32]]
        assert 150 <= len(whole) < PART
        server.fetched.clear()
        subprocess.run(import_command(source, killed), check=True, stdout=subprocess.DEVNULL)
        assert (len(server.fetched), set(server.fetched.values())) == (PART - len(whole), {1})
        assert not killed.downloads.exists()
        subprocess.run(import_command(source, calm), check=True, stdout=subprocess.DEVNULL)
    check_same(calm, killed)
