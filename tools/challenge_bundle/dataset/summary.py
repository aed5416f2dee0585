"""The data that are in place: where they are from, their classes and their numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset.consistency import (
    LABELLED_SPLITS,
    check_complete,
    check_leftovers,
    check_reference,
    check_rows,
)
from challenge_bundle.dataset.import_state import refuse
from challenge_bundle.dataset.placed import names_in, read_import_record
from challenge_bundle.dataset.publish import recover_import
from challenge_bundle.findings import Finding
from challenge_bundle.formats.reference import read_reference
from challenge_bundle.formats.task_json import read_task
from challenge_bundle.formats.tasks import CLASSIFICATION, REGRESSION, Task
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.settings import Bundle


@dataclass(frozen=True, slots=True)
class DataSummary:
    """What input_data/ holds.

    Args:
        source: What was imported.
        class_names: The classes or labels, in order; none of values.
        counts: Images of each split.
        findings: What the import's checks found; nothing that stops the work.
        request: What was asked of the import; None if no import is known.
        has_reference: Whether the classes of the testing images are here, as they are at the organiser's.
        task: What the labels are of.
        classes: Images of each class or label; of an import that was made just now, else empty.
        values: Of a regression, sorted; of an import that was made just now, else empty.
        patient_groups: How many patient groups that import knows of, and how many of them are in two splits.
    """

    source: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    findings: tuple[Finding, ...] = ()
    request: ImportRequest | None = None
    has_reference: bool = True
    task: str = CLASSIFICATION
    classes: Mapping[str, int] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    patient_groups: tuple[int, int] = (0, 0)


def read_summary(layout: Layout) -> DataSummary | None:
    """Read what is in input_data/; None if it holds no data.

    Raises:
        DataError: input_data/ lacks some of the data, or the reference is of other images.
    """
    recover_import(layout)
    if not any(layout.split_dir(split).exists() for split in SPLITS) and not any(
        layout.solution_csv(split).exists() for split in LABELLED_SPLITS
    ):
        return None
    refuse(check_complete(layout))
    findings: list[Finding] = []
    has_reference = layout.solution_csv("testing").exists()
    if has_reference:
        findings += check_reference(read_reference(layout.solution_csv("testing")), layout)
    tables = {split: read_reference(layout.solution_csv(split)) for split in LABELLED_SPLITS}
    refuse([*findings, *check_rows(tables, layout), *check_leftovers(layout)])
    record = read_import_record(layout)
    return DataSummary(
        source=record[0] if record else "a kit, or files put there by hand",
        class_names=tables["training"].class_names,
        task=tables["training"].task.name,
        counts={split: len(table.label_of) for split, table in tables.items()}
        | {"testing": len(names_in(layout.testing_data))},
        request=record[1] if record else None,
        has_reference=has_reference,
    )


def known_class_names(bundle: Bundle, layout: Layout) -> tuple[str, ...]:
    """The challenge's classes: of the manifest, else of the training images, else unknown (empty)."""
    solution = layout.solution_csv("training")
    if bundle.class_names or not solution.exists():
        return bundle.class_names
    return read_reference(solution).class_names


def known_task(bundle: Bundle, layout: Layout) -> Task | None:
    """What the challenge asks for, with its classes; None if no class is known here."""
    names = known_class_names(bundle, layout)
    solution = layout.solution_csv("training")
    task = read_task(solution.parent) if solution.exists() else Task(bundle.task)
    if not names and task.name != REGRESSION:
        return None
    return replace(task, class_names=task.class_names or names)
