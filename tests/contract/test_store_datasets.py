"""Annotations files in the image database, on SQLite and PostgreSQL: ids belong to their data set."""

import json
import multiprocessing
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.database import connect as opening
from challenge_bundle.database.connect import connect
from challenge_bundle.dataset.ingest import Ingested, ingest_images
from challenge_bundle.errors import DataError
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.query import run_query
from challenge_bundle.store.tables import SCHEMA, UNNAMED
from tests.conftest import say_nothing, write_image

Document = dict[str, Any]

FIRST = {"car": 1, "bus": 2}
SECOND = {"cat": 1, "car": 2}
LICENSES = {"CC BY": 1, "CC0": 2}


@pytest.fixture
def store(database_url: str) -> Iterator[ImageStore]:
    with closing(ImageStore(database_url, create=True)) as opened:
        yield opened


def document(
    on_image: dict[int, list[str]], categories: dict[str, int], license_id: int | None = None
) -> Document:
    """A file whose images, annotations and categories are all numbered from 1."""
    numbered = [(image, name) for image, names in on_image.items() for name in names]
    return {
        "images": [
            {"id": number, "file_name": f"{number}.png", "width": 8, "height": 8}
            | ({} if license_id is None else {"license": license_id})
            for number in on_image
        ],
        "annotations": [
            {
                "id": place,
                "image_id": image,
                "category_id": categories[name],
                "bbox": [place, 0.5, 2, 3],
                "iscrowd": 0,
            }
            for place, (image, name) in enumerate(numbered, start=1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": "animal" if name == "cat" else "vehicle"}
            for name, number in categories.items()
        ],
        "licenses": [
            {"id": number, "name": name, "url": f"http://{number}"} for name, number in LICENSES.items()
        ],
    }


def write(folder: Path, content: Document, seed: int | None = None, name: str = "annotations.json") -> Path:
    """The file, and, with a seed, images of their own beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in content["images"] if seed is not None else ():
        write_image(folder / image["file_name"], seed=seed + image["id"])
    (folder / name).write_text(json.dumps(content))
    return folder / name


def ingest(store: ImageStore, path: Path, category: str = "car", more: str = "", **asked: Any) -> Ingested:
    source = choose_source(f"coco:{path}?category={category}{more}", path.parent)
    return ingest_images(source, store, ImportRequest(**asked), say_nothing)


def annotations(store: ImageStore) -> list[tuple[Any, ...]]:
    """(data set's place, id, file name, category, left) of all annotations."""
    query = """
        select d.name, a.source_id, i.origin, c.name, a.left_px
        from annotation a join dataset d on d.id = a.dataset_id
        join image i on i.id = a.image_id join category c on c.id = a.category_id order by 1, 2"""
    with store.engine.connect() as connection:
        return [
            (Path(one).parent.name, number, Path(origin).name, category, left)
            for one, number, origin, category, left in connection.execute(sa.text(query))
        ]


def names(store: ImageStore, condition: str) -> set[str]:
    """FOLDER/IMAGE of the images that meet a condition."""
    found = [Path(row[8]) for row in store.rows(condition)]
    return {f"{path.parent.name}/{path.name}" for path in found}


def table(store: ImageStore, name: str) -> list[tuple[Any, ...]]:
    return list(run_query(store, name)[1])


def test_two_files_that_number_from_one_do_not_collide(store: ImageStore, tmp_path: Path) -> None:
    one = write(tmp_path / "one", document({1: ["car", "bus"], 2: ["bus"]}, FIRST, 1), seed=10)
    two = write(tmp_path / "two", document({1: ["cat"], 2: ["car", "car"], 3: []}, SECOND, 2), seed=20)
    assert str(ingest(store, one)) == "2 new of 2 images, 0 there already; annotations: 3 new"
    done = ingest(store, two)
    assert (str(done), done.findings) == (
        "3 new of 3 images, 0 there already; annotations: 3 new",
        (),
    )
    assert annotations(store) == [
        ("one", "1", "1.png", "car", 1.0),
        ("one", "2", "1.png", "bus", 2.0),
        ("one", "3", "2.png", "bus", 3.0),
        ("two", "1", "1.png", "cat", 1.0),
        ("two", "2", "2.png", "car", 2.0),
        ("two", "3", "2.png", "car", 3.0),
    ]
    assert names(store, "has('car')") == {"one/1.png", "two/2.png"}
    assert names(store, "street") == {"one/1.png", "one/2.png", "two/2.png"}
    assert table(store, "categories") == [
        ("bus", "vehicle", 2, 2),
        ("car", "vehicle", 3, 2),
        ("cat", "animal", 1, 1),
    ]
    assert table(store, "licenses") == [(1, "CC BY", "http://1", 2), (2, "CC0", "http://2", 3)]
    assert [row[1:] for row in table(store, "datasets")] == [(2, 3), (3, 3)]


def test_licences_and_categories_are_known_by_what_they_say(store: ImageStore, tmp_path: Path) -> None:
    first, second = document({1: ["car"]}, FIRST, 1), document({1: ["car"]}, SECOND, 1)
    second["licenses"] = [
        {"id": 1, "name": "MIT", "url": ""},
        {"id": "x", "name": "CC BY", "url": "http://1"},
        {"id": 2**40, "name": "BSD", "url": ""},
    ]
    ingest(store, write(tmp_path / "one", first, seed=1))
    ingest(store, write(tmp_path / "two", second, seed=2))
    assert table(store, "licenses") == [(1, "CC BY", "http://1", 1), (3, "MIT", "", 1)]
    assert names(store, "license == 3") == {"two/1.png"}
    second["images"][0]["license"] = "x"
    done = ingest(store, write(tmp_path / "two", second))
    assert str(done) == "0 new of 1 images, 1 there already; annotations: 0 new"
    assert table(store, "licenses") == [(1, "CC BY", "http://1", 2)]


def test_a_corrected_file_updates(store: ImageStore, tmp_path: Path) -> None:
    content = document({1: ["car"], 2: ["bus"], 3: ["car", "bus"]}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    ingest(store, path)
    content["annotations"][0]["category_id"] = 2
    content["annotations"][1]["bbox"] = [7, 1, 1, 1]
    del content["annotations"][3]
    content["annotations"].append({"id": 9, "image_id": 2, "category_id": 1})
    write(tmp_path / "one", content)
    done = ingest(store, path)
    expected = "0 new of 3 images, 3 there already; annotations: 1 new, 2 changed, 1 removed"
    assert str(done) == f"{expected}; images with another class: 2"
    assert done.findings == ()
    corrected = [
        ("one", "1", "1.png", "bus", 1.0),
        ("one", "2", "2.png", "bus", 7.0),
        ("one", "3", "3.png", "car", 3.0),
        ("one", "9", "2.png", "car", None),
    ]
    assert annotations(store) == corrected
    assert names(store, "label == 'no car'") == {"one/1.png"}
    assert names(store, "label == 'car'") == {"one/2.png", "one/3.png"}
    assert str(ingest(store, path)) == "0 new of 3 images, 3 there already; annotations: 0 new"
    assert annotations(store) == corrected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bbox", [1, 0.5, 2, 3.25]),
        ("bbox", [1, 0.25, 2, 3]),
        ("area", 7),
        ("iscrowd", 1),
        ("image_id", 2),
        ("category_id", 2),
    ],
)
def test_each_part_of_an_annotation_is_compared(
    key: str, value: object, store: ImageStore, tmp_path: Path
) -> None:
    content = document({1: ["car"], 2: []}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    ingest(store, path)
    content["annotations"][0][key] = value
    write(tmp_path / "one", content)
    assert "annotations: 0 new, 1 changed" in str(ingest(store, path))
    assert str(ingest(store, path)).partition("; ")[2] == "annotations: 0 new"


def test_another_question_changes_no_label(store: ImageStore, tmp_path: Path) -> None:
    path = write(tmp_path / "one", document({1: ["car"], 2: ["bus"]}, FIRST), seed=1)
    ingest(store, path)
    done = ingest(store, path, "bus")
    assert str(done) == "0 new of 2 images, 2 there already; annotations: 0 new"
    assert done.findings[0].code == "stored-label-differs"
    assert "images that are stored under another label: 2" in done.findings[0].message
    assert names(store, "label == 'car'") == {"one/1.png"}


def test_the_same_picture_in_two_files_has_the_annotations_of_both(store: ImageStore, tmp_path: Path) -> None:
    one = write(tmp_path / "one", document({1: ["car"], 2: ["car"]}, FIRST, 1), seed=10)
    two = write(tmp_path / "two", document({1: ["cat"], 2: ["car"]}, SECOND, 1), seed=20)
    shutil.copy(tmp_path / "one" / "2.png", tmp_path / "two" / "1.png")
    ingest(store, one)
    done = ingest(store, two)
    assert str(done) == "1 new of 2 images, 1 there already; annotations: 2 new"
    assert names(store, "has('cat') and has('car')") == {"one/2.png"}
    # The label of a picture that two data sets have stays as the first says.
    assert done.findings[0].code == "stored-label-differs"
    assert "images that are stored under another label: 1" in done.findings[0].message
    assert names(store, "label == 'no car'") == set()
    assert store.remove("has('cat')") == 1
    assert [row[1:] for row in table(store, "datasets")] == [(1, 1), (1, 1)]


def test_a_picture_with_two_licences_is_refused(store: ImageStore, tmp_path: Path) -> None:
    one = write(tmp_path / "one", document({1: ["car"], 2: []}, FIRST, 1), seed=10)
    two = write(tmp_path / "two", document({1: ["car"], 2: ["cat"]}, SECOND, 2), seed=20)
    shutil.copy(tmp_path / "one" / "2.png", tmp_path / "two" / "1.png")
    ingest(store, one)
    before = annotations(store)
    with pytest.raises(DataError) as fault:
        ingest(store, two)
    assert "image '1.png' has the licence 'CC0' (http://2), but the same image in data set" in str(
        fault.value
    )
    assert f"{one}' has 'CC BY' (http://1)" in str(fault.value)
    assert annotations(store) == before
    assert [row[0] for row in table(store, "datasets")] == [str(one)]
    # In one file under two names just as well.
    three = write(tmp_path / "three", document({1: ["car"], 2: []}, FIRST, 1), seed=30)
    content = json.loads(three.read_text())
    content["images"][1]["license"] = 2
    write(tmp_path / "three", content)
    shutil.copy(tmp_path / "three" / "1.png", tmp_path / "three" / "2.png")
    with pytest.raises(
        DataError, match=r"image '2.png' has the licence 'CC0'.* same image in '1.png' has 'CC"
    ):
        ingest(store, three)


@pytest.mark.parametrize("is_copied", [True, False])
def test_the_same_file_in_another_place_is_the_same_data_set(
    is_copied: bool, store: ImageStore, tmp_path: Path
) -> None:
    content = document({1: ["car"], 2: ["bus"]}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    ingest(store, path)
    if is_copied:
        shutil.copytree(tmp_path / "one", tmp_path / "two")
    else:
        (tmp_path / "one").rename(tmp_path / "two")
    moved = tmp_path / "two" / path.name
    assert "annotations: 0 new" in str(ingest(store, moved))
    assert [row[1:] for row in table(store, "datasets")] == [(2, 2)]
    assert table(store, "datasets")[0][0] == str(path if is_copied else moved)


def test_the_same_file_of_other_pictures_is_another_data_set(store: ImageStore, tmp_path: Path) -> None:
    content = document({1: ["car"]}, FIRST)
    ingest(store, write(tmp_path / "one", content, seed=1))
    assert "annotations: 1 new" in str(ingest(store, write(tmp_path / "two", content, seed=2)))
    assert len(annotations(store)) == 2


def test_a_corrected_file_under_a_new_name_is_reported_and_a_named_data_set_is_updated(
    store: ImageStore, tmp_path: Path
) -> None:
    content = document({1: ["car"], 2: ["bus", "car"]}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    ingest(store, path)
    content["annotations"][0]["category_id"] = 2
    newer = write(tmp_path / "one", content, name="corrected.json")
    (_, warning) = ingest(store, newer).findings
    assert warning.code == "annotations-in-two-sets"
    assert f"the same id on the same image as in data set '{path}': 3 of 3" in warning.message
    assert f"ingest it with &dataset={path}, which updates" in warning.hint
    done = ingest(store, newer, more=f"&dataset={path}")
    assert "annotations: 0 new, 1 changed; images with another class: 1" in str(done)
    assert [(row[0], *row[1:]) for row in table(store, "datasets")] == [(str(path), 2, 3)]
    assert names(store, "has('bus')") == {"one/1.png", "one/2.png"}


def test_a_data_set_is_given_a_name(store: ImageStore, tmp_path: Path) -> None:
    path = write(tmp_path / "one", document({1: ["car"]}, FIRST), seed=1)
    ingest(store, path)
    assert "annotations: 0 new" in str(ingest(store, path, more="&dataset=release 1"))
    assert table(store, "datasets") == [("release 1", 1, 1)]


def test_a_sample_has_its_annotations_and_grows(store: ImageStore, tmp_path: Path) -> None:
    content = document({number: ["car"] if number % 2 else [] for number in range(1, 9)}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    assert "4 new of 4 images, 0 there already; annotations: 2 new" in str(ingest(store, path, sample_size=4))
    assert "annotations: 2 new" in str(ingest(store, path))
    # An annotation that moves to an image that is not here is not left where it was.
    assert store.remove("has('car') and '/7.png' in origin") == 1
    content["annotations"][0]["image_id"] = 7
    write(tmp_path / "one", content)
    (tmp_path / "one" / "7.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 8 images cannot be read"):
        ingest(store, path)
    assert [row[1] for row in annotations(store)] == ["2", "3"]


def test_annotations_without_ids_and_boxes(store: ImageStore, tmp_path: Path) -> None:
    content = document({1: ["car", "car"], 2: ["bus"]}, FIRST)
    for one in content["annotations"]:
        del one["id"], one["bbox"]
    path = write(tmp_path / "one", content, seed=1)
    assert "annotations: 3 new" in str(ingest(store, path))
    assert "annotations: 0 new" in str(ingest(store, path))
    del content["annotations"][0]
    assert str(ingest(store, write(tmp_path / "one", content))).endswith("annotations: 0 new, 1 removed")
    assert table(store, "categories") == [("bus", "vehicle", 1, 1), ("car", "vehicle", 1, 1)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda content: content["annotations"][1].update(id=1),
            r"two annotations have the id '1': 'car' at \(1.0, .* on image '1', and 'bus' at .*; give each",
        ),
        (
            lambda content: content["annotations"][1].update(bbox=[1, 2, "x", 4]),
            r"annotations\[1\].bbox is a list; expected four numbers: left, top, width, height",
        ),
        (
            lambda content: content["licenses"][1].update(id=1),
            r"licenses\[1\].id is 1; expected another one: 'CC BY' has this id",
        ),
    ],
)
def test_a_file_with_two_meanings_is_refused_before_any_image_is_read(
    spoil: Callable[[Document], None], message: str, store: ImageStore, tmp_path: Path
) -> None:
    content = document({1: ["car", "bus"]}, FIRST)
    spoil(content)
    with pytest.raises(DataError, match=message):
        ingest(store, write(tmp_path / "one", content, seed=1))
    assert list(store.rows()) == []


def old_database(url: str, rows: dict[str, list[dict[str, Any]]]) -> None:
    """A database as the first version made it, with some rows."""
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(Path(opening.__file__).parent))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", str(SCHEMA.migrations))
    with engine.begin() as connection:
        config.attributes.update(connection=connection, version_table=SCHEMA.version_table)
        command.upgrade(config, "0001")
        for name, values in rows.items():
            made = sa.Table(name, sa.MetaData(), autoload_with=connection)
            connection.execute(sa.insert(made), values)
    engine.dispose()


def old_rows(path: Path, content: Document) -> dict[str, list[dict[str, Any]]]:
    """What the first version stored of a file, with a category and a licence twice."""
    image = {
        "width": 8,
        "height": 8,
        "mode": "L",
        "format": "PNG",
        "label": "car",
        "added": "2026",
        "data": b"x",
    }
    return {
        "license": [{"id": number, "name": "CC BY", "url": "u"} for number in (4, 5)],
        "category": [
            {"id": number, "name": name, "supercategory": "vehicle", "is_street": True}
            for number, name in ((1, "car"), (2, "bus"), (7, "car"))
        ],
        "image": [
            {"id": 10 * one["id"], "origin": str(path.parent / one["file_name"]), "license_id": 5, **image}
            | {"sha256": f"{one['id']:064d}"}
            for one in content["images"]
        ],
        "annotation": [
            {"id": one["id"], "image_id": 10 * one["image_id"], "category_id": 7 if one["id"] == 1 else 2}
            | {
                "left_px": 1.0,
                "top_px": 0.5,
                "width_px": 2.0,
                "height_px": 3.0,
                "area_px": 6.0,
                "is_crowd": False,
            }
            for one in content["annotations"]
        ],
    }


def test_an_older_database_is_migrated_and_its_file_updates_it(database_url: str, tmp_path: Path) -> None:
    content = document({1: ["car", "bus"], 2: ["car"]}, FIRST)
    path = write(tmp_path / "one", content, seed=1)
    old_database(database_url, old_rows(path, content))
    with closing(ImageStore(database_url)) as store:
        assert table(store, "datasets") == [(UNNAMED, 0, 3)]
        assert table(store, "categories") == [("bus", "vehicle", 2, 2), ("car", "vehicle", 1, 1)]
        assert table(store, "licenses") == [(4, "CC BY", "u", 2)]
        assert [row[1:4] for row in annotations(store)] == [
            ("1", "1.png", "car"),
            ("2", "1.png", "bus"),
            ("3", "2.png", "bus"),
        ]
        del content["annotations"][1]
        done = ingest(store, write(tmp_path / "one", content))
        assert str(done) == "0 new of 2 images, 2 there already; annotations: 0 new, 1 changed"
        (warning,) = done.findings
        assert warning.code == "annotations-of-older-version"
        assert "not in this file: 1, in" in warning.message
        assert table(store, "datasets") == [(str(path), 2, 2), (UNNAMED, 0, 1)]
        done = ingest(store, path, more=f"&dataset={UNNAMED}")
        assert str(done).endswith("annotations: 2 new, 1 removed")
        assert table(store, "datasets") == [(UNNAMED, 2, 2)]


def test_a_database_without_annotations_has_no_unnamed_data_set(database_url: str) -> None:
    old_database(database_url, {})
    with closing(ImageStore(database_url)) as store:
        assert table(store, "datasets") == []


def test_a_migration_that_fails_leaves_the_older_database(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = document({1: ["car"]}, FIRST)
    old_database(database_url, old_rows(tmp_path / "x.json", content))
    engine = connect(database_url)

    def state() -> tuple[object, ...]:
        with engine.connect() as connection:
            version = connection.execute(sa.text("select version_num from store_version")).scalar()
            count = connection.execute(sa.text("select count(*) from annotation")).scalar()
        return version, count, sorted(sa.inspect(engine).get_table_names())

    before = state()
    monkeypatch.setattr("alembic.op.rename_table", lambda *names: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ImageStore(database_url)
    assert state() == before
    monkeypatch.undo()
    ImageStore(database_url).close()
    assert state()[:2] == ("0002", 1)
    engine.dispose()


def _open(url: str, start: Any, said: Any) -> None:
    start.wait(60)
    try:
        ImageStore(url, create=True).close()
        said.put("good")
    except BaseException as fault:
        said.put(repr(fault))


def _ingest(url: str, path: Path, start: Any, said: Any) -> None:
    with closing(ImageStore(url)) as store:
        start.wait(60)
        try:
            said.put(str(ingest(store, path)))
        except BaseException as fault:
            said.put(repr(fault))


def _race(target: Callable[..., None], calls: list[tuple[Any, ...]]) -> list[str]:
    """What processes say that start at the same moment."""
    context = multiprocessing.get_context("spawn")
    start, said = context.Barrier(len(calls)), context.Queue()
    processes = [context.Process(target=target, args=(*call, start, said)) for call in calls]
    for process in processes:
        process.start()
    found = [said.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    return sorted(found)


def test_processes_that_make_and_fill_a_database_at_once(database_url: str, tmp_path: Path) -> None:
    assert _race(_open, [(database_url,)] * 3) == ["good"] * 3
    one = write(tmp_path / "one", document({1: ["car", "bus"]}, FIRST, 1), seed=10)
    two = write(tmp_path / "two", document({1: ["cat"], 2: ["car"]}, SECOND, 2), seed=20)
    said = _race(_ingest, [(database_url, one), (database_url, two), (database_url, one)])
    assert all("annotations: " in line for line in said), said
    with closing(ImageStore(database_url)) as store:
        assert len(annotations(store)) == 4
        assert [row[:2] for row in table(store, "categories")] == [
            ("bus", "vehicle"),
            ("car", "vehicle"),
            ("cat", "animal"),
        ]
        assert [row[3] for row in table(store, "licenses")] == [1, 2]
