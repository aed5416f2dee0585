"""The Python of docs/image-database.md, run as it is printed, on SQLite and PostgreSQL."""

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.ingest import ingest_images
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.store.images import ImageStore
from tests.conftest import say_nothing, write_image
from tests.unit.test_coco import write_annotations, write_images

PAGE = (PROJECT_ROOT / "docs" / "image-database.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path, database_url: str) -> Path:
    """A folder with a filled database where the page says it is: images of several sizes and modes."""
    for number in range(40):
        write_image(tmp_path / "images" / ("CXR" if number % 2 else "Hand") / f"{number}.png", seed=number)
    for mode in ("RGB", "P", "1", "I;16", "LA"):
        Image.new(mode, (70, 90)).save(tmp_path / "images" / "Hand" / f"{mode.replace(';', '')}.png")
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    (tmp_path / ".bundle").mkdir()
    url = (
        database_url
        if database_url.startswith("postgresql")
        else f"sqlite:///{tmp_path}/.bundle/store.sqlite"
    )
    with closing(ImageStore(url, create=True)) as store:
        for source in ("folder:images", "coco:annotations/instances_few.json?category=traffic light"):
            ingest_images(choose_source(source, tmp_path), store, ImportRequest(), say_nothing)
    return tmp_path


def test_there_are_snippets() -> None:
    assert len(SNIPPETS) == 2
    assert all("ImageStore.from_env()" in snippet for snippet in SNIPPETS)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=["arrays", "batches"])
def test_a_snippet_runs_as_it_is_printed(snippet: str, project: Path, database_url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "POSTGRES_HOST"}
    environment |= {"PYTHONPATH": str(PROJECT_ROOT / "tools"), "BUNDLE_STORE": ""}
    if database_url.startswith("postgresql"):
        environment["BUNDLE_STORE"] = database_url
    (project / "snippet.py").write_text(snippet, encoding="utf-8")
    done = subprocess.run(
        # torch loads with warnings of its own packages; those of what the snippet does are errors.
        [sys.executable, "-W", "error::UserWarning", "snippet.py"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "DataLoader" in snippet:
        # Two epochs, each of 45 images of the folder and 7 of COCO, once.
        shapes = re.findall(r"torch.Size\(\[(\d+), 1, 64, 64\]\)", done.stdout)
        assert sum(map(int, shapes)) == 2 * 52
