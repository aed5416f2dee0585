"""Which split each image goes to, of made-up images: no file is read."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.duplicates import Dropped
from challenge_bundle.dataset.image_checks import known_splits, moved_images
from challenge_bundle.dataset.label_checks import classes_in_splits
from challenge_bundle.dataset.previous_import import PreviousImport
from challenge_bundle.dataset.split_assignment import assign_splits
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.sources.base import SourceImage
from tests.importing import codes, of_code, state_of

NONE_KNOWN = PreviousImport({})


def an_image(name: str, class_name: str = "a", split: str | None = None, picture: str = "") -> StagedImage:
    source = SourceImage(f"{class_name}/{name}", class_name, split, lambda: b"")
    return StagedImage(
        source, name, f"bytes of {name}", picture or f"picture of {name}", (8, 8), "PNG", transparent=False
    )


def of_two_classes(count: int) -> list[StagedImage]:
    return [an_image(f"{number:03d}", "ab"[number % 2]) for number in range(count)]


def counted(images: Sequence[StagedImage]) -> dict[tuple[str, str], int]:
    return dict(Counter((image.split, image.source.class_name) for image in images))


def splits_of(images: Sequence[StagedImage]) -> dict[str, str]:
    return {image.file: image.split for image in images}


def assigned(
    images: Sequence[StagedImage],
    groups: dict[str, str] | None = None,
    previous: PreviousImport = NONE_KNOWN,
    dropped: Dropped | None = None,
    **request: object,
) -> tuple[list[StagedImage], list[Finding]]:
    wanted = ImportRequest(**request)  # type: ignore[arg-type]
    return assign_splits(images, groups or {}, wanted, previous, dropped or Dropped())


def test_without_any_split_each_class_is_cut_by_the_shares() -> None:
    images, findings = assigned(of_two_classes(40), split=(0.5, 0.3, 0.2))
    assert counted(images) == {
        (split, name): count
        for split, count in (("training", 10), ("validation", 6), ("testing", 4))
        for name in "ab"
    }
    assert findings == []


def test_shares_need_not_be_of_one_in_all() -> None:
    given = [an_image(f"{number}", split="testing") for number in range(3)]
    given += [an_image(f"t{number}", split="training") for number in range(20)]
    # Of 20 training images the missing validation split gets 0.2 of 0.6 + 0.2.
    images, _ = assigned(given, split=(0.6, 0.2, 0.2))
    assert counted(images) == {("training", "a"): 15, ("validation", "a"): 5, ("testing", "a"): 3}


def test_splits_of_the_source_are_kept() -> None:
    given = [
        an_image(str(n), "ab"[n % 2], ("training", "validation", "testing")[n // 2 % 3]) for n in range(12)
    ]
    images, findings = assigned(given)
    assert splits_of(images) == {image.file: image.source.split for image in given}
    assert [image.source for image in images] == [image.source for image in given]
    assert findings == []


def test_a_missing_split_is_cut_from_training_alone() -> None:
    given = [an_image(f"v{n}", split="validation") for n in range(4)]
    given += [an_image(f"t{n}", split="training") for n in range(8)]
    images, _ = assigned(given, split=(0.5, 0.25, 0.25))
    splits = splits_of(images)
    assert all(splits[f"v{n}"] == "validation" for n in range(4))
    assert Counter(splits[f"t{n}"] for n in range(8)) == {"training": 5, "testing": 3}


def test_what_stays_together_is_whole_and_makes_no_image_vanish() -> None:
    given = of_two_classes(60)
    groups = {image.source.origin: f"patient {number // 3}" for number, image in enumerate(given)}
    images, _ = assigned(given, groups)
    splits: dict[str, set[str]] = defaultdict(set)
    for image in images:
        splits[groups[image.source.origin]].add(image.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len(images) == 60
    assert {split for found in splits.values() for split in found} == {"training", "validation", "testing"}


def test_the_same_picture_and_groups_of_dropped_duplicates_stay_together() -> None:
    given = [an_image(f"{n:02d}", picture=f"picture {n // 2}") for n in range(20)]
    splits = splits_of(assigned(given)[0])
    assert all(splits[f"{n:02d}"] == splits[f"{n + 1:02d}"] for n in range(0, 20, 2))
    # A duplicate of 00 was of the patient of 19, one of 02 of that of 17: they were dropped.
    single = [an_image(f"{n:02d}") for n in range(20)]
    groups = {"a/19": "p19", "a/17": "p17"}
    dropped = Dropped({"picture of 00": ["p19"], "picture of 02": ["p17"]})
    for seed_of_order in range(6):
        order = single[seed_of_order:] + single[:seed_of_order]
        splits = splits_of(assigned(order, groups, dropped=dropped)[0])
        assert splits["00"] == splits["19"]
        assert splits["02"] == splits["17"]


def test_a_sample_is_even_where_there_are_enough_and_else_by_the_shares() -> None:
    images, _ = assigned(of_two_classes(24), sample_size=4)
    assert counted(images) == {
        (split, name): 4 for split in ("training", "validation", "testing") for name in "ab"
    }
    few, _ = assigned(of_two_classes(20), sample_size=4, split=(0.6, 0.2, 0.2))
    # Of ten of each class, four splits' worth are not there: 6, 2 and 2, of which four at most are taken.
    assert counted(few) == {
        (split, name): count
        for split, count in (("training", 4), ("validation", 2), ("testing", 2))
        for name in "ab"
    }


def test_a_sample_by_patient_keeps_all_that_was_sampled() -> None:
    given = of_two_classes(24)
    groups = {image.source.origin: f"patient {number // 4}" for number, image in enumerate(given)}
    images, _ = assigned(given, groups, sample_size=4)
    assert len(images) == 24


def test_earlier_splits_are_kept_only_if_asked() -> None:
    given = [an_image(f"{n:02d}") for n in range(30)]
    was = {f"bytes of {n:02d}": frozenset({"testing"}) for n in range(6)}
    kept, findings = assigned(given, previous=PreviousImport(was), keep_splits=True)
    splits = splits_of(kept)
    assert {f"{n:02d}" for n in range(30) if splits[f"{n:02d}"] == "testing"} == {
        f"{n:02d}" for n in range(6)
    }
    assert findings == []
    assert len(kept) == 30

    moved, findings = assigned(given, previous=PreviousImport(was))
    gone = [name for name, split in splits_of(moved).items() if int(name) < 6 and split != "testing"]
    assert gone
    found = of_code(
        moved_images(state_of([], staged=moved, previous=was), ImportRequest()), "testing-image-published"
    )
    assert f": {len(gone)} (" in found.message
    assert "--keep-splits" in found.hint


def test_patients_that_were_in_several_splits_go_to_testing_with_a_warning() -> None:
    given = [an_image(f"{n:02d}") for n in range(30)]
    groups = {"a/00": "p", "a/01": "p", "a/02": "q", "a/03": "q", "a/04": "r"}
    was = {
        "bytes of 00": frozenset({"training"}),
        "bytes of 01": frozenset({"testing"}),
        "bytes of 02": frozenset({"training"}),
        "bytes of 03": frozenset({"validation"}),
        "bytes of 04": frozenset({"training"}),
    }
    images, findings = assigned(given, groups, PreviousImport(was), keep_splits=True)
    splits = splits_of(images)
    assert [splits[f"{n:02d}"] for n in range(5)] == [
        "testing",
        "testing",
        "validation",
        "validation",
        "training",
    ]
    found = of_code(findings, "patient-group-was-split")
    assert ": 2, such as 'p', of 2 images, such as a/00" in found.message


def test_an_earlier_split_that_the_source_has_does_not_count() -> None:
    given = [an_image(f"s{n}", split="testing") for n in range(2)]
    given += [an_image(f"t{n}", split="training") for n in range(10)]
    was = {"bytes of t0": frozenset({"testing"}), "bytes of t1": frozenset({"validation"})}
    images, _ = assigned(given, previous=PreviousImport(was), keep_splits=True)
    splits = splits_of(images)
    assert splits["t1"] == "validation"
    assert splits["t0"] in ("training", "validation")


def test_splits_that_nobody_knows_cannot_be_kept() -> None:
    request = ImportRequest(keep_splits=True)
    for previous, reason in (
        ({}, "no import is known here"),
        ({"other": frozenset({"testing"})}, "had none of these images"),
    ):
        (found,) = known_splits(state_of([], staged=of_two_classes(20), previous=previous), request)
        assert (found.code, found.severity) == ("no-splits-to-keep", ERROR)
        assert reason in found.message


@pytest.mark.parametrize(("count", "where"), [(1, "only a2/0"), (2, "2 in other splits, such as a2/0")])
def test_a_class_that_a_split_lacks_is_named_with_its_place(count: int, where: str) -> None:
    given = [
        an_image(f"{split}{n}", name, split)
        for split in ("training", "validation", "testing")
        for name in ("a", "b")
        for n in range(2)
    ]
    given += [an_image(str(n), "a2", "training") for n in range(count)]
    images, _ = assigned(given)
    found = classes_in_splits(state_of([], staged=images), ImportRequest())
    assert codes(found) == ["class-without-images"] * 2
    assert found[0].message == f"class a2 has no validation image, {where}"
    assert found[1].message == f"class a2 has no testing image, {where}"
    assert "--keep-splits" not in found[0].hint


def test_a_last_split_that_lacks_a_class_is_refused_too() -> None:
    given = [
        an_image(f"{split}{n}", name, split)
        for split in ("training", "validation")
        for name in ("a", "b")
        for n in range(2)
    ]
    given += [an_image("last", "a", "testing")]
    images, _ = assigned(given)
    (found,) = classes_in_splits(state_of([], staged=images), ImportRequest())
    assert found.message.startswith("class b has no testing image")
    kept = [an_image(f"k{n}", "ab"[n % 2]) for n in range(4)]
    was = {f"bytes of k{n}": frozenset({"training"}) for n in range(4)}
    images, findings = assigned(kept, previous=PreviousImport(was), keep_splits=True)
    assert (images, codes(findings)) == ([], ["class-too-small"] * 2)
    more = [an_image(f"m{n}", "ab"[n % 2]) for n in range(4)]
    was |= {f"bytes of m{n}": frozenset({"training"}) for n in range(4)}
    request = ImportRequest(keep_splits=True)
    images, findings = assigned(kept + more, previous=PreviousImport(was), keep_splits=True)
    absent = [*findings, *classes_in_splits(state_of([], staged=images), request)]
    assert codes(absent) == ["class-without-images"] * 4
    assert all("leave out --keep-splits" in found.hint for found in absent)


@pytest.mark.parametrize(
    ("groups", "named"),
    [
        ({}, "a/0 and 1 duplicates of it; a/2"),
        ({"a/0": "p"}, "'p', of 2 images, such as a/0; a/2"),
        ({"a/0": "p", "a/1": "q"}, "'p' and 'q', which share an image, such as a/0; a/2"),
    ],
)
def test_too_few_of_a_class_are_named_by_what_keeps_them_together(groups: dict[str, str], named: str) -> None:
    given = [an_image("0", picture="same"), an_image("1", picture="same"), an_image("2")]
    images, findings = assigned(given, groups)
    assert (images, codes(findings)) == ([], ["class-too-small"])
    assert f"2 different images or patient groups for 3 splits ({named})" in findings[0].message
