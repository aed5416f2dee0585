"""The checks of an import: all of them in these tables, run by one loop.

A check takes what the import knows so far and what was asked, and returns findings; it raises nothing. To add
one, write its function in listing_checks.py, label_checks.py or image_checks.py, and its line below.
"""

from collections.abc import Callable, Iterable

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.dataset import image_checks, label_checks, listing_checks
from challenge_bundle.dataset.import_state import ImportState
from challenge_bundle.findings import Finding

Check = Callable[[ImportState, ImportRequest], list[Finding]]

NAMES: tuple[Check, ...] = (
    listing_checks.file_names,
    listing_checks.patient_rule,
)
"""Of the listed names; an ingest into the image database runs these too."""

LISTED: tuple[Check, ...] = (
    *NAMES,
    label_checks.expected_classes,
    label_checks.number_of_classes,
    label_checks.class_names,
    label_checks.known_attributes,
    listing_checks.training_images,
    listing_checks.unknown_patients,
    listing_checks.patients_across_splits,
    listing_checks.one_patient,
)
"""Of what is listed and sampled, before any image is read, for reading may take long."""

READ: tuple[Check, ...] = (
    image_checks.unreadable_images,
    listing_checks.patients_across_splits,
    listing_checks.one_patient,
    image_checks.image_sizes,
    label_checks.label_conflicts,
    image_checks.duplicates,
    label_checks.small_classes,
    image_checks.known_splits,
)
"""Of the images that were read; of patient groups here where dropped duplicates change them."""

ASSIGNED: tuple[Check, ...] = (
    label_checks.classes_in_splits,
    label_checks.labels_without_cases,
    label_checks.classes_in_one_group,
    image_checks.moved_images,
    image_checks.leaks,
    image_checks.kept_names,
    image_checks.file_formats,
    image_checks.transparency,
    image_checks.large_images,
    image_checks.metadata_texts,
)
"""Of the images with their splits."""


def run_checks(checks: Iterable[Check], state: ImportState, request: ImportRequest) -> list[Finding]:
    """What some checks find, in their order."""
    return [finding for check in checks for finding in check(state, request)]
