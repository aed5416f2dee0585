"""COCO: what is asked, what is left out, what is fetched, and what is refused."""

import functools
import http.server
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import say_nothing, write_image
from tools.errors import DataError
from tools.formats.coco import read_coco
from tools.layout import PROJECT_ROOT, Layout
from tools.sources.base import ImportRequest
from tools.sources.coco import CocoSource, parse_question
from tools.sources.importing import import_images

REAL = PROJECT_ROOT.parent / "shared" / "data" / "coco" / "open_licence"

CATEGORIES = [
    {"id": 3, "name": "car", "supercategory": "vehicle"},
    {"id": 5, "name": "airplane", "supercategory": "vehicle"},
    {"id": 10, "name": "traffic light", "supercategory": "outdoor"},
]
ON_IMAGE = {1: (3,), 2: (3, 10), 3: (5,), 4: (), 5: (10,), 6: (3,), 7: (10, 10)}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "server").mkdir()
    handler = functools.partial(Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


def write_annotations(folder: Path, url: str = "") -> Path:
    document = {
        "images": [
            {"id": number, "file_name": f"{number:012d}.jpg", "width": 8, "height": 8, "license": 4}
            | ({"coco_url": f"{url}/{number:012d}.jpg"} if url else {})
            for number in ON_IMAGE
        ],
        "annotations": [
            {"id": 10 * number + place, "image_id": number, "category_id": category, "bbox": [0, 0, 1, 2]}
            | {"area": 2.0, "iscrowd": 0, "segmentation": [[1, 2, 3, 4]]}
            for number, categories in ON_IMAGE.items()
            for place, category in enumerate(categories)
        ],
        "categories": CATEGORIES,
        "licenses": [{"id": 4, "name": "Attribution License", "url": "http://x"}],
    }
    path = folder / "annotations" / "instances_few.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(document))
    return path


def write_images(folder: Path) -> None:
    for number in ON_IMAGE:
        write_image(folder / f"{number:012d}.jpg", seed=number)


def classes(question: str, base: Path) -> dict[str, str]:
    listing = CocoSource(parse_question(question, base)).list_images(ImportRequest(), say_nothing)
    return {Path(image.origin).name[11]: image.class_name for image in listing.images}


def test_a_question_makes_two_classes(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    found = classes("coco:annotations/instances_few.json?category=traffic light", tmp_path)
    assert {number for number, name in found.items() if name == "traffic light"} == {"2", "5", "7"}
    assert {number for number, name in found.items() if name == "no traffic light"} == {"1", "3", "4", "6"}


def test_the_street_context_leaves_airplanes_and_empty_images_out(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    found = classes("coco:annotations/instances_few.json?category=traffic%20light&street=1", tmp_path)
    assert set(found) == {"1", "2", "5", "6", "7"}


@pytest.mark.parametrize("folder", ["few", "images/few", "images", "annotations"])
def test_images_are_found_where_archives_put_them(folder: str, tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / folder)
    assert len(classes("coco:annotations/instances_few.json?category=car", tmp_path)) == 7


def test_images_that_are_not_there_are_counted(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "elsewhere")
    for number in (3, 6):
        (tmp_path / "elsewhere" / f"{number:012d}.jpg").unlink()
    question = "coco:annotations/instances_few.json?category=car&images=elsewhere"
    with pytest.raises(DataError, match="2 of 7 images are not in .*elsewhere, the first: 000000000003.jpg"):
        classes(question, tmp_path)


def test_missing_images_are_fetched_once(tmp_path: Path, server: str) -> None:
    write_annotations(tmp_path, server)
    write_images(tmp_path / "server")
    question = parse_question("coco:annotations/instances_few.json?category=car&download=1", tmp_path)
    for name in ("1", "2"):
        summary = import_images(CocoSource(question), ImportRequest(), Layout(tmp_path / name), say_nothing)
        assert sum(summary.counts.values()) == 7
        for path in (tmp_path / "server").iterdir():
            path.unlink()
    assert len(list((tmp_path / "few").glob("*.jpg"))) == 7


def test_an_error_page_is_not_kept_as_an_image(tmp_path: Path, server: str) -> None:
    write_annotations(tmp_path, server)
    write_images(tmp_path / "server")
    (tmp_path / "server" / f"{2:012d}.jpg").write_text("<html>Sorry</html>")
    (tmp_path / "server" / f"{3:012d}.jpg").unlink()
    write_image(tmp_path / "server" / f"{4:012d}.jpg", size=(9, 8))
    question = parse_question("coco:annotations/instances_few.json?category=car&download=1", tmp_path)
    with pytest.raises(DataError, match="3 of 7 images cannot be read") as fault:
        import_images(CocoSource(question), ImportRequest(), Layout(tmp_path / "bundle"), say_nothing)
    told = "\n".join((str(fault.value), *fault.value.details))
    for sentence in ("gives no image", "the server says 404", "gives 9x8 pixels, expected 8x8"):
        assert sentence in told
    assert len(list((tmp_path / "few").iterdir())) == 4


@pytest.mark.parametrize(
    ("question", "message"),
    [
        ("coco:x.json", "no category is named; expected coco:"),
        ("coco:x.json?category=car&colour=red", "'colour' is not known"),
        ("coco:x.json?category=car&street=yes", "'street' is 'yes'; expected 0 or 1"),
        ("coco:x.json?category=car", "x.json: no such file"),
        (
            "coco:annotations/instances_few.json?category=cat",
            "no category 'cat'; expected one of airplane, car",
        ),
    ],
)
def test_questions_that_cannot_be_answered(question: str, message: str, tmp_path: Path) -> None:
    write_annotations(tmp_path)
    with pytest.raises(DataError, match=message):
        classes(question, tmp_path)


def change(key: str, value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: document["images"][0].update({key: value})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda document: document.pop("categories"), "is not COCO's: KeyError 'categories'"),
        (change("file_name", "../../secret.jpg"), "leads out of the folder"),
        (change("width", "wide"), "is not COCO's: ValueError"),
        (change("id", 99), "annotation 10 is of image 1 and category 3, and one of them is not in the file"),
    ],
)
def test_files_that_are_not_coco(
    spoil: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    path = write_annotations(tmp_path)
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=message):
        read_coco(path)


# Not a test that is skipped: .ci/run takes that for one that could not run.
if REAL.is_dir():

    def test_the_real_images() -> None:
        found: Counter[str] = Counter()
        for split in ("train2017", "val2017"):
            question = f"coco:annotations/instances_{split}.json?category=traffic light&street=1"
            listing = CocoSource(parse_question(question, REAL)).list_images(ImportRequest(), say_nothing)
            found.update(image.class_name for image in listing.images)
        assert found == {"traffic light": 9, "no traffic light": 28}
