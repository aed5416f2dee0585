"""kill -9 in the middle of an ingest and of an import from S3: the same command again ends as undisturbed."""

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

from tests.conftest import upload_folder, write_image
from tools.layout import PROJECT_ROOT, SPLITS, Layout
from tools.store.images import ImageStore
from tools.store.tables import IMAGES

COMMAND = [sys.executable, str(PROJECT_ROOT / "tools" / "bundle.py")]
COUNT = 3000


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(COUNT):
        write_image(tmp_path / "images" / "ab"[number % 2] / f"{number:06d}.png", seed=number)
    return tmp_path / "images"


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
    with closing(ImageStore(database_url)) as store:

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


def test_an_import_from_s3(s3_bucket: str, images: Path, tmp_path: Path) -> None:
    part = tmp_path / "part"
    for path in sorted(images.rglob("*.png"))[::6]:
        (part / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(part / path.parent.name / path.name)
    upload_folder(part, s3_bucket, "x")
    calm, killed = make_bundle(tmp_path / "calm"), make_bundle(tmp_path / "killed")

    def command(layout: Layout) -> list[str]:
        return [*COMMAND, "--bundle", str(layout.root), "data", "import", f"s3://{s3_bucket}/x"]

    subprocess.run(command(calm), check=True, stdout=subprocess.DEVNULL)
    staged = killed.input_data / ".incoming" / "images"
    for _ in range(2):
        kill_when(command(killed), lambda: staged.is_dir() and len(list(staged.iterdir())) > 50)
        assert not killed.origins_csv.exists()
    subprocess.run(command(killed), check=True, stdout=subprocess.DEVNULL)

    assert not staged.parent.exists()
    assert killed.origins_csv.read_text() == calm.origins_csv.read_text()
    for split in SPLITS:
        assert killed.solution_csv(split).read_bytes() == calm.solution_csv(split).read_bytes()
        pairs = [
            {path.name: path.read_bytes() for path in layout.split_dir(split).iterdir()}
            for layout in (calm, killed)
        ]
        assert pairs[0] == pairs[1]
