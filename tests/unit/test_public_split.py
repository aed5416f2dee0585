"""The public and the private split of the test set."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from challenge_bundle.evaluation.public_split import reference_text, split_test_set
from challenge_bundle.formats.reference import Reference, read_reference
from challenge_bundle.formats.tasks import Task


def table(count: int) -> Reference:
    class_of = {f"{n:03d}.png": "AB"[n % 2] for n in range(count)}
    return Reference(class_of, {name: f"testing-data/{name}" for name in class_of}, {})


def test_parts_are_whole_and_apart() -> None:
    reference = table(100)
    parts = split_test_set(reference, "secret", 0.3)
    assert parts["public"] | parts["final"] == set(reference.label_of)
    assert not parts["public"] & parts["final"]
    assert Counter(reference.label_of[name] for name in parts["public"]) == {"A": 15, "B": 15}


def test_which_image_is_public_hangs_on_the_reference() -> None:
    assert split_test_set(table(100), "secret", 0.3) == split_test_set(table(100), "secret", 0.3)
    assert split_test_set(table(100), "secret", 0.3) != split_test_set(table(100), "other", 0.3)


def test_each_part_has_each_class() -> None:
    parts = split_test_set(table(4), "secret", 0.01)
    assert len(parts["public"]) == 2
    assert split_test_set(table(4), "secret", 1.0) == {"all": frozenset(table(4).label_of)}


@pytest.mark.parametrize(
    ("share", "of_class", "public"),
    [
        (0.01, 2, 1),
        (0.99, 2, 1),
        (0.99, 3, 2),
        (0.01, 3, 1),
        (0.5, 4, 2),
        (0.3, 10, 3),
        (0.5, 1, 1),
        (0.01, 1, 1),
    ],
)
def test_of_each_class_either_part_has_its_share_and_one_at_least(
    share: float, of_class: int, public: int
) -> None:
    parts = split_test_set(table(2 * of_class), "secret", share)
    classes = Counter(table(2 * of_class).label_of[name] for name in parts["public"])
    assert classes == {"A": public, "B": public}
    assert len(parts["final"]) == 2 * (of_class - public)


def test_the_public_split_is_drawn_by_a_keyed_hash_of_the_names() -> None:
    order = sorted(
        ("000.png", "002.png", "004.png", "006.png"),
        key=lambda name: hashlib.sha256(b"secret/" + name.encode()).digest(),
    )
    public = split_test_set(table(8), "secret", 0.5)["public"]
    assert {name for name in public if name in order} == set(order[:2])


def test_the_reference_of_a_split_is_read_as_the_whole(tmp_path: Path) -> None:
    assert reference_text(table(2), frozenset({"000.png"})) == "file,class\ntesting-data/000.png,A\n"
    (tmp_path / "ref.csv").write_text(reference_text(table(4), frozenset({"001.png", "002.png"})))
    assert read_reference(tmp_path / "ref.csv").label_of == {"001.png": "B", "002.png": "A"}


def grouped(groups: int, of_each: int, classes: str = "AB", task: Task | None = None) -> Reference:
    """Groups of images; those of one group are of one class, but the last image of every third group."""
    label_of, group_of = {}, {}
    for number in range(groups * of_each):
        group = number // of_each
        odd = group % 3 == 0 and number % of_each == of_each - 1
        label_of[f"{number:04d}.png"] = classes[(group + odd) % len(classes)]
        group_of[f"{number:04d}.png"] = f"g{group:04d}"
    return Reference(label_of, {name: name for name in label_of}, {}, task or Task(), group_of)


@pytest.mark.parametrize("share", [0.2, 0.3, 0.5])
@pytest.mark.parametrize("secret", ["one", "two"])
def test_a_patients_images_are_all_public_or_all_private(share: float, secret: str) -> None:
    reference = grouped(100, 6, "ABC")
    parts = split_test_set(reference, secret, share)
    public, final = ({reference.group_of[name] for name in parts[part]} for part in ("public", "final"))
    assert not public & final
    assert parts["public"] | parts["final"] == reference.label_of.keys()
    assert len(parts["public"]) == pytest.approx(600 * share, abs=6)
    counts = Counter(reference.label_of[name] for name in parts["public"])
    for name, count in Counter(reference.label_of.values()).items():
        assert counts[name] == pytest.approx(count * share, abs=6)
    assert parts != split_test_set(reference, f"{secret}!", share)


def test_of_two_groups_of_a_class_each_split_gets_one() -> None:
    reference = grouped(8, 2, "ABCD")
    for secret in "0123456789":
        parts = split_test_set(reference, secret, 0.3)
        for names in parts.values():
            assert {reference.label_of[name] for name in names} == set("ABCD")


def test_a_class_of_one_group_is_in_one_split_alone() -> None:
    reference = grouped(12, 3)
    label_of = {n: "rare" if g == "g0005" else reference.label_of[n] for n, g in reference.group_of.items()}
    rare = Reference(label_of, reference.file_of, {}, reference.task, reference.group_of)
    parts = split_test_set(rare, "secret", 0.5)
    assert sorted(Counter(label_of[name] for name in names)["rare"] for names in parts.values()) == [0, 3]


def test_labels_and_values_are_balanced_too() -> None:
    names = [f"{number:03d}.png" for number in range(120)]
    labels = {name: "|".join(["A"] * (n % 2) + ["B"] * (n % 10 == 0)) for n, name in enumerate(names)}
    of_labels = Reference(labels, labels, {}, Task("multilabel", ("A", "B", "never")))
    public = split_test_set(of_labels, "secret", 0.25)["public"]
    assert len(public) == pytest.approx(30, abs=1)
    assert Counter(label for name in public for label in labels[name].split("|") if label) == {
        "A": 15,
        "B": 3,
    }
    values = {name: str(n * n) for n, name in enumerate(names)}
    public = split_test_set(Reference(values, values, {}, Task("regression")), "secret", 0.25)["public"]
    assert Counter(names.index(name) // 12 for name in public) == dict.fromkeys(range(10), 3)


def test_a_split_of_the_reference_keeps_groups_and_attributes(tmp_path: Path) -> None:
    reference = Reference(
        {"1.png": "B", "2.png": ""},
        {"1.png": "x/1.png", "2.png": "x/2.png"},
        {},
        Task("multilabel", ("A", "B")),
        {"1.png": "g0001"},
        {"sex": {"1.png": "F", "2.png": "M"}},
    )
    assert reference_text(reference, frozenset(reference.label_of)) == (
        "file,A,B,group,meta_sex\nx/1.png,0,1,g0001,F\nx/2.png,0,0,,M\n"
    )
