"""The image database, on SQLite and PostgreSQL: the same images, samples and orders from both."""

import csv
import hashlib
import io
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from PIL import Image

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.database.connect import connect
from challenge_bundle.dataset.importer import import_images
from challenge_bundle.dataset.ingest import Ingested, ingest_images
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.evaluation.records import Records
from challenge_bundle.findings import Finding
from challenge_bundle.layout import Layout
from challenge_bundle.sources.base import Listing, Progress, SourceImage
from challenge_bundle.sources.choice import choose_source
from challenge_bundle.store.images import ImageStore
from challenge_bundle.store.query import NAMED, query_frame, run_query, write_rows
from challenge_bundle.store.stored_image import StoredImage
from challenge_bundle.store.tables import METADATA
from tests.conftest import say_nothing, write_image
from tests.dicoms import write_dicom
from tests.importing import codes
from tests.unit.test_coco import write_annotations, write_images


@pytest.fixture
def store(database_url: str) -> Iterator[ImageStore]:
    with closing(ImageStore(database_url, create=True)) as opened:
        yield opened


class Listed:
    """A source of some images."""

    names_are_public = False
    description = "some images"

    def __init__(self, *images: SourceImage) -> None:
        self.images = images

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        return Listing(self.images)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 images of class a, 20 of class b, with the same base names."""
    for class_name, count in (("a", 60), ("b", 20)):
        for number in range(count):
            path = tmp_path / "images" / class_name / f"{number:06d}.png"
            write_image(path, seed=number + 1000 * (class_name == "b"))
    return tmp_path / "images"


def ingest(store: ImageStore, folder: Path, sample_size: int = 0, **options: bool) -> Ingested:
    source = choose_source(f"folder:{folder}", Path())
    return ingest_images(source, store, ImportRequest(sample_size=sample_size), say_nothing, **options)


def records(store: ImageStore, **options: object) -> list[StoredImage]:
    return list(store.images(as_="record", **options))  # type: ignore[arg-type]


def test_twice_is_once_and_each_image_keeps_its_own_pixels(store: ImageStore, folder: Path) -> None:
    assert str(ingest(store, folder)) == "80 new of 80 images, 0 there already"
    assert str(ingest(store, folder)) == "0 new of 80 images, 80 there already"
    found = records(store)
    assert len(found) == 80
    for image in found:
        assert Path(image.origin).read_bytes() == image.read()
        assert Path(image.origin).parent.name == image.label
        assert (image.width, image.height, image.mode, image.format) == (8, 8, "L", "PNG")
        with Image.open(image.origin) as opened:
            assert np.array_equal(image.pixels(), np.asarray(opened))


def test_a_sample_keeps_the_labels_shares_and_grows(store: ImageStore, folder: Path) -> None:
    ingest(store, folder, sample_size=8)
    small = {image.origin for image in records(store)}
    assert Counter(Path(origin).parent.name for origin in small) == {"a": 6, "b": 2}
    assert str(ingest(store, folder, sample_size=20)) == "12 new of 20 images, 8 there already"
    assert small < {image.origin for image in records(store)}

    ingest(store, folder)
    drawn = {count: {image.sha256 for image in records(store, sample=count)} for count in (8, 20, 80)}
    assert [len(images) for images in drawn.values()] == [8, 20, 80]
    assert drawn[8] < drawn[20] < drawn[80]
    assert Counter(image.label for image in records(store, sample=20)) == {"a": 15, "b": 5}
    assert {image.sha256 for image in records(store, sample=20, seed=1)} != drawn[20]


def test_the_order_is_random_seeded_and_of_the_content_alone(
    store: ImageStore, folder: Path, tmp_path: Path
) -> None:
    ingest(store, folder)
    order = [image.sha256 for image in records(store, seed=3)]
    assert order == [image.sha256 for image in records(store, seed=3)]
    assert order != [image.sha256 for image in records(store, seed=4)]
    runs = Counter(image.label for image in records(store, seed=3)[:20])
    assert 10 <= runs["a"] <= 19
    with closing(ImageStore(f"sqlite:///{tmp_path / 'other.sqlite'}", create=True)) as other:
        other.add(list(reversed(records(store))))
        assert [image.sha256 for image in records(other, seed=3)] == order


def test_shares_of_several_workers_make_the_whole(store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    whole = store.images(as_="record", sample=50)
    parts = [[image.sha256 for image in replace(whole, share=part, shares=3)] for part in range(3)]
    assert [len(part) for part in parts] == [17, 17, 16]
    assert sorted(sha256 for part in parts for sha256 in part) == sorted(image.sha256 for image in whole)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_torch_loader_reads_every_image_once(store: ImageStore, folder: Path) -> None:
    from torch.utils.data import DataLoader

    from challenge_bundle.store.torch_dataset import StoreDataset

    ingest(store, folder)
    dataset = StoreDataset(store.images(seed=1), lambda pixels: int(pixels.sum()))
    loader = DataLoader(dataset, batch_size=16, num_workers=2)
    sums = [int(value) for batch in loader for value in batch]
    assert sorted(sums) == sorted(int(image.pixels().sum()) for image in records(store))


def test_groups_come_back_with_the_images(store: ImageStore, folder: Path, database_url: str) -> None:
    source = choose_source(f"folder:{folder}", Path())
    ingest_images(source, store, ImportRequest(group=r"0000(\d)\d\."), say_nothing)
    assert {row[1] for row in run_query(store, "groups")[1]} == {"a", "b"}
    for image in choose_source(database_url, Path()).list_images(ImportRequest(), say_nothing).images:
        assert image.patient_group == Path(image.origin).name[4]


def test_what_was_not_known_before_is_filled_in(store: ImageStore, folder: Path) -> None:
    source = choose_source(f"folder:{folder}", Path())
    ingest(store, folder, sample_size=50)
    told = ImportRequest(sample_size=40, group=r"0000(\d)\d\.")
    # All that the rule names: a database that knew some of a patient's images would separate them.
    done = ingest_images(source, store, told, say_nothing)
    assert str(done) == (
        "0 new of 40 images, 40 there already; patient group, split or date filled in for 50"
    )
    rest = ingest_images(source, store, replace(told, sample_size=0), say_nothing)
    assert str(rest) == "30 new of 80 images, 50 there already"
    assert rest.findings == ()
    assert all(image.group_name == Path(image.origin).name[4] for image in records(store))


def test_images_without_a_patient_group_among_others_are_reported(
    store: ImageStore, folder: Path, database_url: str
) -> None:
    def warnings() -> tuple[Finding, ...]:
        return choose_source(database_url, Path()).list_images(ImportRequest(), say_nothing).findings

    ingest(store, folder)
    assert warnings() == ()
    told = ImportRequest(group=r"0000(\d)\d\.")
    ingest_images(choose_source(f"folder:{folder}", Path()), store, told, say_nothing)
    assert warnings() == ()
    store.remove("'/b/' in origin")
    ingest(store, folder)
    (warning,) = warnings()
    assert warning.code == "patient-group-unknown"
    assert ": 20, such as " in warning.message


def test_a_split_and_a_date_are_filled_in_and_a_copy_tells_them_too(store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    images = choose_source(f"folder:{folder}", Path()).list_images(ImportRequest(), say_nothing).images
    first, second = (
        replace(image, split="testing", taken="2020", origin=origin)
        for image, origin in ((images[0], images[0].origin), (images[1], "elsewhere.png"))
    )
    done = ingest_images(Listed(first, second), store, ImportRequest(), say_nothing)
    assert str(done) == "0 new of 2 images, 1 there already; patient group, split or date filled in for 2"
    filled = {image.origin: image.taken for image in records(store, where="split == 'testing'")}
    assert filled == {images[0].origin: "2020", images[1].origin: "2020"}


def test_another_group_or_label_is_reported_and_the_first_stays(store: ImageStore, folder: Path) -> None:
    images = choose_source(f"folder:{folder}", Path()).list_images(ImportRequest(), say_nothing).images
    ingest_images(Listed(replace(images[0], patient_group="p1")), store, ImportRequest(), say_nothing)
    other = replace(images[0], patient_group="p2", class_name="b")
    done = ingest_images(Listed(other), store, ImportRequest(), say_nothing)
    label, group = done.findings
    assert codes((label, group)) == ["stored-label-differs", "stored-patient-group-differs"]
    assert f": 1, the first {other.origin} (b) and {other.origin} (a);" in label.message
    assert f": 1, the first {other.origin} ('p2', stored: 'p1');" in group.message
    assert "`store remove`" in group.hint
    (stored,) = records(store)
    assert (stored.label, stored.group_name) == ("a", "p1")


def test_a_moved_image_is_one_under_another_label_and_no_copy(store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    (folder / "a" / "000001.png").rename(folder / "b" / "moved.png")
    (warning,) = ingest(store, folder).findings
    assert warning.code == "stored-label-differs"
    assert ": 1, the first" in warning.message


def test_what_is_removed_comes_anew(store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    (folder / "a" / "000001.png").rename(folder / "b" / "moved.png")
    assert store.remove("'a/00000' in origin") == 10
    assert len(records(store)) == 70
    assert store.remove("'a/00000' in origin") == 0
    assert str(ingest(store, folder)) == "10 new of 80 images, 70 there already"
    assert [image.label for image in records(store, where="'b/moved' in origin")] == ["b"]


@pytest.mark.parametrize("where", ["", "label", "1 == 1", "label == 'a'; drop table image"])
def test_what_cannot_be_read_removes_nothing(where: str, store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    with pytest.raises(DataError, match="cannot be read"):
        store.remove(where)
    assert len(records(store)) == 80


def test_annotations_go_with_their_images(store: ImageStore, tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    source = choose_source("coco:annotations/instances_few.json?category=traffic light", tmp_path)
    ingest_images(source, store, ImportRequest(), say_nothing)
    assert store.count("has('car')") == store.remove("has('car')") == 3
    assert [row for row in run_query(store, "categories")[1] if row[0] == "car"] == []
    assert str(ingest_images(source, store, ImportRequest(), say_nothing)).startswith("3 new of 7")
    assert store.count("has('car')") == 3


def test_images_may_stay_where_they_are(store: ImageStore, folder: Path) -> None:
    ingest(store, folder, by_path=True)
    assert all(image.data is None and image.path == image.origin for image in records(store))
    assert len(list(store.images())) == 80


def test_what_cannot_be_read_is_named_and_the_rest_is_stored(store: ImageStore, folder: Path) -> None:
    (folder / "a" / "000005.png").write_bytes(b"<html>")
    with pytest.raises(
        DataError, match="1 of 80 images cannot be read, the first: .*000005.png: not an image"
    ):
        ingest(store, folder)
    assert len(records(store)) == 79


def test_duplicates_and_those_under_another_label_are_reported(store: ImageStore, folder: Path) -> None:
    (folder / "a" / "twin.png").write_bytes((folder / "a" / "000001.png").read_bytes())
    (folder / "b" / "odd.png").write_bytes((folder / "a" / "000002.png").read_bytes())
    copies, conflicts = ingest(store, folder).findings
    assert codes((copies, conflicts)) == ["duplicate-images", "stored-label-differs"]
    assert copies.message.endswith(": 1")
    assert ": 1, the first" in conflicts.message
    assert len(records(store)) == 80


def test_a_condition_chooses_what_is_imported(
    store: ImageStore, folder: Path, database_url: str, tmp_path: Path
) -> None:
    ingest(store, folder)
    sign = "&" if "?" in database_url else "?"
    source = choose_source(f"{database_url}{sign}where=not '/00004' in origin", tmp_path)
    layout = Layout(tmp_path / "bundle")
    summary = import_images(source, ImportRequest(), layout, say_nothing)
    assert sum(summary.counts.values()) == 70
    assert summary.source == source.description
    assert summary.source.endswith("where=not '/00004' in origin")
    nothing = choose_source(f"{database_url}{sign}where=width > 1000", tmp_path)
    with pytest.raises(DataError, match="no image in it meets the condition"):
        nothing.list_images(ImportRequest(), say_nothing)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ("label == 'b'", 20),
        ("label != 'b' and width >= 8", 60),
        ("not label in ('a', 'x') or width < 8", 20),
        ("'/a/00000' in origin", 10),
        ("split == None", 80),
        ('label == "b\' or 1=1 --"', 0),
        ("'%' in origin", 0),
    ],
)
def test_conditions(where: str, count: int, store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    assert len(list(store.rows(where))) == count
    assert len(records(store, where=where, sample=7)) == min(7, count)


@pytest.mark.parametrize(
    "where",
    [
        "1=1; drop table image",
        "__import__('os')",
        "label.lower() == 'a'",
        "data == 'x'",
        "width == 'wide'",
        "label in 'ab'",
        "width < 3 < 4",
        "(" * 500,
        "has(label)",
    ],
)
def test_conditions_that_cannot_be_read(where: str, store: ImageStore) -> None:
    for ask in (store.rows, store.images):
        with pytest.raises(DataError) as fault:
            ask(where)
        assert fault.value.code == "condition-invalid"
        assert fault.value.finding.hint.startswith("write one such as label == 'CXR'")


def test_coco_annotations_licences_and_the_street(store: ImageStore, tmp_path: Path) -> None:
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    source = choose_source("coco:annotations/instances_few.json?category=traffic light", tmp_path)
    for _ in range(2):
        ingest_images(source, store, ImportRequest(), say_nothing)
    numbers = {row[8][-5] for row in store.rows("street")}
    assert numbers == {"1", "2", "5", "6", "7"}
    assert {row[8][-5] for row in store.rows("street and not has('car')")} == {"5", "7"}
    assert list(run_query(store, "categories")[1]) == [
        ("airplane", "vehicle", 1, 1),
        ("car", "vehicle", 3, 3),
        ("traffic light", "outdoor", 4, 3),
    ]
    assert list(run_query(store, "licenses")[1]) == [(4, "Attribution License", "http://x", 7)]
    assert {image.label for image in records(store)} == {"traffic light", "no traffic light"}


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("label == NORMAL", "NORMAL is not a value; put a text in quotes: 'NORMAL'"),
        ("label in (NORMAL, 'b')", "NORMAL is not a value; put a text in quotes"),
        ("label == f()", "f is not a value"),
        ("width == 1 * 2", "'1 \\* 2' is not a value"),
        ("width == 9999999999", "a number is at most 2,147,483,647"),
        ("label == '\\ud800'", "it holds half of a character"),
        ("has(car)", "put the category in quotes: has\\('car'\\)"),
        (
            "license == 'Attribution License'",
            "license is compared with whole numbers, .*store query licenses",
        ),
        ("group == 1", "group is compared with texts"),
    ],
)
def test_conditions_say_what_they_should_be(where: str, message: str, store: ImageStore) -> None:
    with pytest.raises(DataError, match=message) as fault:
        store.rows(where)
    assert fault.value.code == "condition-invalid"


def test_a_category_that_is_not_there(store: ImageStore, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        store.rows("width > 1 and has('car')")
    assert fault.value.code == "category-unknown"
    assert "store ingest coco:" in fault.value.finding.hint
    write_annotations(tmp_path)
    write_images(tmp_path / "few")
    source = choose_source("coco:annotations/instances_few.json?category=traffic light", tmp_path)
    ingest_images(source, store, ImportRequest(), say_nothing)
    for ask in (store.rows, store.images, store.count, store.remove):
        with pytest.raises(DataError) as fault:
            ask("has('trafic light')")
        assert fault.value.code == "category-unknown"
        assert "no category 'trafic light'" in fault.value.finding.message
        assert fault.value.finding.hint == "write 'traffic light'"
    with pytest.raises(DataError) as fault:
        store.rows("not (street or has('zebra crossing'))")
    assert fault.value.code == "category-unknown"
    assert "airplane, " in fault.value.finding.hint
    assert "traffic light" in fault.value.finding.hint


def test_tables_call_columns_as_conditions_do(store: ImageStore) -> None:
    assert run_query(store, "groups")[0] == ["group", "label", "images"]
    assert run_query(store, "licenses")[0] == ["license", "name", "url", "images"]


@pytest.mark.parametrize("name", NAMED)
def test_named_queries_as_csv(name: str, store: ImageStore, folder: Path) -> None:
    ingest(store, folder)
    out = io.StringIO()
    columns, rows = run_query(store, name)
    count = write_rows(columns, rows, out)
    table = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(table) == count
    frame = query_frame(store, name)
    assert (list(frame.columns), len(frame)) == (list(columns), count)
    if name == "labels":
        assert [(row["label"], row["images"]) for row in table] == [("a", "60"), ("b", "20")]


def test_the_migrations_make_the_tables_of_the_code(store: ImageStore, database_url: str) -> None:
    with store.engine.connect() as connection:
        options = {
            "version_table": "store_version",
            "include_object": lambda item, name, *_: name != "alembic_version",
        }
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []


def test_store_and_records_may_share_a_database(store: ImageStore, database_url: str, folder: Path) -> None:
    with closing(Records(database_url)) as shared:
        assert shared.rows() == []
    ingest(store, folder)
    with closing(ImageStore(database_url, create=True)) as again:
        assert len(records(again)) == 80


def test_a_database_with_other_tables_is_left_alone(database_url: str) -> None:
    with closing(ImageStore(database_url, create=True)) as made, made.engine.begin() as connection:
        connection.execute(sa.text("drop table store_version"))
    with pytest.raises(UnavailableError, match="already exists") as fault:
        ImageStore(database_url, create=True)
    assert fault.value.code == "database-unusable"


def test_a_database_that_is_not_there() -> None:
    with pytest.raises(UnavailableError) as fault:
        ImageStore("postgresql://localhost:1/x")
    assert fault.value.code == "database-unusable"


def test_a_reader_makes_no_database(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as fault:
        ImageStore(database_url)
    assert fault.value.code in ("database-file-missing", "database-empty")
    assert "`store ingest`" in fault.value.finding.hint
    assert not list(tmp_path.iterdir())
    if database_url.startswith("postgresql"):
        engine = connect(database_url)
        assert sa.inspect(engine).get_table_names() == []
        engine.dispose()


def test_a_reader_leaves_another_owners_database_alone(database_url: str) -> None:
    with closing(Records(database_url)) as other:
        before = sa.inspect(other.engine).get_table_names()
        with pytest.raises(DataError) as fault:
            ImageStore(database_url)
        assert fault.value.code == "database-empty"
        assert sa.inspect(other.engine).get_table_names() == before


def test_a_database_that_the_server_does_not_have(postgresql_url: str) -> None:
    with pytest.raises(UnavailableError) as fault:
        ImageStore(postgresql_url.replace("/postgres?", "/nowhere?"))
    assert fault.value.code == "database-missing"
    assert fault.value.finding.hint.startswith("create it (createdb nowhere)")


@pytest.mark.parametrize("url", ["mysql://me@host/name", "oracle://host/name", "images.sqlite"])
def test_a_url_of_another_kind(url: str) -> None:
    with pytest.raises(UnavailableError, match="sqlite:///FILE or postgresql://HOST/NAME") as fault:
        ImageStore(url)
    assert fault.value.code == "database-url-invalid"


def test_memory_does_not_grow_with_the_images(store: ImageStore) -> None:
    generator = np.random.default_rng(0)
    for batch in range(10):
        contents = [generator.bytes(20_000) for _ in range(200)]
        store.add(
            [
                StoredImage(
                    hashlib.sha256(data).hexdigest(),
                    4,
                    4,
                    "L",
                    "PNG",
                    "a",
                    f"{batch}/{number}",
                    "now",
                    data=data,
                )
                for number, data in enumerate(contents)
            ]
        )
    tracemalloc.start()
    try:
        count = sum(1 for _ in store.images(as_="record"))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2000
    # All of them take 40 MB.
    assert peak_bytes < 8e6


def test_the_same_names_in_another_folder_are_other_images(store: ImageStore, tmp_path: Path) -> None:
    for number, folder in enumerate(("one", "two")):
        for name in ("1.dcm", "2.dcm"):
            pixels = np.random.default_rng([number, int(name[0])]).integers(0, 900, (16, 16), dtype=np.int16)
            write_dicom(tmp_path / folder / "a" / name, pixels, PatientID="P1")
    done = [
        ingest_images(
            choose_source(f"dicom:{tmp_path / name}", tmp_path), store, ImportRequest(), say_nothing
        )
        for name in ("one", "two", "two")
    ]
    assert [(one.new, one.known) for one in done] == [(2, 0), (2, 0), (0, 2)]
