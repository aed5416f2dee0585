"""COCO: what is asked, what is left out, what is fetched, and what is refused."""

import copy
import functools
import http.server
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.errors import DataError
from challenge_bundle.findings import WARNING
from challenge_bundle.formats.coco import read_coco
from challenge_bundle.installation import PROJECT_ROOT
from challenge_bundle.layout import Layout
from challenge_bundle.sources.coco import CocoSource, parse_question
from tests.conftest import say_nothing, write_image

REAL = PROJECT_ROOT.parent / "shared" / "data" / "coco" / "open_licence"

Document = dict[str, Any]

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
    with pytest.raises(
        DataError, match="2 of 7 images are not in .*elsewhere, the first: 000000000003.jpg"
    ) as fault:
        classes(question, tmp_path)
    assert fault.value.code == "image-not-found"


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
    for sentence in ("gives no image", "the server answers 404", "gives 9x8 pixels, expected 8x8"):
        assert sentence in told
    assert len(list((tmp_path / "few").iterdir())) == 4


@pytest.mark.parametrize(
    ("question", "code", "word"),
    [
        ("coco:x.json", "source-options", "no category is named; expected coco:"),
        ("coco:x.json?category=car&colour=red", "source-options", "'colour'"),
        ("coco:x.json?category=car&street=yes", "source-options", "0 or 1 for 'street', but got 'yes'"),
        ("coco:x.json?category=car", "coco-not-found", "x.json"),
        (
            "coco:annotations/instances_few.json?category=cat",
            "coco-unknown-category",
            "no category 'cat'; expected one of 'airplane', 'car'",
        ),
    ],
)
def test_questions_that_cannot_be_answered(question: str, code: str, word: str, tmp_path: Path) -> None:
    write_annotations(tmp_path)
    with pytest.raises(DataError) as fault:
        classes(question, tmp_path)
    assert fault.value.code == code
    assert word in str(fault.value)


def change_document(path: Path, spoil: Callable[[Document], Any]) -> Path:
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    return path


def on(key: str, number: int, **values: Any) -> Callable[[Document], Any]:
    return lambda document: document[key][number].update(values)


def without(key: str, *names: str) -> Callable[[Document], Any]:
    return lambda document: [one.pop(name) for one in document[key] for name in names]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda document: document.pop("categories"),
            "it has no 'categories'; expected images, annotations and",
        ),
        (lambda document: document.update(images=None), "images is null; expected a list of objects"),
        (lambda document: document["annotations"].insert(2, 7), r"annotations\[2\] is 7; expected an object"),
        (
            on("images", 0, file_name="../../secret.jpg"),
            r"images\[0\].file_name is .*; it leads out of the folder",
        ),
        (
            on("images", 1, file_name="C:\\secret.jpg"),
            r"images\[1\].file_name is .*; it leads out of the folder",
        ),
        (on("images", 1, file_name="/etc/x.jpg"), r"images\[1\].file_name is .*; it leads out of the folder"),
        (on("images", 2, file_name=None), r"images\[2\].file_name is null; expected a text"),
        (on("images", 0, width="wide"), r"images\[0\].width is 'wide'; expected a whole number of pixels"),
        (on("images", 0, height=-1), r"images\[0\].height is -1; expected a whole number of pixels"),
        (on("images", 0, id=99), r"annotations\[0\].image_id is 1; expected the id of an image of this file"),
        (on("images", 0, id=1.5), r"images\[0\].id is 1.5; expected a whole number, or a text"),
        (on("images", 0, id=True), r"images\[0\].id is true; expected a whole number, or a text"),
        (on("images", 3, id=3), r"images\[3\].id is '3', also of images\[2\], but their file names differ"),
        (without("annotations", "image_id"), r"annotations\[0\] has no 'image_id'; expected a whole number"),
        (
            on("annotations", 4, category_id={}),
            r"annotations\[4\].category_id is an object; expected a whole",
        ),
        (on("annotations", 4, category_id=4), r"annotations\[4\].category_id is 4; expected the id of a cat"),
        (on("categories", 2, name=[]), r"categories\[2\].name is a list; expected a text of one line"),
        (on("categories", 2, name="a\nb"), r"categories\[2\].name is 'a\\nb'; expected a text of one line"),
        (on("categories", 2, name="\ud800"), r"categories\[2\].name is '\\ud800'; expected a text"),
        (on("categories", 1, id=3), r"categories\[1\].id is 3; expected another one: 'car' has this id"),
    ],
)
def test_files_that_are_not_coco(
    spoil: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    path = change_document(write_annotations(tmp_path), spoil)
    with pytest.raises(DataError, match=f"is not COCO's: {message}") as fault:
        read_coco(path)
    assert (fault.value.code, fault.value.path) == ("coco-field", path)


@pytest.mark.parametrize(
    ("content", "code", "word"),
    [
        (b"", "coco-not-json", "(line 1, column 1: "),
        (b'{"images": [1,}', "coco-not-json", "(line 1, column 15: "),
        (b"[" * 100_000, "coco-not-json", "nested too deeply"),
        (b'{"images": ' + b"9" * 5000 + b"}", "coco-not-json", "too many digits"),
        (b'{"images": "\xff"}', "coco-not-json", "not UTF-8"),
        (b"[]", "coco-field", "it holds a list; expected an object with images"),
        (b"null", "coco-field", "it holds null; expected an object with images"),
    ],
)
def test_files_that_are_not_json(content: bytes, code: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError) as fault:
        read_coco(tmp_path / "x.json")
    assert (fault.value.code, fault.value.path) == (code, tmp_path / "x.json")
    assert word in str(fault.value)
    with pytest.raises(DataError) as fault:
        read_coco(tmp_path)
    assert fault.value.code == "coco-unreadable"


def as_text(document: Document) -> None:
    for key, names in (
        ("images", ["id"]),
        ("categories", ["id"]),
        ("annotations", ["image_id", "category_id"]),
    ):
        for one in document[key]:
            one |= {name: str(one[name]) for name in names}


def as_float(document: Document) -> None:
    for one in document["annotations"]:
        one |= {"image_id": float(one["image_id"]), "category_id": float(one["category_id"])}


def listed_twice(document: Document) -> None:
    document["images"] += [dict(document["images"][1])]


def with_another_id(document: Document) -> None:
    """The same file once more, and what is on it on the second."""
    document["images"].append(document["images"][1] | {"id": "again"})
    for one in document["annotations"]:
        one["image_id"] = "again" if one["image_id"] == 2 else one["image_id"]


def with_equal_names(document: Document) -> None:
    document["categories"].append({"id": 11, "name": "traffic light", "supercategory": "outdoor"})
    document["annotations"][-1]["category_id"] = 11


@pytest.mark.parametrize(
    "spoil",
    [
        without("annotations", "bbox"),
        without("annotations", "id", "area", "iscrowd", "bbox"),
        on("annotations", 0, bbox=None, id=None),
        on("annotations", 1, bbox="", id=[], area="?", iscrowd="many"),
        on("annotations", 2, bbox=[1, 2, 3], id=10),
        on("annotations", 3, bbox=[float("nan")] * 4, iscrowd=1),
        lambda document: document.pop("licenses"),
        lambda document: document.update(licenses=None),
        lambda document: document.update(licenses="CC BY", info=3, more={"x": [1]}),
        lambda document: document["licenses"][0].pop("id"),
        without("images", "license"),
        on("images", 0, license=None, date_captured=5, coco_url=["x"]),
        on("images", 0, license=77),
        without("images", "width"),
        on("images", 0, width=None, height=0),
        on("images", 0, width="8", height=8.0),
        without("categories", "supercategory"),
        on("categories", 0, supercategory=None),
        as_text,
        as_float,
        listed_twice,
        with_another_id,
        with_equal_names,
    ],
)
def test_a_question_needs_neither_boxes_nor_ids_nor_licences(
    spoil: Callable[[Document], Any], tmp_path: Path
) -> None:
    change_document(write_annotations(tmp_path), spoil)
    write_images(tmp_path / "few")
    found = classes("coco:annotations/instances_few.json?category=traffic light", tmp_path)
    assert {number for number, name in found.items() if name == "traffic light"} == {"2", "5", "7"}
    assert {number for number, name in found.items() if name == "no traffic light"} == {"1", "3", "4", "6"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_every_encoding_that_json_has(encoding: str, tmp_path: Path) -> None:
    path = change_document(write_annotations(tmp_path), on("categories", 0, name="Fu\u00dfg\u00e4nger"))
    text = json.dumps(json.loads(path.read_text()), ensure_ascii=False)
    path.write_bytes(text.encode(encoding))
    assert {one.name for one in read_coco(path).categories.values()} == {
        "Fu\u00dfg\u00e4nger",
        "airplane",
        "traffic light",
    }


def test_no_annotations_at_all(tmp_path: Path) -> None:
    change_document(write_annotations(tmp_path), lambda document: document["annotations"].clear())
    write_images(tmp_path / "few")
    assert set(classes("coco:annotations/instances_few.json?category=car", tmp_path).values()) == {"no car"}
    change_document(tmp_path / "annotations" / "instances_few.json", lambda one: one["categories"].clear())
    with pytest.raises(DataError, match="has no category 'car'; it has none at all") as fault:
        classes("coco:annotations/instances_few.json?category=car", tmp_path)
    assert fault.value.code == "coco-unknown-category"


@pytest.mark.parametrize(
    "name",
    [
        "sub\\{}.jpg",
        "sub/{}.jpg",
        "sub%2F{}.jpg",
        "./sub/{}.jpg",
        "sub/{}.jpg?",
        "sub/traffic light %41 {}.jpg",
    ],
)
def test_file_names_with_folders_and_escapes(name: str, tmp_path: Path) -> None:
    def rename(document: Document) -> None:
        for one in document["images"]:
            one["file_name"] = name.format(f"{one['id']:012d}")

    change_document(write_annotations(tmp_path), rename)
    for number in ON_IMAGE:
        base = name.format(f"{number:012d}").rpartition("%2F")[2].replace("\\", "/").rpartition("/")[2]
        write_image(tmp_path / "few" / "sub" / "x.png", seed=number).rename(
            tmp_path / "few" / "sub" / base.replace("%41", "A")
        )
    question = parse_question("coco:annotations/instances_few.json?category=car", tmp_path)
    images = CocoSource(question).list_images(ImportRequest(), say_nothing).images
    assert {image.class_name for image in images} == {"car", "no car"}
    assert all(Path(image.origin).is_file() for image in images)
    assert len({image.origin for image in images}) == 7


@pytest.mark.parametrize("name", ["%2e%2e/%2e%2e/secret.jpg", "x" * 4000, "%00.jpg"])
def test_file_names_that_lead_nowhere(name: str, tmp_path: Path) -> None:
    change_document(write_annotations(tmp_path), on("images", 0, file_name=name))
    write_images(tmp_path / "few")
    write_image(tmp_path.parent / "secret.jpg")
    with pytest.raises(DataError, match="1 of 7 images are not in") as fault:
        classes("coco:annotations/instances_few.json?category=car", tmp_path)
    assert fault.value.code == "image-not-found"


@pytest.mark.parametrize(("key", "one", "other"), [("license", 4, 5), ("width", 8, 9)])
def test_an_image_with_two_sizes_or_licences_is_refused_by_name(
    key: str, one: int, other: int, tmp_path: Path
) -> None:
    def contradict(document: Document) -> None:
        document["images"].append(document["images"][2] | {"id": 50, key: other})

    path = change_document(write_annotations(tmp_path), contradict)
    expected = r"images\[2\] and images\[7\] are both of '000000000003.jpg', but with another (license|size)"
    with pytest.raises(DataError, match=expected):
        read_coco(path)


def test_images_listed_twice_are_reported(tmp_path: Path) -> None:
    change_document(write_annotations(tmp_path), listed_twice)
    write_images(tmp_path / "few")
    question = parse_question("coco:annotations/instances_few.json?category=car", tmp_path)
    listing = CocoSource(question).list_images(ImportRequest(), say_nothing)
    (found,) = listing.findings
    assert (found.code, found.severity) == ("coco-image-twice", WARNING)
    assert found.message.endswith(": 1 entries")
    assert len(listing.images) == 7


@pytest.mark.parametrize("name", ["a\tb", "x" * 1001])
def test_a_data_sets_name_is_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a name of up to 1000 characters for 'dataset', but got"):
        parse_question(f"coco:x.json?category=car&dataset={name}", tmp_path)
    assert parse_question(f"coco:x.json?category=car&dataset={'x' * 1000}", tmp_path).dataset == "x" * 1000


WORDS = re.compile(
    r"NoneType|KeyError|TypeError|ValueError|AttributeError|object has no|not subscriptable|Traceback"
    r"|Errno|<class|int\(\)|float\(\)|unhashable|not iterable|unpack|None\b|True\b|dict\b"
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    1e400,
    10**400,
    "",
    "x",
    "\x00",
    "\ud800",
    "9" * 300,
    [],
    [1],
    {},
    {"a": 1},
)


def mutations(document: Document) -> Iterator[tuple[str, Document]]:
    """The document with each key, at each level, dropped and given another kind of value."""

    def places(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        if path:
            yield path
        if isinstance(value, dict):
            for key in value:
                yield from places(value[key], (*path, key))
        if isinstance(value, list) and value:
            for number in {0, len(value) - 1}:
                yield from places(value[number], (*path, number))

    for path in places(document, ()):
        for odd in ("dropped", *ODD):
            made = copy.deepcopy(document)
            parent: Any = functools.reduce(lambda inner, key: inner[key], path[:-1], made)
            if odd == "dropped":
                del parent[path[-1]]
            else:
                parent[path[-1]] = odd
            yield f"{path} {odd!r:.40}", made


def test_no_change_of_a_file_ends_in_pythons_words(tmp_path: Path) -> None:
    path = write_annotations(tmp_path)
    write_images(tmp_path / "few")
    source = CocoSource(parse_question("coco:annotations/instances_few.json?category=car&street=1", tmp_path))
    good, refused = 0, dict[str, str]()
    for what, made in mutations(json.loads(path.read_text())):
        path.write_text(json.dumps(made))
        try:
            source.list_images(ImportRequest(), say_nothing)
            source.annotations().coco.annotations_by_id()
            good += 1
        except DataError as fault:
            refused[what] = str(fault)
    assert good > 100
    assert len(refused) > 300
    for what, message in refused.items():
        assert message.startswith(f"{path}: "), what
        assert not WORDS.search(message), (what, message)
        assert len(message.splitlines()) == 1
        message.encode()


# Not a test that is skipped: .ci/run takes that for one that could not run.
if REAL.is_dir():

    def test_the_real_images() -> None:
        found: Counter[str] = Counter()
        for split in ("train2017", "val2017"):
            question = f"coco:annotations/instances_{split}.json?category=traffic light&street=1"
            listing = CocoSource(parse_question(question, REAL)).list_images(ImportRequest(), say_nothing)
            found.update(image.class_name for image in listing.images)
        assert found == {"traffic light": 9, "no traffic light": 28}


@pytest.mark.parametrize("key", ["annotations", "images"])
def test_a_key_that_appears_twice_is_refused(key: str, tmp_path: Path) -> None:
    path = write_annotations(tmp_path)
    text = path.read_text().rstrip()
    path.write_text(f'{text[:-1]}, "{key}": []}}')
    with pytest.raises(
        DataError, match=f"cannot be read: the key '{key}' appears twice in one object; remove"
    ):
        read_coco(path)


def test_an_annotation_with_two_categories_is_refused(tmp_path: Path) -> None:
    path = write_annotations(tmp_path)
    text = path.read_text()
    path.write_text(text.replace('"category_id":', '"category_id": 1, "category_id":', 1))
    with pytest.raises(DataError, match="the key 'category_id' appears twice") as fault:
        read_coco(path)
    assert fault.value.code == "coco-key-twice"


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_annotations_that_are_no_file_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a pipe or a device") as fault:
        read_coco(path)
    assert fault.value.code == "coco-not-a-file"


def test_the_categories_of_an_image_are_its_labels(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    names = {category["id"]: category["name"] for category in CATEGORIES}
    source = CocoSource(parse_question("coco:annotations/instances_few.json", tmp_path))
    listing = source.list_images(ImportRequest(task="multilabel"), say_nothing)
    assert {Path(image.origin).name[11]: image.class_name for image in listing.images} == {
        str(number): "|".join(sorted({names[category] for category in categories}))
        for number, categories in ON_IMAGE.items()
    }
    used = {category for categories in ON_IMAGE.values() for category in categories}
    assert listing.label_names == tuple(name for number, name in names.items() if number in used)
    # As bundle.toml has them: the others do not count.
    request = ImportRequest(task="multilabel", class_names=("traffic light",))
    labels = {image.class_name for image in source.list_images(request, say_nothing).images}
    assert labels == {"", "traffic light"}
    assert source.annotations().class_names == ()


@pytest.mark.parametrize(
    ("query", "task", "names", "code"),
    [
        ("", "ordinal", ("a", "b"), "source-options"),
        ("?category=car", "multilabel", (), "source-options"),
        ("?category=car", "regression", (), "source-options"),
        ("", "multilabel", ("car", "unicorn"), "coco-unknown-category"),
    ],
)
def test_questions_that_do_not_go_with_the_task(
    query: str, task: str, names: tuple[str, ...], code: str, tmp_path: Path
) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    source = CocoSource(parse_question(f"coco:annotations/instances_few.json{query}", tmp_path))
    with pytest.raises(DataError) as fault:
        source.list_images(ImportRequest(task=task, class_names=names), say_nothing)
    assert fault.value.code == code
