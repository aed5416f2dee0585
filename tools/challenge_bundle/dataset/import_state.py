"""What an import knows while it runs, and how what its checks find becomes one error."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from challenge_bundle.dataset.previous_import import PreviousImport
from challenge_bundle.dataset.staging import StagedImage
from challenge_bundle.errors import DataError
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.sources.base import Listing, SourceImage

ALLOW_LEAKS = "allow it with --allow-leaks (in bundle.toml: data.allow_leaks = true)"


@dataclass(frozen=True, slots=True)
class ImportState:
    """What an import knows so far.

    Args:
        listing: All that the source has.
        images: Those that are taken: the sample, and, once they are read, what is left of it.
        patient_groups: The patient group of each listed image that has one, by origin.
        previous: The import before this one.
        keeps_names: Whether images keep their names.
        unreadable: What is wrong with the images that cannot be read.
        staged: The images that were read; with a split, once that is assigned.
        class_names: The classes or labels, in order.
    """

    listing: Listing
    images: Sequence[SourceImage]
    patient_groups: Mapping[str, str]
    previous: PreviousImport
    keeps_names: bool = False
    unreadable: Sequence[Finding] = ()
    staged: Sequence[StagedImage] = ()
    class_names: tuple[str, ...] = ()


def refuse(findings: Iterable[Finding]) -> None:
    """Raise all errors among findings as one; without errors, do nothing.

    Raises:
        DataError: The first error; the details are the others.
    """
    errors = [finding for finding in findings if finding.severity == ERROR]
    if not errors:
        return
    first, *others = errors
    raise DataError(
        first.message,
        first.location or None,
        first.row,
        details=tuple(finding.text for finding in others),
        code=first.code,
        hint=first.hint,
    )


def with_each(first: Finding, others: Iterable[str]) -> list[Finding]:
    """A finding that counts things of a kind and names the first, and one for each of the others."""
    return [first, *(replace(first, location="", message=text, hint="", row=None) for text in others)]
