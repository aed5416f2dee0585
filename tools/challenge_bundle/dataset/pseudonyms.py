"""Names of patient groups that go into the csv files: g0001 and so on, never what the source calls them."""

from collections.abc import Mapping, Sequence

from challenge_bundle.dataset.duplicates import Dropped
from challenge_bundle.dataset.split_assignment import keys_together
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.dataset.stratify import connect
from challenge_bundle.layout import SPLITS


def name_groups(
    named: Sequence[StagedImage], patient_groups: Mapping[str, str], dropped: Dropped
) -> dict[str, str]:
    """Number the patient groups; an image without one is a group of its own.

    The order is that of splits, then of the images' hashes: it shows neither class nor patient, and the
    numbers of training groups do not show which testing images are of one patient.

    Args:
        named: The images with their splits.
        patient_groups: Patient group by origin.
        dropped: Duplicates of the images that were dropped.

    Returns:
        The pseudonym of each image's group, by origin; empty if no patient group is known.
    """
    if not any(image.source.origin in patient_groups for image in named):
        return {}
    together = connect(named, lambda image: keys_together(image, patient_groups, dropped))
    ordered = sorted(together, key=_place)
    return {
        image.source.origin: f"g{number:04d}"
        for number, same in enumerate(ordered, start=1)
        for image in same
    }


def _place(same: Sequence[StagedImage]) -> tuple[int, str]:
    return min((SPLITS.index(image.split), image.sha256) for image in same)
